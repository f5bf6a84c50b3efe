"""How far off a prediction may be: by how far off the same model was for configurations that it had not seen.

References
----------
.. [1] Lei, G'Sell, Rinaldo, Tibshirani, Wasserman, "Distribution-free predictive inference for regression", JASA 113,
       2018, doi:10.1080/01621459.2017.1307116, §5.2: residuals in units of a local spread.
.. [2] Barber, Candès, Ramdas, Tibshirani, "Predictive inference with the jackknife+", Annals of Statistics 49, 2021,
       doi:10.1214/20-AOS1965: leave-one-out residuals.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtr, stdtrit

from pixel_lora_pipeline.improve.process_average import Forecast
from pixel_lora_pipeline.learn.parameter_column import Floats

# Of the misses that a level allows, what is kept for the next run being unlike the past ones: people try what was not
# tried. Without it, nine of ten became 0.86 for the runs that follow 30 others in `benchmarks/prediction.py`.
_KEPT: Final = 0.25


@dataclass(frozen=True)
class Outlook:
    """What a run may turn out to be: a Student distribution.

    Attributes
    ----------
    mean
        Predicted metric.
    half_width
        Of the interval.
    level
        Probability that the run lies in it.
    freedom
        Degrees of freedom.
    """

    mean: float
    half_width: float
    level: float
    freedom: int

    @property
    def interval(self) -> tuple[float, float]:
        """Central."""
        return self.mean - self.half_width, self.mean + self.half_width

    def probability_above(self, value: float) -> float:
        """That the run is better than this, in units of the metric."""
        if self.half_width == 0 or math.isinf(self.half_width):
            return 0.5 if math.isinf(self.half_width) or value == self.mean else float(self.mean > value)
        scale = self.half_width / student_reach(self.freedom, self.level)
        return float(stdtr(self.freedom, (self.mean - value) / scale))


def outlook_of(forecast: Forecast, metric: Floats, at: int, level: float, unseen_variance: float = 0.0) -> Outlook:
    """The interval of one proposal.

    Its half width is the model's own standard deviation there, times the larger of two factors: the quantile of
    Student's distribution, which the model would be content with, and the quantile of the errors that it made for
    configurations it had not seen, in units of the deviation that it stated for them. So a proposal far from what was
    tried has a wide interval, and a model that was too sure of itself is corrected. Both are taken at a level a little
    higher than the stated one, as the next run is not one more draw from the same lot.

    Parameters
    ----------
    forecast
        For n configurations and the proposals.
    metric
        float[n].
    at
        Of which proposal.
    level
        Probability that the run lies in the interval.
    unseen_variance
        Of a single run, that is missing in `metric` as it holds means over replicates.

    Notes
    -----
    A quantile of n errors for a level above n / (n + 1) does not exist. The largest error is then taken for it.
    """
    n = len(metric)
    spread = math.sqrt(float(forecast.sd[at]) ** 2 + unseen_variance)
    guarded = level + (1 - level) * _KEPT
    errors = np.abs(forecast.left_out_mean - metric)
    if spread == 0:
        # All outcomes were the same. That a run will be is as probable as n draws of the same lot make it.
        return Outlook(float(forecast.mean[at]), 0.0 if level <= n / (n + 1) else math.inf, level, n - 1)
    stated = np.maximum(forecast.left_out_sd, np.finfo(float).tiny)
    in_units = np.sort(errors / stated)
    rank = min(math.ceil(guarded * (n + 1)), n)
    reach = max(float(in_units[rank - 1]), student_reach(n - 1, guarded))
    return Outlook(float(forecast.mean[at]), reach * spread, level, n - 1)


def student_reach(freedom: int, level: float) -> float:
    """How many standard deviations to either side of the mean an interval of this level reaches."""
    return float(stdtrit(freedom, (1 + level) / 2))
