"""`pixel-lora`: everything that can be done from a terminal. Each command calls the function its asset calls."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.commands.ab import ab_app
from pixel_lora_pipeline.commands.auto_stop import auto_stop_app
from pixel_lora_pipeline.commands.autopilot import app as autopilot_app
from pixel_lora_pipeline.commands.backfill import backfill
from pixel_lora_pipeline.commands.backup import backup, restore
from pixel_lora_pipeline.commands.captions import captions_app
from pixel_lora_pipeline.commands.costs import costs_app
from pixel_lora_pipeline.commands.improving import experiments_app, hypotheses, predict
from pixel_lora_pipeline.commands.learning import diagnose, evidence, impact_report, principles_app
from pixel_lora_pipeline.commands.lineage import lineage_app, starting_point
from pixel_lora_pipeline.commands.notify import notify_app
from pixel_lora_pipeline.commands.parameters import diff, parameters, runs
from pixel_lora_pipeline.commands.reports import grid, promote, report
from pixel_lora_pipeline.config import Settings

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Evaluates every epoch of a pixel-art LoRA and says what to train next.",
)
app.add_typer(ab_app, name="ab")
app.add_typer(auto_stop_app, name="auto-stop")
app.add_typer(autopilot_app, name="autopilot")
app.add_typer(captions_app, name="captions")
app.add_typer(costs_app, name="costs")
app.add_typer(lineage_app, name="lineage")
app.add_typer(notify_app, name="notify")
app.add_typer(principles_app, name="principles")
app.add_typer(experiments_app, name="experiments")
for command in (
    report,
    grid,
    promote,
    backfill,
    backup,
    restore,
    runs,
    diff,
    parameters,
    evidence,
    diagnose,
    impact_report,
    predict,
    hypotheses,
    starting_point,
):
    app.command()(command)
# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@app.command()
def up(
    once: Annotated[bool, typer.Option(help="End when the demo's last epoch is evaluated, and print a table.")] = False,
) -> None:
    """Start the database, Dagster and, if nothing is watched yet, the demo. Ctrl-C stops all of it."""
    from pixel_lora_pipeline.launch import up as launch

    raise typer.Exit(launch(Settings(), console, once=once))


@app.command()
def demo() -> None:
    """Train the demo's LoRA again into its watched folder, where a running pipeline evaluates it."""
    import subprocess

    from pixel_lora_pipeline.embedded.demo import demo_command

    raise typer.Exit(subprocess.run(demo_command(Settings().home), check=False).returncode)


@app.command(name="test-epoch")
def test_epoch(
    path: Annotated[Path, typer.Argument(help="A checkpoint, wherever it lies.")],
    out: Annotated[Path | None, typer.Option(help="Where the contact sheet is written; beside it by default.")] = None,
    depth: Annotated[
        Literal["quick", "medium", "full"],
        typer.Option(help="How thoroughly: a glance, some prompts, or the whole suite."),
    ] = "full",
    as_json: Json = False,
) -> None:
    """Generate the suite with one checkpoint and measure it, without database or Dagster."""
    from rich.progress import Progress

    from pixel_lora_pipeline.embedded.loading import WEIGHTS
    from pixel_lora_pipeline.train import read_checkpoint, verify_weights
    from pixel_lora_pipeline.validate import Generator, base_kind, evaluate_file, load_suite
    from pixel_lora_pipeline.validate.semantic import SemanticScorer
    from pixel_lora_pipeline.whole_file import write_whole

    settings = Settings()
    read_checkpoint(path)
    verify_weights(path)
    generator = Generator(
        settings.base_model or WEIGHTS,
        device=settings.device,
        allow_downloads=settings.allow_downloads,
        strength=settings.lora_strength,
    )
    with Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task("Generating", total=None)
        evaluation = evaluate_file(
            path,
            generator,
            load_suite(settings.suite).at_depth(depth),
            base_kind(settings.base_model),
            on_progress=lambda done, total: bars.update(task, completed=done, total=total),
            scorer=None if settings.clip_model is None else SemanticScorer(settings.clip_model),
        )
    target = out or path.with_name(f"{path.stem}-contact-sheet.png")
    write_whole(target, evaluation.contact_sheet)
    if as_json:
        print(json.dumps({"contact_sheet": str(target), **evaluation.metrics}))
        return
    _print_metrics(evaluation.metrics)
    console.print(f"Contact sheet: {target}")


