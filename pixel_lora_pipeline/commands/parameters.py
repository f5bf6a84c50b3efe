"""`pixel-lora parameters`, `runs` and `diff`: what runs are described by, and asking them for it."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.store.runs import DescribedRun
    from pixel_lora_pipeline.train.parameter_difference import Difference

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

_LONGEST_VALUE: Final = 60


def parameters() -> None:
    """Print the reference of all parameters, docs/parameters.md."""
    from pixel_lora_pipeline.train.parameter_document import parameter_document

    print(parameter_document(), end="")


def runs(
    where: Annotated[
        str | None,
        typer.Option(help='Only those for which this is true, as in "network_dim > 32 and keep_tokens in (1, 2)".'),
    ] = None,
    as_json: Json = False,
) -> None:
    """List training runs, the newest first, with the parameters that were asked for."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.train.run_query import QueryError, names_in, parse_run_query

    with configured_store(Settings()) as store:
        try:
            condition = None if where is None else parse_run_query(where, store.runs.names())
        except QueryError as error:
            raise typer.BadParameter(str(error), param_hint="--where") from error
        found = store.runs.find(condition)
    asked = [] if condition is None else names_in(condition)
    if as_json:
        print(json.dumps([_run_document(run) for run in found], default=str))
        return
    results = ["run_name", "run_date", "quality_score", "best_epoch", "overall_verdict"]
    names = [*results, *(name for name in asked if name not in results)]
    table = Table(*names)
    for run in found:
        table.add_row(*(escape(_shown(run.document.get(name), run.document, name)) for name in names))
    console.print(table)
    console.print(f"{len(found)} runs")


def diff(
    run_a: Annotated[str, typer.Argument(help="Name of a run.")],
    run_b: Annotated[str, typer.Argument(help="Name of the other.")],
    as_json: Json = False,
) -> None:
    """Show the parameters in which two runs differ, calculated ones as well, and where each value is from."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.train.parameter_difference import differing_parameters

    with configured_store(Settings()) as store:
        a, b = store.runs.get(run_a), store.runs.get(run_b)
    differences = differing_parameters(a.parameters, b.parameters)
    if as_json:
        document = {
            "runs": [_results(a), _results(b)],
            "differences": [asdict(difference) for difference in differences if difference.is_known_of_both],
            "known_of_one": [asdict(difference) for difference in differences if not difference.is_known_of_both],
        }
        print(json.dumps(document, default=str))
        return
    table = Table("parameter", escape(run_a), escape(run_b), "from", title="Different")
    for name in ("quality_score", "best_epoch", "overall_verdict"):
        table.add_row(f"[bold]{name}", *(escape(_shown(run.document.get(name))) for run in (a, b)), "results")
    _add_rows(table, [difference for difference in differences if difference.is_known_of_both])
    console.print(table)
    for sentence in _known_of_one(differences, (run_a, run_b)):
        console.print(escape(sentence))


def _known_of_one(differences: "Iterable[Difference]", runs: tuple[str, str]) -> Iterator[str]:
    reasons: dict[tuple[str, str], list[str]] = {}
    for difference in differences:
        for run, side in zip(runs, (difference.a, difference.b), strict=True):
            if side.why_missing is not None:
                reasons.setdefault((run, side.why_missing), []).append(difference.name)
    for (run, why), names in reasons.items():
        yield f"Not known of {run} ({why}): {', '.join(names)}"


def _add_rows(table: Table, differences: "list[Difference]") -> None:
    from pixel_lora_pipeline.train.taxonomy import CATEGORIES

    category = None
    for difference in differences:
        if difference.category != category:
            category = difference.category
            table.add_section()
            table.add_row(f"[bold]{CATEGORIES.get(category, 'Beyond the table')}")
        sources = dict.fromkeys(side.source for side in (difference.a, difference.b) if side.source is not None)
        values = (escape(_shown(side.value)) for side in (difference.a, difference.b))
        table.add_row(escape(difference.name), *values, " / ".join(sources))


def _shown(value: Any, document: dict[str, Any] | None = None, name: str = "") -> str:
    if value is None:
        return "not known" if document is not None and name not in document else "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _results(run: "DescribedRun") -> dict[str, Any]:
    return {
        "run_name": run.run_name,
        "run_date": run.run_date,
        "quality_score": run.quality_score,
        "best_epoch": run.best_epoch,
        "overall_verdict": run.overall_verdict,
    }


def _run_document(run: "DescribedRun") -> dict[str, Any]:
    return {**_results(run), "parameters": dict(run.parameters.values)}
