"""Guessing passwords: a few tries, and then none is looked at for a while."""

import pytest

from pixel_lora_pipeline.lab import failed_logins
from pixel_lora_pipeline.lab.failed_logins import MOST_FAILED, WITHIN_SECONDS, FailedLogins


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def failed(clock: Clock) -> FailedLogins:
    return FailedLogins(clock)


def test_a_person_may_mistype_as_often_as_the_limit_says(failed: FailedLogins, clock: Clock) -> None:
    for _ in range(MOST_FAILED):
        assert failed.seconds_to_wait("192.0.2.1") == 0
        failed.add("192.0.2.1")
        clock.now += 1
    assert failed.seconds_to_wait("192.0.2.1") == WITHIN_SECONDS - MOST_FAILED
    assert failed.seconds_to_wait("192.0.2.2") == 0
    clock.now += WITHIN_SECONDS - MOST_FAILED
    assert failed.seconds_to_wait("192.0.2.1") == 0


def test_who_goes_on_guessing_gets_no_more_than_the_limit_a_minute(failed: FailedLogins, clock: Clock) -> None:
    looked_at = 0
    for _ in range(3600):
        if failed.seconds_to_wait("192.0.2.1") == 0:
            failed.add("192.0.2.1")
            looked_at += 1
        clock.now += 1
    assert looked_at == MOST_FAILED * 3600 / WITHIN_SECONDS


def test_addresses_of_one_network_are_one(failed: FailedLogins) -> None:
    for host in range(MOST_FAILED):
        failed.add(f"2001:db8:1:2::{host:x}")
    assert failed.seconds_to_wait("2001:db8:1:2:ffff::1") > 0
    assert failed.seconds_to_wait("2001:db8:1:3::1") == 0


def test_many_addresses_do_not_fill_the_memory(failed: FailedLogins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_logins, "_MOST_ADDRESSES", 3)
    for _ in range(MOST_FAILED):
        failed.add("first")
    for name in ("second", "third"):
        failed.add(name)
    assert failed.seconds_to_wait("first") > 0
    failed.add("fourth")
    assert failed.seconds_to_wait("first") == 0
