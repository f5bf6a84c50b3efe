"""The best configuration so far: the one that is probably worth most, not the luckiest run."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import norm

from pixel_lora_pipeline.improve.landscape import Landscape

_LEVEL = 0.9


@dataclass(frozen=True)
class Incumbent:
    """The best configuration that was tried.

    Attributes
    ----------
    parameters
        Of the search space, as the runs had them.
    runs
        That had it.
    expected
        What it is believed to be worth, in units of the metric.
    interval
        90 % interval of that.
    observed
        Mean of what its runs came to.
    luckiest
        The run with the best result, which may be another's.
    reason
        One sentence for a person.
    """

    parameters: dict[str, Any]
    runs: tuple[str, ...]
    expected: float
    interval: tuple[float, float]
    observed: float
    luckiest: str
    reason: str


def best_so_far(landscape: Landscape) -> Incumbent | None:
    """The best configuration that was tried, by what it is expected to be worth; None without two runs.

    The best of ten noisy results is mostly a lucky one. What neighbours, replicates and other runs with the same
    values say is counted in here.
    """
    surrogate, observations = landscape.surrogate, landscape.observations
    if surrogate is None:
        return None
    n = len(observations.values)
    means, deviations = surrogate.predict(surrogate.places[:n], surrogate.losses[:n])
    best, luckiest = int(means.mean(axis=0).argmax()), int(observations.values.argmax())
    alike = np.flatnonzero(
        [np.array_equal(row, observations.places[best], equal_nan=True) for row in observations.places]
    )
    expected, deviation = landscape.in_metric(means[:, best], deviations[:, best])
    reach = float(norm.ppf((1 + _LEVEL) / 2)) * deviation
    sign = -1 if landscape.lower_is_better else 1
    observed = sign * float(observations.values[alike].mean())
    runs, record = tuple(observations.names[at] for at in alike), sign * float(observations.values[luckiest])
    reason = f"{', '.join(runs)} came to {observed:.4g} and is believed to be worth {expected:.4g} ± {reach:.2g}"
    if luckiest not in alike:
        worth, _ = landscape.in_metric(means[:, luckiest], deviations[:, luckiest])
        reason += f"; {observations.names[luckiest]} came to {record:.4g}, which was luck in part: {worth:.4g}"
    return Incumbent(
        parameters={name: observations.rows[best].get(name) for name in landscape.space.names},
        runs=runs,
        expected=expected,
        interval=(expected - reach, expected + reach),
        observed=observed,
        luckiest=observations.names[luckiest],
        reason=reason + ".",
    )
