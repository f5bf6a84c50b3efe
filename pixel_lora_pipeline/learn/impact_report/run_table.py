"""The runs that a report rests on, and what was set and measured in each."""

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.analyze.report.document import printable
from pixel_lora_pipeline.learn.configurations import RUN_DATE
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, ParameterColumn, read_parameter

# As in `configurations`, by whose names the evidence calls the runs.
_NAMES: Final = ("run_name", "run_id", "id")


class RunTable:
    """Runs, the oldest first; a run without any of the metrics is left out.

    Parameters
    ----------
    runs
        As in `ImpactContent`.
    metrics
        Columns that were judged.
    """

    def __init__(self, runs: pd.DataFrame, metrics: Sequence[str]) -> None:
        kept = [name for name in metrics if name in runs]
        numbers = {name: pd.to_numeric(runs[name]).to_numpy(dtype=float, na_value=np.nan) for name in kept}
        measured = np.isfinite(np.array(list(numbers.values()))).any(axis=0) if numbers else np.zeros(len(runs), bool)
        days = self._days(runs)
        # Runs of one day stay as they are; those without a date come last.
        order = [row for row in np.argsort(days, kind="stable") if measured[row]]
        self._runs = runs.iloc[order]
        self._days_of_rows = days[order]
        self._metrics = {name: np.where(np.isfinite(values), values, np.nan)[order] for name, values in numbers.items()}
        self._columns: dict[str, ParameterColumn] = {}

    def __len__(self) -> int:
        return len(self._runs)

    @cached_property
    def names(self) -> list[str]:
        """Of the runs."""
        return [printable(label) for label in self._labels]

    @cached_property
    def dates(self) -> list[str | None]:
        """Days as "2025-09-01"."""
        return [None if np.isnan(day) else pd.Timestamp(day, unit="D").date().isoformat() for day in self._days_of_rows]

    def rows(self, names: Iterable[Any]) -> list[int]:
        """Places of the runs with these names."""
        return sorted({row for name in names for row in self._places.get(str(name), ())})

    def metric(self, name: str) -> Floats:
        """float[n]: NaN where it was not measured."""
        return self._metrics.get(name, np.full(len(self), np.nan))

    def column(self, parameter: str) -> ParameterColumn:
        """The parameter's values as the evidence reads them."""
        if parameter not in self._columns:
            known = parameter in self._runs
            values = self._runs[parameter] if known else pd.Series([None] * len(self), dtype=object)
            self._columns[parameter] = read_parameter(values, parameter)
        return self._columns[parameter]

    def values(self, parameter: str, rows: Sequence[int]) -> tuple[Any, ...]:
        """The different values of a parameter in these runs, in their order."""
        column = self.column(parameter)
        codes = np.unique(column.codes[np.asarray(rows, dtype=np.int64)])
        return tuple(column.levels[code] for code in codes if code != MISSING)

    def usual_value(self, parameter: str) -> Any:
        """What most runs have; None if no run says."""
        column = self.column(parameter)
        if not column.known.any():
            return None
        return column.levels[int(np.bincount(column.codes[column.known]).argmax())]

    @cached_property
    def _labels(self) -> list[str]:
        named = next((name for name in _NAMES if name in self._runs), None)
        return [str(label) for label in (self._runs.index if named is None else self._runs[named])]

    @cached_property
    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for row, name in enumerate(self._labels):
            places.setdefault(name, []).append(row)
        return places

    @staticmethod
    def _days(runs: pd.DataFrame) -> Floats:
        if RUN_DATE not in runs:
            return np.full(len(runs), np.nan)
        dates = pd.to_datetime(runs[RUN_DATE], errors="coerce", utc=True)
        days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        return np.asarray(days.to_numpy(dtype=float, na_value=np.nan))