@app.command()
def measure(
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    prompt: Annotated[str, typer.Option(help="What they should show; without it only the style is scored.")] = "",
    overlay: Annotated[
        Path | None, typer.Option(help="Where the explaining picture is written (file or folder); beside by default.")
    ] = None,
    training_images: Annotated[
        Path | None,
        typer.Option(help="Folder of the pictures that were trained on: also how far colours have drifted."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure images against their prompt, and draw what the scores rest on."""
    from pixel_lora_pipeline.commands.measure import measure_file, shown
    from pixel_lora_pipeline.epoch_measurement import palette_of_images
    from pixel_lora_pipeline.train.training_images import image_files
    from pixel_lora_pipeline.validate.image_reading import ImageFileError
    from pixel_lora_pipeline.validate.semantic import SemanticScorer

    if overlay is not None and len(images) > 1 and not overlay.is_dir():
        raise typer.BadParameter(f"{overlay} is no folder, and {len(images)} images need one each.")
    palette = None
    if training_images is not None:
        folders = [training_images, *sorted(training_images.iterdir())] if training_images.is_dir() else []
        palette = palette_of_images([path for folder in folders if folder.is_dir() for path in image_files(folder)])
        if palette is None:
            raise typer.BadParameter(f"{training_images} holds no pictures that can be read, nor do folders in it.")
    settings, refused = Settings(), False
    scorer = None if settings.clip_model is None else SemanticScorer(settings.clip_model)
    for path in images:
        try:
            file = measure_file(path, prompt, overlay, scorer, palette)
        except ImageFileError as error:  # the others are measured all the same
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            refused = True
            continue
        if as_json:
            print(json.dumps(file.to_dict()))
        else:
            console.print(shown(file))
    raise typer.Exit(1 if refused else 0)


@app.command()
def remeasure(
    run: Annotated[str | None, typer.Option(help="Name of the run; all runs by default.")] = None,
    again: Annotated[bool, typer.Option("--all", help="Also what the current version measured already.")] = False,
) -> None:
    """Measure stored images again after a new version of the metrics; the old version's numbers are kept beside."""
    from rich.progress import Progress

    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.remeasuring import remeasure as measure_again
    from pixel_lora_pipeline.validate import load_suite
    from pixel_lora_pipeline.validate.semantic import SemanticScorer

    settings = Settings()
    scorer = None if settings.clip_model is None else SemanticScorer(settings.clip_model)
    with configured_store(settings) as store, Progress(console=Console(stderr=True)) as bars:
        task = bars.add_task("Measuring epochs", total=None)
        done = measure_again(
            store,
            load_suite(settings.suite),
            run,
            scorer,
            again=again,
            on_progress=lambda epochs, total: bars.update(task, completed=epochs, total=total),
        )
    for reason in done.skipped:
        print(f"Skipped {reason}", file=sys.stderr)
    console.print(f"Measured {done.images} images again and rolled up {done.epochs} epochs")
    raise typer.Exit(1 if done.skipped else 0)


@app.command(name="log-epoch")
def log_epoch(
    epoch: Annotated[int, typer.Argument(min=1)],
    visual: Annotated[int, typer.Argument(min=1, max=10, help="How it looks, 1 to 10.")],
    style: Annotated[int, typer.Argument(min=1, max=10, help="How well it keeps the style, 1 to 10.")],
    prompt: Annotated[int, typer.Argument(min=1, max=10, help="How well it follows the prompts, 1 to 10.")],
    notes: Annotated[str | None, typer.Argument()] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run; the newest by default.")] = None,
) -> None:
    """Store a person's scores of an epoch."""
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        store.epochs.log_subjective(run, epoch, visual, style, prompt, notes)
        name = run or store.epochs.table(None)[0].run_name
    console.print(f"Stored for epoch {epoch} of {name}: visual {visual}, style {style}, prompt {prompt}")


@app.command()
def inspect(path: Path, as_json: Json = False) -> None:
    """Show every parameter of a checkpoint with its source, and what is missing with the reason."""
    from pixel_lora_pipeline.train import read_checkpoint

    checkpoint = read_checkpoint(path)
    if as_json:
        document: dict[str, Any] = {
            "run": asdict(checkpoint.run),
            "epoch": checkpoint.epoch,
            "step": checkpoint.step,
            "sha256": checkpoint.sha256,
            "parameters": {name: asdict(value) for name, value in checkpoint.parameters.items()},
            "missing": checkpoint.missing,
        }
        print(json.dumps(document, default=str))
        return
    table = Table("parameter", "value", "source", title=f"{checkpoint.run.name}, epoch {checkpoint.epoch}")
    for name, value in sorted(checkpoint.parameters.items()):
        table.add_row(name, str(value.value), value.source)
    console.print(table)
    missing = Table("missing", "why")
    for name, reason in sorted(checkpoint.missing.items()):
        missing.add_row(name, reason)
    console.print(missing)


@app.command()
def migrate(check: Annotated[bool, typer.Option(help="Only say what would be applied.")] = False) -> None:
    """Bring the database to the newest state."""
    from pixel_lora_pipeline.configured_store import configured_database
    from pixel_lora_pipeline.store import check as check_schema
    from pixel_lora_pipeline.store import migrate as apply

    with configured_database(Settings()) as url:
        if check:
            pending = check_schema(url).pending
            console.print("\n".join(pending) if pending else "Nothing to apply")
            raise typer.Exit(1 if pending else 0)
        applied = apply(url)
        console.print("\n".join(f"Applied {name}" for name in applied) if applied else "Nothing to apply")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what is configured, what is missing, and how to fix it."""
    from pixel_lora_pipeline.doctor import examine

    findings = examine(Settings())
    if as_json:
        print(json.dumps([asdict(finding) for finding in findings]))
    else:
        for finding in findings:
            mark = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "fault": "[red]fault[/]"}[finding.state]
            console.print(f"{mark:>18}  {finding.subject}: {escape(finding.message)}")
    raise typer.Exit(1 if any(finding.state == "fault" for finding in findings) else 0)


def _print_metrics(metrics: dict[str, Any]) -> None:
    table = Table("measure", "value")
    for group in ("color_accuracy", "style_quality"):
        for name, value in metrics[group].items():
            table.add_row(f"{group}.{name}", "cannot tell" if value is None else str(value))
    console.print(table)


def main() -> None:
    """Runs the command line; errors that say what to do are printed without a traceback."""
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from pixel_lora_pipeline import store
    from pixel_lora_pipeline.train import CheckpointError
    from pixel_lora_pipeline.train.captions import BatchError
    from pixel_lora_pipeline.train.costs import PriceTableError
    from pixel_lora_pipeline.train.runpod import RunPodError
    from pixel_lora_pipeline.validate.base_model import BaseModelError
    from pixel_lora_pipeline.validate.lora import LoraError
    from pixel_lora_pipeline.validate.semantic import SemanticModelError
    from pixel_lora_pipeline.validate.suite import SuiteError

    expected = (
        BaseModelError,
        BatchError,
        CheckpointError,
        LoraError,
        PriceTableError,
        RunPodError,
        SemanticModelError,
        SettingsError,
        SuiteError,
        ValidationError,
        store.DatabaseError,
        store.DatabaseUrlError,
        store.EmbeddedPostgresError,
        store.MigrationError,
        store.NoBaselineError,
        store.NothingEvaluatedError,
        store.ReleaseError,
        store.UnknownRunError,
    )
    try:
        app()
    except expected as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
