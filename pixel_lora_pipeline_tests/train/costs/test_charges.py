"""Money is exact to the cent, comes from the surest source, and is unknown where nobody knows a price."""

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest

from pixel_lora_pipeline.train.costs import (
    Amount,
    Bill,
    Charge,
    Price,
    PriceBook,
    StoragePrice,
    Usage,
    add_up,
    by_day,
    by_run,
    charge,
    rounded,
    total,
)
from pixel_lora_pipeline.train.costs.usage import following, month_of

BEGIN = datetime(2026, 11, 10, 8, tzinfo=UTC)


def price(usd: str, retrieved: date = date(2026, 11, 9), **told: Any) -> Price:
    described: dict[str, Any] = {"provider": "runpod", "gpu": "A40", "cloud": "secure", **told}
    return Price(
        **described, usd_per_hour=Decimal(usd), source="a list", source_url="https://x.test", retrieved=retrieved
    )


BOOK = PriceBook(
    (price("0.44"),),
    (StoragePrice("runpod", "network volume", Decimal("0.07"), "a list", "https://x.test", date(2026, 11, 9)),),
)


def used(hours: float, begins: datetime = BEGIN, **told: Any) -> Usage:
    described: dict[str, Any] = {
        "kind": "training",
        "machine": "runpod:p1",
        "source": "pod",
        "run": "portrait",
        "provider": "runpod",
        "gpu": "NVIDIA A40",
        "cloud": "secure",
    }
    return Usage(begins=begins, ends=begins + timedelta(hours=hours), **{**described, **told})


def bill(usd: str, hours: float = 1, begins: datetime = BEGIN, disks: str = "0", machine: str = "runpod:p1") -> Bill:
    return Bill("runpod", machine, begins, begins + timedelta(hours=hours), Decimal(usd), Decimal(disks))


def whole(charges: tuple[Charge, ...]) -> Amount:
    return total(each.amount for each in charges)


def test_a_third_of_a_cent_is_not_lost_and_halves_are_rounded_away_from_zero() -> None:
    # 10 s at 0.44 $/h are 0.00122… $: a thousand epochs of it are 1.22 $, and not 1000 × 0.00 $.
    epochs = [used(10 / 3600, BEGIN + timedelta(seconds=10 * n), epoch=n + 1) for n in range(1000)]
    found = charge(epochs, [], BOOK).charges
    assert whole(found).usd == Decimal("1.22")
    assert whole(found).exact == Fraction(44, 100) * 10_000 / 3600
    assert [str(rounded(Fraction(n, 1000))) for n in (4, 5, 15, -5)] == ["0.00", "0.01", "0.02", "-0.01"]


