"""The history as a search reads it: where each run lies, what came of it, and what could not be read."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pixel_lora_pipeline.improve.search_space import Floats, SearchSpace

_NAMES: Final = ("run_name", "run_id", "id")
_SAME_PLACE: Final = 1e-6


class Belief(Protocol):
    """What a search has to know of a principle."""

    @property
    def status(self) -> str:
        """Soft ones guide, hard ones bind, all others are left aside."""

    @property
    def effect(self) -> float | None:
        """By how much the metric is better where it holds."""

    def holds_for(self, parameters: Any, /) -> bool | None:
        """Whether a configuration keeps to it; None where that is not known."""


@dataclass(frozen=True)
class Remark:
    """Something about a run that a person has to know to trust a search.

    Attributes
    ----------
    run
        Its name, or its label in the table.
    kind
        "outside": a value that may not be suggested; the run is learnt from where it lies. "unknown": a parameter of
        unknown value; the run is learnt from, and says less. "no result": the run counts as one that is not over.
    detail
        Which parameter, and which value.
    """

    run: str
    kind: Literal["outside", "unknown", "no result"]
    detail: str

    def __str__(self) -> str:
        """As "run_007: network_dim = 64 is outside of the search space"."""
        return f"{self.run}: {self.detail}"


@dataclass(frozen=True)
class Observations:
    """Runs, ready to be learnt from.

    Attributes
    ----------
    names
        Of the runs with a result.
    places, values
        float[n, d], float[n]: where they lie, and the metric, higher being better.
    rows
        Everything that the table says of each of them.
    unfinished, unfinished_rows
        float[k, d]: where runs without a result lie, and what the table says of them.
    tried
        Configurations of the space, as numbers of values, with the runs that had them. On a range, a run counts for
        the nearest step.
    remarks
        What could not be read as it stands.
    """

    names: tuple[str, ...]
    places: Floats
    values: Floats
    rows: tuple[dict[str, Any], ...]
    unfinished: Floats
    unfinished_rows: tuple[dict[str, Any], ...]
    tried: dict[tuple[int, ...], tuple[str, ...]]
    remarks: tuple[Remark, ...]

    @property
    def n_replicates(self) -> int:
        """How many runs repeat an earlier one: from them the noise is known."""
        known = self.places[~np.isnan(self.places).any(axis=1)]
        return len(known) - len(np.unique(known, axis=0))

    @property
    def center(self) -> float:
        """Mean of the metric."""
        return float(self.values.mean()) if len(self.values) else 0.0

    @property
    def scale(self) -> float:
        """Standard deviation of the metric; if all are the same, a tenth of it."""
        deviation = float(self.values.std()) if len(self.values) else 0.0
        return deviation if deviation > 0 else (abs(self.center) / 10 or 1.0)


def read_observations(
    space: SearchSpace, history: pd.DataFrame, metric: str, lower_is_better: bool = False
) -> Observations:
    """Read a table of runs.

    Parameters
    ----------
    history
        A row a run; a column a parameter, and the metric. Rows without a metric are runs that are not over, or that
        failed.

    Raises
    ------
    ValueError
        If the metric is no column of a table that has rows, or no number, or if a column that matters is there twice.
    """
    if metric not in history and len(history):
        raise ValueError(f"history has no column {metric!r}, only {list(map(str, history.columns))}: name the metric")
    twice = history.columns[history.columns.duplicated()]
    if unclear := [name for name in dict.fromkeys(twice) if name == metric or name in space.parameters]:
        raise ValueError(f"history has several columns named {', '.join(map(str, unclear))}: keep one of each")
    history = history.loc[:, ~history.columns.duplicated()]
    values = _metric(history[metric], metric) if metric in history else np.empty(0)
    places, names = space.encode(history), _names(history)
    rows = [{str(name): _plain(cell) for name, cell in row.items()} for row in history.to_dict("records")]
    known = np.isfinite(values)
    return Observations(
        names=tuple(name for name, is_known in zip(names, known, strict=True) if is_known),
        places=places[known],
        values=-values[known] if lower_is_better else values[known],
        rows=tuple(rows[at] for at in np.flatnonzero(known)),
        unfinished=places[~known],
        unfinished_rows=tuple(rows[at] for at in np.flatnonzero(~known)),
        tried=_tried(space, places, names),
        remarks=tuple(_remarks(space, names, places, rows, known)),
    )


def _plain(cell: Any) -> Any:
    """Python's own number for one of NumPy's."""
    return cell.item() if isinstance(cell, np.generic) else cell


def _metric(column: pd.Series, metric: str) -> Floats:
    # Kohya writes what is not there as "None".
    column = column.mask(column.astype(object) == "None")
    try:
        return np.asarray(pd.to_numeric(column).to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError) as fault:
        raise ValueError(f"the metric {metric} is not a number in every row: {fault}") from fault


def _names(history: pd.DataFrame) -> list[str]:
    named = next((name for name in _NAMES if name in history), None)
    return [str(label) for label in (history.index if named is None else history[named])]


def _tried(space: SearchSpace, places: Floats, names: Sequence[str]) -> dict[tuple[int, ...], tuple[str, ...]]:
    tried: dict[tuple[int, ...], tuple[str, ...]] = {}
    for row, name in zip(places, names, strict=True):
        steps = _steps(space, row)
        if steps is not None:
            tried[steps] = (*tried.get(steps, ()), name)
    return tried


def _steps(space: SearchSpace, places: Floats) -> tuple[int, ...] | None:
    """The nearest configuration that may be suggested; None if the run is outside, or not wholly known."""
    steps = []
    for place, grid, parameter in zip(places, space.grid, space.parameters.values(), strict=True):
        if math.isnan(place):
            return None
        nearest = int(np.abs(grid - place).argmin())
        gap = float(np.abs(grid - place).min())
        # A run cannot tell a value between two steps of a range from the nearest of them.
        if gap > _SAME_PLACE and not (parameter.is_range and -_SAME_PLACE <= place <= 1 + _SAME_PLACE):
            return None
        steps.append(nearest)
    return tuple(steps)


def _remarks(
    space: SearchSpace,
    names: Sequence[str],
    places: Floats,
    rows: Sequence[Mapping[str, Any]],
    known: NDArray[np.bool_],
) -> Iterable[Remark]:
    for row, name in enumerate(names):
        if not known[row]:
            yield Remark(name, "no result", "it has no result, and counts as not over")
        for column, (parameter, values) in enumerate(space.parameters.items()):
            cell = rows[row].get(parameter)
            if math.isnan(places[row, column]):
                yield Remark(name, "unknown", f"{parameter} is not known (it says {cell!r})")
            elif not values.contains(values.filled(cell)):
                yield Remark(name, "outside", f"{parameter} = {cell} is outside of the search space")
