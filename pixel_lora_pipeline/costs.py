"""What trainings and evaluations have cost, from what is stored of them, and how that gets into the database."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from pixel_lora_pipeline.config import CostSettings, MachineSettings
from pixel_lora_pipeline.store import RowId, Store, Subject, TimedRun
from pixel_lora_pipeline.store.checkpoints import moment
from pixel_lora_pipeline.train.costs import (
    UNKNOWN,
    Amount,
    Charges,
    PriceBook,
    RunCost,
    Sum,
    TrainingTimes,
    Usage,
    add_up,
    by_run,
    charge,
    epoch_times,
    read_prices,
    rounded,
    shipped_prices,
    total,
    whole_time,
)

THIS_MACHINE: Final = f"host:{socket.gethostname()}"
"""How usage of this machine is known."""

EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
"""Bounds of all that can be known."""

_OF_A_COLUMN: Final = Decimal("0.0001")  # training_runs.cost_usd
_MILLISECOND: Final = Decimal("0.001")


@dataclass(frozen=True)
class CostSoFar:
    """What a training or a machine has cost so far.

    Attributes
    ----------
    amount
        In US dollars, with its kind (how sure it is) and whether something is missing from it.
    seconds
        That are counted in it.
    counted_until
        The end of the last of them: what was used since then is not counted. None if nothing is counted.
    read_at
        When this was put together.
    basis
        What it rests on, or why nothing is known, for people.
    """

    amount: Amount
    seconds: Fraction
    counted_until: datetime | None
    read_at: datetime
    basis: str


@dataclass(frozen=True)
class CountedRun:
    """A run with its cost, what its checkpoints tell of its time, and whether that is all of it."""

    run: TimedRun
    cost: RunCost
    times: TrainingTimes
    is_whole: bool


def spent(store: Store, settings: CostSettings, run_name: str) -> CostSoFar:
    """What the training of a run has cost so far, without its evaluation.

    Parameters
    ----------
    run_name
        Of the run, or the `output_name` of an experiment whose training has not saved anything yet.
    """
    usages = [each for each in store.gpu_usage.of_run(run_name) if each.kind != "evaluation"]
    found = cost_of_run(store, settings, run_name)
    parts = [found.training, *([found.storage] if found.storage.bases or found.storage.unknown else [])]
    return _spent(parts, usages)


def spent_on_machine(store: Store, settings: CostSettings, machine: str) -> CostSoFar:
    """What a machine of ours has cost so far, whoever used it: `runpod:POD`, or `host:NAME`."""
    usages = store.gpu_usage.of_machine(machine)
    if not usages:
        return _spent([], [])
    begins, ends = _span(usages)
    found = charges(store, settings, begins, ends, machines=[machine])
    billed = [bill for bill in found.unattributed if bill.machine == machine]
    idle = Fraction(sum((bill.compute_usd + bill.storage_usd for bill in billed), Decimal(0)))
    parts = [add_up(each for each in found.charges if each.share.usage.machine == machine)]
    if billed:
        parts.append(Sum(Amount(idle, kind="actual"), Fraction(0), ("billed without known work",), {}))
    return _spent(parts, usages)


def charges(
    store: Store,
    settings: CostSettings,
    begins: datetime,
    ends: datetime,
    machines: Sequence[str] | None = None,
    now: datetime | None = None,
) -> Charges:
    """All that was used in a time, priced; half-open.

    Bills are divided among all the work of their time, so what lies around the bounds is read as well and cut off.

    Parameters
    ----------
    machines
        Only these; all of them, and the storage of the configuration, by default.
    now
        Up to when storage was held; the present by default.
    """
    bills = [
        bill for bill in store.billing_records.within(begins, ends) if machines is None or bill.machine in machines
    ]
    first = min([begins, *(bill.begins for bill in bills)])
    last = max([ends, *(bill.ends for bill in bills)])
    usages = (
        [*store.gpu_usage.within(first, last), *_configured_storage(settings, min(last, now or datetime.now(UTC)))]
        if machines is None
        else store.gpu_usage.of_machines(machines, first, last)
    )
    noted = store.gpu_usage.noted_gpus()
    clipped = (
        replace(each, begins=max(each.begins, first), ends=min(each.ends, last)) for each in usages if each.ends > first
    )
    priced = charge([_located(each, settings, noted) for each in clipped], bills, price_book(store, settings))
    ours = store.gpu_usage.machines() if priced.unattributed else set()
    return Charges(
        tuple(each for each in priced.charges if begins <= each.share.usage.begins < ends),
        tuple(bill for bill in priced.unattributed if bill.machine in ours and begins <= bill.begins < ends),
    )


def cost_of_run(store: Store, settings: CostSettings, run_name: str) -> RunCost:
    """What a run has cost, each moment of a machine that it shared with other work counted in part."""
    usages = store.gpu_usage.of_run(run_name)
    if not usages:
        return no_cost(run_name)
    begins, ends = _span(usages)
    machines = sorted({each.machine for each in usages})
    found = charges(store, settings, begins, ends, machines)
    return by_run(found.charges).get(run_name, no_cost(run_name))


def count_run(store: Store, settings: CostSettings, run_id: RowId) -> CountedRun:
    """Count a run by the times of its checkpoints, and store what that comes to; twice gives the same.

    Raises
    ------
    LookupError
        If there is no such run.
    """
    runs = store.gpu_usage.timed_runs(run_id)
    if not runs:
        raise LookupError(f"there is no training run {run_id}.")
    (run,) = runs
    told = store.gpu_usage.machines_of_trainings(run.run_name)
    timed = _keep_times(store, settings, [run], told)
    return _store(store, timed[run.run_id], cost_of_run(store, settings, run.run_name), told.get(run.run_name))


def count_all_runs(store: Store, settings: CostSettings) -> list[CountedRun]:
    """Count every run anew: prices may have changed, bills may have come."""
    runs = store.gpu_usage.timed_runs()
    told = store.gpu_usage.machines_of_trainings()
    timed = _keep_times(store, settings, runs, told)
    found = by_run(charges(store, settings, EARLIEST, LATEST).charges)
    return [
        _store(
            store,
            timed[run.run_id],
            found.get(run.run_name, no_cost(run.run_name)),
            told.get(run.run_name),
        )
        for run in runs
    ]


def price_book(store: Store, settings: CostSettings) -> PriceBook:
    """All prices that are known: a table of one's own, then what catalogues said, then what is shipped.

    Raises
    ------
    PriceTableError
        If the configured table cannot be read.
    """
    book = shipped_prices().with_catalogue(store.gpu_prices.all())
    return book if settings.prices is None else book.with_own(read_prices(settings.prices))


@contextmanager
def evaluation_is_counted(store: Store, settings: CostSettings, run_id: RowId, epoch_id: RowId) -> Iterator[None]:
    """Count the time of this machine within the block as evaluation of an epoch, also if it fails."""
    begins = datetime.now(UTC)
    try:
        yield
    finally:
        usage = Usage("evaluation", THIS_MACHINE, begins, datetime.now(UTC), "measured")
        store.gpu_usage.record(_of_machine(usage, settings.machine), Subject(run_id=run_id, epoch_id=epoch_id))


def record_training_on_this_machine(
    store: Store,
    settings: CostSettings,
    experiment_id: RowId,
    training: Mapping[str, Any],
    now: datetime | None = None,
) -> None:
    """Count a training that runs on this machine from the start of its process up to now.

    Parameters
    ----------
    training
        By what its trainer finds it again. One without a process of ours (on a rented pod) is counted by its readings.
    """
    begins, ends = moment(training.get("started")), now or datetime.now(UTC)
    if "pid" in training and begins is not None and begins < ends:
        usage = _of_machine(Usage("training", THIS_MACHINE, begins, ends, "trainer"), settings.machine)
        store.gpu_usage.record(usage, Subject(experiment_id=experiment_id))


def _keep_times(
    store: Store, settings: CostSettings, runs: Sequence[TimedRun], told: Mapping[str, Usage]
) -> dict[RowId, tuple[TimedRun, TrainingTimes]]:
    """What the headers of runs tell of their time, stored."""
    timed = {run.run_id: (run, _times(run)) for run in runs}
    usages: dict[RowId, list[tuple[Usage, RowId | None]]] = {}
    for run, times in timed.values():
        watched = told.get(run.run_name)
        rows = {save.epoch: row_id for row_id, save in run.saves.items() if not save.is_within_epoch}
        usages[run.run_id] = [
            (
                Usage(
                    "training",
                    _machine(settings, run, each.clock) if watched is None else watched.machine,
                    each.begins,
                    each.ends,
                    "header",
                    run.run_name,
                    each.epoch,
                ),
                None if each.epoch is None else rows.get(each.epoch),
            )
            for each in times.epochs
        ]
    store.gpu_usage.replace_of_headers(usages)
    return timed


def _machine(settings: CostSettings, run: TimedRun, clock: int) -> str:
    """Where a training ran that nobody has watched; by another clock it was another time."""
    host = settings.training_host
    return f"run:{run.run_id}:{clock}" if host is None else f"host:{host}"


def _times(run: TimedRun) -> TrainingTimes:
    """By its checkpoints; of those that were registered before their times were kept, by what its parameters say."""
    began = moment(run.started_at)
    times = epoch_times(began, run.saves.values(), is_resumed=run.is_resumed)
    if times.epochs or any(save.saved_at is not None for save in run.saves.values()):
        return times
    return whole_time(began, run.parameters.get("total_training_time")) or times


def _store(store: Store, timed: tuple[TimedRun, TrainingTimes], cost: RunCost, told: Usage | None) -> CountedRun:
    """Fill the columns that are empty or hold what we wrote last; what others have written stays."""
    run, times = timed
    # A process or a pod that we have watched tells the whole time, whatever its files say.
    is_whole = told is not None or times.is_complete
    if not is_whole:
        cost = replace(cost, training=_lower_bound(cost.training, times))
    amount, seconds = cost.training.amount, cost.training.seconds
    wanted: dict[str, str | float | None] = {
        "gpu_type": cost.training.gpu,
        "gpu_seconds": float(rounded(seconds, _MILLISECOND)) if is_whole and seconds else None,
        "cost_usd": str(rounded(amount.exact, _OF_A_COLUMN))
        if amount.exact is not None and amount.is_complete
        else None,
    }
    present = {"gpu_type": run.gpu_type, "gpu_seconds": run.gpu_seconds, "cost_usd": run.cost_usd}
    before = (run.counted or {}).get("columns", {})
    columns = {
        name: value for name, value in wanted.items() if present[name] is None or _same(present[name], before.get(name))
    }
    counted = {
        **cost.to_dict(),
        "columns": columns,
        "notes": list(times.notes),
        "seconds_per_epoch": times.seconds_per_epoch,
    }
    if counted != run.counted:
        filled = {name: value for name, value in columns.items() if value is not None}
        cleared = [name for name, value in columns.items() if value is None and present[name] is not None]
        store.gpu_usage.record_counted(run.run_id, counted, filled, cleared)
    return CountedRun(run, cost, times, is_whole)


def _lower_bound(training: Sum, times: TrainingTimes) -> Sum:
    why = " ".join(times.notes) or "No checkpoint says when it was saved."
    known = Amount(training.amount.exact, is_complete=False, kind=training.amount.kind) if training.seconds else UNKNOWN
    return replace(training, amount=known, unknown={**training.unknown, why: Fraction(0)})


def _same(present: Any, before: Any) -> bool:
    """Whether a column, of whatever type, holds what we wrote."""
    if before is None:
        return False
    try:
        return Decimal(str(present)) == Decimal(str(before))
    except ArithmeticError:
        return str(present) == str(before)


def _located(usage: Usage, settings: CostSettings, noted: Mapping[str, str]) -> Usage:
    """Usage with what the configuration knows of its machine, where nobody has said it at the time."""
    if usage.storage is not None or usage.source == "pod" or usage.machine.startswith("runpod:"):
        return usage
    if usage.machine.startswith("host:"):
        return _of_machine(usage, settings.machine)
    gpu = noted.get(usage.run or "")
    where = settings.training
    if gpu is not None and where.gpu is not None and gpu != where.gpu:
        # Somebody has noted another GPU: the rate that is configured is not that one's.
        where = where.model_copy(update={"usd_per_hour": None})
    return _of_machine(replace(usage, gpu=usage.gpu or gpu), where)


def _of_machine(usage: Usage, machine: MachineSettings) -> Usage:
    return replace(
        usage,
        provider=usage.provider or machine.provider,
        gpu=usage.gpu or machine.gpu,
        cloud=usage.cloud or machine.cloud,
        own_usd_per_hour=machine.usd_per_hour,
    )


def _configured_storage(settings: CostSettings, until: datetime) -> list[Usage]:
    return [
        Usage(
            "storage",
            f"storage:{each.name}",
            datetime.combine(each.since, time(tzinfo=UTC)),
            until if each.until is None else min(until, datetime.combine(each.until, time(tzinfo=UTC))),
            "configured",
            provider=each.provider,
            gigabytes=each.gigabytes,
            storage=each.storage,
        )
        for each in settings.storage
    ]


def _spent(parts: Sequence[Sum], usages: Sequence[Usage]) -> CostSoFar:
    known = [each for each in parts if each.seconds or each.bases or each.unknown]
    told = [*(basis for each in known for basis in each.bases), *(why for each in known for why in each.unknown)]
    return CostSoFar(
        total(each.amount for each in known) if known else UNKNOWN,
        sum((each.seconds for each in known), Fraction(0)),
        max((each.ends for each in usages), default=None),
        datetime.now(UTC),
        "; ".join(dict.fromkeys(told)) or "no use of a machine is known",
    )


def no_cost(run_name: str) -> RunCost:
    """Of a run of which no use of a machine is known."""
    return RunCost(run_name, add_up(()), add_up(()), add_up(()), {})


def _span(usages: Sequence[Usage]) -> tuple[datetime, datetime]:
    return min(each.begins for each in usages), max(each.ends for each in usages)
