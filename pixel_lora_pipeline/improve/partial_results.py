"""The other results of the runs: what a quality is made of, and can be predicted by.

A quality that sums up colours, style and accessories has as many causes as all of these together, and each is hidden
by the noise of the others. A single one has few causes and shows them clearly. So its parts are predicted one by one,
and what they make of the metric is read from the runs.
"""

from typing import Final

import numpy as np

from pixel_lora_pipeline.improve.likeness import Causes
from pixel_lora_pipeline.improve.outcome_models import FEW_CAUSES, forecast_by
from pixel_lora_pipeline.improve.process_average import Forecast
from pixel_lora_pipeline.learn.parameter_column import Floats

PARTS: Final = "few causes of each partial result"

# Each weight of a part takes a configuration; so many more are needed to tell whether the weights are right.
_FREE: Final = 4
# What the weights are shrunk by, in units of what one configuration says.
_RIDGE: Final = 0.1


def forecast_by_parts(causes: Causes, metric: Floats, parts: Floats) -> Forecast | None:
    """Predict every part by few causes, and the metric as their weighted sum.

    Parameters
    ----------
    causes
        With n tried and q proposed rows.
    metric
        float[n].
    parts
        float[n, p].

    Returns
    -------
    Forecast or None
        None without parts, or if there are too few configurations to weigh them. What is left out of a forecast is
        left out of the weights too.
    """
    n, n_parts = parts.shape
    if n_parts == 0 or n < n_parts + _FREE:
        return None
    of_parts = [forecast_by(FEW_CAUSES, causes, part) for part in parts.T]
    known = [forecast for forecast in of_parts if forecast is not None]
    if len(known) < n_parts:
        return None
    left_out_means = np.column_stack([forecast.left_out_mean for forecast in known])
    left_out_spreads = np.column_stack([forecast.left_out_sd for forecast in known])
    means = np.column_stack([forecast.mean for forecast in known])
    spreads = np.column_stack([forecast.sd for forecast in known])
    left_out = []
    for at in range(n):
        others = np.arange(n) != at
        sum_of = _WeightedSum(parts[others], metric[others])
        left_out.append((sum_of.of(left_out_means[at]), sum_of.sd(left_out_spreads[at])))
    sum_of = _WeightedSum(parts, metric)
    mean, sd = np.array(left_out).T
    return Forecast(mean, sd, sum_of.of(means), sum_of.sd(spreads))


class _WeightedSum:
    """What the parts make of the metric, by ridge regression."""

    def __init__(self, parts: Floats, metric: Floats) -> None:
        self._middle, self._scale = parts.mean(axis=0), parts.std(axis=0)
        self._scale[self._scale == 0] = 1.0
        scaled = (parts - self._middle) / self._scale
        self._mean = metric.mean()
        gram = scaled.T @ scaled + _RIDGE * np.eye(parts.shape[1])
        self._weights = np.linalg.solve(gram, scaled.T @ (metric - self._mean))
        rest = metric - self.of(parts)
        self._rest = float(rest @ rest) / max(len(metric) - parts.shape[1] - 1, 1)

    def of(self, parts: Floats) -> Floats:
        return np.asarray(self._mean + (parts - self._middle) / self._scale @ self._weights)

    def sd(self, spreads: Floats) -> Floats:
        """Of independent errors of the parts, and of what the metric is beyond them."""
        return np.asarray(np.sqrt(((spreads / self._scale * self._weights) ** 2).sum(axis=-1) + self._rest))
