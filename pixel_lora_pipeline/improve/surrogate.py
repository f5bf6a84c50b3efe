"""What runs say about configurations that were not tried: Gaussian processes that know how little they know."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.float64]
# Squared differences that occur, float[u], and which of them where, int[n, n].
Distinct: TypeAlias = tuple[Floats, NDArray[np.intp]]

# Priors of logarithms, median and standard deviation. Length scales, over parameters whose values lie between 0 and 1.
_LENGTH, _LENGTH_SD = 0.6, 0.6
# Variances in units of the metric's variance over the history: what all parameters do, each by itself; how much more
# two do together; the noise of a run.
_WEIGHT, _WEIGHT_SD = 1.5, 1.2
_TOGETHER, _TOGETHER_SD = 0.5, 1.0
_NOISE, _NOISE_SD = 0.05, 1.2
_LEAST_NOISE: Final = 1e-4
# The mean over the space is not known: it may lie a standard deviation from the mean of what was tried.
_MEAN_VARIANCE: Final = 1.0
_CHAINS: Final = 16
_STEPS: Final = 40


@dataclass(frozen=True)
class Scales:
    """How far apart two values of a parameter are.

    Attributes
    ----------
    is_ordered
        bool[d]: which parameters lie on a scale; of the others it only counts whether they are equal.
    spread
        float[d]: squared difference that a value which is not known has to any other, on average; of ordered
        parameters, beyond that from the middle of the scale.
    """

    is_ordered: NDArray[np.bool_]
    spread: Floats

    def squared_differences(self, one: Floats, other: Floats, parameter: int) -> Floats:
        """float[n, k] between places float[n] and float[k]; NaN is a value that is not known.

        It is as far from any other as one drawn at random is on average: as if it lay in the middle, and off the scale
        in a direction of its own. So the covariance stays positive definite.
        """
        first, second = one[:, None], other[None, :]
        unknown = np.isnan(first).astype(float) + np.isnan(second)
        if self.is_ordered[parameter]:
            known = (np.nan_to_num(first, nan=0.5) - np.nan_to_num(second, nan=0.5)) ** 2
            return np.asarray(known + self.spread[parameter] * unknown)
        return np.asarray(np.where(unknown > 0, self.spread[parameter], (first != second).astype(float)))

    def among(self, places: Floats) -> list[Distinct]:
        """For each parameter, among places float[n, d]; a configuration does not differ from itself.

        A parameter has few values, and so few differences however many runs there are: covariances are computed for
        these only.
        """
        found = []
        for parameter, column in enumerate(places.T):
            squared = self.squared_differences(column, column, parameter)
            np.fill_diagonal(squared, 0)
            distinct, which = np.unique(squared, return_inverse=True)
            found.append((distinct, which.reshape(squared.shape)))
        return found


@dataclass(frozen=True)
class Effects:
    """What parameters do, by each of m processes: every one for itself, and two together.

    The effects of training parameters mostly add up. A process that knows that learns from a run about each parameter
    that it had; one that only knows distances learns about the run's neighbourhood, of which seven parameters have
    too many.

    Attributes
    ----------
    lengths, weights
        float[m, d]: over which distance each parameter's effect changes, and the variance that it makes.
    together
        float[m]: variance that two parameters make beyond that, in proportion to the product of their weights.

    References
    ----------
    D. Duvenaud, H. Nickisch, C. E. Rasmussen. Additive Gaussian Processes. NeurIPS 2011.
    """

    lengths: Floats
    weights: Floats
    together: Floats

    def covariance(self, differences: Sequence[Distinct]) -> Floats:
        """float[m, n, n], from the differences in each parameter."""
        shape = len(self.lengths), *differences[0][1].shape
        total, squares = np.zeros(shape), np.zeros(shape)
        for at, (distinct, which) in enumerate(differences):
            part = self._alone(distinct, self.lengths[:, at, None], self.weights[:, at, None])
            total += part.take(which, axis=1)
            squares += (part**2).take(which, axis=1)
        return self._joined(total, squares)

    def covariance_of(self, scales: Scales, places: Floats, others: Floats) -> Floats:
        """float[m, n, k] between places float[n, d] and float[k, d]; quick for many that share values."""
        shape = len(self.lengths), len(places), len(others)
        total, squares = np.zeros(shape), np.zeros(shape)
        for at in range(places.shape[1]):
            values, which = np.unique(places[:, at], return_inverse=True)
            squared = scales.squared_differences(values, others[:, at], at)
            part = self._alone(squared[None], self.lengths[:, at, None, None], self.weights[:, at, None, None])
            total += part.take(which, axis=1)
            squares += (part**2).take(which, axis=1)
        return self._joined(total, squares)

    @staticmethod
    def _alone(squared: Floats, lengths: Floats, weights: Floats) -> Floats:
        """Matérn 5/2."""
        distance = np.sqrt(5 * squared) / lengths
        return np.asarray(weights * (1 + distance + distance**2 / 3) * np.exp(-distance))

    def _joined(self, total: Floats, squares: Floats) -> Floats:
        return np.asarray(total + self.together[:, None, None] * (total**2 - squares) / 2)

    @property
    def variance(self) -> Floats:
        """float[m]: of any configuration."""
        total, squares = self.weights.sum(axis=1), (self.weights**2).sum(axis=1)
        return np.asarray(total + self.together * (total**2 - squares) / 2)


@dataclass(frozen=True)
class Surrogate:
    """Processes that explain the runs, each in another way; all are equally probable.

    Attributes
    ----------
    scales
        Of the parameters.
    effects, noise
        What each process takes parameters to do, and the variance of a run, float[m].
    places
        float[n, d]: of the runs.
    losses
        float[n, k]: by how much each belief says that a run is worse (see `fit`).
    residuals
        float[m, n]: of the runs, from what the beliefs say.
    root, weights
        float[m, n, n], float[m, n]: inverse of the Cholesky factor of the runs' covariance; the inverse of the
        covariance times the residuals.
    """

    scales: Scales
    effects: Effects
    noise: Floats
    places: Floats
    losses: Floats
    residuals: Floats
    root: Floats
    weights: Floats

    def predict(self, places: Floats, losses: Floats) -> tuple[Floats, Floats]:
        """What configurations are truly worth: mean and standard deviation float[m, n], standardised."""
        cross = self.effects.covariance_of(self.scales, places, self.places) + _shared(losses, self.losses)
        means = np.einsum("mij,mj->mi", cross, self.weights) - losses.sum(axis=1)
        explained = ((cross @ self.root.transpose(0, 2, 1)) ** 2).sum(axis=2)
        prior = self.effects.variance[:, None] + _MEAN_VARIANCE + (losses**2).sum(axis=1)
        return means, np.sqrt(np.maximum(prior - explained, _LEAST_NOISE))

    def with_runs(self, places: Floats, values: Floats, losses: Floats) -> "Surrogate":
        """The same processes, told of more runs; values float[m, k], standardised."""
        return _conditioned(
            self.scales,
            self.effects,
            self.noise,
            np.vstack([self.places, places]),
            np.vstack([self.losses, losses]),
            np.hstack([self.residuals, values + losses.sum(axis=1)]),
        )


def fit(
    scales: Scales, places: Floats, values: Floats, losses: Floats, random: Generator, *, noise: float | None = None
) -> Surrogate:
    """Learn from runs what configurations are worth.

    How far effects reach, how large they are and how noisy a run is, is not chosen but drawn from the posterior:
    with ten runs much is possible, and a search that chose would be too sure.

    Parameters
    ----------
    places, values
        float[n, d], float[n]: of the runs. Those of one configuration are rows of their own: from them the noise is
        learnt. Values are standardised.
    losses
        float[n, k]: for each belief, by how much (standardised) it says that the run is worse. How true it is, is
        learnt: what it says is expected, give or take as much.
    noise
        Standard deviation of a run, standardised, if it is known.
    """
    differences, shared = scales.among(places), _shared(losses, losses)
    residuals, rows, d = values + losses.sum(axis=1), np.arange(len(places)), places.shape[1]
    median = np.log([_LENGTH] * d + [_WEIGHT / d] * d + [_TOGETHER, _NOISE])
    deviation = np.array([_LENGTH_SD] * d + [_WEIGHT_SD] * d + [_TOGETHER_SD, _NOISE_SD])
    if noise is not None:
        median[-1], deviation[-1] = np.log(max(noise**2, _LEAST_NOISE)), 0.0

    def log_likelihood(drawn: Floats) -> Floats:
        effects, variance = _read(drawn)
        covariance = effects.covariance(differences) + shared
        covariance[:, rows, rows] += variance[:, None]
        factor = np.linalg.cholesky(covariance)
        solved = np.linalg.solve(factor, residuals[:, None])[..., 0]
        return np.asarray(-np.log(factor[:, rows, rows]).sum(axis=1) - 0.5 * (solved**2).sum(axis=1))

    effects, variance = _read(_slice_sample(log_likelihood, median, deviation, random))
    return _conditioned(scales, effects, variance, places, losses, np.tile(residuals, (_CHAINS, 1)))


def _read(drawn: Floats) -> tuple[Effects, Floats]:
    natural = np.exp(drawn)
    d = (natural.shape[1] - 2) // 2
    return Effects(natural[:, :d], natural[:, d : 2 * d], natural[:, -2]), natural[:, -1] + _LEAST_NOISE


def _conditioned(
    scales: Scales, effects: Effects, noise: Floats, places: Floats, losses: Floats, residuals: Floats
) -> Surrogate:
    covariance = effects.covariance(scales.among(places)) + _shared(losses, losses)
    rows = np.arange(len(places))
    covariance[:, rows, rows] += noise[:, None]
    root = np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)), dtype=float)
    weights = np.einsum("mji,mj->mi", root, np.einsum("mij,mj->mi", root, residuals))
    return Surrogate(scales, effects, noise, places, losses, residuals, root, weights)


def _shared(losses: Floats, others: Floats) -> Floats:
    """float[n, k]: covariance by the mean, which is not known, and by how true the beliefs are."""
    return np.asarray(_MEAN_VARIANCE + losses @ others.T)


def _slice_sample(
    log_likelihood: Callable[[Floats], Floats], mean: Floats, deviation: Floats, random: Generator
) -> Floats:
    """Draws from a posterior whose prior is normal: float[chains, d], the last state of each chain.

    References
    ----------
    I. Murray, R. P. Adams, D. J. C. MacKay. Elliptical slice sampling. AISTATS 2010.
    """
    shape = (_CHAINS, len(mean))
    state = deviation * random.standard_normal(shape)
    likelihood = log_likelihood(mean + state)
    for _ in range(_STEPS):
        other = deviation * random.standard_normal(shape)
        level = likelihood + np.log(random.random(_CHAINS))
        angle = random.uniform(0, 2 * np.pi, _CHAINS)
        low, high = angle - 2 * np.pi, angle.copy()
        moving = np.arange(_CHAINS)
        while len(moving):
            proposed = state[moving] * np.cos(angle[moving, None]) + other[moving] * np.sin(angle[moving, None])
            found = log_likelihood(mean + proposed)
            accepted = found > level[moving]
            state[moving[accepted]], likelihood[moving[accepted]] = proposed[accepted], found[accepted]
            moving = moving[~accepted]
            low[moving] = np.where(angle[moving] < 0, angle[moving], low[moving])
            high[moving] = np.where(angle[moving] >= 0, angle[moving], high[moving])
            angle[moving] = random.uniform(low[moving], high[moving])
    return np.asarray(mean + state)


def expected_improvement(means: Floats, deviations: Floats, over: Floats) -> Floats:
    """float[n]: by how much configurations are expected to exceed the best so far, float[m]; worse counts as 0."""
    ahead = (means - over[:, None]) / deviations
    density = np.exp(-(ahead**2) / 2) / np.sqrt(2 * np.pi)
    return np.asarray((deviations * (density + ahead * ndtr(ahead))).mean(axis=0))
