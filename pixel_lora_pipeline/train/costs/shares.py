"""Each moment of a machine counted once, however many rows tell of it, and shared by whoever used it then."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import TypeVar

from pixel_lora_pipeline.train.costs.usage import Usage

_MICROSECOND = timedelta(microseconds=1)
_Told = TypeVar("_Told")


@dataclass(frozen=True)
class Share:
    """What one piece of work had of a machine.

    Attributes
    ----------
    usage
        What is known of it, all statements about the time together; its period is this share's.
    seconds
        How much of that time is its own: all of it, or an equal part where several worked at once. Exact.
    """

    usage: Usage
    seconds: Fraction


def shares(usages: Iterable[Usage], cuts: Sequence[datetime] = ()) -> list[Share]:
    """Divide the time of every machine among those who used it, so that all seconds together are the union of times.

    A machine is paid by the hour, whatever runs on it: work that shares it shares its time equally. Statements about
    the same work (its process, its epochs, the readings of its pod) are one: the epoch is taken from whoever knows it,
    and so are the GPU and the rate. Storage is a thing of its own and shares no time with the machine.

    Parameters
    ----------
    cuts
        Moments that no share may reach across: prices that change, months that begin.
    """
    by_resource: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    for usage in usages:
        if usage.begins < usage.ends:
            by_resource[usage.machine, usage.storage or ""].append(usage)
    ordered = sorted(cuts)
    return [share for resource in sorted(by_resource) for share in _of_one_resource(by_resource[resource], ordered)]


def duration(usage: Usage) -> Fraction:
    """Seconds from begin to end, exact."""
    return Fraction((usage.ends - usage.begins) // _MICROSECOND, 1_000_000)


def _of_one_resource(usages: list[Usage], cuts: Sequence[datetime]) -> list[Share]:
    begins, ends = min(usage.begins for usage in usages), max(usage.ends for usage in usages)
    moments = {moment for usage in usages for moment in (usage.begins, usage.ends)}
    moments |= set(cuts[bisect_right(cuts, begins) : bisect_left(cuts, ends)])
    starting = sorted(usages, key=lambda usage: usage.begins)
    active: list[Usage] = []
    found: list[Share] = []
    at = 0
    for left, right in pairwise(sorted(moments)):
        active = [usage for usage in active if usage.ends > left]
        while at < len(starting) and starting[at].begins <= left:
            active.append(starting[at])
            at += 1
        found.extend(_of_moment(active, left, right))
    return found


def _of_moment(active: list[Usage], left: datetime, right: datetime) -> list[Share]:
    """Between two moments at which nothing changes."""
    works: dict[tuple[str, str], list[Usage]] = defaultdict(list)
    for usage in active:
        works[usage.kind, usage.run or ""].append(usage)
    found = []
    for told in works.values():
        # Where no single epoch is named the time is the run's; where several are, they share it.
        named = sorted({usage.epoch for usage in told if usage.epoch is not None})
        epochs: list[int | None] = [*named] or [None]
        for epoch in epochs:
            # Of what changes in the course of time (a rate, the size of a volume) the newest statement counts.
            by_age = sorted(told, key=lambda usage: usage.begins, reverse=True)
            usage = replace(
                by_age[0],
                begins=left,
                ends=right,
                epoch=epoch,
                provider=_first(usage.provider for usage in by_age),
                gpu=_first(usage.gpu for usage in by_age),
                cloud=_first(usage.cloud for usage in by_age),
                usd_per_hour=_first(usage.usd_per_hour for usage in by_age),
                own_usd_per_hour=_first(usage.own_usd_per_hour for usage in by_age),
                gigabytes=_first(usage.gigabytes for usage in by_age),
            )
            found.append(Share(usage, duration(usage) / len(works) / len(epochs)))
    return found


def _first(told: Iterable[_Told | None]) -> _Told | None:
    return next((each for each in told if each is not None), None)
