"""What people noted of their runs: parameters, scores, measurements and verdicts, in a CSV or YAML file.

A CSV file has a row a run or a row an epoch; columns have the names in `COLUMNS`, of parameters, and of measurements.
A YAML file has a list of runs under the same names, see `YAML_EXAMPLE`.
"""

import csv
import difflib
import io
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

import yaml  # type: ignore[import-untyped]

from pixel_lora_pipeline.train.bounded_json import JSONValue, clean_text
from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.parameter_table import typed_value
from pixel_lora_pipeline.train.parameter_value import ParameterValue, of_run
from pixel_lora_pipeline.train.taxonomy import ROADMAP_NAMES, is_observable, taxonomy

CSV_EXAMPLE: Final = """\
run,epoch,visual,style,prompt,notes,quality_score,network_dim,color_accuracy.background_accuracy
portraits_v3,5,7,8,6,two-toned hair,8.5,32,61.5
portraits_v3,7,9,9,8,,,,96.5
portraits_v2,,,,,,3.5,64,
"""
YAML_EXAMPLE: Final = """\
- run: portraits_v3
  quality_score: 8.5
  parameters: {network_dim: 32}
  epochs:
    - {epoch: 5, visual: 7, style: 8, prompt: 6, notes: two-toned hair,
       metrics: {color_accuracy: {background_accuracy: 61.5}}}
    - {epoch: 7, visual: 9, style: 9, prompt: 8,
       metrics: {color_accuracy: {background_accuracy: 96.5}}}
- run: portraits_v2
  quality_score: 3.5
  parameters: {network_dim: 64}
"""

SCORES: Final = {
    "visual": "visual_quality_score",
    "style": "style_match_score",
    "prompt": "prompt_adherence_score",
}
"""Scores by eye, 1 to 10: short name of a column → column of `epoch_results`, which is understood as well."""

COLUMNS: Final = {
    "run": "name of the run",
    "epoch": "counted from 1; a row without one is about the whole run",
    **{name: f"score by eye, 1 to 10 ({column})" for name, column in SCORES.items()},
    "notes": "of an epoch",
    "quality_score": "of the run",
    "best_epoch": "of the run",
    "overall_verdict": "of the run, in words",
    "status": "of the run: completed, failed, …",
    "run_date": "when the run was started: 2025-11-10, or with a time",
    "starting_checkpoint": "what the run went on from",
    "gpu_type": "of the run",
    "gpu_seconds": "of the run",
    "cost_usd": "of the run",
}
"""Names that are no parameters."""

METRICS: Final = {
    "color_accuracy": (
        "background_accuracy", "hair_accuracy", "hair_two_toned", "hair_two_toned_share", "accessory_accuracy",
        "skin_accuracy", "lips_accuracy", "color_purity", "overall",
    ),
    "style_quality": (
        "edge_sharpness", "pixel_art_purity", "photorealism_score", "photorealistic_share", "color_palette_size",
        "off_grid", "orphan_pixels", "jaggies", "banding", "palette_drift", "off_palette",
        "dithering_quality", "overall",
    ),
}  # fmt: skip
"""Measurements of an epoch that can be noted, as `epoch_results.quantitative_metrics` has them."""

_OTHER_NAMES: Final = {
    "run_name": "run",
    "epoch_number": "epoch",
    "prompt_adherence": "prompt",
    **{column: name for name, column in SCORES.items()},
    **ROADMAP_NAMES,
}
_MAX_BYTES: Final = 16 * 1024**2
_MAX_FAULTS_SHOWN: Final = 10
_DELIMITERS: Final = ",;\t"
_SCORE_RANGE: Final = (1, 10)

Cell: TypeAlias = "str | list[Cell] | dict[str, Cell]"


class ObservationError(ValueError):
    """A file of observations that cannot be used: which line, what is wrong, what would be right.

    Nothing of a file with a faulty line is used. `faults` are the sentences, each beginning with file and line.
    """

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        shown = "\n".join(self.faults[:_MAX_FAULTS_SHOWN])
        left = len(self.faults) - _MAX_FAULTS_SHOWN
        super().__init__(shown + (f"\n… and {left} more." if left > 0 else ""))


