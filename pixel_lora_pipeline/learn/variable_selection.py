"""Which sets of causes explain a metric, and how probable each is: Bayesian variable selection with Zellner's g.

A model is a set of columns (forms in which causes may act, see `encodings`), at most one of each cause. The metric
is taken to be their weighted sum plus normal noise of unknown size. Intercept, weights and noise are integrated out
exactly, so that a model's marginal likelihood depends on R² and its size alone. All models with up to three columns are
enumerated as long as there are not too many; larger ones are grown from the best smaller ones.

References
----------
.. [1] Zellner, "On assessing prior distributions and Bayesian regression analysis with g-prior distributions", 1986.
.. [2] Liang, Paulo, Molina, Clyde, Berger, "Mixtures of g priors for Bayesian variable selection", JASA 103, 2008,
       doi:10.1198/016214507000001337: the marginal likelihood in R², and why g should not be a single number.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.encodings import standardised
from pixel_lora_pipeline.learn.parameter_column import Floats, Integers

EXHAUSTIVE_SIZE: Final = 3
# Models that are looked at exhaustively, at most, from one size to the next; and what is kept of a size otherwise.
MOST_MODELS: Final = 10_000_000
BEAM: Final = 200
LARGEST_MODEL: Final = 24
_CHUNK: Final = 3_000_000  # numbers in memory at once
# Columns whose part that no other column of the model explains is smaller than this add nothing to it.
_LEAST_FREE: Final = 1e-6
# Models that are less probable than the best by more than this, in logarithm, are forgotten.
_FORGOTTEN: Final = 16.0
# The search for larger models ends when a size's best is less probable than the best of all by this, in logarithm.
_HOPELESS: Final = 7.0
_SWAPS: Final = 10
_ROUNDING: Final = 1e-9
_NO_COLUMN: Final = -1

# Prior variance of the weights in units of what n (at least 20) runs would tell. Which is right is not known.
G_FACTORS: Final = np.array([1.0, 4.0, 16.0])
LEAST_G: Final = 20.0


@dataclass(frozen=True)
class Candidates:
    """What may explain the metric.

    Attributes
    ----------
    matrix
        float[n, p]: centred columns of length one.
    source
        int[p]: the cause that each column is a form of.
    share
        float[p]: of its cause's prior probability.
    """

    matrix: Floats
    source: Integers
    share: Floats

    @cached_property
    def gram(self) -> Floats:
        """float[p, p]: correlations between the columns."""
        return np.asarray(self.matrix.T @ self.matrix)


@dataclass(frozen=True)
class Models:
    """The models that were looked at.

    Attributes
    ----------
    columns
        int[m, k]: the columns of each, `-1` behind the last.
    r_squared
        float[m].
    log_evidence
        float[m]: logarithm of the marginal likelihood relative to the empty model, averaged over g.
    exhaustive_size
        Up to which all models were looked at.
    """

    columns: Integers
    r_squared: Floats
    log_evidence: Floats
    exhaustive_size: int

    def total(self, by_column: Floats) -> Floats:
        """float[m]: sum over each model's columns."""
        return np.asarray(np.append(by_column, 0.0)[self.columns].sum(axis=1))

    def by_column(self, weights: Floats, n_columns: int) -> Floats:
        """float[n_columns]: total weight of the models that have each column."""
        used = self.columns != _NO_COLUMN
        each = np.broadcast_to(weights[:, None], self.columns.shape)
        return np.asarray(np.bincount(self.columns[used], each[used], minlength=n_columns), dtype=float)

    def holds(self, column: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """bool[m]: whether a model has one of the given columns."""
        return np.asarray(np.append(column, False)[self.columns].any(axis=1))


def g_values(n: int) -> Floats:
    """The values of Zellner's g that are averaged over."""
    return G_FACTORS * max(n, LEAST_G)


def log_bayes_factors(r_squared: Floats, size: Integers | int, n: int) -> Floats:
    """float[m, g]: of models against the empty one, for each g. Liang et al. (2008), eq. 6."""
    g, freedom = g_values(n), n - 1
    unexplained = np.clip(1.0 - r_squared, 0.0, 1.0)[:, None]
    size = np.broadcast_to(size, r_squared.shape)[:, None]
    return np.asarray((freedom - size) / 2 * np.log1p(g) - freedom / 2 * np.log1p(g * unexplained))


def search_models(candidates: Candidates, metric: Floats, log_odds: Floats) -> Models:
    """Enumerate the models, all of them up to `EXHAUSTIVE_SIZE` columns if there are not too many.

    Parameters
    ----------
    candidates
        With p columns.
    metric
        float[n].
    log_odds
        float[sources]: prior log odds of each cause; they say which models are worth growing.

    Notes
    -----
    With n configurations, a model has at most n − 3 columns: two degrees of freedom are left for the noise.
    """
    search = _Search(candidates, metric, log_odds)
    largest = min(len(metric) - 3, LARGEST_MODEL, len(set(candidates.source.tolist())))
    if largest < 1 or np.ptp(metric) == 0:
        return search.collected([search.empty()], 0.0, 0)
    of_size = search.empty()
    found, best, exhaustive_size, is_exhaustive = [of_size], 0.0, 0, True
    for size in range(1, largest + 1):
        is_exhaustive &= size <= EXHAUSTIVE_SIZE and len(of_size) * len(candidates.source) <= MOST_MODELS
        of_size = search.grown(of_size if is_exhaustive else of_size.best(BEAM), only_later=is_exhaustive)
        if len(of_size) == 0:
            break
        exhaustive_size += is_exhaustive
        best = max(best, float(of_size.scores.max()))
        found.append(of_size)
        if size >= EXHAUSTIVE_SIZE and of_size.scores.max() < best - _HOPELESS:
            break
    found += search.around(max(found, key=lambda sized: float(sized.scores.max())))
    return search.collected(found, best, exhaustive_size)


@dataclass(frozen=True)
class _OfSize:
    """Models of one size.

    Attributes
    ----------
    columns
        int[m, size], increasing in each row.
    r_squared, log_evidence
        float[m].
    scores
        float[m]: logarithm of the posterior weight.
    """

    columns: Integers
    r_squared: Floats
    log_evidence: Floats
    scores: Floats

    def __len__(self) -> int:
        return len(self.columns)

    def at(self, chosen: Integers | NDArray[np.bool_]) -> "_OfSize":
        return _OfSize(self.columns[chosen], self.r_squared[chosen], self.log_evidence[chosen], self.scores[chosen])

    def best(self, count: int) -> "_OfSize":
        return self.at(np.argsort(-self.scores, kind="stable")[:count])


class _Search:
    """Columns, correlations and priors that every step needs."""

    def __init__(self, candidates: Candidates, metric: Floats, log_odds: Floats) -> None:
        self.n = len(metric)
        self.gram = candidates.gram
        self.slope = candidates.matrix.T @ standardised(metric)
        self.source = candidates.source
        self.log_prior = log_odds[candidates.source] + np.log(candidates.share)

    def scored(self, columns: Integers, r_squared: Floats) -> _OfSize:
        evidence = _averaged(log_bayes_factors(r_squared, columns.shape[1], self.n))
        return _OfSize(columns, r_squared, evidence, evidence + self.log_prior[columns].sum(axis=1))

    def empty(self) -> _OfSize:
        return self.scored(np.zeros((1, 0), dtype=np.int64), np.zeros(1))

    def grown(self, parents: _OfSize, *, only_later: bool) -> _OfSize:
        """Every model that has one column more."""
        children, fits = [], []
        for rows in _chunks(len(parents), len(self.source) * (parents.columns.shape[1] + 1)):
            columns = parents.columns[rows]
            gain = self._gain(columns)
            gain[(self.source[columns][:, :, None] == self.source).any(axis=1)] = -1.0
            if only_later and columns.shape[1]:
                gain[np.arange(gain.shape[1]) <= columns[:, -1:]] = -1.0
            parent, column = np.nonzero(gain >= 0)
            children.append(np.column_stack([columns[parent], column]))
            fits.append(parents.r_squared[rows][parent] + gain[parent, column])
        models, r_squared = np.concatenate(children), np.concatenate(fits)
        if not only_later:
            models.sort(axis=1)
            first = _first_of_each(models)
            models, r_squared = models[first], r_squared[first]
        return self.scored(models, r_squared)

    def _gain(self, models: Integers) -> Floats:
        """float[m, p]: what each column would add to each model's R²; −1 where it adds nothing of its own."""
        correlations = self.gram[models]
        free = np.broadcast_to(np.diag(self.gram), (len(models), len(self.source)))
        rest = np.broadcast_to(self.slope, free.shape)
        if models.shape[1]:
            weights = np.linalg.solve(self.gram[models[:, :, None], models[:, None, :]], correlations)
            free = free - (weights * correlations).sum(axis=1)
            rest = rest - (weights * self.slope[models][:, :, None]).sum(axis=1)
        return np.where(free > _LEAST_FREE, rest**2 / np.maximum(free, _LEAST_FREE), -1.0)

    def around(self, of_size: _OfSize) -> list[_OfSize]:
        """Neighbours of the best model: each column left out, or exchanged for another, until nothing is better.

        Where all models of the size were looked at, there is nothing left to find.
        """
        best = of_size.best(1)
        found: list[_OfSize] = []
        for _ in range(_SWAPS if best.columns.shape[1] > EXHAUSTIVE_SIZE else 0):
            columns = best.columns[0]
            smaller = np.array([np.delete(columns, place) for place in range(len(columns))])
            without = self.scored(smaller, np.array([self._r_squared(kept) for kept in smaller]))
            neighbours = self.grown(without, only_later=False)
            found += [without, neighbours]
            better = neighbours.best(1)
            if better.scores[0] <= best.scores[0] + _ROUNDING:
                break
            best = better
        return found

    def _r_squared(self, columns: Integers) -> float:
        slope = self.slope[columns]
        return float(slope @ np.linalg.solve(self.gram[np.ix_(columns, columns)], slope))

    def collected(self, found: list[_OfSize], best: float, exhaustive_size: int) -> Models:
        """All together, without what is hopeless, except for the best models that each column is in."""
        width = max(of_size.columns.shape[1] for of_size in found)
        parts = []
        for of_size in found:
            kept = of_size.scores >= best - _FORGOTTEN
            kept |= _is_best_of_a_column(of_size, len(self.source))
            chosen = of_size.at(kept)
            missing = np.full((len(chosen), width - chosen.columns.shape[1]), _NO_COLUMN, dtype=np.int64)
            parts.append((np.hstack([chosen.columns, missing]), chosen.r_squared, chosen.log_evidence))
        columns, r_squared, evidence = (np.concatenate(values) for values in zip(*parts, strict=True))
        if width > exhaustive_size:  # neighbours may have been met before
            first = _first_of_each(columns)
            columns, r_squared, evidence = columns[first], r_squared[first], evidence[first]
        return Models(columns, r_squared, evidence, exhaustive_size)


def _averaged(log_factors: Floats) -> Floats:
    return np.asarray(np.logaddexp.reduce(log_factors, axis=1) - np.log(log_factors.shape[1]))


def _is_best_of_a_column(of_size: _OfSize, n_columns: int) -> NDArray[np.bool_]:
    best = np.full(n_columns, -np.inf)
    for columns in of_size.columns.T:
        np.maximum.at(best, columns, of_size.scores)
    is_best = np.zeros(len(of_size), dtype=bool)
    for columns in of_size.columns.T:
        is_best |= of_size.scores >= best[columns]
    return is_best


def _first_of_each(models: Integers) -> Integers:
    """Places of the different rows. By the sums of random 64-bit numbers, which sorts much faster than the rows."""
    numbers = np.random.default_rng(0).integers(2**64, size=int(models.max(initial=0)) + 2, dtype=np.uint64)
    return np.sort(np.unique(numbers[models].sum(axis=1), return_index=True)[1])


def _chunks(n: int, width: int) -> Iterator[slice]:
    step = max(1, _CHUNK // max(width, 1))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))
