"""Something that used a machine for a while."""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Literal

UsageKind = Literal["training", "evaluation", "storage"]
Source = Literal["header", "trainer", "pod", "measured", "configured"]
Storage = Literal["container", "volume", "stopped volume", "network volume"]


@dataclass(frozen=True)
class Usage:
    """One statement that a machine was used from one moment to another.

    Attributes
    ----------
    kind
        What for.
    machine
        Two statements about the same machine are about the same time: "host:NAME", "runpod:POD", or "run:ID:…" for a
        training of which only its files are known.
    begins, ends
        Half-open: the moment of the end is not used any more. With a time zone.
    source
        Who says so: the headers of checkpoints, our own trainer, the provider's pod, our own clock around the painting
        of test images, or the configuration.
    run
        Name of the training; for an evaluation, of the training that is evaluated. None for what is nobody's.
    epoch
        Of that run, where it is known.
    provider, gpu, cloud
        Whose machine it is, its GPU, and which of the provider's offers ("secure", "community"); None if not known.
    usd_per_hour
        The rate that the provider itself gave for this time.
    own_usd_per_hour
        The rate that the owner of the machine has configured; 0 is an answer, too.
    gigabytes, storage
        Of storage: how much of which kind.
    """

    kind: UsageKind
    machine: str
    begins: datetime
    ends: datetime
    source: Source
    run: str | None = None
    epoch: int | None = None
    provider: str | None = None
    gpu: str | None = None
    cloud: str | None = None
    usd_per_hour: Decimal | None = None
    own_usd_per_hour: Decimal | None = None
    gigabytes: Decimal | None = None
    storage: Storage | None = None


def month_of(moment: datetime) -> date:
    """The first day of the month, in UTC, that a moment lies in."""
    return moment.astimezone(UTC).date().replace(day=1)


def month_begins(month: date) -> datetime:
    """The first moment of a month, in UTC."""
    return datetime(month.year, month.month, 1, tzinfo=UTC)


def following(month: date) -> date:
    """The first day of the next month."""
    return date(month.year + month.month // 12, month.month % 12 + 1, 1)
