"""`pixel-lora costs`: what trainings and evaluations have cost, what may be spent, and today's prices."""

import json
import sys
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from getpass import getuser
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.cost_report import CostReport, RunLine
    from pixel_lora_pipeline.costs import CountedRun
    from pixel_lora_pipeline.train.costs import Sum

costs_app = typer.Typer(
    invoke_without_command=True, help="What trainings and evaluations have cost, exact and with what is not known."
)
# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

_MOST_RUNS: Final = 20
_MOST_FAILURES: Final = 5
_MOST_GPUS: Final = 3

MonthOption = Annotated[
    str | None, typer.Option("--month", help="As 2026-11, in UTC; the present one by default.", metavar="YYYY-MM")
]


@costs_app.callback()
def costs(
    context: typer.Context,
    month: MonthOption = None,
    run: Annotated[str | None, typer.Option(help="One run in full, epoch by epoch, whenever it was.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Count all costs anew and show a month, or a run."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.cost_budgets import announce_budgets
    from pixel_lora_pipeline.cost_report import cost_report
    from pixel_lora_pipeline.costs import count_run

    if context.invoked_subcommand is not None:
        return
    if run is not None and month is not None:
        raise typer.BadParameter("say --month or --run: a run is shown in full.")
    settings, now = Settings(), datetime.now(UTC)
    wanted = _month(month, now)
    with configured_store(settings) as store:
        if run is not None:
            counted = count_run(store, settings.costs, store.conclusions.run(run).run_id)
            if as_json:
                print(json.dumps({**counted.cost.to_dict(), "notes": list(counted.times.notes)}))
            else:
                _print_run(counted)
            return
        report = cost_report(store, settings.costs, wanted, now)
        announce_budgets(store, settings.costs, now)
    if as_json:
        print(json.dumps(report.to_dict()))
    else:
        _print(report)


@costs_app.command()
def budget(
    amount: Annotated[str, typer.Argument(help="US dollars, as 100 or 99.50.", metavar="AMOUNT")],
    month: MonthOption = None,
    campaign: Annotated[str | None, typer.Option(help="Id of a campaign, whose budget it is then.")] = None,
    experiment: Annotated[str | None, typer.Option(help="Id of an experiment, whose budget it is then.")] = None,
) -> None:
    """Say what may be spent in a month, for a campaign or for an experiment; what was said before stays on record."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import CampaignError, UnknownExperimentError

    if sum(each is not None for each in (month, campaign, experiment)) > 1:
        raise typer.BadParameter("say one of --month, --campaign and --experiment.")
    dollars = _dollars(amount)
    with configured_store(Settings()) as store:
        try:
            if campaign is not None:
                campaign_id = store.campaigns.get(campaign).campaign_id
                store.budgets.set(dollars, getuser(), campaign_id=campaign_id)
                of = f"campaign {campaign_id}"
            elif experiment is not None:
                found = store.experiments.get(experiment)
                store.budgets.set(dollars, getuser(), experiment_id=found.experiment_id)
                of = f"experiment {found.experiment_id}, {found.title}"
            else:
                wanted = _month(month, datetime.now(UTC))
                store.budgets.set(dollars, getuser(), month=wanted)
                of = f"{wanted:%B %Y}"
        except (CampaignError, UnknownExperimentError) as error:
            raise typer.BadParameter(str(error)) from error
    console.print(f"Budget of {escape(of)}: ${dollars:,.2f}")


@costs_app.command()
def refresh() -> None:
    """Ask RunPod for its list prices, and for the rates and bills of our pods, and take them over."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.pod_costs import update_from_runpod

    settings = Settings()
    if settings.runpod_api_key is None:
        raise typer.BadParameter(
            "RUNPOD_API_KEY is not set: make a key in RunPod's console (reading is enough), or write prices into a "
            "table of your own, `prices` in [costs] of pixel_lora.toml."
        )
    with configured_store(settings) as store:
        news = update_from_runpod(store, settings.runpod_api_key, settings.runpod_url, datetime.now(UTC))
    console.print(
        f"{news.prices} prices and {news.bills} bills are new or have changed; {news.pods} pods of ours were read."
    )


def _month(text: str | None, now: datetime) -> date:
    if text is None:
        return now.date().replace(day=1)
    try:
        return datetime.strptime(text, "%Y-%m").replace(tzinfo=UTC).date()
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is no month: write it as 2026-11.") from error


def _dollars(text: str) -> Decimal:
    try:
        dollars = Decimal(text.removeprefix("$"))
    except InvalidOperation as error:
        raise typer.BadParameter(f"{text!r} is no sum of dollars: write it as 100 or 99.50.") from error
    if not dollars.is_finite() or dollars < 0 or dollars != round(dollars, 2):
        raise typer.BadParameter(f"{text!r} is no sum of dollars and cents from 0.")
    return dollars


def _print_run(counted: "CountedRun") -> None:
    cost = counted.cost
    table = Table("epoch", "GPU time", "cost", "how it is known", title=escape(cost.run))
    for epoch, found in cost.epochs.items():
        table.add_row(str(epoch), _hours(found), str(found.amount), escape("; ".join(found.bases) or _why(found)))
    for label, found in (("training", cost.training), ("evaluation", cost.evaluation), ("storage", cost.storage)):
        if found.seconds or found.bases or found.unknown:
            table.add_row(
                f"[bold]{label}[/]",
                _hours(found),
                f"[bold]{found.amount}[/]",
                escape("; ".join(found.bases) or _why(found)),
            )
    console.print(table)
    for note in counted.times.notes:
        console.print(f"Note: {escape(note)}", soft_wrap=True)


def _print(report: "CostReport") -> None:
    known = f" ({report.total.kind})" if report.total.kind else ""
    console.print(f"[bold]{report.month:%B %Y}: {report.total}[/]{known}", soft_wrap=True)
    kinds = Table("", "GPU time", "cost")
    for kind, found in report.kinds.items():
        kinds.add_row(kind, _hours(found) if kind != "storage" else "–", str(found.amount))
    if report.idle.kind is not None:
        kinds.add_row("billed, but nothing is known to have run", "–", str(report.idle))
    console.print(kinds)
    if report.budget is not None:
        state = report.budget
        console.print(
            f"Budget: {100 * float(state.share):.0f} % of ${state.limit:,.2f} spent (set by {escape(state.set_by)})."
        )
    if report.forecast is not None:
        between = (
            ""
            if report.forecast.low is None or report.forecast.high is None
            else f", 80 % interval ${report.forecast.low:,.2f} to ${report.forecast.high:,.2f}"
        )
        console.print(
            f"Forecast for the end of the month: ${report.forecast.expected:,.2f}{between}. {report.forecast.how}",
            soft_wrap=True,
        )
    _print_runs(report)
    for why, seconds in report.unknown.items():
        console.print(
            f"[yellow]Unknown[/]: {float(seconds) / 3600:.2f} h without a price: {escape(why)}.", soft_wrap=True
        )
    for line in report.runs:
        for note in () if line.is_whole else line.notes:
            console.print(f"[yellow]Unknown[/]: {escape(line.cost.run)}: {escape(note)}", soft_wrap=True)
    if report.untimed:
        console.print(f"No time is known of: {escape(', '.join(report.untimed))}.", soft_wrap=True)
    for price in report.old_prices:
        console.print(f"[yellow]Old price[/]: {escape(price.basis)}. `pixel-lora costs refresh`.", soft_wrap=True)


def _print_runs(report: "CostReport") -> None:
    if report.runs:
        table = Table("run", "GPU time", "training", "evaluation", "kind", "experiment")
        for line in report.runs[:_MOST_RUNS]:
            table.add_row(*map(escape, _row(line)))
        console.print(table)
        if len(report.runs) > _MOST_RUNS:
            console.print(f"… and {len(report.runs) - _MOST_RUNS} cheaper ones: --json has them all.")
    if report.failures:
        console.print("Expensive failures:")
        for line in report.failures[:_MOST_FAILURES]:
            console.print(f"  {line.whole}  {escape(line.cost.run)}: {escape(line.failure or '')}", soft_wrap=True)
    for saving in report.savings:
        console.print(
            f"Stopped early: {escape(saving.run)} was spared {saving.epochs} epochs, which would have cost "
            f"{saving.amount} (counterfactual: at what its own epochs took).",
            soft_wrap=True,
        )
    if report.cheaper:
        console.print("Cheaper for early epochs (counterfactual):")
        for each in report.cheaper[:_MOST_GPUS]:
            console.print(f"  {escape(each.sentence)}", soft_wrap=True)


def _row(line: "RunLine") -> tuple[str, ...]:
    training, noted = line.cost.training, "" if line.noted_usd is None else f" (noted: ${line.noted_usd})"
    amount = (
        str(training.amount) if line.is_whole or training.amount.exact is None else f"at least ${training.amount.usd}"
    )
    return (
        line.cost.run,
        _hours(training),
        amount + noted,
        str(line.cost.evaluation.amount) if line.cost.evaluation.seconds else "–",
        training.amount.kind or "–",
        "–" if line.experiment is None else f"{line.experiment[0]}: {line.experiment[1]}",
    )


def _hours(found: "Sum") -> str:
    return f"{found.hours:.2f} h" if found.seconds else "–"


def _why(found: "Sum") -> str:
    return "; ".join(found.unknown) or "–"