@dataclass(frozen=True)
class EpochObservation:
    """What was noted of an epoch.

    Attributes
    ----------
    scores
        Column of `epoch_results` → 1 to 10.
    metrics
        In the shape of `epoch_results.quantitative_metrics`.
    """

    epoch: int
    scores: dict[str, int]
    notes: str | None
    metrics: dict[str, dict[str, JSONValue]]


@dataclass(frozen=True)
class RunObservation:
    """What was noted of a run.

    Attributes
    ----------
    facts
        Column of `training_runs` → value.
    place
        File and line where the run comes first.
    """

    run: str
    facts: dict[str, JSONValue]
    parameters: dict[str, ParameterValue]
    epochs: tuple[EpochObservation, ...]
    place: str


def read_observations(path: Path) -> list[RunObservation]:
    """Read a file of observations, a run each in the order in which they come.

    Raises
    ------
    ObservationError
        If it is no such file, or a line of it is wrong; every wrong line is named.
    """
    text = _text(path)
    rows = _yaml_rows(path, text) if path.suffix.lower() in (".yaml", ".yml") else _csv_rows(path, text)
    runs: dict[str, _Run] = {}
    faults: list[str] = []
    for row in rows:
        try:
            _add(row, runs)
        except ValueError as error:
            faults.append(f"{row.place}: {error}")
    if faults:
        raise ObservationError(faults)
    return [run.observation() for run in runs.values()]


class _Row(NamedTuple):
    place: str
    cells: dict[str, Cell]


class _Noted(NamedTuple):
    value: JSONValue
    place: str


@dataclass
class _Run:
    name: str
    place: str
    facts: dict[str, _Noted] = field(default_factory=dict)
    parameters: dict[str, _Noted] = field(default_factory=dict)
    epochs: dict[int, dict[str, _Noted]] = field(default_factory=dict)

    def observation(self) -> RunObservation:
        parameters = {name: ParameterValue(noted.value, "observations") for name, noted in self.parameters.items()}
        return RunObservation(
            run=self.name,
            facts={name: noted.value for name, noted in self.facts.items()},
            parameters=of_run(parameters),
            epochs=tuple(_epoch(epoch, noted) for epoch, noted in sorted(self.epochs.items())),
            place=self.place,
        )


def _epoch(epoch: int, noted: Mapping[str, _Noted]) -> EpochObservation:
    metrics: dict[str, dict[str, JSONValue]] = {}
    for name, (value, _) in noted.items():
        group, _, measure = name.partition(".")
        if measure:
            metrics.setdefault(group, {})[measure] = value
    scores = {SCORES[name]: int(str(noted[name].value)) for name in SCORES if name in noted}
    notes = noted["notes"].value if "notes" in noted else None
    return EpochObservation(epoch, scores, None if notes is None else str(notes), metrics)


def _add(row: _Row, runs: dict[str, _Run]) -> None:
    """Sort a row's cells into its run; a value that is noted twice has to be the same."""
    cells = dict(row.cells)
    name = cells.pop("run", "")
    if not isinstance(name, str) or not name.strip():
        raise ValueError("there is no name in the column run")
    run = runs.setdefault(clean_text(name.strip()), _Run(clean_text(name.strip()), row.place))
    epoch = _whole("epoch", cells.pop("epoch")) if "epoch" in cells else None
    if epoch is not None and epoch < 1:
        raise ValueError(f"column epoch: epochs are counted from 1, and it is {epoch}")
    for column, cell in cells.items():
        value = _value(column, cell)
        if column in SCORES or column == "notes" or "." in column:
            if epoch is None:
                raise ValueError(f"column {column} is about an epoch, and the column epoch is empty")
            target = run.epochs.setdefault(epoch, {})
        else:
            target = run.facts if column in COLUMNS else run.parameters
        before = target.setdefault(column, _Noted(value, row.place))
        if before.value != value:
            where = run.name if epoch is None or target is not run.epochs.get(epoch) else f"epoch {epoch} of {run.name}"
            raise ValueError(
                f"column {column} says {value!r} of {where}, and {before.place} says {before.value!r}: keep one"
            )


