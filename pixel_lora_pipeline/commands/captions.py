"""`pixel-lora captions`: check the captions of a dataset, put them right, take that back, and tell the database."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pixel_lora_pipeline.caption_quality import CaptionQuality
    from pixel_lora_pipeline.train.captions import Batches, Change

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

captions_app = typer.Typer(no_args_is_help=True, help="The captions of a dataset.")

Dataset = Annotated[
    Path, typer.Argument(help="A folder of pictures, Kohya's train_data_dir, or a dataset_config TOML.")
]
Parameters = Annotated[
    list[str] | None,
    typer.Option("--parameter", "-p", help="Of the training, as keep_tokens=3 or max_token_length=225; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@captions_app.command()
def check(
    dataset: Dataset,
    parameter: Parameters = None,
    report: Annotated[Path | None, typer.Option(help="Also write a report (HTML, and JSON beside it).")] = None,
    as_json: Json = False,
) -> None:
    """Say what is wrong with the captions; the exit status is 1 if that would spoil a training."""
    from pixel_lora_pipeline.caption_quality import finding_document, write_captions_report

    quality = _assessed(dataset, parameter)
    if report is not None:
        write_captions_report(quality, report)
    if as_json:
        print(json.dumps([finding_document(finding) for finding in quality.findings]))
    else:
        table = Table("check", "severity", "file", "message", "fix")
        for finding in quality.findings:
            files = ", ".join(finding.files[:3]) + (" …" if len(finding.files) > 3 else "")
            color = "red" if finding.severity == "error" else "yellow"
            table.add_row(
                finding.check_id,
                f"[{color}]{finding.severity}[/]",
                escape(files),
                escape(_one_line(finding.message)),
                "" if finding.tier == "never" else finding.tier,
            )
        if quality.findings:
            console.print(table)
        n_errors, n_warnings = len(quality.errors), len(quality.warnings)
        console.print(f"{len(quality.dataset.captions)} captions: {n_errors} errors, {n_warnings} warnings")
    raise typer.Exit(1 if quality.errors else 0)


@captions_app.command()
def fix(
    dataset: Dataset,
    parameter: Parameters = None,
    suggested: Annotated[
        bool, typer.Option("--suggested", help="Also what a person has to agree to: look at the preview first.")
    ] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Write the files; without it the changes are shown.")] = False,
) -> None:
    """Show what can be put right as a diff, and with --apply write all of it as one batch."""
    from pixel_lora_pipeline.caption_quality import plan_fixes
    from pixel_lora_pipeline.train.captions import unified_diff

    quality = _assessed(dataset, parameter)
    changes = plan_fixes(quality, "suggested" if suggested else "safe")
    if not changes:
        console.print("Nothing to put right" if suggested else "Nothing that may be put right without asking")
        return
    if not apply:
        for name, change in changes.items():
            print(_printable(unified_diff(change, name)))
        console.print(f"{len(changes)} files would change: {_reasons(changes)}. Write them with --apply.")
        return
    batch = _batches().apply(quality.dataset.path, list(changes.values()))
    console.print(f"Changed {len(changes)} files: {_reasons(changes)}")
    console.print(f"Take it back with: pixel-lora captions rollback {batch.batch_id}", markup=False)


@captions_app.command()
def rollback(
    batch: Annotated[
        str | None, typer.Argument(help="As `captions fix` printed it; without one, all are listed.")
    ] = None,
) -> None:
    """Give every file of a batch the bytes that it had before."""
    batches = _batches()
    if batch is None:
        table = Table("batch", "dataset", "files", "state", "takes back")
        for each in batches.all():
            table.add_row(each.batch_id, escape(each.dataset), str(len(each.changes)), each.state, each.undoes or "–")
        console.print(table)
        return
    undone = batches.roll_back(batch)
    console.print(f"{len(undone.changes)} files are as they were before {batch}", markup=False)


@captions_app.command()
def sync(dataset: Dataset, parameter: Parameters = None) -> None:
    """Make the database say what the files say, with a version for each content; once more changes nothing."""
    from pixel_lora_pipeline.caption_quality import sync_captions
    from pixel_lora_pipeline.configured_store import configured_store

    quality = _assessed(dataset, parameter)
    with configured_store(Settings()) as store:
        synced = sync_captions(store, quality, _batches())
    console.print(
        f"{synced.added} captions added, {synced.changed} changed, {synced.removed} gone, "
        f"{synced.described} judged anew, {synced.unchanged} as they were"
    )


def _assessed(dataset: Path, parameters: list[str] | None) -> "CaptionQuality":
    """The dataset as it is once a batch that was not finished is put back."""
    from pixel_lora_pipeline.caption_quality import assess_captions
    from pixel_lora_pipeline.embedded.loading import WEIGHTS
    from pixel_lora_pipeline.train.captions import DatasetError
    from pixel_lora_pipeline.validate.captions.encoders import text_encoders

    for batch in _batches().recover():
        print(f"Batch {batch.batch_id} had been interrupted: its files are as they were before it.", file=sys.stderr)
        for path in batch.left_alone:
            print(f"Left alone, since somebody has written it since: {path}", file=sys.stderr)
    try:
        return assess_captions(
            dataset, dict(_assigned(parameters or [])), text_encoders(Settings().base_model or WEIGHTS)
        )
    except (DatasetError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error


def _assigned(parameters: list[str]) -> list[tuple[str, Any]]:
    pairs = [each.partition("=") for each in parameters]
    for name, sign, _ in pairs:
        if not sign:
            raise typer.BadParameter(f"{name!r} has no value: write it as keep_tokens=3.")
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _batches() -> "Batches":
    from pixel_lora_pipeline.caption_quality import JOURNAL
    from pixel_lora_pipeline.train.captions import Batches

    return Batches(Settings().home / JOURNAL)


def _reasons(changes: "Mapping[str, Change]") -> str:
    counts: dict[str, int] = {}
    for change in changes.values():
        for reason in change.reasons:
            counts[reason] = counts.get(reason, 0) + 1
    return ", ".join(f"{reason} ({number})" for reason, number in sorted(counts.items()))


def _one_line(text: str) -> str:
    return _printable(" ".join(text.split()))


def _printable(text: str) -> str:
    """The text without what a terminal would take for commands."""
    return "".join(letter if letter.isprintable() or letter == "\n" else f"\\u{ord(letter):04x}" for letter in text)
