"""What each share of a machine's time costs: by the bill, else by the provider's own rate, else by a list price."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Final

from pixel_lora_pipeline.train.costs.amount import PRECEDENCE, UNKNOWN, Amount, Kind
from pixel_lora_pipeline.train.costs.prices import NoPrice, PriceBook
from pixel_lora_pipeline.train.costs.shares import Share, shares
from pixel_lora_pipeline.train.costs.usage import Usage, following, month_begins, month_of

_SECONDS_AN_HOUR: Final = 3600


@dataclass(frozen=True)
class Bill:
    """What a provider has billed for a machine, for a time that is over; half-open.

    Attributes
    ----------
    machine
        As `Usage` calls it.
    compute_usd, storage_usd
        For the machine itself, and for its disks.
    """

    provider: str
    machine: str
    begins: datetime
    ends: datetime
    compute_usd: Decimal
    storage_usd: Decimal


@dataclass(frozen=True)
class Charge:
    """A share with all that is known of its cost.

    Attributes
    ----------
    found
        By kind: what was billed, what had accrued, what a list price makes it. None of them is thrown away.
    basis
        What the best of them rests on; why it is unknown where there is none.
    """

    share: Share
    found: Mapping[Kind, Fraction]
    basis: str

    @property
    def amount(self) -> Amount:
        """The surest of what was found."""
        kind = next((kind for kind in PRECEDENCE if kind in self.found), None)
        return UNKNOWN if kind is None else Amount(self.found[kind], is_complete=True, kind=kind)


@dataclass(frozen=True)
class Charges:
    """All charges of a time, and bills that belong to no known work: a machine of ours that did nothing we know of."""

    charges: tuple[Charge, ...]
    unattributed: tuple[Bill, ...] = ()


def charge(usages: Iterable[Usage], bills: Sequence[Bill], book: PriceBook) -> Charges:
    """Price the time of machines, each moment once.

    A bill is divided among the work of its time by their seconds; where no storage of the machine is known, what was
    billed for its disks goes to the work as well, so that nothing of a bill is lost. No share reaches across the end of
    a day (UTC), of a bill, or of a price.
    """
    known = list(usages)
    if not known:
        return Charges((), tuple(bills))
    begins, ends = min(usage.begins for usage in known), max(usage.ends for usage in known)
    cuts = {moment for bill in bills for moment in (bill.begins, bill.ends)} | set(book.changes())
    divided = shares(known, sorted(cuts | set(_midnights(begins, ends))))
    billed, unattributed = _divide(bills, divided)
    return Charges(
        tuple(_charge(share, billed.get(at), book) for at, share in enumerate(divided)),
        tuple(unattributed),
    )


def _midnights(begins: datetime, ends: datetime) -> list[datetime]:
    first = begins.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return [first + timedelta(days=days) for days in range(1, (ends - first).days + 1)]


def _divide(bills: Sequence[Bill], divided: Sequence[Share]) -> tuple[dict[int, Fraction], list[Bill]]:
    """What each share was billed, by its place, and the bills that no share has anything to do with."""
    by_machine: dict[str, list[int]] = defaultdict(list)
    for at, share in enumerate(divided):
        by_machine[share.usage.machine].append(at)
    billed: dict[int, Fraction] = {}
    unattributed = []
    for bill in bills:
        places = [
            at
            for at in by_machine.get(bill.machine, ())
            if bill.begins <= divided[at].usage.begins and divided[at].usage.ends <= bill.ends
        ]
        disks = [at for at in places if divided[at].usage.storage is not None]
        work = [at for at in places if divided[at].usage.storage is None]
        parts = [(work, bill.compute_usd), (disks, bill.storage_usd)]
        if not disks or not work:
            parts = [(places, bill.compute_usd + bill.storage_usd)]
        if not places:
            unattributed.append(bill)
            continue
        for among, usd in parts:
            seconds = sum((divided[at].seconds for at in among), Fraction(0))
            for at in among:
                billed[at] = Fraction(usd) * divided[at].seconds / seconds
    return billed, unattributed


def _charge(share: Share, billed: Fraction | None, book: PriceBook) -> Charge:
    found: dict[Kind, Fraction] = {}
    bases: dict[Kind, str] = {}
    usage, hours = share.usage, share.seconds / _SECONDS_AN_HOUR
    if billed is not None:
        found["actual"], bases["actual"] = billed, f"billed by {usage.provider or 'the provider'}"
    if usage.usd_per_hour is not None and usage.storage is None:
        found["accrued"] = Fraction(usage.usd_per_hour) * hours
        bases["accrued"] = f"rate of the machine while it ran: ${usage.usd_per_hour} an hour"
    estimate, why = _estimate(share, book)
    if estimate is not None:
        found["estimate"] = estimate
    bases["estimate"] = why
    return Charge(share, found, next((bases[kind] for kind in PRECEDENCE if kind in found), why))


def _estimate(share: Share, book: PriceBook) -> tuple[Fraction | None, str]:
    """By a list price or a rate of one's own, and what it rests on; without one, why there is none."""
    usage = share.usage
    if usage.storage is not None:
        stored = book.of_storage(usage.provider, usage.storage)
        if isinstance(stored, NoPrice):
            return None, stored.reason
        if usage.gigabytes is None:
            return None, f"how large the {usage.storage} is is not known"
        return Fraction(usage.gigabytes) * Fraction(stored.usd_per_gb_month) * _of_month(share), stored.basis
    if usage.own_usd_per_hour is not None:
        rate = usage.own_usd_per_hour
        return Fraction(rate) * share.seconds / _SECONDS_AN_HOUR, f"rate of the configuration: ${rate} an hour"
    price = book.at(usage.begins, usage.provider, usage.gpu, usage.cloud)
    if isinstance(price, NoPrice):
        return None, price.reason
    return Fraction(price.usd_per_hour) * share.seconds / _SECONDS_AN_HOUR, price.basis


def _of_month(share: Share) -> Fraction:
    """Which part of its month a share is: a whole month costs the same whether it is long or short."""
    month = month_of(share.usage.begins)
    seconds = (month_begins(following(month)) - month_begins(month)).total_seconds()
    return share.seconds / int(seconds)
