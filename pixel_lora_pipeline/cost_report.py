"""What a month has cost, where it went, how it will end, and what could have been cheaper."""

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pixel_lora_pipeline.config import CostSettings
from pixel_lora_pipeline.cost_budgets import BudgetState, budget_of_month
from pixel_lora_pipeline.costs import CountedRun, charges, count_all_runs, price_book
from pixel_lora_pipeline.store import Experiment, Store
from pixel_lora_pipeline.train.costs import (
    Amount,
    Price,
    RunCost,
    Sum,
    UsageKind,
    add_up,
    by_day,
    by_kind,
    by_run,
    total,
)
from pixel_lora_pipeline.train.costs.advice import CheaperGpu, Saving, cheaper_gpus, saved_by_stopping
from pixel_lora_pipeline.train.costs.forecast import Forecast, forecast
from pixel_lora_pipeline.train.costs.usage import following, month_begins, month_of

_FORECAST_DAYS: Final = 28
# Rules of the guard that rest on a run's course, and not on money or time.
_BY_VERDICT: Final = frozenset({"degrading", "optimal"})
# What decides how much work a step is: only trainings that agree in all of it tell how much faster a GPU is.
_SAME_WORK: Final = (
    "pretrained_model_name_or_path",
    "resolution",
    "train_batch_size",
    "gradient_accumulation_steps",
    "network_module",
    "network_dim",
    "mixed_precision",
    "gradient_checkpointing",
    "cache_latents",
    "optimizer_type",
)


