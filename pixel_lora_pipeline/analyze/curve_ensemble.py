"""What a few noisy scores say of the whole curve of a training: an ensemble of curves, weighted by how well they fit.

The curve of epochs is taken to be ``level + height * shape(epoch) + wobble(epoch)``: a rise to a peak and what comes
after, in one of many shapes, plus a smooth deviation that no shape foresees. Level and height are integrated out
exactly; shapes, noise and the size of the wobble are summed over a fixed set, so that the same scores always give the
same answer. Nothing is fitted to a single family: the wobble keeps the ensemble from being sure of a shape that is
only roughly right.

References
----------
.. [1] Domhan, Springenberg, Hutter, "Speeding up automatic hyperparameter optimization of deep neural networks by
       extrapolation of learning curves", IJCAI 2015: several parametric families, weighted by the data.
.. [2] Rasmussen, Williams, "Gaussian Processes for Machine Learning", 2006, §2.7: explicit basis functions with
       Gaussian weights, and the marginal likelihood used here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import ndtr, ndtri, stdtrit
from scipy.stats import qmc

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SHAPES: Final = 2048
DRAWS: Final = 800  # a probability is then known to 0.02
MAX_GRID: Final = 64  # epochs at which a long training's curve is looked at, beside those that have a score

# Before any score is seen, nine in ten curves are expected to peak: around 60 % of the plan, with 80 % within a factor
# of 2 (of 16 epochs, between the 5th and the end), because most LoRA trainings are planned longer than they need.
# Student's distribution has the tails for those that are best in their first epoch.
PEAK_MEDIAN: Final = 0.6
PEAK_SPREAD: Final = 0.4  # of the logarithm
PEAK_FREEDOM: Final = 3.0  # degrees
ENDLESS: Final = 0.1  # share of the shapes that never decline
NEVER: Final = 2.0  # where, in plans, such a curve is taken to peak

# Standard deviation of a score at the run's greatest depth, in points: a log-normal belief.
NOISES: Final = np.array([0.5, 0.9, 1.5, 2.4, 4.0, 6.5])
NOISE_MEDIAN: Final = 1.8
NOISE_SPREAD: Final = 0.7

# Size of the wobble in points, its belief, and the share of the plan over which it changes.
WOBBLES: Final = np.array([0.3, 1.0, 2.0])
WOBBLE_WEIGHTS: Final = np.array([0.40, 0.35, 0.25])
WOBBLE_LENGTH: Final = 0.15
MIN_WOBBLE_LENGTH: Final = 1.5  # epochs; shorter could not be told from noise

# Rise from the untrained network to the peak, in points: positive, and anything between 0 and 65 is unsurprising.
HEIGHT_MEAN: Final = 25.0
HEIGHT_SPREAD: Final = 20.0
LEVEL_SPREAD: Final = 50.0  # around the mean score

# Peaks of past runs: the belief above counts as much as this many of them, and a peak says something of its
# neighbourhood, in logarithm.
BELIEF_WORTH: Final = 4.0
PEAK_BANDWIDTH: Final = 0.2
PEAK_BINS: Final = np.linspace(np.log(0.05), np.log(5_000.0), 241)


@dataclass(frozen=True)
class Scores:
    """Scores of a run, one an epoch.

    Attributes
    ----------
    epochs
        Increasing, from 1.
    values
        In points of 0-100, finite.
    variances
        Of each score's noise, relative to that of the deepest evaluation: 1 or more.
    """

    epochs: Integers
    values: Floats
    variances: Floats


@dataclass(frozen=True)
class CurvePosterior:
    """The curves that remain plausible.

    Attributes
    ----------
    epochs
        Where the curves are known: (n,), increasing from 1; those of the scores are among them.
    mean
        Expected true score at each: (n,).
    draws
        Equally likely curves: (DRAWS, n).
    noise
        Expected standard deviation of a score of the greatest depth, in points.
    """

    epochs: Integers
    mean: Floats
    draws: Floats
    noise: float


def fit_curves(scores: Scores, horizon: int, past_peaks: Floats | None = None) -> CurvePosterior:
    """Plausible curves up to epoch `horizon`, given at least one score.

    Parameters
    ----------
    scores
        What was measured.
    horizon
        Last epoch of interest; not before the last score.
    past_peaks
        Where past runs peaked, as `peak_distribution` or several of them summed; None if there are none.
    """
    grid = np.union1d(np.linspace(1, horizon, min(horizon, MAX_GRID)).round().astype(np.int64), scores.epochs)
    shapes, peaks = _shapes(tuple(grid.tolist()), horizon)
    measured = np.searchsorted(grid, scores.epochs)
    center = float(scores.values.mean())
    fits = _fit_all(scores, center, shapes[:, measured], horizon)
    log_weights = np.stack([fit.log_weights for fit in fits])
    if past_peaks is not None:
        log_weights = log_weights + _log_prior_ratio(peaks, past_peaks)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()

    # Systematic resampling: each member is drawn as often as its weight says, give or take one.
    places = (np.arange(DRAWS) + 0.5) / DRAWS
    drawn = np.searchsorted(np.cumsum(weights), places).clip(max=weights.size - 1)
    setting, shape = np.divmod(drawn, len(peaks))
    random = np.random.default_rng(0)
    uniform, normal = random.random(DRAWS), random.standard_normal((DRAWS, 1 + len(grid)))
    means, draws = np.empty((DRAWS, len(grid))), np.empty((DRAWS, len(grid)))
    for number in np.unique(setting):
        chosen = setting == number
        means[chosen], draws[chosen] = fits[number].draw(
            shapes[shape[chosen]], shape[chosen], grid, measured, uniform[chosen], normal[chosen]
        )
    noise = float(weights.sum(axis=1) @ np.array([fit.noise for fit in fits]))
    return CurvePosterior(grid, center + means.mean(axis=0), center + draws, noise)


def peak_distribution(scores: Scores, horizon: int) -> Floats:
    """Where a finished run peaked, as probabilities of the bins of `PEAK_BINS`.

    A run that was still rising at its last epoch spreads its probability over later ones.
    """
    return _peak_distribution(
        tuple(scores.epochs.tolist()), tuple(scores.values.tolist()), tuple(scores.variances.tolist()), horizon
    )


@lru_cache(maxsize=512)  # past runs are the same for every epoch of a new one
def _peak_distribution(
    epochs: tuple[int, ...], values: tuple[float, ...], variances: tuple[float, ...], horizon: int
) -> Floats:
    horizon = max(horizon, epochs[-1])
    scores = Scores(np.array(epochs), np.array(values), np.array(variances))
    shapes, peaks = _shapes(epochs, horizon)
    log_weights = np.stack([fit.log_weights for fit in _fit_all(scores, float(scores.values.mean()), shapes, horizon)])
    weights = np.exp(log_weights - log_weights.max()).sum(axis=0)
    return _binned(peaks, weights / weights.sum())


def peak_at(epoch: float) -> Floats:
    """`peak_distribution` of a run of which only the best epoch is known."""
    return _binned(np.array([epoch]), np.ones(1))


def _binned(peaks: Floats, weights: Floats) -> Floats:
    counts, _ = np.histogram(np.log(peaks).clip(PEAK_BINS[0], PEAK_BINS[-1]), PEAK_BINS, weights=weights)
    return np.asarray(gaussian_filter1d(counts, PEAK_BANDWIDTH / (PEAK_BINS[1] - PEAK_BINS[0]), mode="nearest"))


def _log_prior_ratio(peaks: Floats, past_peaks: Floats) -> Floats:
    """How much more likely each shape has become by the peaks of past runs, as a logarithm."""
    belief = _binned(peaks, np.full(SHAPES, 1 / SHAPES))
    updated = (BELIEF_WORTH * belief + past_peaks) / (BELIEF_WORTH + past_peaks.sum())
    at = np.searchsorted(PEAK_BINS, np.log(peaks)).clip(1, len(belief)) - 1
    return np.asarray(np.log(updated[at] / belief[at]))


@lru_cache(maxsize=32)
def _shapes(grid: tuple[int, ...], horizon: int) -> tuple[Floats, Floats]:
    """Curves that are 0 at epoch 0 and 1 at their peak, (SHAPES, grid), and the epochs of their peaks.

    Rises by a power law, a logistic curve or an exponential one, each followed by a decline that begins slowly or
    at once and may be negligible; rise and decline in one, as a gamma density has it; and a growth that gets ever
    slower and never ends, which is 1 at the horizon.
    """
    u = qmc.Sobol(5, rng=np.random.default_rng(0)).random(SHAPES)
    peak = PEAK_MEDIAN * horizon * np.exp(PEAK_SPREAD * stdtrit(PEAK_FREEDOM, u[:, :1].clip(1e-4, 1 - 1e-4)))
    kind = (4 * u[:, 1:2] / (1 - ENDLESS)).astype(int)
    sharpness, decline, aux = u[:, 2:3], u[:, 3:4], u[:, 4:5]
    epoch = np.array(grid, float)[None]
    share = np.minimum(epoch / peak, 1.0)

    power = 1 - (1 - share) ** (1.2 * 4**sharpness)
    steepness = 1 / (0.06 + 0.12 * aux)

    def logistic(x: Floats | float) -> Floats:
        return np.asarray(1 / (1 + np.exp(-(x - 0.15 - 0.4 * sharpness) * steepness)))

    sigmoid = (logistic(share) - logistic(0.0)) / (logistic(1.0) - logistic(0.0))
    pace = 1 / (0.12 * 5**sharpness)
    exponential = np.expm1(-share * pace) / np.expm1(-pace)
    order = 0.3 * 6**sharpness
    gamma = (epoch / peak * np.exp(1 - epoch / peak)) ** order

    def growth(at: Floats | float) -> Floats:
        return np.asarray(1 - (1 + np.asarray(at) / (0.3 * peak)) ** -(0.3 * 6**sharpness))

    endless = growth(epoch) / growth(float(horizon))

    # Where the peak comes at once, the decline is not faster in proportion.
    lost = 0.02 * 50**decline * (np.maximum(epoch - peak, 0) / np.maximum(peak, 3.0)) ** (1 + aux)
    peaked = [power - lost, sigmoid - lost, exponential - lost, gamma]
    shapes = np.select([kind == number for number in range(len(peaked))], peaked, endless)
    peak = np.where(kind < len(peaked), peak, NEVER * horizon)
    # Nothing falls further below the untrained network than it had risen above it.
    return np.maximum(shapes, -1.0), peak[:, 0]


@dataclass(frozen=True)
class _Fit:
    """Level and height of each shape, for one size of noise and wobble.

    With `whiten` L⁻¹ for the Cholesky factor L of the covariance of noise and wobble, all is ordinary Bayesian
    regression on two columns; of the height, only the positive part of its normal distribution is meant.
    """

    noise: float
    wobble: float
    length: float
    whiten: Floats
    residual: Floats  # scores less their mean
    log_weights: Floats
    height: Floats
    height_sd: Floats
    level: Floats
    level_slope: Floats  # change of the level's mean with the height
    level_sd: float

    def draw(
        self, shapes: Floats, index: Integers, grid: Integers, measured: Integers, uniform: Floats, normal: Floats
    ) -> tuple[Floats, Floats]:
        """One curve for each of the chosen shapes, without and with the wobble's own uncertainty."""
        mean, sd = self.height[index], self.height_sd[index]
        below = ndtr(-mean / sd)
        height = mean + sd * ndtri((below + (1 - below) * uniform).clip(1e-12, 1 - 1e-12))
        level = self.level[index] + self.level_slope[index] * (height - mean) + self.level_sd * normal[:, 0]
        curve = level[:, None] + height[:, None] * shapes
        covariance = self.wobble**2 * _smoothness(grid, grid, self.length)
        gain = self.whiten @ covariance[measured]
        expected = curve + (self.residual - curve[:, measured]) @ self.whiten.T @ gain
        eigenvalues, vectors = np.linalg.eigh(covariance - gain.T @ gain)
        root = vectors * np.sqrt(eigenvalues.clip(min=0.0))
        return expected, expected + normal[:, 1:] @ root.T


