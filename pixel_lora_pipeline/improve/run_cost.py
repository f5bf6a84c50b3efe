"""What a training will take and cost, by what earlier ones took for the work that they did."""

import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import t as student

from pixel_lora_pipeline.improve.configuration import number_of
from pixel_lora_pipeline.improve.hypothesis import Estimate

# Columns with the seconds of a whole training, the most trustworthy first.
_SECONDS: Final = ("gpu_seconds", "total_training_time")
_DOLLARS: Final = ("cost_usd",)
# Pictures that are trained on: every one of these multiplies the work.
_WORK: Final = ("max_train_epochs", "num_images", "num_repeats")
_LEVEL: Final = 0.9
# With fewer than three runs there is no scatter to measure; machines and settings differ easily by this factor.
_FEWEST: Final = 3
_ASSUMED_FACTOR: Final = 1.5


def gpu_seconds(parameters: Mapping[str, Any], runs: pd.DataFrame) -> Estimate | None:
    """Seconds on a GPU, None where no run has been timed."""
    return _estimate(parameters, runs, _SECONDS)


def cost_usd(parameters: Mapping[str, Any], runs: pd.DataFrame) -> Estimate | None:
    """Dollars, None where no run has a price."""
    return _estimate(parameters, runs, _DOLLARS)


def _estimate(parameters: Mapping[str, Any], runs: pd.DataFrame, columns: tuple[str, ...]) -> Estimate | None:
    """What earlier runs took, scaled by epochs × pictures × repeats as far as those are known.

    The ratio of two runs is taken to be log-normal: times are never negative, and a slower machine is so many times
    slower.
    """
    ratios = []
    for run in runs.to_dict("records"):
        taken = next((value for name in columns if (value := number_of(run.get(name))) is not None and value > 0), None)
        if taken is not None:
            ratios.append(math.log(taken * _work_ratio(parameters, run)))
    if not ratios:
        return None
    n, middle = len(ratios), float(np.mean(ratios))
    reach = math.log(_ASSUMED_FACTOR)
    if n >= _FEWEST:
        reach = float(student.ppf((1 + _LEVEL) / 2, n - 1) * np.std(ratios, ddof=1) * math.sqrt(1 + 1 / n))
    return Estimate(math.exp(middle), math.exp(middle - reach), math.exp(middle + reach), n)


def _work_ratio(parameters: Mapping[str, Any], run: Mapping[str, Any]) -> float:
    """How many times as much work a configuration is; what is not known of both is taken to be equal."""
    ratio = 1.0
    for name in _WORK:
        planned, done = number_of(parameters.get(name)), number_of(run.get(name))
        if planned is not None and done is not None and planned > 0 and done > 0:
            ratio *= planned / done
    return ratio
