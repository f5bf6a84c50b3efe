"""`pixel-lora ab`: blind tests of checkpoints, and what people's votes say. The votes are given in the lab."""

import json
import sys
from getpass import getuser
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pixel_lora_pipeline.blind_tests import TestedCheckpoints

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
TestId = Annotated[str, typer.Argument(metavar="ID", help="As `pixel-lora ab list` lists it.")]

ab_app = typer.Typer(no_args_is_help=True, help="Blind tests: which of two or more checkpoints people prefer.")


@ab_app.command()
def create(
    checkpoints: Annotated[list[str], typer.Argument(help="Two or more, as RUN:EPOCH; `production` for the baseline.")],
    name: Annotated[str, typer.Option(help="For those who may know what is compared.")] = "",
) -> None:
    """Make a blind test, and print where to vote."""
    from pixel_lora_pipeline.blind_tests import BlindTestError, create_test
    from pixel_lora_pipeline.configured_store import configured_store

    settings = Settings()
    with configured_store(settings) as store:
        try:
            test_id = create_test(store, checkpoints, getuser(), name)
        except BlindTestError as error:
            raise typer.BadParameter(str(error)) from error
        pairs = len(store.ab_tests.get(test_id).cases)
    console.print(f"Test {test_id} with {pairs} prompts and seeds. While `pixel-lora up` runs, vote at")
    print(f"http://127.0.0.1:{settings.port}/lab/ab/{test_id}/vote")


@ab_app.command(name="list")
def list_tests(as_json: Json = False) -> None:
    """List the tests with what their votes say so far, the newest first."""
    from pixel_lora_pipeline.blind_tests import result_of
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        found = [result_of(store, test.test_id) for test in store.ab_tests.all()]
    if as_json:
        print(json.dumps([tested.to_dict() for tested in found]))
        return
    table = Table("id", "test", "votes", "judges", "says")
    for tested in found:
        counts = (str(tested.result.votes), str(len(tested.result.judges)))
        table.add_row(str(tested.test.test_id), escape(tested.test.name), *counts, escape(tested.result.headline))
    console.print(table)


@ab_app.command()
def result(test_id: TestId, as_json: Json = False) -> None:
    """Say what the votes of a test show; it may be looked at as often as one likes."""
    from pixel_lora_pipeline.blind_tests import result_of
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import UnknownABTestError

    with configured_store(Settings()) as store:
        try:
            tested = result_of(store, test_id)
        except UnknownABTestError as error:
            raise typer.BadParameter(str(error)) from error
    if as_json:
        print(json.dumps(tested.to_dict()))
    else:
        console.print(_shown(tested))


def _shown(tested: "TestedCheckpoints") -> "RenderableType":
    from pixel_lora_pipeline.analyze.ab_result import letter

    names = [f"Model {letter(number)} is {escape(model.name)}" for number, model in enumerate(tested.test.models)]
    shown: list[RenderableType] = [f"[bold]{escape(tested.result.headline)}[/]", *names]
    duels = Table("duel", "wins", "ties", "win rate (95 %)", "says")
    for duel in tested.result.duels:
        first, second = letter(duel.first), letter(duel.second)
        rate, (low, high) = duel.verdict.win_rate, duel.verdict.interval
        duels.add_row(
            f"{first} : {second}",
            f"{duel.wins_first} : {duel.wins_second}",
            str(duel.ties),
            "–" if rate is None else f"{second} {rate:.0%} ({low:.0%} to {high:.0%})",
            escape(duel.sentence),
        )
    shown.append(duels)
    if tested.result.ranking:
        ranking = Table("rank", "model", "preferred to another (95 %)", "comes first")
        for place, rank in enumerate(tested.result.ranking, 1):
            share = f"{rank.share:.0%} ({rank.low:.0%} to {rank.high:.0%})"
            ranking.add_row(str(place), letter(rank.model), share, f"{rank.p_best:.0%}")
        shown.append(ranking)
    judges = Table("judge", "votes", "ties", "repeats alike", "left : right", "p of a side's preference")
    for judge in tested.result.judges:
        judges.add_row(
            escape(judge.judge),
            str(judge.votes),
            str(judge.ties),
            f"{judge.repeated_alike} of {judge.repeats}",
            f"{judge.sides.left} : {judge.sides.right}",
            f"{judge.sides.p_value:.2g}",
        )
    shown.append(judges)
    metrics = Table("metric", "agrees with people", "pairs", "share (95 %)")
    for metric in tested.metrics:
        low, high = metric.interval
        share = "–" if metric.share is None else f"{metric.share:.0%} ({low:.0%} to {high:.0%})"
        metrics.add_row(metric.label, str(metric.agreed), str(metric.n), share)
    shown.append(metrics)
    return Group(*shown)
