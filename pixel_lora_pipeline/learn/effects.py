"""How much a cause changes the metric, averaged over the models that may be right."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from pixel_lora_pipeline.learn.parameter_column import Floats, Integers
from pixel_lora_pipeline.learn.variable_selection import Candidates, Models, g_values, log_bayes_factors

LEVEL: Final = 0.95
# Models of each cause that are averaged over; those behind them have next to no weight.
_MOST_MODELS: Final = 60
_BISECTIONS: Final = 45
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Effect:
    """A cause's effect on the metric, from its low to its high side, if it acts at all.

    Attributes
    ----------
    mean, low, high
        Posterior mean and central 95 % interval.
    positive
        Probability that it is above zero.
    sd
        Of the noise around the models, average.
    slopes
        float[p]: posterior mean of each column's weight.
    """

    mean: float
    low: float
    high: float
    positive: float
    sd: float
    slopes: Floats


@dataclass(frozen=True)
class _Fit:
    """One model, fitted.

    Attributes
    ----------
    columns
        int[k].
    slopes
        float[k]: least squares.
    inverse
        float[k, k]: of X'X.
    g_weights
        float[g]: posterior of g.
    variances
        float[g]: of the noise.
    """

    columns: Integers
    slopes: Floats
    inverse: Floats
    g_weights: Floats
    variances: Floats


class ModelAverage:
    """Effects under the models of one search.

    Parameters
    ----------
    candidates, metric
        As the models were searched with.
    models
        What the search found.
    log_weights
        float[m]: of their posterior probability, up to a constant.
    """

    def __init__(self, candidates: Candidates, metric: Floats, models: Models, log_weights: Floats) -> None:
        centred = metric - metric.mean() if len(metric) else metric
        self._n = len(metric)
        self._total = float(centred @ centred)
        self._gram = candidates.gram
        self._covariances = candidates.matrix.T @ centred
        self._models = models
        self._log_weights = log_weights
        self._fits: dict[int, _Fit] = {}

    def effect(self, acting: NDArray[np.bool_], contrast: Floats) -> Effect | None:
        """The effect of a contrast under the most probable models in which a cause acts, None if there is no such.

        Parameters
        ----------
        acting
            bool[p]: columns in which the cause acts.
        contrast
            float[p]: by how much each of them differs between the high and the low side; zero for all others.

        Notes
        -----
        Given a model and g, an effect has a Student distribution with n − 1 degrees of freedom around the
        least-squares effect times g / (1 + g) (Liang et al. 2008, §2).
        """
        places = np.flatnonzero(self._models.holds(acting))
        if len(places) == 0:
            return None
        places = places[np.argsort(-self._log_weights[places], kind="stable")[:_MOST_MODELS]]
        model_weights = np.exp(self._log_weights[places] - np.logaddexp.reduce(self._log_weights[places]))
        fits = [self._fit(int(at)) for at in places]
        n = self._n
        shrink = g_values(n) / (1 + g_values(n))
        slopes = np.zeros(len(contrast))
        for fit, of_model in zip(fits, model_weights, strict=True):
            slopes[fit.columns] += of_model * float(fit.g_weights @ shrink) * fit.slopes
        means = np.concatenate([shrink * float(contrast[fit.columns] @ fit.slopes) for fit in fits])
        weights = np.concatenate([weight * fit.g_weights for weight, fit in zip(model_weights, fits, strict=True)])
        variances = np.concatenate([fit.variances for fit in fits])
        spreads = [float(contrast[fit.columns] @ fit.inverse @ contrast[fit.columns]) for fit in fits]
        scales = np.sqrt(np.maximum(np.repeat(spreads, len(shrink)) * np.tile(shrink, len(fits)) * variances, _TINY))
        return Effect(
            mean=float(weights @ means),
            low=_quantile(means, scales, weights, n - 1, (1 - LEVEL) / 2),
            high=_quantile(means, scales, weights, n - 1, (1 + LEVEL) / 2),
            positive=float(weights @ stdtr(n - 1, means / scales)),
            sd=float(weights @ np.sqrt(variances)),
            slopes=slopes,
        )

    def _fit(self, at: int) -> _Fit:
        if at not in self._fits:
            columns = self._models.columns[at]
            columns = columns[columns >= 0]
            inverse = np.asarray(np.linalg.inv(self._gram[np.ix_(columns, columns)]), dtype=float)
            slopes = inverse @ self._covariances[columns]
            explained = min(float(slopes @ self._covariances[columns]) / self._total, 1.0)
            n = self._n
            of_g = log_bayes_factors(np.array([explained]), len(columns), n)[0]
            shrink = g_values(n) / (1 + g_values(n))
            variances = self._total * (1 - shrink * explained) / (n - 1)
            self._fits[at] = _Fit(columns, slopes, inverse, np.exp(of_g - np.logaddexp.reduce(of_g)), variances)
        return self._fits[at]


def _quantile(means: Floats, scales: Floats, weights: Floats, freedom: int, level: float) -> float:
    """Of a mixture of Student distributions, by bisection."""
    reach = 1e3 * scales.max()
    low, high = float(means.min() - reach), float(means.max() + reach)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        below = float(weights @ stdtr(freedom, (middle - means) / scales))
        low, high = (middle, high) if below < level else (low, middle)
    return (low + high) / 2