def _value(column: str, cell: Cell) -> JSONValue:
    """A cell in the type of its column.

    Raises
    ------
    ValueError
        If there is no such column, or the cell is not of its type.
    """
    group, _, measure = column.partition(".")
    if measure:
        return _metric(group, measure, cell)
    if column in COLUMNS:
        return _fact(column, cell)
    parameter = taxonomy().get(column)
    if parameter is None or not is_observable(parameter):
        known = [*COLUMNS, *(name for name, entry in taxonomy().items() if is_observable(entry))]
        close = difflib.get_close_matches(column, known, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else "`pixel-lora parameters` lists the parameters"
        why = "there is no such column" if parameter is None else "it is measured on files, and cannot be noted"
        raise ValueError(f"column {printable(column)}: {why}; {hint}")
    try:
        return typed_value(parameter, cell)
    except ValueError as error:
        raise ValueError(f"column {column}: {_shown(cell)} is {error}") from None


def _metric(group: str, measure: str, cell: Cell) -> JSONValue:
    column = f"{group}.{measure}"
    if measure not in METRICS.get(group, ()):
        known = [f"{group}.{measure}" for group, measures in METRICS.items() for measure in measures]
        close = difflib.get_close_matches(column, known, n=2)
        hint = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
        raise ValueError(f"column {printable(column)}: there is no such measurement; {hint}")
    if isinstance(cell, str) and cell.lower() in ("true", "false"):
        return cell.lower() == "true"
    return _number(column, cell)


def _fact(column: str, cell: Cell) -> JSONValue:
    if column in SCORES:
        score = _whole(column, cell)
        if not _SCORE_RANGE[0] <= score <= _SCORE_RANGE[1]:
            raise ValueError(f"column {column}: {score} is no whole number from {_SCORE_RANGE[0]} to {_SCORE_RANGE[1]}")
        return score
    match column:
        case "best_epoch":
            return _whole(column, cell)
        case "quality_score":
            return _number(column, cell)
        case "gpu_seconds" | "cost_usd":
            amount = _number(column, cell)
            if amount < 0:
                raise ValueError(f"column {column}: {_shown(cell)} is below 0")
            return amount
        case "run_date":
            return _date(column, cell)
    if not isinstance(cell, str):
        raise ValueError(f"column {column}: {_shown(cell)} is no text")
    return clean_text(cell)


def _number(column: str, cell: Cell) -> float:
    try:
        number = float(cell) if isinstance(cell, str) else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"column {column}: {_shown(cell)} is no number")
    return number


def _whole(column: str, cell: Cell) -> int:
    number = _number(column, cell)
    if not number.is_integer() or abs(number) >= 2**31:
        raise ValueError(f"column {column}: {_shown(cell)} is no whole number")
    return int(number)


def _date(column: str, cell: Cell) -> str:
    """ISO 8601 with a time zone; UTC where none is noted."""
    try:
        date = datetime.fromisoformat(str(cell))
    except ValueError:
        raise ValueError(f"column {column}: {_shown(cell)} is no date such as 2025-11-10") from None
    return (date if date.tzinfo is not None else date.replace(tzinfo=UTC)).isoformat()


def _shown(cell: Cell) -> str:
    return printable(repr(cell), 60)


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise ObservationError([f"{path} has {size} bytes, more than {_MAX_BYTES}: no file of observations."])
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ObservationError([f"{path} cannot be read: {error.strerror or error}."]) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ObservationError([f"{path}, line {line}: it is not UTF-8; save the file as UTF-8."]) from error


