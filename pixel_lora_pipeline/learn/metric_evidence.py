"""The evidence about one metric, laid over the runs: what each run's result owes to its other parameters."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.alias_classes import ParameterClass
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn
from pixel_lora_pipeline.learn.run_history import RunHistory

_NEEDED: Final = (
    *("parameters", "selected", "aliased", "pip", "encoding", "statement", "effect_by_value"),
    *("runs_low", "runs_high", "evidence_runs", "noise_sd"),
)


@dataclass(frozen=True)
class MetricEvidence:
    """What `assess_parameters` said of a metric, and the runs that it was said of.

    Attributes
    ----------
    metric
        Its name.
    rows
        Of the evidence, one a class of parameters.
    history
        All runs.
    """

    metric: str
    rows: tuple[Mapping[str, Any], ...]
    history: RunHistory

    @classmethod
    def read(cls, metric: str, table: pd.DataFrame, history: RunHistory) -> "MetricEvidence":
        """Lay the evidence over the runs.

        Raises
        ------
        ValueError
            If the table is not one of `assess_parameters`, or is about other runs or columns.
        """
        if missing := [name for name in _NEEDED if name not in table]:
            raise ValueError(
                f"the evidence about {metric} has no column {', '.join(missing)}: give what assess_parameters returns"
            )
        rows = tuple({str(name): value for name, value in row.items()} for row in table.to_dict("records"))
        named = {str(name) for row in rows for name in row["evidence_runs"]}
        if unknown := sorted(named - set(history.names)):
            raise ValueError(
                f"the evidence about {metric} rests on {', '.join(unknown)}, which runs does not have: "
                "assess the parameters on the same table"
            )
        laid = cls(metric, rows, history)
        for name in laid.parameters:
            laid.scored.column(name)
        return laid

    @cached_property
    def scored(self) -> RunHistory:
        """The runs that have the metric: those that were assessed."""
        return RunHistory(self.history.table[self._has_result].reset_index(drop=True))

    @cached_property
    def results(self) -> Floats:
        """float[n]: the metric of each scored run."""
        return self.scored.metric(self.metric)

    @cached_property
    def parameters(self) -> tuple[str, ...]:
        """All that were judged."""
        return tuple(name for row in self.rows for name in row["parameters"])

    def row_of(self, parameter: str) -> Mapping[str, Any] | None:
        """The class that a parameter is in; None if it was not judged."""
        return next((row for row in self.rows if parameter in row["parameters"]), None)

    def is_later_than(self, known: Sequence[str]) -> NDArray[np.bool_]:
        """bool[n]: scored runs that are none of these, and were run after all of them."""
        return self.history.later_than(known)[self._has_result]

    def adjusted(self, parameters: Collection[str]) -> Floats:
        """float[n]: each scored run's result, had it been average in everything but these parameters.

        That is the metric less the model-averaged effects of all other parameters, each by its value. Of parameters
        that go with these, some of what these do may be taken away; never more than what the evidence ascribes to
        the others.
        """
        others = [at for at, row in enumerate(self.rows) if not set(row["parameters"]) & set(parameters)]
        return np.asarray(self.results - self._contributions[others].sum(axis=0))

    @cached_property
    def _has_result(self) -> NDArray[np.bool_]:
        return np.isfinite(self.history.metric(self.metric))

    @cached_property
    def _contributions(self) -> Floats:
        """float[classes, n]: what each run's value of a class adds to an average run."""
        contributions = np.zeros((len(self.rows), len(self.results)))
        for at, row in enumerate(self.rows):
            columns = tuple(self.scored.column(name) for name in row["parameters"])
            leader = ParameterClass(columns).leader
            by_level = _by_level(leader, row["effect_by_value"])
            # What is not known, at the last place, adds nothing.
            contributions[at] = np.append(by_level, 0.0)[leader.codes]
        return contributions


def _by_level(column: ParameterColumn, by_value: Mapping[Any, float]) -> Floats:
    """float[levels]: the effect of each level; of many levels only some are listed, and the rest lies between them."""
    effects = np.array([by_value.get(level, math.nan) for level in column.levels])
    listed = np.isfinite(effects)
    if column.numbers is None or not listed.any():
        return np.where(listed, effects, 0.0)
    return np.asarray(np.interp(column.numbers, column.numbers[listed], effects[listed]))
