"""One parameter over the runs: which values it took, whether they have an order, and how far apart they lie."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

MISSING: Final = -1

# Learning rates act by their order of magnitude, and so does whatever was varied over more than one.
_LEARNING_RATE: Final = re.compile(r"(^|_)(lr|learning_rate)($|_times_)")
_ORDER_OF_MAGNITUDE: Final = 10.0

_BOOLEANS: Final = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class ParameterColumn:
    """A parameter's values.

    Attributes
    ----------
    name
        Of the parameter.
    levels
        The values that occur; increasing if the parameter is ordered, else sorted by their text.
    numbers
        float[levels]: the levels of parameters that have an order. None for names.
    positions
        float[levels]: where each level lies: the number itself, or its logarithm to base 10 for learning rates and
        for positive numbers that span more than a factor of ten. None for names.
    codes
        int[n]: the level of each row, `MISSING` where it is not known.
    """

    name: str
    levels: tuple[Any, ...]
    numbers: Floats | None
    codes: Integers

    @property
    def is_ordered(self) -> bool:
        """Whether the levels are numbers, in whatever way they were written."""
        return self.numbers is not None

    @cached_property
    def positions(self) -> Floats | None:
        """See the attributes."""
        if self.numbers is None or len(self.numbers) == 0 or self.numbers[0] <= 0:
            return self.numbers
        spans_much = self.numbers[-1] > _ORDER_OF_MAGNITUDE * self.numbers[0]
        return np.log10(self.numbers) if spans_much or _LEARNING_RATE.search(self.name) else self.numbers

    @property
    def is_varied(self) -> bool:
        """Whether there is more than one level."""
        return len(self.levels) > 1

    @property
    def known(self) -> NDArray[np.bool_]:
        """bool[n]: where the value is known."""
        return np.asarray(self.codes != MISSING)

    def with_codes(self, codes: Integers) -> "ParameterColumn":
        """The same parameter for other rows; levels that no longer occur are left out."""
        kept = np.unique(codes[codes != MISSING])
        renumbered = np.full(len(self.levels) + 1, MISSING, dtype=np.int64)
        renumbered[kept] = np.arange(len(kept))
        return ParameterColumn(
            self.name,
            tuple(self.levels[at] for at in kept),
            None if self.numbers is None else self.numbers[kept],
            renumbered[codes],
        )


def read_parameter(values: pd.Series, name: str) -> ParameterColumn:
    """A parameter from a table's column of whatever type.

    Numbers, booleans, dates, and texts that all are numbers or all are true and false, have an order. Everything
    else is told apart by its text: mixtures of numbers and words ("None" beside 5) as well as lists. Empty cells and
    what is not finite are not known.
    """
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        numbers = values.astype("int64").to_numpy(float)
        numbers[values.isna().to_numpy()] = np.nan
        return _ordered(name, numbers, values.to_numpy())
    if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_complex_dtype(values.dtype):
        numbers = values.to_numpy(dtype=float, na_value=np.nan)
        return _ordered(name, numbers, values.to_numpy(dtype=object, na_value=None))
    cells = [_plain(cell) for cell in values]
    for reading in (_as_number, _as_boolean):
        read = [math.nan if cell is None else reading(cell) for cell in cells]
        if None not in read:
            return _ordered(name, np.array(read, dtype=float), np.array(_labels(cells), dtype=object))
    return _named(name, cells)


def _plain(cell: object) -> object:
    """None for an empty cell; a text without the blanks around it."""
    if cell is None or (pd.api.types.is_scalar(cell) and pd.isna(cell)):
        return None
    if isinstance(cell, str):
        return cell.strip() or None
    return cell


def _as_number(cell: object) -> float | None:
    if isinstance(cell, Real | np.bool_):
        return float(cell)
    if isinstance(cell, str):
        try:
            return float(cell)
        except ValueError:
            return None
    return None


def _as_boolean(cell: object) -> float | None:
    if isinstance(cell, bool | np.bool_):
        return float(cell)
    return _BOOLEANS.get(cell.lower()) if isinstance(cell, str) else None


def _labels(cells: Iterable[object]) -> list[object]:
    """Numbers for numbers that are written as text, so that a level reads as the number that it is."""
    labels = []
    for cell in cells:
        number = _as_number(cell) if isinstance(cell, str) else None
        labels.append(cell if number is None else int(number) if number.is_integer() else number)
    return labels


def _ordered(name: str, numbers: Floats, labels: NDArray[Any]) -> ParameterColumn:
    finite = np.isfinite(numbers)
    distinct, first, codes = np.unique(numbers[finite], return_index=True, return_inverse=True)
    levels = tuple(getattr(label, "item", lambda label=label: label)() for label in labels[finite][first])
    all_codes = np.full(len(numbers), MISSING, dtype=np.int64)
    all_codes[finite] = codes
    return ParameterColumn(name, levels, distinct, all_codes)


def _named(name: str, cells: list[object]) -> ParameterColumn:
    texts = [None if cell is None else str(cell) for cell in cells]
    levels = sorted({text for text in texts if text is not None})
    place = {text: at for at, text in enumerate(levels)}
    codes = np.array([MISSING if text is None else place[text] for text in texts], dtype=np.int64)
    return ParameterColumn(name, tuple(levels), None, codes)