def _csv_rows(path: Path, text: str) -> Iterator[_Row]:
    first_line = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first_line.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        columns = [_column(name) for name in next(reader, [])]
        twice = sorted({name for name in columns if name and columns.count(name) > 1})
        if "run" not in columns or twice:
            fault = f"the column {twice[0]} comes twice" if twice else "there is no column run"
            raise ObservationError([f"{path}, line 1: {fault}. The first line names the columns."])
        for values in reader:
            place = f"{path}, line {reader.line_num}"
            if len(values) > len(columns):
                raise ObservationError([f"{place}: {len(values)} cells, and the first line names {len(columns)}."])
            cells = {name: value.strip() for name, value in zip(columns, values, strict=False) if value.strip()}
            if "" in cells:
                raise ObservationError([f"{place}: {cells['']!r} stands below no column name."])
            if cells:
                yield _Row(place, dict(cells))
    except csv.Error as error:
        raise ObservationError([f"{path}, line {reader.line_num}: {error}."]) from error


def _column(name: str) -> str:
    name = name.strip()
    return _OTHER_NAMES.get(name, name)


def _yaml_rows(path: Path, text: str) -> Iterator[_Row]:
    try:
        # An alias stands for what may be as large as the file, again and again.
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
            raise ObservationError([f"{path}: aliases (*name) are not understood; write the values out."])
        document = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = path if mark is None else f"{path}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or "it is no YAML, or nested too deeply"
        raise ObservationError([f"{place}: {printable(str(problem))}."]) from error
    if not isinstance(document, yaml.SequenceNode):
        raise ObservationError(
            [f"{path}, line 1: the file has to be a list of runs, each beginning with `- run: NAME`."]
        )
    for run in document.value:
        place = _yaml_place(path, run)
        cells = _yaml_mapping(path, run)
        epochs = cells.pop("epochs", None)
        name = cells.get("run")
        parameters = {_column(key): value for key, value in _yaml_mapping(path, cells.pop("parameters", None)).items()}
        yield _Row(place, _yaml_cells(path, cells | parameters))
        if epochs is not None and not isinstance(epochs, yaml.SequenceNode):
            raise ObservationError([f"{_yaml_place(path, epochs)}: epochs has to be a list."])
        for epoch in [] if epochs is None else epochs.value:
            noted = _yaml_mapping(path, epoch)
            for group, measures in _yaml_mapping(path, noted.pop("metrics", None)).items():
                nested = _yaml_mapping(path, measures)
                noted |= {f"{group}.{measure}": value for measure, value in nested.items()}
            if name is not None:
                noted["run"] = name
            yield _Row(_yaml_place(path, epoch), _yaml_cells(path, noted))


def _yaml_place(path: Path, node: yaml.Node) -> str:
    return f"{path}, line {node.start_mark.line + 1}"


def _yaml_mapping(path: Path, node: yaml.Node | None) -> dict[str, yaml.Node]:
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        raise ObservationError([f"{_yaml_place(path, node)}: here have to be names with values, as in `epoch: 5`."])
    mapping: dict[str, yaml.Node] = {}
    for key, value in node.value:
        name = _column(str(key.value)) if isinstance(key, yaml.ScalarNode) else ""
        if not name or name in mapping:
            fault = f"{printable(name)} comes twice" if name else "a name has to be a word"
            raise ObservationError([f"{_yaml_place(path, key)}: {fault}."])
        mapping[name] = value
    return mapping


def _yaml_cells(path: Path, nodes: Mapping[str, yaml.Node]) -> dict[str, Cell]:
    """Cells as texts, as a CSV file has them; empty ones are left out."""
    return {name: cell for name, node in nodes.items() if (cell := _yaml_cell(path, node)) is not None}


def _yaml_cell(path: Path, node: yaml.Node) -> "Cell | None":
    if isinstance(node, yaml.ScalarNode):
        return None if node.tag == "tag:yaml.org,2002:null" else str(node.value).strip() or None
    if isinstance(node, yaml.SequenceNode):
        return [cell for item in node.value if (cell := _yaml_cell(path, item)) is not None]
    return _yaml_cells(path, _yaml_mapping(path, node))
