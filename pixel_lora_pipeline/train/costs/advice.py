"""What could have been cheaper, and what stopping early has saved: counterfactual, and said to be so."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any

from pixel_lora_pipeline.train.costs.amount import UNKNOWN, Amount
from pixel_lora_pipeline.train.costs.prices import NoPrice, Price, PriceBook
from pixel_lora_pipeline.train.costs.sums import RunCost


@dataclass(frozen=True)
class Saving:
    """What a training that was stopped early did not cost.

    Attributes
    ----------
    epochs
        That were planned and not trained.
    seconds
        What they would have taken, at the median of those that were trained; None if nobody knows.
    amount
        What they would have cost, at what a second of this training cost.
    """

    run: str
    epochs: int
    seconds: float | None
    amount: Amount

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "amount": self.amount.to_dict(), "counterfactual": True}


@dataclass(frozen=True)
class CheaperGpu:
    """What the early epochs of a training would have cost on another GPU.

    Attributes
    ----------
    seconds, paid
        That these epochs took, and what they cost.
    gpu
        The other, with its price.
    same_seconds
        What as many seconds of it cost: right only if it is as fast.
    may_take
        How many times as long it may take and still be cheaper: the ratio of the two prices.
    takes
        How many times as long it took for comparable work; None if no comparable training has run on it.
    would_cost
        With that; None without.
    sentence
        All of this for people, what is missing included.
    """

    run: str
    epochs: tuple[int, ...]
    seconds: float
    paid: Amount
    gpu: Price
    same_seconds: Amount
    may_take: float
    takes: float | None
    would_cost: Amount | None
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "run": self.run,
            "epochs": list(self.epochs),
            "seconds": self.seconds,
            "paid": self.paid.to_dict(),
            "gpu": self.gpu.gpu,
            "price": self.gpu.basis,
            "same_seconds": self.same_seconds.to_dict(),
            "may_take": self.may_take,
            "takes": self.takes,
            "would_cost": None if self.would_cost is None else self.would_cost.to_dict(),
            "counterfactual": True,
            "sentence": self.sentence,
        }


def saved_by_stopping(
    cost: RunCost, *, planned_epochs: int, trained_epochs: int, seconds_per_epoch: float | None
) -> Saving | None:
    """What a training that was stopped on a recommendation saved; None if it had all its epochs.

    Parameters
    ----------
    seconds_per_epoch
        Measured on this training; None if it was not.
    """
    left = planned_epochs - trained_epochs
    if left <= 0:
        return None
    paid, seconds = cost.training.amount, cost.training.seconds
    if seconds_per_epoch is None or not seconds:
        return Saving(cost.run, left, None, UNKNOWN)
    saved = Fraction(seconds_per_epoch) * left
    known = paid.exact is not None and paid.is_complete
    amount = Amount(paid.exact * saved / seconds, kind="estimate") if known and paid.exact is not None else UNKNOWN
    return Saving(cost.run, left, float(saved), amount)


def cheaper_gpus(
    cost: RunCost,
    *,
    provider: str | None,
    gpu: str | None,
    cloud: str | None,
    book: PriceBook,
    now: datetime,
    planned_epochs: int | None = None,
    takes: Mapping[str, float] | None = None,
) -> list[CheaperGpu]:
    """GPUs of the same offer that cost less an hour, the cheapest first, for the first third of a training.

    In its first epochs a training is only watched for whether it is worth going on: there a slower GPU costs time and
    little else.

    Parameters
    ----------
    cost
        Of the training, by epoch.
    provider, gpu, cloud
        Where it ran. Without a price of it now there is nothing to compare.
    takes
        By GPU: how many times as long it takes for the same work, measured.
    """
    here = book.at(now, provider, gpu, cloud)
    if isinstance(here, NoPrice) or not cost.epochs or here.usd_per_hour == 0:
        return []
    early = _early(sorted(cost.epochs), planned_epochs)
    seconds = sum((cost.epochs[epoch].seconds for epoch in early), Fraction(0))
    paid = Amount(Fraction(here.usd_per_hour) * seconds / 3600, kind="estimate")
    found = []
    for other in {price.gpu: price for price in book.prices if _is_of(price, here)}.values():
        current = book.at(now, other.provider, other.gpu, other.cloud)
        if isinstance(current, NoPrice) or current.usd_per_hour >= here.usd_per_hour:
            continue
        may_take = float(here.usd_per_hour / current.usd_per_hour) if current.usd_per_hour else float("inf")
        same = Amount(Fraction(current.usd_per_hour) * seconds / 3600, kind="estimate")
        times = (takes or {}).get(current.gpu)
        would = None if times is None or same.exact is None else Amount(same.exact * Fraction(times), kind="estimate")
        found.append(
            CheaperGpu(
                cost.run,
                tuple(early),
                float(seconds),
                paid,
                current,
                same,
                may_take,
                times,
                would,
                _sentence(cost.run, early, here, current, paid, same, may_take, times, would),
            )
        )
    return sorted(found, key=lambda each: each.gpu.usd_per_hour)


def _early(epochs: Sequence[int], planned: int | None) -> list[int]:
    last = max(1, (planned or epochs[-1]) // 3)
    return [epoch for epoch in epochs if epoch <= last] or [epochs[0]]


def _is_of(price: Price, other: Price) -> bool:
    return price.provider == other.provider and price.cloud == other.cloud and price.gpu != other.gpu


def _sentence(
    run: str,
    epochs: Sequence[int],
    here: Price,
    other: Price,
    paid: Amount,
    same: Amount,
    may_take: float,
    takes: float | None,
    would: Amount | None,
) -> str:
    which = f"epoch {epochs[0]}" if len(epochs) == 1 else f"epochs {epochs[0]} to {epochs[-1]}"
    begins = f"{run}, {which}: {paid} on {here.gpu} at its list price; {same} for as many seconds of {other.gpu}"
    if takes is None or would is None:
        return (
            f"{begins}, which pays as long as it takes less than {may_take:.1f} times as long. How much slower it is "
            f"is not known: no comparable training has run on it."
        )
    return f"{begins}. It takes {takes:.1f} times as long for comparable work, so {would}."
