"""How far the guard may go, and its limits."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Literal

Mode = Literal["off", "observe", "notify", "stop"]

WARNED_AT: Final = 0.8
"""The share of a limit at which people are told."""


@dataclass(frozen=True)
class Policy:
    """What the guard may do, and when.

    Attributes
    ----------
    is_killed
        Whether the kill switch is on: nothing is stopped then, whatever the mode.
    fresh
        Up to this age a reading counts.
    spending_fresh
        Up to this age an amount that was spent counts; bills come an hour late.
    checkpoint_wait
        For so long a stop waits, at most, for a checkpoint that is being written.
    alarm_after
        After so long without effect people are told of a stop that is due, and again each time as much later.
    hard_cap
        The share of a limit that is never exceeded knowingly: elapsed time × highest known rate decides, whatever
        else can be read.
    """

    mode: Mode = "off"
    is_killed: bool = False
    fresh: timedelta = timedelta(minutes=2)
    spending_fresh: timedelta = timedelta(hours=2)
    checkpoint_wait: timedelta = timedelta(minutes=10)
    alarm_after: timedelta = timedelta(minutes=5)
    hard_cap: float = 1.25

    @property
    def may_stop(self) -> bool:
        """Whether anything is stopped at all."""
        return self.mode == "stop" and not self.is_killed

    @property
    def may_tell(self) -> bool:
        """Whether people are told anything."""
        return self.mode in ("notify", "stop")

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, for the record of decisions; durations in seconds."""
        return {
            name: value.total_seconds() if isinstance(value, timedelta) else value for name, value in vars(self).items()
        }
