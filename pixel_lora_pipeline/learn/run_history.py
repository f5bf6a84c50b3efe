"""The runs in the order in which they were run, for rules that must not use what came later."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.configurations import RUN_DATE
from pixel_lora_pipeline.learn.parameter_column import Floats, Integers, ParameterColumn, read_parameter

RUN_NAME = "run_name"
# Replicates of a configuration differ in it, and in nothing else.
_SEED = "seed"


@dataclass(frozen=True)
class RunHistory:
    """Runs, the earliest first.

    Attributes
    ----------
    table
        A row a run, ordered by `run_date`; as they were given if one of them has none.
    """

    table: pd.DataFrame

    @classmethod
    def read(cls, runs: pd.DataFrame) -> "RunHistory":
        """Order a table of runs.

        Raises
        ------
        ValueError
            If the runs have no names, or two of them the same.
        """
        if RUN_NAME not in runs:
            raise ValueError(
                f"runs has no column {RUN_NAME}, only {list(runs.columns)}: principles refer to runs by it"
            )
        if runs[RUN_NAME].isna().any():
            raise ValueError(f"{int(runs[RUN_NAME].isna().sum())} runs have no {RUN_NAME}: give each one of its own")
        if twice := sorted(set(runs.loc[runs[RUN_NAME].duplicated(), RUN_NAME].map(str))):
            raise ValueError(f"several runs are called {', '.join(twice)}: keep one row of each")
        if RUN_DATE not in runs:
            return cls(runs.reset_index(drop=True))
        dates = pd.to_datetime(runs[RUN_DATE], errors="coerce", utc=True).reset_index(drop=True)
        table = runs.reset_index(drop=True)
        return cls(table if dates.isna().any() else table.iloc[dates.argsort(kind="stable")].reset_index(drop=True))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Of the runs."""
        return tuple(map(str, self.table[RUN_NAME]))

    @cached_property
    def _columns(self) -> dict[str, ParameterColumn]:
        return {}

    def column(self, parameter: str) -> ParameterColumn:
        """A parameter over the runs.

        Raises
        ------
        ValueError
            If there is no such column.
        """
        if parameter not in self._columns:
            self._columns[parameter] = read_parameter(self._cells(parameter), parameter)
        return self._columns[parameter]

    def metric(self, name: str) -> Floats:
        """float[n]: a metric; NaN where there is none.

        Raises
        ------
        ValueError
            If there is no such column, or if it is not a number.
        """
        try:
            return np.asarray(pd.to_numeric(self._cells(name)).to_numpy(dtype=float, na_value=np.nan))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the metric {name} is not a number in every row: {error}") from error

    def alike(self, parameters: Collection[str]) -> Integers:
        """int[n]: the same number for runs that agree in these parameters; the seed does not count."""
        codes = [self.column(name).codes for name in sorted(parameters) if name != _SEED]
        if not codes:
            return np.zeros(len(self.names), dtype=np.int64)
        groups = np.unique(np.column_stack(codes), axis=0, return_inverse=True)[1]
        return np.asarray(groups, dtype=np.int64).reshape(-1)

    def later_than(self, known: Sequence[str]) -> NDArray[np.bool_]:
        """bool[n]: runs that are none of these, and were run after all of them."""
        is_known = np.isin(self.names, list(known))
        last = int(np.flatnonzero(is_known).max(initial=-1))
        return np.asarray(~is_known & (np.arange(len(self.names)) > last))

    def _cells(self, name: str) -> "pd.Series[Any]":
        if name not in self.table:
            raise ValueError(f"runs has no column {name}, only {list(self.table.columns)}")
        if isinstance(self.table[name], pd.DataFrame):
            raise ValueError(f"runs has several columns named {name}: keep one of them")
        return self.table[name]