@pytest.mark.parametrize("seed", range(20))
def test_however_a_time_is_cut_and_shared_its_parts_cost_what_the_whole_costs(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    rate = Decimal(chance.randint(1, 999)) / 100
    book = PriceBook((price(str(rate)),))
    minutes = sorted(chance.sample(range(5000), 8))
    parts = [
        used((right - left) / 60, BEGIN + timedelta(minutes=left), run=chance.choice("abc"))
        for left, right in pairwise(minutes)
    ]
    parts += [used(chance.uniform(0, 20), BEGIN + timedelta(minutes=minutes[0]), run="d")]
    ends = max(each.ends for each in parts)
    held = (ends - BEGIN - timedelta(minutes=minutes[0])) // timedelta(microseconds=1)
    found = charge(parts, [], book).charges
    exact = Fraction(rate) * Fraction(held, 3_600_000_000)
    assert whole(found).exact == exact
    assert total(each.whole for each in by_run(found).values()).exact == exact
    assert total(by_day(found).values()).exact == exact


def test_the_bill_counts_before_the_rate_of_the_machine_and_that_before_a_list_price_and_all_are_kept() -> None:
    rated = used(3, usd_per_hour=Decimal("0.50"))
    unrated = used(1, BEGIN + timedelta(hours=3))
    found = charge([rated, unrated], [bill("0.47")], BOOK).charges
    assert [each.amount.kind for each in found] == ["actual", "accrued", "estimate"]
    assert [each.amount.exact for each in found] == [Fraction("0.47"), Fraction("1.00"), Fraction("0.44")]
    assert found[0].found == {"actual": Fraction("0.47"), "accrued": Fraction("0.50"), "estimate": Fraction("0.44")}
    assert (whole(found).usd, whole(found).kind) == (Decimal("1.91"), "estimate"), "a sum is as sure as its worst part"
    assert "list price of 2026-11-09" in found[-1].basis


def test_a_bill_is_divided_among_those_who_worked_and_nothing_of_it_is_lost() -> None:
    works = [used(0.5, run="one"), used(0.5, BEGIN + timedelta(minutes=30), run="two", kind="evaluation")]
    found = charge(works, [bill("0.40", disks="0.03")], BOOK)
    assert {name: cost.whole.exact for name, cost in by_run(found.charges).items()} == {
        "one": Fraction("0.215"),
        "two": Fraction("0.215"),
    }
    disk = used(1, kind="storage", storage="volume", gigabytes=Decimal(50))
    apart = by_run(charge([used(1), disk], [bill("0.40", disks="0.03")], BOOK).charges)["portrait"]
    assert (apart.training.amount.usd, apart.storage.amount.usd) == (Decimal("0.40"), Decimal("0.03"))


def test_a_bill_of_an_hour_in_which_nothing_is_known_to_have_run_is_told_by_itself() -> None:
    idle = bill("0.44", begins=BEGIN + timedelta(hours=5))
    found = charge([used(1)], [bill("0.44"), idle], BOOK)
    assert found.unattributed == (idle,)
    assert whole(found.charges).usd == Decimal("0.44")


def test_an_unknown_gpu_costs_something_unknown_and_sums_with_it_say_at_least() -> None:
    found = charge([used(1), used(2, BEGIN + timedelta(hours=1), gpu="RTX 9090", run="other")], [], BOOK).charges
    added = add_up(found)
    assert str(added.amount) == "at least $0.44"
    assert added.seconds == 3 * 3600
    ((reason, seconds),) = added.unknown.items()
    assert "RTX 9090" in reason and "costs refresh" in reason and seconds == 7200
    other = by_run(found)["other"].training.amount
    assert (other.usd, str(other), other.is_complete) == (None, "unknown", False)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ({"gpu": None}, "the GPU is not known"),
        ({"provider": None}, "the provider is not known"),
        ({"provider": "vast"}, "no price of vast"),
        ({"cloud": "community"}, "no price of runpod community"),
    ],
)
def test_what_is_missing_for_a_price_is_said(told: dict[str, Any], why: str) -> None:
    (only,) = charge([used(1, **told)], [], BOOK).charges
    assert only.amount.exact is None and why in only.basis


def test_a_machine_that_its_owner_calls_free_costs_nothing_and_that_is_known() -> None:
    (only,) = charge([used(1, provider=None, gpu=None, own_usd_per_hour=Decimal(0))], [], BOOK).charges
    assert str(only.amount) == "$0.00"


def test_two_clouds_with_different_prices_are_not_guessed_between() -> None:
    book = PriceBook((price("0.44"), price("0.35", cloud="community")))
    (only,) = charge([used(1, cloud=None)], [], book).charges
    assert only.amount.exact is None and "community or secure" in only.basis
    (either,) = charge([used(1, cloud=None)], [], BOOK).charges
    assert either.amount.usd == Decimal("0.44"), "there is only one"


def test_a_price_that_changes_counts_from_that_moment_on() -> None:
    change = BEGIN + timedelta(minutes=30)
    book = PriceBook(
        (
            price("1.00", date(2026, 11, 10), valid_from=change),
            price("0.40", date(2026, 11, 1), valid_from=BEGIN - timedelta(days=9), valid_until=change),
        )
    )
    assert whole(charge([used(1)], [], book).charges).usd == Decimal("0.70")


def test_the_last_second_of_a_month_belongs_to_it_and_the_next_to_the_next_in_utc() -> None:
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    in_berlin = (midnight - timedelta(minutes=90)).astimezone(datetime.now().astimezone().tzinfo)
    found = charge([used(2, in_berlin)], [], BOOK).charges
    by_month = {month: add_up(each for each in found if month_of(each.share.usage.begins) == month) for month in
                (date(2026, 11, 1), date(2026, 12, 1))}  # fmt: skip
    assert [by_month[month].seconds for month in sorted(by_month)] == [5400, 1800]
    assert (month_of(midnight), month_of(midnight - timedelta(microseconds=1))) == (
        date(2026, 12, 1),
        date(2026, 11, 1),
    )
    assert following(date(2026, 12, 1)) == date(2027, 1, 1)


def test_storage_costs_a_month_its_rate_however_long_the_month_is() -> None:
    for begins in (datetime(2026, 11, 1, tzinfo=UTC), datetime(2027, 2, 1, tzinfo=UTC)):
        days = (following(begins.date()) - begins.date()).days
        held = used(24 * days, begins, kind="storage", storage="network volume", gigabytes=Decimal(100), run=None)
        assert whole(charge([held], [], BOOK).charges).usd == Decimal("7.00")
        assert add_up(charge([held], [], BOOK).charges).seconds == 0, "it takes no machine's time"