def _fit_all(scores: Scores, center: float, shapes: Floats, horizon: int) -> Sequence[_Fit]:
    """The regression on every shape, for every size of noise and wobble."""
    length = max(WOBBLE_LENGTH * horizon, MIN_WOBBLE_LENGTH)
    smoothness = _smoothness(scores.epochs, scores.epochs, length)
    residual = scores.values - center
    fits = []
    for noise in NOISES:
        belief = -0.5 * (np.log(noise / NOISE_MEDIAN) / NOISE_SPREAD) ** 2
        for wobble, weight in zip(WOBBLES, WOBBLE_WEIGHTS, strict=True):
            factor = np.linalg.cholesky(wobble**2 * smoothness + noise**2 * np.diag(scores.variances))
            whiten = np.linalg.inv(factor)
            ones, target, columns = whiten.sum(axis=1), whiten @ residual, shapes @ whiten.T
            level_precision = float(ones @ ones) + LEVEL_SPREAD**-2
            height_precision = np.einsum("ij,ij->i", columns, columns) + HEIGHT_SPREAD**-2
            shared = columns @ ones
            on_level = ones @ target
            on_height = columns @ target + HEIGHT_MEAN * HEIGHT_SPREAD**-2
            determinant = level_precision * height_precision - shared**2
            level = (height_precision * on_level - shared * on_height) / determinant
            height = (level_precision * on_height - shared * on_level) / determinant
            height_sd = np.sqrt(level_precision / determinant)
            log_likelihood = (
                -np.log(np.diag(factor)).sum()
                - 0.5 * np.log(determinant)
                - 0.5 * (target @ target - on_level * level - on_height * height)
                + np.log(ndtr(height / height_sd).clip(min=1e-300))
            )
            fits.append(
                _Fit(
                    noise=float(noise),
                    wobble=float(wobble),
                    length=length,
                    whiten=whiten,
                    residual=residual,
                    log_weights=log_likelihood + belief + np.log(weight),
                    height=height,
                    height_sd=height_sd,
                    level=level,
                    level_slope=-shared / level_precision,
                    level_sd=level_precision**-0.5,
                )
            )
    return fits


def _smoothness(first: Integers, second: Integers, length: float) -> Floats:
    """Correlation of the wobble between epochs: (first, second)."""
    return np.asarray(np.exp(-0.5 * ((first[:, None] - second[None]) / length) ** 2))
