"""What is remembered of a machine from look to look."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final, Literal

from pixel_lora_pipeline.train.auto_stop.reading import State

Rule = Literal["degrading", "optimal", "diverged", "budget", "hours", "hard_cap"]
Phase = Literal["armed", "stopping", "stopped", "gone"]

RULES: Final[tuple[Rule, ...]] = ("hard_cap", "budget", "hours", "diverged", "degrading", "optimal")
"""All reasons to stop a machine, what costs most first."""


@dataclass(frozen=True)
class PastLook:
    """What the look before the present one has found.

    Attributes
    ----------
    state
        `unknown` if it was not fresh when it was decided on.
    rules
        The reasons to stop that it found.
    """

    asked_at: datetime
    state: State
    rules: frozenset[Rule]
    usd_per_hour: Decimal | None


@dataclass(frozen=True)
class Watch:
    """A registered machine as it stands with the guard. All moments are of the database's clock.

    Attributes
    ----------
    phase
        `armed` until it is to be stopped, `stopping` until it is, `stopped`, or `gone` if it is there no longer.
    armed_at
        Since when it runs, as far as the guard has seen it: its registration, or its last resumption.
    looked_at
        When it was last looked at, by whoever, and whether or not anything could be read.
    last_good_at
        When it was last read.
    usd_limit, hours_limit
        What it may cost, and how long it may run, each time it runs; None for no limit.
    highest_rate
        US dollars an hour; the highest that two readings in a row have confirmed.
    due_since
        Since when there is a reason to stop it.
    stop_asked_at
        When it was first asked to stop.
    """

    phase: Phase
    armed_at: datetime
    looked_at: datetime | None
    last_good_at: datetime
    usd_limit: Decimal | None = None
    hours_limit: float | None = None
    highest_rate: Decimal | None = None
    due_since: datetime | None = None
    stop_asked_at: datetime | None = None
    previous: PastLook | None = None
