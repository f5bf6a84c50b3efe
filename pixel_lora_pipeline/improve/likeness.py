"""How alike two configurations are in one parameter: the kernels that all models of an outcome are made of.

A kernel of a parameter is a covariance over its levels, as if the parameter's effect were a random function of unit
variance. Numbers lie on a scale from 0 to 1 that is half their rank among what was tried and half their position
(logarithmic for learning rates): people choose steps that matter, and so the ranks say something about the scale.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.improve.trials import Trials
from pixel_lora_pipeline.learn.alias_classes import alias_classes
from pixel_lora_pipeline.learn.derived_features import derived_features
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn

# What lies far outside of what was tried counts as that much outside: one can know no less than nothing.
_FARTHEST: Final = 1.0
# A product of two parameters is that much less probable than its factors are, as for `learn.candidate_causes`.
_PRODUCT_SHARE: Final = 0.5
# Variance of a straight line over 0 to 1 that has the same typical difference between two ends as a rough function.
_STRAIGHT_VARIANCE: Final = 2.0


@dataclass(frozen=True)
class Causes:
    """What may act on the outcome: classes of parameters that always changed together, and products of them.

    Attributes
    ----------
    columns
        c of them, each with n + q rows: the tried configurations, then the proposed ones. Whatever is the same in
        all rows is left out.
    prior
        float[c]: probability that each acts.
    is_product
        bool[c].
    n
        Number of configurations that were tried.
    """

    columns: tuple[ParameterColumn, ...]
    prior: Floats
    is_product: NDArray[np.bool_]
    n: int

    @property
    def is_varied(self) -> NDArray[np.bool_]:
        """bool[c]: whether it varied among what was tried, and not only between that and the proposals."""
        return np.array([len(np.unique(column.codes[: self.n])) > 1 for column in self.columns], dtype=bool)


def causes_of(trials: Trials, columns: Sequence[ParameterColumn]) -> Causes:
    """Lay out the causes.

    Parameters
    ----------
    trials
        n configurations.
    columns
        With n + q rows, see `Trials.beside`. A proposal that separates what always changed together makes two
        classes of it.
    """
    classes = alias_classes(columns)
    features = derived_features(classes)
    given = np.array([1 - np.prod([1 - trials.prior[name] for name in members.names]) for members in classes])
    of_products = [_PRODUCT_SHARE * np.exp(np.log(given[list(feature.parents)]).mean()) for feature in features]
    found = [
        *((members.leader, prior, False) for members, prior in zip(classes, given, strict=True)),
        *((feature.column, prior, True) for feature, prior in zip(features, of_products, strict=True)),
    ]
    kept = [each for each in found if each[0].is_varied]
    return Causes(
        columns=tuple(column for column, _, _ in kept),
        prior=np.array([prior for _, prior, _ in kept], dtype=float),
        is_product=np.array([is_product for _, _, is_product in kept], dtype=bool),
        n=len(trials),
    )


def rough_kernel(column: ParameterColumn, n: int, length: float) -> Floats:
    """float[rows, rows]: of functions that may jump anywhere, the less the nearer two levels are.

    Parameters
    ----------
    column
        Of which the first n rows were tried.
    length
        Distance over which the correlation falls to 1/e, on a scale on which what was tried lies between 0 and 1.
    """
    places = level_places(column, n)
    return _of_rows(np.eye(len(column.levels)) if places is None else _exponential(places, length), column)


def straight_kernel(column: ParameterColumn, n: int) -> Floats:
    """float[rows, rows]: of straight lines; of names, any function."""
    places = level_places(column, n)
    return _of_rows(np.eye(len(column.levels)) if places is None else _straight(places), column)


def mixed_kernel(column: ParameterColumn, n: int) -> Floats:
    """float[rows, rows]: of rough functions around straight lines."""
    places = level_places(column, n)
    mixed = np.eye(len(column.levels)) if places is None else (_exponential(places, 1.0) + _straight(places)) / 2
    return _of_rows(mixed, column)


def level_places(column: ParameterColumn, n: int) -> Floats | None:
    """float[levels]: where each level lies; 0 to 1 for those of the first n rows. None for names."""
    positions = column.positions
    if positions is None:
        return None
    tried = np.unique(column.codes[:n][column.known[:n]])
    if len(tried) < 2:
        return np.arange(len(positions), dtype=float)
    first, last = positions[tried[0]], positions[tried[-1]]
    ranks = np.interp(positions, positions[tried], np.linspace(0, 1, len(tried)))
    inside = np.clip((positions - first) / (last - first), -_FARTHEST, 1 + _FARTHEST)
    return np.asarray((ranks + inside) / 2)


def _exponential(places: Floats, length: float) -> Floats:
    return np.asarray(np.exp(-np.abs(places[:, None] - places) / length))


def _straight(places: Floats) -> Floats:
    centred = places - 0.5
    return _STRAIGHT_VARIANCE * np.outer(centred, centred) + 0.5


def _of_rows(of_levels: Floats, column: ParameterColumn) -> Floats:
    """Rows of unknown value behave as if each had a level drawn at random from those that occur."""
    frequency = np.bincount(column.codes[column.known], minlength=len(column.levels)) / column.known.sum()
    n_levels = len(of_levels)
    extended = np.zeros((n_levels + 1, n_levels + 1))
    extended[:n_levels, :n_levels] = of_levels
    extended[n_levels, :n_levels] = extended[:n_levels, n_levels] = of_levels @ frequency
    extended[n_levels, n_levels] = frequency @ of_levels @ frequency
    places = np.where(column.known, column.codes, n_levels)
    kernel = extended[np.ix_(places, places)]
    unknown = np.flatnonzero(~column.known)
    kernel[unknown, unknown] = frequency @ np.diag(of_levels)
    return np.asarray(kernel)
