"""What these runs could have shown, and how many more it takes."""

import math
from typing import Final

import numpy as np
from scipy.special import stdtrit

SIGNIFICANCE: Final = 0.05
POWER: Final = 0.8
_MOST_RUNS: Final = 1000


def minimum_detectable_effect(n_low: int, n_high: int, sd: float) -> float:
    """The smallest difference between two groups that a two-sided t test at 5 % finds with 80 % power.

    Parameters
    ----------
    n_low, n_high
        Configurations on each side.
    sd
        Of a configuration's metric around what its causes explain.

    Returns
    -------
    float
        In units of the metric; infinite if a side is empty or nothing is left to estimate the noise from.
    """
    freedom = n_low + n_high - 2
    if min(n_low, n_high) < 1 or freedom < 1:
        return math.inf
    reach = float(stdtrit(freedom, 1 - SIGNIFICANCE / 2) + stdtrit(freedom, POWER))
    return reach * sd * math.sqrt(1 / n_low + 1 / n_high)


def runs_needed(n_low: int, n_high: int, sd: float, effect: float) -> int | None:
    """How many more configurations, put where they help most, until an effect of this size would be found.

    At least one: where this many runs should have been enough, habits hid the effect. None if a thousand would not do.
    """
    low, high = n_low, n_high
    for more in range(1, _MOST_RUNS + 1):
        low, high = (low + 1, high) if low <= high else (low, high + 1)
        if minimum_detectable_effect(low, high, sd) <= effect:
            return more
    return None


def noise_sd(around_models: float, replicate_variance: float | None, mean_n_rep: float) -> float:
    """Standard deviation of a configuration's metric: what the models leave over, at least what replicates show."""
    of_replicates = 0.0 if replicate_variance is None else math.sqrt(replicate_variance / mean_n_rep)
    return float(np.maximum(around_models, of_replicates))
