"""Where a principle says that it is good to be, where it says that it is bad, and where nobody has been."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final, Literal

Values = Literal["numbers", "flags", "names"]
Interval = tuple[float | None, float | None]

# Numbers that differ by less, relatively, are the same: products and texts carry rounding.
_SAME: Final = 1e-9
_SIGNIFICANT_DIGITS: Final = 9
_FLAGS: Final = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Region:
    """A set of values.

    Attributes
    ----------
    intervals
        Of numbers, both ends included; None for an end that is open.
    names
        Of parameters without an order.
    """

    intervals: tuple[Interval, ...] = ()
    names: tuple[str, ...] = ()

    def contains(self, value: float | str) -> bool:
        """Whether a number or a name is in it."""
        if isinstance(value, str):
            return value in self.names
        slack = _SAME * abs(value)
        return any(
            (low is None or value >= low - slack) and (high is None or value <= high + slack)
            for low, high in self.intervals
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {"intervals": [list(interval) for interval in self.intervals], "names": list(self.names)}

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Region":
        """What `to_dict` wrote."""
        return cls(tuple((low, high) for low, high in document["intervals"]), tuple(document["names"]))


@dataclass(frozen=True)
class Condition:
    """A condition on one parameter, or on a product of several.

    Attributes
    ----------
    factors
        Each parameter and its exponent: 1, or -1 for a divisor.
    holds, fails
        Where runs did well by it, and where they did not. What lies between was never tried: the runs say nothing of
        it.
    values
        What the parameter's values are. Flags are the numbers 0 and 1.
    """

    factors: tuple[tuple[str, int], ...]
    holds: Region
    fails: Region
    values: Values = "numbers"

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the factors."""
        return tuple(name for name, _ in self.factors)

    def value(self, parameters: Mapping[str, Any]) -> float | str | None:
        """The parameter's value, or the product, in a configuration; None if it is not known."""
        cells = [parameters.get(name) for name in self.parameters]
        if self.values == "names":
            return _name(cells[0])
        numbers = [_number(cell) for cell in cells]
        product = 1.0
        for number, (_, exponent) in zip(numbers, self.factors, strict=True):
            if number is None or (number == 0 and exponent < 0):
                return None
            product *= number**exponent
        return float(f"{product:.{_SIGNIFICANT_DIGITS}g}") if len(numbers) > 1 else product

    def holds_for(self, parameters: Mapping[str, Any]) -> bool | None:
        """Whether a configuration keeps to the condition; None where that is not known.

        Not known is a configuration without the parameter, and a value between those that were good and those that
        were bad.
        """
        value = self.value(parameters)
        if value is None:
            return None
        if self.holds.contains(value):
            return True
        return False if self.fails.contains(value) else None

    def __str__(self) -> str:
        """As "network_dim ≤ 32", "network_dim × network_alpha ≤ 512" or "optimizer_type ≠ Lion"."""
        if self.values == "names":
            return _said_of_names(self.subject, self.holds.names, self.fails.names)
        if self.values == "flags":
            return f"{self.subject} = {bool(self.holds.contains(1.0))}"
        return " or ".join(_said_of_interval(self.subject, interval) for interval in self.holds.intervals)

    @property
    def subject(self) -> str:
        """As "network_dim" or "network_alpha / network_dim"."""
        above = " × ".join(name for name, exponent in self.factors if exponent > 0)
        return above + "".join(f" / {name}" for name, exponent in self.factors if exponent < 0)

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "factors": [list(factor) for factor in self.factors],
            "holds": self.holds.to_dict(),
            "fails": self.fails.to_dict(),
            "values": self.values,
        }

    @classmethod
    def from_dict(cls, document: Mapping[str, Any]) -> "Condition":
        """What `to_dict` wrote."""
        return cls(
            tuple((name, exponent) for name, exponent in document["factors"]),
            Region.from_dict(document["holds"]),
            Region.from_dict(document["fails"]),
            document["values"],
        )


def _said_of_names(subject: str, holds: tuple[str, ...], fails: tuple[str, ...]) -> str:
    if len(holds) > 1 and len(fails) == 1:
        return f"{subject} ≠ {fails[0]}"
    return f"{subject} = {' or '.join(holds)}"


def _said_of_interval(subject: str, interval: Interval) -> str:
    low, high = interval
    if low is None:
        return f"{subject} ≤ {high:g}"
    if high is None:
        return f"{subject} ≥ {low:g}"
    return f"{subject} near {low:g}"


def _name(cell: Any) -> str | None:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return None
    return str(cell).strip() or None


def _number(cell: Any) -> float | None:
    """A number, in whatever way it was written; None for anything else."""
    if isinstance(cell, str):
        text = cell.strip().lower()
        if text in _FLAGS:
            return _FLAGS[text]
        try:
            number = float(text)
        except ValueError:
            return None
    elif isinstance(cell, Real) or hasattr(cell, "__float__"):
        number = float(cell)
    else:
        return None
    return number if math.isfinite(number) else None