@dataclass(frozen=True)
class RunLine:
    """A run of the month.

    Attributes
    ----------
    cost
        In this month.
    is_whole
        False if some of its time is not known, so that its cost is a lower bound.
    failure
        Why it counts as failed; None if it does not.
    noted_usd
        What somebody else has written down as its cost.
    experiment
        Id and title, if it was one.
    """

    cost: RunCost
    is_whole: bool
    failure: str | None
    noted_usd: str | None
    experiment: tuple[str, str] | None
    notes: tuple[str, ...]

    @property
    def whole(self) -> Amount:
        """Training, evaluation and storage."""
        amount = self.cost.whole
        return amount if self.is_whole else Amount(amount.exact, is_complete=False, kind=amount.kind)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.cost.to_dict(),
            "total": self.whole.to_dict(),
            "failure": self.failure,
            "noted_usd": self.noted_usd,
            "experiment": None if self.experiment is None else dict(zip(("id", "title"), self.experiment, strict=True)),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class CostReport:
    """All that is known of a month's costs.

    Attributes
    ----------
    total
        Of everything, also of what is no run's.
    kinds
        Of training, evaluation and storage.
    idle
        Billed for machines of ours at times of which no work is known.
    runs
        The dearest first.
    unknown
        Why parts have no price: reason to seconds.
    untimed
        Runs of which no time is known at all: they may have cost something in this month, or in another.
    failures
        The runs that failed, the dearest first.
    savings, cheaper
        Counterfactual.
    old_prices
        Prices in use that are older than a month.
    """

    month: date
    created_at: datetime
    total: Amount
    kinds: Mapping[UsageKind, Sum]
    idle: Amount
    runs: tuple[RunLine, ...]
    unknown: Mapping[str, Fraction]
    untimed: tuple[str, ...]
    budget: BudgetState | None
    forecast: Forecast | None
    savings: tuple[Saving, ...]
    cheaper: tuple[CheaperGpu, ...]
    old_prices: tuple[Price, ...]

    @property
    def failures(self) -> tuple[RunLine, ...]:
        """The dearest first."""
        return tuple(line for line in self.runs if line.failure is not None)

    def of_run(self, run_name: str) -> RunLine | None:
        """One run; None if it has cost nothing in this month."""
        return next((line for line in self.runs if line.cost.run == run_name), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready: money as text, exact to the cent."""
        return {
            "month": f"{self.month:%Y-%m}",
            "created_at": self.created_at.isoformat(timespec="seconds"),
            "total": self.total.to_dict(),
            **{kind: found.to_dict() for kind, found in self.kinds.items()},
            "idle": self.idle.to_dict(),
            "unknown": {why: float(seconds) for why, seconds in self.unknown.items()},
            "runs_without_known_time": list(self.untimed),
            "budget": None if self.budget is None else self.budget.to_dict(),
            "forecast": None if self.forecast is None else self.forecast.to_dict(),
            "runs": [line.to_dict() for line in self.runs],
            "expensive_failures": [
                {"run": line.cost.run, "why": line.failure, "cost": line.whole.to_dict()} for line in self.failures
            ],
            "saved_by_stopping_early": [saving.to_dict() for saving in self.savings],
            "cheaper_gpus": [each.to_dict() for each in self.cheaper],
            "old_prices": [price.basis for price in self.old_prices],
        }


def cost_report(store: Store, settings: CostSettings, month: date, now: datetime) -> CostReport:
    """Count everything anew, and report on a month (UTC)."""
    counted = {each.run.run_name: each for each in count_all_runs(store, settings)}
    begins, ends = month_begins(month), month_begins(following(month))
    first = min(begins, now - timedelta(days=_FORECAST_DAYS + 1)) if begins <= now < ends else begins
    found = charges(store, settings, first, ends, now=now)
    in_month = [each for each in found.charges if each.share.usage.begins >= begins]
    bills = [bill for bill in found.unattributed if bill.begins >= begins]
    idle = Amount(
        Fraction(sum((bill.compute_usd + bill.storage_usd for bill in bills), Decimal(0))),
        kind="actual" if bills else None,
    )
    experiments = {each.output_name: each for each in store.experiments.all() if each.output_name is not None}
    costs = by_run(in_month)
    lines = [_line(cost, counted.get(name), experiments.get(name)) for name, cost in costs.items()]
    summed = add_up(in_month)
    whole = total([summed.amount, idle] if bills else [summed.amount])
    if not all(line.is_whole for line in lines):
        whole = Amount(whole.exact, is_complete=False, kind=whole.kind)
    days = {day: float(amount.exact or 0) for day, amount in by_day(found.charges).items()}
    return CostReport(
        month=month,
        created_at=now,
        total=whole,
        kinds=by_kind(in_month),
        idle=idle,
        runs=tuple(sorted(lines, key=lambda line: -(line.whole.exact or Fraction(0)))),
        unknown=summed.unknown,
        untimed=tuple(name for name, each in counted.items() if not each.cost.training.seconds and each.run.saves),
        budget=budget_of_month(store, settings, month, whole),
        forecast=forecast(float(whole.exact or 0), days, month, now),
        savings=_savings(store, counted, month),
        cheaper=_cheaper(store, settings, counted, lines, now),
        old_prices=_old_prices(store, settings, in_month, now),
    )


def failure_of(run: CountedRun | None, experiment: Experiment | None) -> str | None:
    """Why a training counts as failed: its experiment has, its status says so, or a person's verdict on it."""
    if experiment is not None and experiment.state == "FAILED":
        return str((experiment.outcome or {}).get("failure") or "its experiment has failed")
    if run is None:
        return None
    for told in (run.run.overall_verdict, run.run.status):
        if told is not None and "fail" in str(told).casefold():
            return str(told)
    return None


def _line(cost: RunCost, run: CountedRun | None, experiment: Experiment | None) -> RunLine:
    columns = {} if run is None or run.run.counted is None else run.run.counted.get("columns", {})
    is_noted = run is not None and run.run.cost_usd is not None and columns.get("cost_usd") is None
    return RunLine(
        cost,
        is_whole=run is None or run.is_whole,
        failure=failure_of(run, experiment),
        noted_usd=str(run.run.cost_usd) if is_noted and run is not None else None,
        experiment=None if experiment is None else (str(experiment.experiment_id), experiment.title),
        notes=() if run is None else run.times.notes,
    )


def _savings(store: Store, counted: Mapping[str, CountedRun], month: date) -> tuple[Saving, ...]:
    """Of trainings that were stopped in this month because of a recommendation, and only of those."""
    found = []
    for name, stopped_at in _stopped_early(store).items():
        each = counted.get(name)
        if each is None or each.run.planned_epochs is None or month_of(stopped_at) != month:
            continue
        saving = saved_by_stopping(
            each.cost,
            planned_epochs=each.run.planned_epochs,
            trained_epochs=max((save.epoch for save in each.run.saves.values()), default=0),
            seconds_per_epoch=each.times.seconds_per_epoch,
        )
        found.extend([] if saving is None else [saving])
    return tuple(found)


def _stopped_early(store: Store) -> dict[str, datetime]:
    """By run, when a campaign or the guard has stopped it because of the verdict on its course."""
    stopped = {}
    for machine in store.auto_stop.watched():
        decisions = store.auto_stop.log(machine.name) if machine.run_name is not None else []
        asked = any(each.action == "stop" and _BY_VERDICT & set(each.rules) for each in decisions)
        ended = next((each.at for each in decisions if each.action == "stopped"), None)
        if machine.run_name is not None and asked and ended is not None:
            stopped[machine.run_name] = ended
    for experiment in store.experiments.all():
        for decision in experiment.decisions:
            if experiment.output_name is not None and decision.get("why") == "stopped early":
                stopped[experiment.output_name] = datetime.fromisoformat(decision["at"])
    return stopped


def _cheaper(
    store: Store, settings: CostSettings, counted: Mapping[str, CountedRun], lines: Sequence[RunLine], now: datetime
) -> tuple[CheaperGpu, ...]:
    """For the dearest run of the month whose GPU is known."""
    book = price_book(store, settings)
    for line in sorted(lines, key=lambda line: -(line.whole.exact or Fraction(0))):
        each = counted.get(line.cost.run)
        if line.cost.training.place is None:
            continue
        provider, gpu, cloud = line.cost.training.place
        found = cheaper_gpus(
            line.cost,
            provider=provider,
            gpu=gpu,
            cloud=cloud,
            book=book,
            now=now,
            planned_epochs=None if each is None else each.run.planned_epochs,
            takes=_slowness(counted, each),
        )
        if found:
            return tuple(found)
    return ()


def _slowness(counted: Mapping[str, CountedRun], run: CountedRun | None) -> dict[str, float]:
    """By GPU, how many times as long a step takes as on this run's: only from trainings of the same work."""
    own = None if run is None else _seconds_per_step(run)
    if run is None or own is None:
        return {}
    by_gpu: dict[str, list[float]] = defaultdict(list)
    for other in counted.values():
        gpu, seconds = other.cost.training.gpu, _seconds_per_step(other)
        if gpu is not None and seconds is not None and _work(other) == _work(run):
            by_gpu[gpu].append(seconds / own)
    return {gpu: statistics.median(ratios) for gpu, ratios in by_gpu.items()}


def _work(run: CountedRun) -> tuple[str, ...]:
    return tuple(str(run.run.parameters.get(name)) for name in _SAME_WORK)


def _seconds_per_step(run: CountedRun) -> float | None:
    per_epoch, steps = run.times.seconds_per_epoch, run.run.parameters.get("steps_per_epoch")
    if per_epoch is None or not isinstance(steps, int | float) or isinstance(steps, bool) or steps <= 0:
        return None
    return per_epoch / float(steps)


def _old_prices(store: Store, settings: CostSettings, in_month: Sequence[Any], now: datetime) -> tuple[Price, ...]:
    """Of GPUs that were used, prices on which an estimate rests and that nobody has seen for a month."""
    used = {
        (each.share.usage.provider or "", each.share.usage.gpu) for each in in_month if each.amount.kind == "estimate"
    }
    book = price_book(store, settings)
    old = book.old(now.date(), {provider for provider, _ in used})
    bases = {each.basis for each in in_month}
    return tuple(price for price in old if price.basis in bases)
