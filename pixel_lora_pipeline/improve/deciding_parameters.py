"""Which parameters of a proposal decide what is predicted of it, and what they should be instead."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixel_lora_pipeline.improve.likeness import causes_of
from pixel_lora_pipeline.improve.outcome_models import forecast_by
from pixel_lora_pipeline.improve.trials import Trials
from pixel_lora_pipeline.learn.encodings import MOST_PLACES
from pixel_lora_pipeline.learn.parameter_column import MISSING, Integers, ParameterColumn


@dataclass(frozen=True)
class Change:
    """Another value of one parameter.

    Attributes
    ----------
    parameter, old, new
        What would be changed, from what, to what.
    difference
        Of what is predicted, in units of the metric.
    """

    parameter: str
    old: Any
    new: Any
    difference: float

    @property
    def instruction(self) -> str:
        """As "reduce network_dim to 32"."""
        if any(isinstance(value, bool | str) for value in (self.old, self.new)):
            return f"set {self.parameter} to {self.new}"
        return f"{'reduce' if self.new < self.old else 'raise'} {self.parameter} to {_shown(self.new)}"


def deciding_changes(
    trials: Trials, proposal: Mapping[str, Any], columns: Sequence[ParameterColumn], model: str
) -> list[Change]:
    """For each parameter that the proposal names, the tried value by which the prediction would change most.

    Parameters
    ----------
    trials
        n configurations.
    proposal
        Parameters.
    columns
        With a row more, that of the proposal.
    model
        Which one predicts.

    Returns
    -------
    list of Change
        The greatest difference first; empty if nothing makes one.
    """
    n = len(trials)
    alternatives: list[tuple[ParameterColumn, int]] = [
        (column, int(level))
        for column in columns
        if column.codes[n] != MISSING
        for level in _tried_levels(column, n)
        if level != column.codes[n]
    ]
    if not alternatives:
        return []
    variants = [{**proposal, column.name: column.levels[level]} for column, level in alternatives]
    forecast = forecast_by(model, causes_of(trials, trials.beside([proposal, *variants])), trials.metric)
    if forecast is None:
        return []
    differences = forecast.mean[1:] - forecast.mean[0]
    greatest: dict[str, Change] = {}
    for (column, level), difference in zip(alternatives, differences.tolist(), strict=True):
        known = greatest.get(column.name)
        if difference and (known is None or abs(difference) > abs(known.difference)):
            old = column.levels[int(column.codes[n])]
            greatest[column.name] = Change(column.name, old, column.levels[level], difference)
    return sorted(greatest.values(), key=lambda change: -abs(change.difference))


def seen_changes(trials: Trials, columns: Sequence[ParameterColumn]) -> list[Change]:
    """What was seen: configurations that differ from the proposal, itself one of them, in a single parameter.

    Parameters
    ----------
    trials
        n configurations.
    columns
        With a row more, that of the proposal.

    Returns
    -------
    list of Change
        The greatest difference first; empty if the proposal is not one of the configurations.
    """
    n = len(trials)
    differs = np.array([column.codes[:n] != column.codes[n] for column in columns], dtype=bool).reshape(len(columns), n)
    same = np.flatnonzero(~differs.any(axis=0))
    if len(same) != 1:
        return []
    changes = []
    for at in np.flatnonzero(differs.sum(axis=0) == 1):
        [column] = [column for column, differ in zip(columns, differs[:, at], strict=True) if differ]
        old, new = (None if code == MISSING else column.levels[code] for code in (column.codes[n], column.codes[at]))
        if old is not None and new is not None:
            changes.append(Change(column.name, old, new, float(trials.metric[at] - trials.metric[same[0]])))
    return sorted(changes, key=lambda change: -abs(change.difference))


def _tried_levels(column: ParameterColumn, n: int) -> Integers:
    """The most frequent ones."""
    counts = np.bincount(column.codes[:n][column.known[:n]], minlength=len(column.levels))
    return np.argsort(-counts, kind="stable")[: min(MOST_PLACES, int((counts > 0).sum()))]


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
