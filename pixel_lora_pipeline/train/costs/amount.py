"""Money as far as it is known: exact, and honest about what is missing."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from typing import Final, Literal

Kind = Literal["actual", "accrued", "estimate"]
"""What the provider has billed; its own hourly rate × seconds; a list price × seconds."""

PRECEDENCE: Final[tuple[Kind, ...]] = ("actual", "accrued", "estimate")
"""The surest first."""

_CENT: Final = Decimal("0.01")


@dataclass(frozen=True)
class Amount:
    """A sum of US dollars.

    Attributes
    ----------
    exact
        What is known of it; None if nothing is.
    is_complete
        False if something is missing from it whose price nobody knows.
    kind
        How sure it is: that of its least sure part; None where nothing is known, or nothing was spent.
    """

    exact: Fraction | None
    is_complete: bool = True
    kind: Kind | None = None

    @property
    def usd(self) -> Decimal | None:
        """To the cent, halves away from zero."""
        return None if self.exact is None else rounded(self.exact)

    def __str__(self) -> str:
        """As people read it: "$1.84", "at least $1.84", "unknown"."""
        if self.usd is None:
            return "unknown"
        return f"{'' if self.is_complete else 'at least '}${self.usd:,}"

    def to_dict(self) -> dict[str, str | bool | None]:
        """JSON-ready; the sum as text, for a float has no cents."""
        return {
            "usd": None if self.usd is None else str(self.usd),
            "is_complete": self.is_complete,
            "kind": self.kind,
            "text": str(self),
        }


NOTHING: Final = Amount(Fraction(0))
UNKNOWN: Final = Amount(None, is_complete=False)


def total(amounts: Iterable[Amount]) -> Amount:
    """The sum: unknown if all parts are, and a lower bound if some are."""
    parts = list(amounts)
    known = [part for part in parts if part.exact is not None]
    if parts and not known:
        return UNKNOWN
    kinds = [part.kind for part in known if part.kind is not None]
    return Amount(
        sum((part.exact for part in known if part.exact is not None), Fraction(0)),
        all(part.is_complete for part in parts),
        max(kinds, key=PRECEDENCE.index, default=None),
    )


def rounded(exact: Fraction, unit: Decimal = _CENT) -> Decimal:
    """The nearest multiple of a unit, halves away from zero."""
    units = exact / Fraction(unit)
    whole, rest = divmod(abs(units.numerator), units.denominator)
    whole += 2 * rest >= units.denominator
    return (Decimal(whole if units >= 0 else -whole) * unit).quantize(unit, ROUND_HALF_UP)
