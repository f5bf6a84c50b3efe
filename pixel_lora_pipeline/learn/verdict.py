"""What is said of a parameter: only as much as the evidence carries."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.effects import Effect
from pixel_lora_pipeline.learn.parameter_column import Floats

Category = Literal["CRITICAL", "HIGH", "MODERATE", "NONE", "INSUFFICIENT"]

FALSE_DISCOVERIES: Final = 0.10  # expected share of wrong ones among the selected
# Effects, as shares of the metric's range over the runs.
CRITICAL_EFFECT: Final = 0.15
HIGH_EFFECT: Final = 0.08
NO_EFFECT: Final = 0.03
# Posterior inclusion probabilities.
HIGH_PROBABILITY: Final = 0.7
MODERATE_PROBABILITY: Final = 0.3
# Configurations on each side: one could be an accident, and "no effect" needs to have been seen more than twice.
CRITICAL_SIDE: Final = 2
NONE_SIDE: Final = 3
# An effect is called different from zero if its sign is this sure, the chance that there is none included.
SURE: Final = 0.95


@dataclass(frozen=True)
class Interval:
    """What is reported of an effect: `mean` includes the chance that there is none, see `reported_interval`."""

    mean: float
    low: float
    high: float


def select(probabilities: Floats) -> NDArray[np.bool_]:
    """The largest set of causes whose expected share of wrong ones is at most 10 % (Bayesian false discovery rate).

    References
    ----------
    .. [1] Newton, Noueiry, Sarkar, Ahlquist, "Detecting differential gene expression with a semiparametric
           hierarchical mixture method", Biostatistics 5, 2004, doi:10.1093/biostatistics/5.2.155
    """
    order = np.argsort(-probabilities, kind="stable")
    expected = np.cumsum(1 - probabilities[order]) / np.arange(1, len(order) + 1)
    chosen = np.zeros(len(order), dtype=bool)
    chosen[order] = expected <= FALSE_DISCOVERIES
    return chosen


def reported_interval(pip: float, effect: Effect) -> Interval:
    """The effect with the chance of none taken into account.

    The mean is the model-averaged one: the effect if the parameter acts, times the probability that it does. The
    interval is that of the effect if it acts; it is extended to zero unless the sign is sure with 95 %.
    """
    sign = pip * max(effect.positive, 1 - effect.positive)
    mean = pip * effect.mean
    # The mean of a sure but very precise effect may be drawn out of its interval by the last doubt.
    low, high = min(effect.low, mean), max(effect.high, mean)
    return Interval(mean, low, high) if sign >= SURE else Interval(mean, min(low, 0.0), max(high, 0.0))


def categorise(
    *, pip: float, selected: bool, interval: Interval, metric_range: float, n_low: int, n_high: int
) -> Category:
    """The strongest word that is allowed.

    CRITICAL: selected, an effect of at least 15 % of the metric's range, an interval without zero, two
    configurations on each side. HIGH: a probability of at least 0.7 and 8 % of the range. MODERATE: a probability of
    at least 0.3. NONE: the whole interval within ±3 % of the range, three configurations on each side. Everything
    else is INSUFFICIENT.
    """
    side, size = min(n_low, n_high), abs(interval.mean)
    is_off_zero = interval.low > 0 or interval.high < 0
    if selected and is_off_zero and size >= CRITICAL_EFFECT * metric_range and side >= CRITICAL_SIDE:
        return "CRITICAL"
    if pip >= HIGH_PROBABILITY and size >= HIGH_EFFECT * metric_range:
        return "HIGH"
    if max(-interval.low, interval.high) <= NO_EFFECT * metric_range and side >= NONE_SIDE and not selected:
        return "NONE"
    return "MODERATE" if pip >= MODERATE_PROBABILITY else "INSUFFICIENT"
