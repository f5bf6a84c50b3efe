"""What each parameter cost one run: drawn from everything that may explain the metric.

A parameter that acts is not to blame for a run whose value of it is good. So the models that may be right are drawn
with their weights, and in each draw every cause costs the run what its best value of all runs would have gained. The
share of draws in which a cause costs most is the probability that it is the root cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from pixel_lora_pipeline.learn.candidate_causes import CandidateCauses
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, Integers, ParameterColumn
from pixel_lora_pipeline.learn.posterior import Posterior
from pixel_lora_pipeline.learn.run_position import Position
from pixel_lora_pipeline.learn.variable_selection import g_values, log_bayes_factors

DRAWS: Final = 4000
_ROUNDING: Final = 1e-9
# Where accidents are no candidates, for the runs are many: a run that is so many standard deviations worse than
# explained had one.
_ACCIDENT_SDS: Final = 3.0


@dataclass(frozen=True)
class Attribution:
    """What a run lost, in each of s draws, in units of the metric.

    Attributes
    ----------
    lost
        float[s, classes]: to each class; 0 where its value is as good as any, or where it does not act.
    acts
        bool[s, classes]: whether it acts.
    fails
        float[s]: probability that such a run is worse than the median of all runs.
    accident, drift
        float[s]: to something that only this run had; to when it was made.
    """

    lost: Floats
    acts: NDArray[np.bool_]
    fails: Floats
    accident: Floats
    drift: Floats
    _drawn: tuple["_Drawn", ...]
    _position: Position
    _causes: CandidateCauses

    def gains(self, at: int, column: ParameterColumn, weights: Floats) -> Floats:
        """float[levels]: what each value of a parameter would have changed, mean over draws.

        In products, the other factors are as they were in the runs that had the value.

        Parameters
        ----------
        at
            Place of the parameter's class.
        column
            The parameter.
        weights
            float[s]: of the draws.
        """
        matrix, owned = self._causes.candidates.matrix, self._causes.owned[at]
        slopes = np.zeros(matrix.shape[1])
        for drawn in self._drawn:
            weighted = weights[drawn.draws, None] * drawn.slopes * owned[drawn.columns]
            slopes += np.bincount(drawn.columns.ravel(), weighted.ravel(), minlength=len(slopes))
        means = np.array([matrix[column.codes == level].mean(axis=0) for level in range(len(column.levels))])
        return np.asarray((means - self._position.columns) @ slopes / max(float(weights.sum()), _ROUNDING))


@dataclass(frozen=True)
class _Drawn:
    """Draws of models of one size k.

    Attributes
    ----------
    columns
        int[d, k].
    slopes
        float[d, k]: their weights.
    sds
        float[d]: of the noise.
    draws
        The places of these among all draws.
    """

    columns: Integers
    slopes: Floats
    sds: Floats
    draws: slice


def attribute(posterior: Posterior, causes: CandidateCauses, metric: Floats, position: Position) -> Attribution:
    """Draw models and their weights, and what they say that the run lost.

    Parameters
    ----------
    posterior, causes
        Of the configurations.
    metric
        float[n]: the higher the better.
    position
        The run.
    """
    random = np.random.default_rng(0)  # the same question has the same answer
    weights = np.exp(posterior.log_weights - posterior.log_weights.max())
    counts = random.multinomial(DRAWS, weights / weights.sum())
    drawn = tuple(_draw(posterior, counts, causes, metric, random))
    shape = (DRAWS, len(causes.owned))
    lost, acts = np.zeros(shape), np.zeros(shape, dtype=bool)
    accident, drift, fails = np.zeros(DRAWS), np.zeros(DRAWS), np.full(DRAWS, 0.5)
    matrix, is_known = causes.candidates.matrix, position.levels != MISSING
    is_accident = _accidents(causes)
    is_drift = causes.is_nuisance[causes.candidates.source] & ~is_accident
    # The accidents of other runs are none of this one.
    is_accident &= position.columns > 0
    for of_size in drawn:
        columns, slopes, draws = of_size.columns, of_size.slopes, of_size.draws
        here = slopes * position.columns[columns]
        best = np.maximum(slopes * matrix.max(axis=0)[columns], slopes * matrix.min(axis=0)[columns])
        for place in range(columns.shape[1]):
            column, slope = columns[:, place], slopes[:, [place]]
            owned = causes.owned[:, column].T
            acts[draws] |= owned
            reached = np.maximum(slope * position.highest[:, column].T, slope * position.lowest[:, column].T)
            lost[draws] += np.where(owned & is_known, reached - here[:, [place]], 0.0)
            accident[draws] -= np.where(is_accident[column], here[:, place], 0.0)
            drift[draws] += np.where(is_drift[column], (best - here)[:, place], 0.0)
        below = np.median(metric) - metric.mean() - here.sum(axis=1)
        fails[draws] = ndtr(below / np.maximum(of_size.sds, _ROUNDING))
        if position.row is not None and not is_accident.any():  # too many runs for a candidate of its own
            unexplained = here.sum(axis=1) - (metric[position.row] - metric.mean())
            accident[draws] = np.where(unexplained > _ACCIDENT_SDS * of_size.sds, unexplained, 0.0)
    if len(metric):
        lost[lost < _ROUNDING * np.ptp(metric)] = 0.0
    return Attribution(lost, acts, fails, accident, drift, drawn, position, causes)


def _draw(
    posterior: Posterior, counts: Integers, causes: CandidateCauses, metric: Floats, random: np.random.Generator
) -> Iterator[_Drawn]:
    """Given a model and g, the weights have a Student distribution with n − 1 degrees of freedom around g / (1 + g)
    of the least-squares weights, see `effects.ModelAverage`.
    """
    centred, n = metric - metric.mean() if len(metric) else metric, len(metric)
    total, gram = float(centred @ centred), causes.candidates.gram
    covariances = causes.candidates.matrix.T @ centred
    shrink = g_values(n) / (1 + g_values(n))
    sizes = (posterior.models.columns >= 0).sum(axis=1)
    began = 0
    for size in np.unique(sizes[counts > 0]).tolist():
        models = np.flatnonzero((counts > 0) & (sizes == size))
        repeats = counts[models]
        draws = slice(began, began + int(repeats.sum()))
        began = draws.stop
        if size == 0:
            continue
        columns = posterior.models.columns[models, :size]
        inverse = np.linalg.inv(gram[columns[:, :, None], columns[:, None, :]])
        slopes = (inverse @ covariances[columns][:, :, None])[:, :, 0]
        explained = np.minimum((slopes * covariances[columns]).sum(axis=1) / total, 1.0)
        of_g = log_bayes_factors(explained, size, n)
        of_g = np.exp(of_g - np.logaddexp.reduce(of_g, axis=1)[:, None]).cumsum(axis=1)
        of_draw = np.repeat(np.arange(len(models)), repeats)
        chosen = (random.random(len(of_draw))[:, None] > of_g[of_draw, :-1]).sum(axis=1)
        factor = shrink[chosen]
        sds = np.sqrt(total * (1 - factor * explained[of_draw]) / random.chisquare(n - 1, len(of_draw)))
        normal = random.standard_normal((len(of_draw), size, 1))
        spread = (np.sqrt(factor) * sds)[:, None] * (np.linalg.cholesky(inverse)[of_draw] @ normal)[:, :, 0]
        yield _Drawn(columns[of_draw], factor[:, None] * slopes[of_draw] + spread, sds, draws)


def _accidents(causes: CandidateCauses) -> NDArray[np.bool_]:
    """bool[p]: nuisances of a single run, which is above all others, that are the same."""
    matrix = causes.candidates.matrix
    single = (matrix > 0).sum(axis=0) == 1
    rest = np.where(matrix > 0, np.nan, matrix)
    same = np.nanmax(rest, axis=0) - np.nanmin(rest, axis=0) < _ROUNDING if len(matrix) > 1 else single
    return np.asarray(causes.is_nuisance[causes.candidates.source] & single & same)
