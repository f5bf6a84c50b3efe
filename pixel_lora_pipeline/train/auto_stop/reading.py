"""What one look at a machine has found: the machine itself, its training, and what it has cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Literal

State = Literal["running", "stopped", "gone", "unknown"]


@dataclass(frozen=True)
class MachineReading:
    """How a pod or a process stands.

    Attributes
    ----------
    state
        `unknown` if it could not be read; what only might cost money is `running`.
    said
        In the machine's own word, or why it could not be read.
    usd_per_hour
        What it costs now; None where nobody knows, never 0.
    is_locked
        Whether its owner has forbidden to stop it.
    uptime
        For how long it has been running, by its own clock alone; None if it does not say.
    """

    state: State
    said: str
    usd_per_hour: Decimal | None = None
    is_locked: bool = False
    uptime: timedelta | None = None


@dataclass(frozen=True)
class Spent:
    """What was spent, of how much.

    Attributes
    ----------
    amount, budget
        US dollars; None where it is not known, or where there is no budget.
    as_of
        Up to when the amount counts, by the database's clock.
    kind
        How it is known: from a bill (actual), from rates that were read (accrued), from a list of prices (estimate), or
        as the time since the machine was armed × its rate (elapsed).
    """

    amount: Decimal | None
    budget: Decimal | None
    as_of: datetime
    kind: Literal["actual", "accrued", "estimate", "elapsed"]

    @property
    def share(self) -> Decimal | None:
        """How much of the budget is spent, 1 for all of it; None if it cannot be said."""
        if self.amount is None or self.budget is None:
            return None
        return self.amount / self.budget if self.budget else Decimal("Infinity")


@dataclass(frozen=True)
class Verdict:
    """The convergence verdict on the newest epoch that has come since the machine was armed."""

    status: Literal["degrading", "optimal"]
    reason: str


@dataclass(frozen=True)
class Look:
    """Everything that was read of one machine at once.

    Attributes
    ----------
    asked_at
        When reading began, by the database's clock: nothing in it is older.
    spent
        As each source knows it.
    verdict
        None unless it says that the training should stop.
    divergence
        Why the training is lost: weights or a loss that are no numbers; None if nothing says so.
    being_written
        The checkpoint that is just being written; None if there is none.
    faults
        What else could not be read, in sentences.
    """

    asked_at: datetime
    machine: MachineReading
    spent: tuple[Spent, ...] = ()
    verdict: Verdict | None = None
    divergence: str | None = None
    being_written: str | None = None
    faults: tuple[str, ...] = ()

    def to_dict(self) -> Mapping[str, Any]:
        """JSON-ready, for the record of decisions."""
        machine = self.machine
        return {
            "asked_at": self.asked_at.isoformat(),
            "machine": {
                "state": machine.state,
                "said": machine.said,
                "usd_per_hour": None if machine.usd_per_hour is None else float(machine.usd_per_hour),
                "is_locked": machine.is_locked,
                "uptime_seconds": None if machine.uptime is None else machine.uptime.total_seconds(),
            },
            "spent": [
                {
                    "amount": None if each.amount is None else float(each.amount),
                    "budget": None if each.budget is None else float(each.budget),
                    "as_of": each.as_of.isoformat(),
                    "kind": each.kind,
                }
                for each in self.spent
            ],
            "verdict": None if self.verdict is None else {"status": self.verdict.status, "reason": self.verdict.reason},
            "divergence": self.divergence,
            "being_written": self.being_written,
            "faults": list(self.faults),
        }
