"""What the runs say of one class of parameters: in which form it acts, how much, and which runs show it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.alias_classes import ParameterClass
from pixel_lora_pipeline.learn.candidate_causes import CandidateCauses, extremes, sides
from pixel_lora_pipeline.learn.configurations import Configurations
from pixel_lora_pipeline.learn.effects import Effect, ModelAverage
from pixel_lora_pipeline.learn.encodings import Encoding
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn
from pixel_lora_pipeline.learn.posterior import Posterior


@dataclass(frozen=True)
class Form:
    """The form in which a class most probably acts.

    Attributes
    ----------
    kind
        "linear", "threshold", "peak", "level" or "product"; None if it did not vary.
    statement
        As "network_dim > 32".
    threshold
        The largest value on its low side; None unless the kind is "threshold".
    low, high
        bool[n]: configurations on each side.
    lowest, highest
        bool[n]: configurations between which the effect is stated.
    """

    kind: str | None
    statement: str | None
    threshold: Any
    low: NDArray[np.bool_]
    high: NDArray[np.bool_]
    lowest: NDArray[np.bool_]
    highest: NDArray[np.bool_]

    @property
    def n_low(self) -> int:
        """Configurations on the low side."""
        return int(self.low.sum())

    @property
    def n_high(self) -> int:
        """Configurations on the high side."""
        return int(self.high.sum())


@dataclass(frozen=True)
class Findings:
    """About one class.

    Attributes
    ----------
    pip
        Posterior inclusion probability.
    form
        The most probable one.
    effect
        None if nothing can be said.
    by_level
        For each value of the leading parameter, how it differs from the average run, the chance of no effect
        included; NaN if nothing can be said.
    """

    pip: float
    form: Form
    effect: Effect | None
    by_level: tuple[float, ...]


def findings_of(
    at: int,
    members: ParameterClass,
    causes: CandidateCauses,
    posterior: Posterior,
    average: ModelAverage,
    configurations: Configurations,
) -> Findings:
    """What the runs say of the class at this place."""
    form = _form(at, members.leader, causes, posterior)
    effect = None
    by_level = (np.nan,) * len(members.leader.levels)
    if form.kind is not None and configurations.metric_range > 0:
        matrix = causes.candidates.matrix
        owned = causes.owned[at]
        contrast = np.where(owned, _mean(matrix, form.highest) - _mean(matrix, form.lowest), 0.0)
        effect = average.effect(owned, contrast)
        if effect is not None:
            explained = posterior.pip[at] * (matrix[:, owned] @ effect.slopes[owned])
            by_level = _by_level(explained, members.leader)
    return Findings(float(posterior.pip[at]), form, effect, by_level)


def _form(at: int, leader: ParameterColumn, causes: CandidateCauses, posterior: Posterior) -> Form:
    own = np.flatnonzero(causes.own[at])
    if len(own) == 0:
        nowhere = np.zeros(len(leader.codes), dtype=bool)
        return Form(None, None, None, nowhere, nowhere, nowhere, nowhere)
    owned = np.flatnonzero(causes.owned[at])
    best = int(owned[np.argmax(posterior.by_column[owned])])
    shown, is_product = causes.encodings[best], not causes.own[at, best]
    # A product has no sides of its own among the values of one of its factors.
    encoding: Encoding | None = None if is_product else shown
    low, high = sides(encoding, leader)
    lowest, highest = extremes(encoding, leader)
    return Form(
        kind="product" if encoding is None else encoding.kind,
        statement=None if shown is None else shown.statement(causes.names[best]),
        threshold=encoding.value if encoding is not None and encoding.kind == "threshold" else None,
        low=_rows(low, leader),
        high=_rows(high, leader),
        lowest=_rows(lowest, leader),
        highest=_rows(highest, leader),
    )


def _by_level(values: Floats, column: ParameterColumn) -> tuple[float, ...]:
    """Mean over the rows of each level."""
    known = column.known
    totals = np.bincount(column.codes[known], values[known], minlength=len(column.levels))
    return tuple((totals / np.bincount(column.codes[known], minlength=len(column.levels))).tolist())


def _rows(levels: NDArray[np.bool_], column: ParameterColumn) -> NDArray[np.bool_]:
    """The configurations at these levels; an unknown value is at none."""
    return np.asarray(np.append(levels, False)[column.codes])


def _mean(matrix: Floats, rows: NDArray[np.bool_]) -> Floats:
    return np.asarray(matrix[rows].mean(axis=0))
