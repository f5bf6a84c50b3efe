"""Every moment of a machine is counted once, whoever tells of it, and belongs to whoever used it."""

import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from pixel_lora_pipeline.train.costs import Usage, shares

BEGIN = datetime(2026, 11, 30, 22, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return BEGIN + timedelta(minutes=minutes)


def used(begins: float, ends: float, machine: str = "host:a", **told: Any) -> Usage:
    described: dict[str, Any] = {"kind": "training", "source": "header", "run": "a run", **told}
    return Usage(machine=machine, begins=at(begins), ends=at(ends), **described)


def union(usages: list[Usage]) -> timedelta:
    """The length of the union of periods, by the textbook."""
    covered, until = timedelta(), datetime.min.replace(tzinfo=UTC)
    for usage in sorted(usages, key=lambda each: each.begins):
        covered += max(usage.ends - max(usage.begins, until), timedelta())
        until = max(until, usage.ends)
    return covered


@pytest.mark.parametrize("seed", range(40))
def test_the_parts_of_random_times_add_up_to_their_union_on_every_machine(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    usages, by_machine = [], defaultdict(list)
    for _ in range(chance.randint(1, 25)):
        begins = chance.uniform(0, 300)
        usage = used(
            begins,
            begins + chance.choice([0.0, 0.0000001, chance.uniform(0, 90)]),
            machine=chance.choice(["host:a", "runpod:b"]),
            run=chance.choice(["one", "two", "three", None]),
            kind=chance.choice(["training", "evaluation"]),
            epoch=chance.choice([None, 1, 2]),
            source=chance.choice(["header", "trainer", "pod"]),
        )
        usages.append(usage)
        by_machine[usage.machine].append(usage)
    cuts = [at(chance.uniform(-20, 400)) for _ in range(chance.randint(0, 5))]
    found = shares(usages, cuts)
    for machine, told in by_machine.items():
        counted = sum((each.seconds for each in found if each.usage.machine == machine), Fraction(0))
        assert counted == Fraction(union(told) // timedelta(microseconds=1), 1_000_000), machine
    for each in found:
        assert each.usage.begins < each.usage.ends
        assert not any(each.usage.begins < cut < each.usage.ends for cut in cuts), "it reaches across a cut"
    assert found == shares(chance.sample(usages, len(usages)), cuts) or _ties(usages), "the order must not matter"


def _ties(usages: list[Usage]) -> bool:
    return len({each.begins for each in usages}) < len(usages)


def test_the_moment_at_which_one_ends_and_another_begins_belongs_to_the_other() -> None:
    found = shares([used(0, 30, epoch=1), used(30, 60, epoch=2)])
    assert [(each.usage.epoch, each.seconds) for each in found] == [(1, 1800), (2, 1800)]


def test_a_process_its_epochs_and_its_pod_are_one_use_of_the_machine() -> None:
    pod = used(-10, 70, source="pod", provider="runpod", gpu="A40", usd_per_hour=Decimal("0.44"))
    found = shares([pod, used(0, 30, epoch=1), used(30, 60, epoch=2), used(-1, 61, source="trainer")])
    by_epoch: dict[int | None, Fraction] = defaultdict(Fraction)
    for each in found:
        by_epoch[each.usage.epoch] += each.seconds
        assert (each.usage.gpu, each.usage.usd_per_hour) == ("A40", Decimal("0.44")), "who knows it says it for all"
    assert by_epoch == {None: 1200, 1: 1800, 2: 1800}


def test_two_trainings_on_one_machine_share_its_time_and_on_two_machines_do_not() -> None:
    together = shares([used(0, 60, run="one"), used(0, 60, run="two")])
    assert {each.usage.run: each.seconds for each in together} == {"one": 1800, "two": 1800}
    apart = shares([used(0, 60, run="one"), used(0, 60, run="two", machine="host:b")])
    assert {each.usage.run: each.seconds for each in apart} == {"one": 3600, "two": 3600}


def test_the_disks_of_a_machine_take_none_of_its_time() -> None:
    disk = used(0, 120, kind="storage", storage="volume", gigabytes=Decimal(50), source="pod")
    found = shares([used(0, 60), disk])
    assert {each.usage.kind: each.seconds for each in found} == {"training": 3600, "storage": 7200}
