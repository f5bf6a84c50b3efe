"""`pixel-lora backfill`: fills old runs into the database, and says what changed and what could not be found."""

import json
import re
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.backfilling import Backfill
    from pixel_lora_pipeline.old_samples import MeasuredSamples
    from pixel_lora_pipeline.store.old_runs import Change, FilledRun

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

_LONGEST_VALUE: Final = 60
# What a person wants to read of a run; parameters are counted, and --json has everything.
_RESULTS: Final = (
    "run_date", "status", "quality_score", "best_epoch", "overall_verdict", "starting_checkpoint", "gpu_type",
    "gpu_seconds", "cost_usd", "run_identity",
)  # fmt: skip
_OF_EPOCHS: Final = {
    "checkpoint_sha256": "checkpoints registered",
    "visual_quality_score": "scored by eye",
    "style_match_score": "scored by eye",
    "prompt_adherence_score": "scored by eye",
    "notes": "notes",
    "quantitative_metrics": "measurements",
}
# Keys in the database, which a dry run only tried.
_ROWS_OF_A_RUN: Final = ("run_id", "painted")
# Reasons that differ in the default only are one.
_DEFAULT: Final = re.compile(r"(?<=the default) \(.*?\)(?= holds)")


def backfill(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Folders of old trainings, or checkpoint files; without any, rows and notes are completed."
        ),
    ] = None,
    observations: Annotated[
        list[Path] | None,
        typer.Option(help="CSV or YAML file with scores, measurements, verdicts, parameters; repeatable."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would change, and change nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Read old runs from checkpoints, configurations and notes into the database. A second time changes nothing.

    Checkpoints are registered; they are evaluated by the running pipeline once their folder is among `watched`. Images
    that the trainer painted of its sample prompts are measured.
    """
    from rich.progress import Progress

    from pixel_lora_pipeline.backfilling import backfill as fill
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.train import BackfillError
    from pixel_lora_pipeline.train.observations import ObservationError

    settings = Settings()
    try:
        with configured_store(settings) as store, Progress(console=Console(stderr=True)) as bars:
            task = bars.add_task("Reading checkpoints", total=None)
            done = fill(
                store,
                paths or [],
                observations or [],
                dry_run=dry_run,
                on_progress=lambda read, total: bars.update(task, completed=read, total=total),
            )
    except (BackfillError, ObservationError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    unwatched = _unwatched(done, settings.watched_folders)
    if as_json:
        print(json.dumps(_document(done, unwatched, dry_run), default=str))
    else:
        _print(done, unwatched, dry_run)
    raise typer.Exit(1 if done.problems else 0)


def _unwatched(done: "Backfill", watched: Iterable[Path]) -> list[str]:
    """Folders of checkpoints that wait for an evaluation that nobody will ask for."""
    from pixel_lora_pipeline.train import watched_root

    folders = {Path(path).parent for run in done.runs for path in run.unevaluated}
    return sorted(str(folder) for folder in folders if watched_root(folder, watched) is None)


def _document(done: "Backfill", unwatched: list[str], dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "runs": [
            {name: value for name, value in asdict(run).items() if name not in _ROWS_OF_A_RUN} for run in done.runs
        ],
        "refused": [{"path": str(error.path), "fault": error.fault, "remedy": error.remedy} for error in done.refused],
        "problems": done.problems,
        "samples": [asdict(samples) for samples in done.samples],
        "unwatched": unwatched,
    }


def _print(done: "Backfill", unwatched: list[str], dry_run: bool) -> None:
    changed = [run for run in done.runs if run.changes]
    for run in done.runs:
        state = "new" if run.is_new else "completed" if run.changes else "nothing new"
        console.print(f"[bold]{escape(run.run_name)}[/]: {state}")
        for line in _changes(run.changes):
            console.print(f"  {escape(line)}")
        for sentence in run.kept:
            console.print(f"  [yellow]kept[/] {escape(sentence)}")
        _print_missing(run)
    for samples in done.samples:
        console.print(f"[bold]{escape(samples.run_name)}[/]: {_samples(samples, dry_run)}")
    for error in done.refused:
        console.print(f"[yellow]not evaluated[/] {escape(str(error))}")
    for problem in done.problems:
        console.print(f"[red]left out[/] {escape(problem)}")
    if unwatched:
        console.print(
            f"Registered and not evaluated: add {escape(', '.join(unwatched))} to `watched`, and the running pipeline "
            "evaluates what lies there."
        )
    verb = "would change" if dry_run else "changed"
    console.print(f"{len(done.runs)} runs, of which {len(changed)} {verb}" + (" (nothing was written)" * dry_run))


def _samples(samples: "MeasuredSamples", dry_run: bool) -> str:
    known = f"{samples.n_known} sample images are measured already"
    if not samples.added:
        return known
    new = (
        f"{sum(samples.added.values())} sample images {'would be' if dry_run else 'were'} measured, "
        f"of epochs {', '.join(map(str, sorted(samples.added)))}"
    )
    return f"{new}; {known}" if samples.n_known else new


def _changes(changes: "tuple[Change, ...]") -> Iterable[str]:
    parameters = [change for change in changes if change.field.startswith("all_parameters.")]
    if added := sum(change.before is None for change in parameters):
        yield f"{added} parameters"
    for change in parameters:
        if change.before is not None:
            name = change.field.partition(".")[2]
            yield f"{name}: {_shown(change.before)} → {_shown(change.after)}"
    for change in changes:
        if change.place == "run" and change.field in _RESULTS and change.after is not None:
            before = "" if change.before is None else f"{_shown(change.before)} → "
            yield f"{change.field}: {before}{_shown(change.after)}"
    epochs: dict[str, dict[str, None]] = {}
    for change in changes:
        if change.field in _OF_EPOCHS and change.after is not None:
            epochs.setdefault(_OF_EPOCHS[change.field], {})[change.place.removeprefix("epoch ")] = None
    for what, places in epochs.items():
        yield f"{what}: epochs {', '.join(places)}"


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 1] + "…"


def _print_missing(run: "FilledRun") -> None:
    reasons: dict[str, list[str]] = {}
    for name, why in run.missing.items():
        reasons.setdefault(_DEFAULT.sub("", why), []).append(name)
    console.print(f"  {run.n_known} parameters known, {len(run.missing)} not found" + (":" if reasons else ""))
    for why, names in sorted(reasons.items(), key=lambda reason: -len(reason[1])):
        console.print(f"    {escape(why)}: {escape(', '.join(names))}", style="dim")
