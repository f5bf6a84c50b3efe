"""Charges added up: by run, by epoch, by month."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, TypeVar

from pixel_lora_pipeline.train.costs.amount import Amount, rounded, total
from pixel_lora_pipeline.train.costs.charges import Charge
from pixel_lora_pipeline.train.costs.usage import UsageKind

_Key = TypeVar("_Key")
_MILLISECOND: Final = Decimal("0.001")


@dataclass(frozen=True)
class Sum:
    """What something has cost.

    Attributes
    ----------
    amount
        In dollars.
    seconds
        Of machines; storage has none.
    bases
        What the amount rests on, each once.
    unknown
        Why parts of it have no price: reason to seconds, the longest first. Storage without a price has 0 seconds.
    place
        Where most of the time was spent, as far as it is known: provider, GPU and cloud.
    """

    amount: Amount
    seconds: Fraction
    bases: tuple[str, ...]
    unknown: Mapping[str, Fraction]
    place: tuple[str | None, str, str | None] | None = None

    @property
    def gpu(self) -> str | None:
        """That was used for the longest time, as far as it is known."""
        return None if self.place is None else self.place[1]

    @property
    def hours(self) -> float:
        """Of machines."""
        return float(self.seconds / 3600)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            **self.amount.to_dict(),
            "seconds": float(rounded(self.seconds, _MILLISECOND)),
            "gpu": self.gpu,
            "bases": list(self.bases),
            "unknown": {why: float(rounded(seconds, _MILLISECOND)) for why, seconds in self.unknown.items()},
        }


@dataclass(frozen=True)
class RunCost:
    """A training and what it took.

    Attributes
    ----------
    training
        Of its machine, with what belongs to no epoch: starting up, an epoch that was not completed, idling.
    evaluation
        Of painting its test images; not a part of `training`.
    storage
        Of the disks of its machine.
    epochs
        Of `training`, by epoch.
    """

    run: str
    training: Sum
    evaluation: Sum
    storage: Sum
    epochs: Mapping[int, Sum]

    @property
    def whole(self) -> Amount:
        """All three together."""
        return total(
            each.amount for each in (self.training, self.evaluation, self.storage) if each.seconds or each.bases
        )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "run": self.run,
            "training": self.training.to_dict(),
            "evaluation": self.evaluation.to_dict(),
            "storage": self.storage.to_dict(),
            "epochs": {
                str(epoch): {**each.to_dict(), "so_far": self.so_far(epoch).to_dict()}
                for epoch, each in self.epochs.items()
            },
        }

    def so_far(self, epoch: int) -> Amount:
        """What its epochs up to one have cost together."""
        return total(each.amount for number, each in self.epochs.items() if number <= epoch)


def add_up(charges: Iterable[Charge]) -> Sum:
    """The sum of charges; nothing at all costs nothing."""
    parts = list(charges)
    seconds: dict[str, Fraction] = defaultdict(Fraction)
    places: dict[tuple[str | None, str, str | None], Fraction] = defaultdict(Fraction)
    for part in parts:
        if part.amount.exact is None:
            seconds[part.basis] += _machine_seconds(part)
        usage = part.share.usage
        if usage.gpu is not None:
            places[usage.provider, usage.gpu, usage.cloud] += _machine_seconds(part)
    return Sum(
        total(part.amount for part in parts),
        sum(map(_machine_seconds, parts), Fraction(0)),
        tuple(dict.fromkeys(part.basis for part in parts if part.amount.exact is not None)),
        dict(sorted(seconds.items(), key=lambda each: -each[1])),
        max(places, key=lambda place: places[place], default=None),
    )


def by_run(charges: Iterable[Charge]) -> dict[str, RunCost]:
    """What each run has cost, the one that was begun first first."""
    runs = _grouped(
        sorted(
            (each for each in charges if each.share.usage.run is not None), key=lambda each: each.share.usage.begins
        ),
        lambda each: each.share.usage.run or "",
    )
    return {run: _of_run(run, found) for run, found in runs.items()}


def by_kind(charges: Iterable[Charge]) -> dict[UsageKind, Sum]:
    """What training, evaluation and storage have cost."""
    groups = _grouped(charges, lambda each: each.share.usage.kind)
    kinds: tuple[UsageKind, ...] = ("training", "evaluation", "storage")
    return {kind: add_up(groups.get(kind, ())) for kind in kinds}


def by_day(charges: Iterable[Charge]) -> dict[date, Amount]:
    """What each day (UTC) has cost, as far as it is known; days on which nothing was used are left out."""
    days = _grouped(charges, lambda each: each.share.usage.begins.astimezone(UTC).date())
    return {day: total(each.amount for each in days[day]) for day in sorted(days)}


def _of_run(run: str, charges: Sequence[Charge]) -> RunCost:
    kinds = by_kind(charges)
    training = [each for each in charges if each.share.usage.kind == "training"]
    epochs = _grouped(
        (each for each in training if each.share.usage.epoch is not None), lambda each: each.share.usage.epoch or 0
    )
    return RunCost(
        run,
        kinds["training"],
        kinds["evaluation"],
        kinds["storage"],
        {epoch: add_up(epochs[epoch]) for epoch in sorted(epochs)},
    )


def _machine_seconds(charge: Charge) -> Fraction:
    return Fraction(0) if charge.share.usage.storage is not None else charge.share.seconds


def _grouped(charges: Iterable[Charge], key: Callable[[Charge], _Key]) -> dict[_Key, list[Charge]]:
    groups: dict[_Key, list[Charge]] = defaultdict(list)
    for each in charges:
        groups[key(each)].append(each)
    return groups
