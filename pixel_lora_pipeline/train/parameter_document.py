"""The reference of all parameters as a document, `docs/parameters.md`, written from the table in the code."""

from collections.abc import Iterable
from typing import Final

from pixel_lora_pipeline.train.observations import COLUMNS, CSV_EXAMPLE, METRICS, YAML_EXAMPLE
from pixel_lora_pipeline.train.parameter_table import Parameter
from pixel_lora_pipeline.train.parameter_value import PER_FILE_PARAMETERS
from pixel_lora_pipeline.train.run_query import GRAMMAR
from pixel_lora_pipeline.train.taxonomy import CATEGORIES, PLACES, ROADMAP_NAMES, places_of, taxonomy

_INTRODUCTION: Final = """\
# Parameters of a training run

Every parameter that a run is described by: {total} in {categories} categories. {kohya} are options of Kohya's
`train_network` or facts that it records (sd-scripts v0.10.1), {own} are measured, calculated or noted by a person.

This file is written by `pixel-lora parameters > docs/parameters.md`; a test compares it with the code.

## Where values come from

All values of a run stand in `training_runs.all_parameters`, where each is from in `parameter_sources`, and of Kohya's
parameters that are not known the reason in `parameters_missing`. `null` means: known to be unset. A list means: the
subsets of the training data differ, in their order.

| place | what it is | `parameter_sources` |
|---|---|---|
{places}

A header tells what the trainer really took and is believed first, but for options of the training data that were set
in a `dataset_config` (Kohya writes the global argument into the header) and for what the tensors show otherwise.
"""

_SOURCE_NAMES: Final = {
    "header": "header",
    "dataset_config": "dataset_toml",
    "configuration": "sidecar",
    "tensors": "tensors",
    "file name": "file_name",
    "calculation": "that of what it is calculated from",
    "observations": "observations",
}

_QUESTIONS: Final = """\
## Asking

`pixel-lora runs --where "EXPRESSION"` lists the runs for which an expression is true. `pixel-lora diff RUN_A RUN_B`
shows the parameters in which two runs differ, calculated ones as well, with their sources.

{grammar}

The same in SQL. `v_run_parameters` has a run's columns and parameters in one document; a path condition compares
numbers as numbers, is true for a list if it is for one of its values, and never fails on a value of another type:

```sql
SELECT run_name, quality_score FROM v_run_parameters
WHERE parameters @? '$.network_dim ? (@.double() > 32)';

SELECT run_name FROM v_run_parameters
WHERE parameters @? '$.keep_tokens ? (@.double() == 1)' AND parameters @? '$.lr_scheduler ? (@ == "cosine")';

-- Nothing is known of it.
SELECT run_name FROM v_run_parameters WHERE NOT parameters ? 'caption_version';

-- As the roadmap asks: text, without a list's values and without columns of older rows.
SELECT * FROM training_runs WHERE all_parameters->>'keep_tokens' = '3';
```

What is missing, and where it could come from:

```sql
SELECT parameter, why_missing, could_come_from FROM v_parameter_coverage
WHERE run_name = 'portrait' AND NOT is_known;

SELECT parameter, count(*) FILTER (WHERE is_known) AS known, count(*) AS runs
FROM v_parameter_coverage WHERE category = 'data_captions' GROUP BY parameter ORDER BY known;
```
"""


_NOTES: Final = """\
## Noting what came of a run

`pixel-lora backfill FOLDER… --observations FILE` reads what no file of a training tells from a CSV or YAML file. What
is known already stays as it is, and a difference is said. A value may stand in one row of a run or in all of them; an
empty cell says nothing.

| column | what it is |
|---|---|
{columns}
| any parameter above | of the run; what only tensors show cannot be noted |
| {metrics} | measurements of an epoch |

```csv
{csv}```

The same in YAML:

```yaml
{yaml}```
"""


def parameter_document() -> str:
    """The whole document, in Markdown."""
    entries = taxonomy()
    own = [entry for entry in entries.values() if entry.section in ("measured", "calculated", "observed")]
    places = [f"| {place} | {meaning} | {_SOURCE_NAMES[place]} |" for place, meaning in PLACES.items()]
    sections = [
        _INTRODUCTION.format(
            total=len(entries),
            categories=len(CATEGORIES),
            kohya=len(entries) - len(own),
            own=len(own),
            places="\n".join(places),
        ),
        "## The roadmap's names\n\n"
        "Where the roadmap calls a parameter otherwise; `pixel-lora runs` understands both.\n\n"
        "| roadmap | here |\n|---|---|\n"
        + "\n".join(f"| `{roadmap}` | `{name}` |" for roadmap, name in ROADMAP_NAMES.items())
        + "\n",
        *(
            _section(title, [entry for entry in entries.values() if entry.category == category])
            for category, title in CATEGORIES.items()
        ),
        _QUESTIONS.format(grammar=GRAMMAR),
        _NOTES.format(
            columns="\n".join(f"| `{column}` | {meaning} |" for column, meaning in COLUMNS.items()),
            metrics=", ".join(f"`{group}.{name}`" for group, names in METRICS.items() for name in names),
            csv=CSV_EXAMPLE,
            yaml=YAML_EXAMPLE,
        ),
    ]
    return "\n".join(sections)


def _section(title: str, entries: Iterable[Parameter]) -> str:
    rows = "\n".join(_row(entry) for entry in entries)
    return (
        f"## {title}\n\n"
        "| parameter | type | default | key in the header | can be known from | meaning |\n|---|---|---|---|---|---|\n"
        f"{rows}\n"
    )


def _row(entry: Parameter) -> str:
    meaning = entry.meaning + (" (differs from file to file)" if entry.name in PER_FILE_PARAMETERS else "")
    keys = list(dict.fromkeys(key for key in (entry.header_key, entry.dataset_config_key) if key not in ("", "-")))
    cells = (
        f"`{entry.name}`",
        _KINDS.get(entry.kind, entry.kind),
        f"`{entry.default}`" if entry.default.strip() else "",
        " or ".join(f"`{key}`" for key in keys),
        ", ".join(places_of(entry)),
        meaning,
    )
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


_KINDS: Final = {
    "StoreTrue": "true or false",
    "bool": "true or false",
    "int": "whole number",
    "float": "number",
    "int_or_float": "number",
    "str": "text",
    "Path": "text",
    "str(number)": "number or list",
    "str(float)": "number",
    "json": "object",
    "dict": "object",
}
