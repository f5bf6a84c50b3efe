"""`pixel-lora report`, `grid` and `promote`: what a run looks like, and putting an epoch into production."""

import sys
import webbrowser
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.run_evaluations import RunEvaluations
    from pixel_lora_pipeline.store import Store

# Paths are for programs, too: they are not folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

RunName = Annotated[str | None, typer.Argument(help="Name of the run; the newest by default.")]


def report(
    run: RunName = None,
    epoch: Annotated[int | None, typer.Argument(min=1, help="An epoch; without one, the report is the run's.")] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Write the report of a run, or of one of its epochs, and print where it lies."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.run_analysis import verdict_on
    from pixel_lora_pipeline.run_evaluations import read_run
    from pixel_lora_pipeline.run_reports import write_epoch_report, write_run_report
    from pixel_lora_pipeline.validate import load_suite

    settings = Settings()
    with configured_store(settings) as store:
        evaluations = read_run(store, run, epoch)
        write = write_run_report if epoch is None else write_epoch_report
        path = write(
            store,
            settings.home / "reports",
            evaluations,
            verdict=verdict_on(store, evaluations),
            categories=load_suite(settings.suite).categories(),
        )
    print(path)
    if open_it:
        webbrowser.open(path.resolve().as_uri())


def grid(
    run: RunName = None,
    strength: Annotated[
        list[float] | None, typer.Option(min=0.0, max=2.0, help="Also paint at this strength of the LoRA; repeatable.")
    ] = None,
    epoch: Annotated[
        list[int] | None, typer.Option(min=1, help="Epochs painted at other strengths; the last by default.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where the picture is written; beside the reports by default.")
    ] = None,
) -> None:
    """Draw epochs against prompts as one picture, and print where it lies.

    What is painted at other strengths is kept, and stands in the run's next report as well.
    """
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.run_evaluations import read_run
    from pixel_lora_pipeline.run_grid import grid_of_run
    from pixel_lora_pipeline.run_reports import report_folder
    from pixel_lora_pipeline.whole_file import write_whole

    settings = Settings()
    with configured_store(settings) as store:
        evaluations = read_run(store, run)
        if strength:
            _paint(settings, store, evaluations, epoch or [evaluations.last.epoch], strength)
            evaluations = read_run(store, evaluations.run.run_name)
        picture = grid_of_run(store, evaluations)
    target = out or report_folder(settings.home / "reports", evaluations.run.run_name) / "epoch_grid.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, picture)
    print(target)


def promote(
    run: Annotated[str | None, typer.Argument(help="Name of the run.")] = None,
    epoch: Annotated[int | None, typer.Argument(min=1, help="The epoch.")] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last promotion back.")] = False,
) -> None:
    """Put an epoch into production: copy it with a model card, and compare every later epoch with it."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.promotion import promote as promote_epoch
    from pixel_lora_pipeline.store import ReleaseFolder

    if undo == (run is not None or epoch is not None):
        raise typer.BadParameter("say which RUN and EPOCH to promote, or --undo, not both.")
    if not undo and epoch is None:
        raise typer.BadParameter(f"say which epoch of {run} to promote.")
    settings = Settings()
    with configured_store(settings) as store:
        if undo:
            undone = store.baselines.undo(getuser())
            current = store.baselines.current()
            now = "No checkpoint is in production" if current is None else f"In production: {current.name}"
            console.print(f"Taken back: {undone.name}. {now}.", markup=False)
            return
        assert epoch is not None  # noqa: S101 - refused above
        baseline = promote_epoch(store, ReleaseFolder(settings.home / "releases"), run, epoch, getuser())
    console.print(f"In production: {baseline.name}", markup=False)
    print(baseline.checkpoint)


def _paint(
    settings: Settings, store: "Store", evaluations: "RunEvaluations", epochs: list[int], strengths: list[float]
) -> None:
    """The grid's questions once more at other strengths, as far as they are not there yet."""
    from pixel_lora_pipeline.costs import evaluation_is_counted
    from pixel_lora_pipeline.embedded.loading import WEIGHTS
    from pixel_lora_pipeline.run_grid import paint_at_strength
    from pixel_lora_pipeline.validate import Generator, load_suite

    known = {row.epoch: row for row in evaluations.epochs if row.path is not None}
    unknown = sorted(set(epochs) - known.keys())
    if unknown:
        raise typer.BadParameter(f"no checkpoint of epoch {unknown[0]} is known; there are {sorted(known)}.")
    suite = load_suite(settings.suite)
    for strength in strengths:
        generator = Generator(
            settings.base_model or WEIGHTS,
            device=settings.device,
            allow_downloads=settings.allow_downloads,
            strength=strength,
        )
        for epoch in epochs:
            with evaluation_is_counted(store, settings.costs, evaluations.run.run_id, known[epoch].epoch_id):
                paint_at_strength(store, suite, evaluations, known[epoch], generator)
