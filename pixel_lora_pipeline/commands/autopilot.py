"""`pixel-lora autopilot`: trainings that are chosen, started and stopped by themselves, within a budget."""

import json
import sys
from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.store import Campaign, Experiment, Store

# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

app = typer.Typer(
    invoke_without_command=True, help="Trainings that are chosen, started and stopped by themselves; how they stand."
)


@app.callback()
def autopilot(
    context: typer.Context,
    budget_runs: Annotated[
        int | None, typer.Option(min=1, help="Begin a campaign that starts at most so many trainings.")
    ] = None,
    target: Annotated[
        float | None,
        typer.Option(min=0, max=100, help="Overall score at which it is over; else when nothing promises much."),
    ] = None,
    parallel: Annotated[int, typer.Option(min=1, help="How many trainings may run at once.")] = 1,
    approve_each: Annotated[
        bool, typer.Option("--approve-each", help="Start only what was approved: `pixel-lora experiments approve`.")
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Kohya's TOML with what all trainings share, pictures included; by default, for the embedded trainer, "
            "the demo's.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:  # fmt: skip
    """Begin a campaign with --budget-runs, while `pixel-lora up` runs; without it, say how the last one stands."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import CampaignError

    if context.invoked_subcommand is not None:
        return
    settings = Settings()
    if budget_runs is not None:
        base = _base(settings, config)
    with configured_store(settings) as store:
        if budget_runs is not None:
            try:
                store.campaigns.begin(
                    base,
                    budget_runs=budget_runs,
                    most_running=parallel,
                    needs_approval=approve_each,
                    target=target,
                    by=getuser(),
                )
            except CampaignError as error:
                raise typer.BadParameter(str(error)) from error
        _tell(store, settings, as_json=as_json)


@app.command()
def stop(why: Annotated[str, typer.Option(help="For the record.")] = "") -> None:
    """End the campaign: nothing more is started; a training that runs goes on to its end."""
    from pixel_lora_pipeline.configured_store import configured_store

    settings = Settings()
    with configured_store(settings) as store:
        active = store.campaigns.active()
        if active is None:
            raise typer.BadParameter("no campaign is active.")
        store.campaigns.end(active.campaign_id, f"{getuser()} has ended it{f': {why}' if why else '.'}")
        _tell(store, settings, as_json=False)


def _base(settings: Settings, config: Path | None) -> dict[str, Any]:
    from pixel_lora_pipeline.caption_gate import refuse_faulty_captions
    from pixel_lora_pipeline.train.trainers import TrainerError

    base = _embedded_base(settings, config) if settings.trainer == "embedded" else _kohya_base(settings, config)
    try:
        refuse_faulty_captions(settings, base)
    except TrainerError as error:
        raise typer.BadParameter(str(error)) from error
    return base


def _embedded_base(settings: Settings, config: Path | None) -> dict[str, Any]:
    from pixel_lora_pipeline.embedded.demo import prepare_demo
    from pixel_lora_pipeline.embedded.lora_config import ConfigError, load_config

    if settings.base_model is not None:
        raise typer.BadParameter(
            "the embedded trainer trains the embedded model only: set trainer = 'kohya' and the table [kohya] to train "
            "base_model (docs/trainers.md), or leave base_model out."
        )
    try:
        read = load_config(config or prepare_demo(settings.home))
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    return read.model_dump(mode="json", exclude_unset=True, exclude={"output_name", "output_dir"})


def _kohya_base(settings: Settings, config: Path | None) -> dict[str, Any]:
    """What trainings of Kohya's share, once it is sure that one could be started with it."""
    from pixel_lora_pipeline.configured_trainer import check_base
    from pixel_lora_pipeline.train.trainers import TrainerError
    from pixel_lora_pipeline.train.trainers.kohya import read_campaign_base

    if config is None:
        raise typer.BadParameter(
            f"with trainer = '{settings.trainer}', --config has to say what all trainings share: the TOML that you "
            "train with."
        )
    if settings.base_model is None:
        raise typer.BadParameter(
            "base_model is not set: the epochs would be judged by what they do to the embedded model. Set it to the "
            "model that is trained, or to the one that you use them with."
        )
    try:
        base = read_campaign_base(config, settings.base_model)
        check_base(settings, base)
    except TrainerError as error:
        raise typer.BadParameter(str(error)) from error
    return base


def _tell(store: "Store", settings: Settings, *, as_json: bool) -> None:
    campaign = store.campaigns.newest()
    waits = None if campaign is None or campaign.state != "ACTIVE" else _reason_to_wait(store, settings, campaign)
    experiments = [] if campaign is None else store.experiments.of_campaign(campaign.campaign_id)
    if as_json:
        print(
            json.dumps(
                {
                    "campaign": None if campaign is None else asdict(campaign),
                    "waits": waits,
                    "experiments": [asdict(experiment) for experiment in experiments],
                },
                default=str,
            )
        )
    elif campaign is None:
        console.print("No campaign was begun yet: pixel-lora autopilot --budget-runs 15")
    else:
        _print(campaign, experiments)
        if waits is not None:
            console.print(f"[yellow]Waits[/]: {escape(waits)}", soft_wrap=True)


def _reason_to_wait(store: "Store", settings: Settings, campaign: "Campaign") -> str | None:
    """Why there is no money for its next training now."""
    from datetime import UTC, datetime

    from pixel_lora_pipeline.cost_budgets import reason_to_wait
    from pixel_lora_pipeline.training_history import read_history

    return reason_to_wait(store, settings.costs, campaign, lambda: read_history(store), datetime.now(UTC))


def _print(campaign: "Campaign", experiments: "list[Experiment]") -> None:
    until = "" if campaign.target is None else f", until {campaign.target:g} is reached"
    asks = ", each approved by people first" if campaign.needs_approval else ""
    console.print(
        f"[bold]{campaign.state.capitalize()}[/]: {len(experiments)} of {campaign.budget_runs} trainings started"
        f"{until}{asks}. {escape(campaign.reason or '')}",
        soft_wrap=True,
    )
    if experiments:
        table = Table("training", "state", "experiment", "outcome")
        for each in experiments:
            outcome = (
                "–" if each.outcome is None else ", ".join(f"{key} {value}" for key, value in each.outcome.items())
            )
            table.add_row(*(escape(str(cell)) for cell in (each.output_name, each.state, each.title, outcome)))
        console.print(table)
