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
            help="Kohya's TOML with what all trainings share, pictures included; by default the demo's.",
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
        _tell(store, as_json=as_json)


@app.command()
def stop(why: Annotated[str, typer.Option(help="For the record.")] = "") -> None:
    """End the campaign: nothing more is started; a training that runs goes on to its end."""
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        active = store.campaigns.active()
        if active is None:
            raise typer.BadParameter("no campaign is active.")
        store.campaigns.end(active.campaign_id, f"{getuser()} has ended it{f': {why}' if why else '.'}")
        _tell(store, as_json=False)


def _base(settings: Settings, config: Path | None) -> dict[str, Any]:
    from pixel_lora_pipeline.embedded.demo import prepare_demo
    from pixel_lora_pipeline.embedded.lora_config import ConfigError, load_config

    if settings.base_model is not None:
        raise typer.BadParameter(
            "only the embedded model can be trained by itself so far: leave base_model out, or train by hand and let "
            "the pipeline evaluate it."
        )
    try:
        read = load_config(config or prepare_demo(settings.home))
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    base = read.model_dump(mode="json", exclude_unset=True, exclude={"output_name", "output_dir"})
    _check_captions(base)
    return base


def _check_captions(base: dict[str, Any]) -> None:
    """Refuse to train on captions that would spoil every training of the campaign."""
    from pixel_lora_pipeline.caption_quality import assess_captions
    from pixel_lora_pipeline.embedded.loading import WEIGHTS
    from pixel_lora_pipeline.train.captions import DatasetError
    from pixel_lora_pipeline.validate.captions.encoders import text_encoders

    if "train_data_dir" not in base:
        raise typer.BadParameter("train_data_dir is not set: say where the pictures are.")
    folder = Path(base["train_data_dir"])
    try:
        errors = assess_captions(folder, base, text_encoders(WEIGHTS)).errors
    except DatasetError as error:
        raise typer.BadParameter(str(error)) from error
    if errors:
        raise typer.BadParameter(
            f"{len(errors)} faults in the captions would spoil every training; the first: {errors[0].message} "
            f"See `pixel-lora captions check {folder}`."
        )


def _tell(store: "Store", *, as_json: bool) -> None:
    campaign = store.campaigns.newest()
    experiments = [] if campaign is None else store.experiments.of_campaign(campaign.campaign_id)
    if as_json:
        print(
            json.dumps(
                {
                    "campaign": None if campaign is None else asdict(campaign),
                    "experiments": [asdict(experiment) for experiment in experiments],
                },
                default=str,
            )
        )
    elif campaign is None:
        console.print("No campaign was begun yet: pixel-lora autopilot --budget-runs 15")
    else:
        _print(campaign, experiments)


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
