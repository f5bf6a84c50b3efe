"""Where a proposal lies among the runs: the nearest of them, and in what it goes beyond all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.trials import Trials
from pixel_lora_pipeline.learn.parameter_column import MISSING, ParameterColumn, read_parameter

_NEAREST: Final = 3


@dataclass(frozen=True)
class Neighbour:
    """A configuration that is like the proposal.

    Attributes
    ----------
    runs
        Their names; several if it was repeated.
    value
        Of the metric, the mean over the runs.
    differs
        Parameters in which it differs from the proposal, those first that are believed to matter most.
    """

    runs: tuple[Any, ...]
    value: float
    differs: tuple[str, ...]


@dataclass(frozen=True)
class Beyond:
    """A value that lies outside of what was tried.

    Attributes
    ----------
    parameter
        Its name.
    statement
        As "network_dim = 128 (tried: 16 to 64)".
    """

    parameter: str
    statement: str


def nearest_configurations(trials: Trials, columns: Sequence[ParameterColumn]) -> tuple[Neighbour, ...]:
    """The configurations that differ least from the proposal, each parameter counted by how probably it acts.

    Parameters
    ----------
    trials
        n configurations.
    columns
        With a row more, that of the proposal. Parameters that it does not name do not count.
    """
    n = len(trials)
    named = [column for column in columns if column.codes[n] != MISSING]
    differs = np.array([column.codes[:n] != column.codes[n] for column in named], dtype=bool).reshape(len(named), n)
    weights = np.array([trials.prior[column.name] for column in named], dtype=float)
    order = np.lexsort([-trials.metric, weights @ differs])[:_NEAREST]
    by_weight = np.argsort(-weights, kind="stable")
    return tuple(
        Neighbour(
            runs=trials.configurations.runs[at],
            value=float(trials.metric[at]),
            differs=tuple(named[which].name for which in by_weight if differs[which, at]),
        )
        for at in order
    )


def beyond_what_was_tried(trials: Trials, proposal: Mapping[str, Any]) -> tuple[Beyond, ...]:
    """What was never tried like this; those parameters first that are believed to matter most."""
    found = []
    for tried in sorted(trials.columns, key=lambda column: -trials.prior[column.name]):
        value = proposal.get(tried.name)
        read = read_parameter(pd.Series([value], dtype=object), tried.name)
        if read.levels and not _lies_within(tried, read):
            found.append(Beyond(tried.name, f"{tried.name} = {read.levels[0]} ({_tried(tried)})"))
    return tuple(found)


def _lies_within(tried: ParameterColumn, read: ParameterColumn) -> bool:
    if tried.numbers is not None and read.numbers is not None and len(tried.numbers):
        return bool(tried.numbers[0] <= read.numbers[0] <= tried.numbers[-1])
    return str(read.levels[0]) in {str(level) for level in tried.levels}


def _tried(column: ParameterColumn) -> str:
    levels = [f"{level:g}" if isinstance(level, float) else str(level) for level in column.levels]
    if not levels:
        return "not recorded of any run"
    if len(levels) == 1:
        return f"always {levels[0]} so far"
    return f"tried: {levels[0]} to {levels[-1]}" if column.is_ordered else f"tried: {', '.join(levels)}"
