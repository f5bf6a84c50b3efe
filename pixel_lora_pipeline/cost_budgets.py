"""What may be spent, what is spent of it, and what follows: people are told, and nothing more is started."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pixel_lora_pipeline.config import CostSettings
from pixel_lora_pipeline.costs import charges, spent, spent_on_machine
from pixel_lora_pipeline.improve import run_cost
from pixel_lora_pipeline.notify import budget_reached
from pixel_lora_pipeline.pod_costs import machine_of_pod
from pixel_lora_pipeline.store import Campaign, Experiment, RowId, Store, WatchedMachine
from pixel_lora_pipeline.train.auto_stop import Spent
from pixel_lora_pipeline.train.costs import Amount, add_up, total
from pixel_lora_pipeline.train.costs.usage import following, month_begins, month_of
from pixel_lora_pipeline.training_history import TrainingHistory

THRESHOLDS: Final = (Fraction(8, 10), Fraction(1))
"""Shares of a budget at which people are told."""


@dataclass(frozen=True)
class BudgetState:
    """A budget, and how it stands.

    Attributes
    ----------
    name
        Whose it is, for people: "December 2026", "campaign 3".
    limit
        In US dollars.
    set_by
        Who has said so; "the configuration" for its monthly budget.
    spent
        A lower bound where something has no price.
    """

    name: str
    limit: Decimal
    set_by: str
    spent: Amount

    @property
    def share(self) -> Fraction:
        """How much of it is spent at least, 1 for all of it; a budget of nothing is spent as soon as anything is."""
        exact = self.spent.exact or Fraction(0)
        if self.limit == 0:
            return Fraction(exact > 0)
        return exact / Fraction(self.limit)

    @property
    def left(self) -> Fraction:
        """Of it, at most; below 0 if more was spent."""
        return Fraction(self.limit) - (self.spent.exact or Fraction(0))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "name": self.name,
            "limit_usd": str(self.limit),
            "set_by": self.set_by,
            "spent": self.spent.to_dict(),
            "share": round(float(self.share), 4),
        }


def spent_in_month(store: Store, settings: CostSettings, month: date) -> Amount:
    """What a month (UTC) has cost so far: trainings, evaluations, storage, and bills without known work."""
    found = charges(store, settings, month_begins(month), month_begins(following(month)))
    idle = Fraction(sum((bill.compute_usd + bill.storage_usd for bill in found.unattributed), Decimal(0)))
    parts = [add_up(found.charges).amount]
    return total([*parts, Amount(idle, kind="actual")] if found.unattributed else parts)


def budget_of_month(
    store: Store, settings: CostSettings, month: date, spent_so_far: Amount | None = None
) -> BudgetState | None:
    """How the budget of a month stands; None if there is none."""
    set_budget = store.budgets.of_month(month)
    if set_budget is not None:
        limit, by = set_budget.amount_usd, set_budget.set_by
    elif settings.monthly_budget is not None:
        limit, by = settings.monthly_budget, "the configuration"
    else:
        return None
    amount = spent_in_month(store, settings, month) if spent_so_far is None else spent_so_far
    return BudgetState(f"{month:%B %Y}", limit, by, amount)


def budget_of_campaign(store: Store, settings: CostSettings, campaign_id: RowId) -> BudgetState | None:
    """How the budget of a campaign stands; None if there is none."""
    budget = store.budgets.of_campaign(campaign_id)
    if budget is None:
        return None
    trainings = [each for each in store.experiments.of_campaign(campaign_id) if each.output_name is not None]
    amounts = [spent(store, settings, str(each.output_name)).amount for each in trainings]
    return BudgetState(f"campaign {campaign_id}", budget.amount_usd, budget.set_by, total(amounts))


def budget_of_experiment(store: Store, settings: CostSettings, experiment: Experiment) -> BudgetState | None:
    """How the budget of an experiment stands; None if there is none."""
    budget = store.budgets.of_experiment(experiment.experiment_id)
    if budget is None:
        return None
    amount = total([] if experiment.output_name is None else [spent(store, settings, experiment.output_name).amount])
    return BudgetState(f"experiment {experiment.experiment_id}", budget.amount_usd, budget.set_by, amount)


def announce_budgets(store: Store, settings: CostSettings, now: datetime) -> list[BudgetState]:
    """Tell people of budgets that have passed 80 % or 100 %, each once, and return all that there are."""
    states = [budget_of_month(store, settings, month_of(now))]
    campaign = store.campaigns.active()
    if campaign is not None:
        states.append(budget_of_campaign(store, settings, campaign.campaign_id))
    known = [state for state in states if state is not None]
    for state in known:
        reached = max((threshold for threshold in THRESHOLDS if state.share >= threshold), default=None)
        if reached is not None and state.spent.usd is not None:
            amount, limit = float(state.spent.usd), float(state.limit)
            store.notifications.announce(
                budget_reached(state.name, amount, limit, float(reached), _consequence(state, reached))
            )
    return known


def reason_to_wait(
    store: Store,
    settings: CostSettings,
    campaign: Campaign,
    read_history: Callable[[], TrainingHistory],
    now: datetime,
) -> str | None:
    """Why a campaign must not start its next training now, because of money; None if it may.

    It waits where the month's budget, or its own, is spent, or would be exceeded by what the next training, and the
    rest of those that run, are expected to cost. What nobody can estimate stops nothing: then only what is spent
    counts.

    Parameters
    ----------
    read_history
        Asked only where there is a budget.
    """
    states = [
        budget_of_month(store, settings, month_of(now)),
        budget_of_campaign(store, settings, campaign.campaign_id),
    ]
    known = [state for state in states if state is not None]
    if not known:
        return None
    history = read_history()
    estimate = run_cost.cost_usd(_next_parameters(store, campaign), history.runs)
    promised = 0.0 if estimate is None else _promised(store, settings, campaign, history)
    for state in known:
        ends = "with the next month, or" if state.name == f"{now.astimezone(UTC):%B %Y}" else "when"
        raised = f"It goes on {ends} a larger budget is set: `pixel-lora costs budget`."
        if state.share >= 1:
            return f"The budget of {state.name} is spent: {state.spent} of ${state.limit:,.2f}. {raised}"
        if estimate is not None and round(estimate.value + promised, 2) > float(state.left):
            running = f", and those that run ${promised:.2f} more" if promised else ""
            return (
                f"The next training is expected to cost ${estimate.value:.2f}{running}: only ${float(state.left):.2f} "
                f"of the ${state.limit:,.2f} of {state.name} are left. {raised}"
            )
    return None


def spending_on(store: Store, settings: CostSettings, machine: WatchedMachine) -> list[Spent]:
    """What the guard weighs of the machine of a training: the budgets of its experiment, its campaign and this month.

    Each is as fresh as the last that is known of this machine.
    """
    pod_id = machine.found_by.get("pod_id")
    own = spent_on_machine(store, settings, machine_of_pod(pod_id)) if pod_id else None
    if own is None or own.counted_until is None:
        own = spent(store, settings, machine.run_name or machine.name)
    as_of = own.counted_until or own.read_at
    experiment = next(
        (each for each in store.experiments.all() if machine.run_name and each.output_name == machine.run_name), None
    )
    states = [budget_of_month(store, settings, month_of(own.read_at))]
    if experiment is not None:
        states.append(budget_of_experiment(store, settings, experiment))
        if experiment.campaign_id is not None:
            states.append(budget_of_campaign(store, settings, experiment.campaign_id))
    return [
        Spent(state.spent.usd, state.limit, as_of, state.spent.kind or "estimate")
        for state in states
        if state is not None
    ]


def _promised(store: Store, settings: CostSettings, campaign: Campaign, history: TrainingHistory) -> float:
    """What the trainings that run are still expected to cost."""
    promised = 0.0
    for each in store.experiments.all(["RUNNING"]):
        expected = run_cost.cost_usd({**campaign.base, **each.parameters}, history.runs)
        if expected is not None and each.output_name is not None:
            paid = spent(store, settings, each.output_name).amount.exact or 0
            promised += max(0.0, expected.value - float(paid))
    return promised


def _next_parameters(store: Store, campaign: Campaign) -> dict[str, Any]:
    """Of what would be started next as far as it is known: what is queued, else what all trainings share."""
    queued = store.experiments.all(["QUEUED"])
    order = {"HIGH": 0, "MEDIUM": 1, "LOW": 2}
    first = min(queued, key=lambda each: (order[each.priority], each.place), default=None)
    return {**campaign.base, **({} if first is None else first.parameters)}


def _consequence(state: BudgetState, threshold: Fraction) -> str:
    unknown = "" if state.spent.is_complete else " Some of what was used has no price, so that more is spent than that."
    if threshold < 1:
        return (
            f"Nothing yet. When all of it is spent, campaigns start no more trainings.{unknown} "
            "`pixel-lora costs` shows what it went into."
        )
    return (
        f"Campaigns start no more trainings; what runs goes on, unless the guard stops it.{unknown} "
        "A larger budget is set with `pixel-lora costs budget`."
    )
