"""`pixel-lora lineage` and `starting-point`: which run came from which checkpoint, and where to start the next one."""

import json
import sys
from dataclasses import asdict
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from typer.core import TyperGroup

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.lineage import Relative

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


class _ShownByDefault(TyperGroup):
    """`lineage RUN` is `lineage show RUN`: a name that is no command is a run's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["show", *args]
        return super().parse_args(ctx, args)


lineage_app = typer.Typer(cls=_ShownByDefault, no_args_is_help=True, help="Which run came from which checkpoint.")


@lineage_app.command()
def show(
    run: Annotated[str | None, typer.Argument(help="Name of a run: those it comes from, and those from it.")] = None,
    source: Annotated[
        str | None, typer.Option("--from", help="RUN or RUN:EPOCH: the runs that started from it.", metavar="RUN:EPOCH")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a run's family, with best epochs and what each brought over its parent."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.lineage import family, runs_from, trace_lineage

    if (run is None) == (source is None):
        raise typer.BadParameter("say the name of a run, or --from RUN:EPOCH.")
    with configured_store(Settings()) as store:
        trace_lineage(store)
        if run is not None:
            found = family(store, store.conclusions.run(run).run_id)
        else:
            assert source is not None  # noqa: S101 - one of the two is given
            names = {link.run_name for link in store.lineage.links()}
            name, epoch = (source, None) if source in names else _run_and_epoch(source)
            found = runs_from(store, store.conclusions.run(name).run_id, epoch)
    if as_json:
        print(json.dumps([_document(relative) for relative in found], default=str))
        return
    if not found:
        console.print(f"No run is known that started from {escape(str(source))}.", soft_wrap=True)
    first = min((relative.generation for relative in found), default=0)
    for relative in found:
        console.print(_line(relative, relative.generation - first), soft_wrap=True)


@lineage_app.command(name="set")
def set_parent(
    run: Annotated[str, typer.Argument(help="Name of a run.")],
    source: Annotated[str, typer.Option("--from", help="RUN:EPOCH, or none for the base model.")],
) -> None:
    """Say from which checkpoint a run started; nothing else changes it then."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import LineageError

    parent: tuple[str, int] | None = None
    if source != "none":
        name, epoch = _run_and_epoch(source)
        if epoch is None:
            raise typer.BadParameter(f"{source!r} names no epoch: write RUN:EPOCH, or none.")
        parent = name, epoch
    with configured_store(Settings()) as store:
        try:
            store.lineage.state(run, parent, getuser())
        except LineageError as error:
            raise typer.BadParameter(str(error)) from error
    came = "the base model" if parent is None else f"epoch {parent[1]} of {parent[0]}"
    console.print(f"{escape(run)} started from {escape(came)}", soft_wrap=True)


def starting_point(as_json: Json = False) -> None:
    """Say where the next training should start, from the base model or from a checkpoint; propose how to find out."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.lineage import trace_lineage
    from pixel_lora_pipeline.starting_points import starting_point as read_starting_point
    from pixel_lora_pipeline.training_history import read_history

    with configured_store(Settings()) as store:
        trace_lineage(store)
        found = read_starting_point(store, read_history(store))
    if as_json:
        print(json.dumps(found.to_dict()))
        return
    console.print(f"[bold]{found.start}[/]: {escape(found.reason)}", soft_wrap=True)
    if found.epoch_reason:
        console.print(f"Which epoch: {escape(found.epoch_reason)}", soft_wrap=True)
    for arm in found.arms:
        console.print(f"Proposed: {escape(arm.title)}", soft_wrap=True)
    if found.arms:
        console.print("`pixel-lora hypotheses` puts these into the queue.")


def _run_and_epoch(text: str) -> tuple[str, int | None]:
    """`RUN:7` → run and epoch. A run's name may have colons of its own."""
    name, colon, epoch = text.rpartition(":")
    return (name, int(epoch)) if colon and name and epoch.isascii() and epoch.isdigit() else (text, None)


def _line(relative: "Relative", depth: int) -> str:
    from pixel_lora_pipeline.lineage import how_known

    origin = relative.origin
    best = "no verdict yet"
    if relative.best_epoch is not None:
        score = "" if relative.best_score is None else f" ({relative.best_score:.1f})"
        best = f"best epoch {relative.best_epoch}{score}"
    name = escape(origin.run_name)
    line = f"{'  ' * depth}{f'[bold]{name}[/]' if relative.generation == 0 else name}: {best}"
    if origin.parent_name is not None:
        epoch = "an unknown epoch" if origin.parent_epoch is None else f"epoch {origin.parent_epoch}"
        line += f"; from {epoch} of {escape(origin.parent_name)} ({escape(how_known(origin))})"
    elif origin.candidates:
        line += f"; from one of these, not decided: {escape('; '.join(origin.candidates))}"
    elif origin.starting_checkpoint is not None:
        line += f"; from {escape(origin.starting_checkpoint)}, which is no known checkpoint"
    for said, gain in _gains(relative):
        line += f"\n{'  ' * depth}  {said}: {escape(gain)}"
    return line


def _gains(relative: "Relative") -> list[tuple[str, str]]:
    if relative.gain is None:
        return []
    compared = (("over the parent's best", relative.gain.over_best), ("over its start", relative.gain.over_start))
    return [(said, comparison.sentence) for said, comparison in compared if comparison is not None]


def _document(relative: "Relative") -> dict[str, Any]:
    gain = relative.gain
    return {
        "generation": relative.generation,
        **asdict(relative.origin),
        "best_epoch": relative.best_epoch,
        "best_score": relative.best_score,
        "gain": None
        if gain is None
        else {
            name: None if comparison is None else {**asdict(comparison.differences[0]), "sentence": comparison.sentence}
            for name, comparison in (("over_best", gain.over_best), ("over_start", gain.over_start))
        },
    }
