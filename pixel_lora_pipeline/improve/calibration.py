"""How earlier predictions turned out: whether predictions deserve to be believed."""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import binomtest

from pixel_lora_pipeline.learn.parameter_column import Floats

# Fewer say nothing: with nine of ten right, the interval of that share still reaches from 0.60 to 0.98.
FEWEST: Final = 10
_LEVEL: Final = 0.95
_RESAMPLES: Final = 2000


@dataclass(frozen=True)
class PredictedOutcome:
    """A prediction, and what happened.

    Attributes
    ----------
    predicted, interval
        As they were predicted.
    level
        Of the interval.
    mean_of_past
        Mean of the runs that were known when it was predicted: what anybody can say.
    observed
        What the run achieved.
    """

    predicted: float
    interval: tuple[float, float]
    level: float
    mean_of_past: float
    observed: float


@dataclass(frozen=True)
class Figure:
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How predictions turned out.

    Attributes
    ----------
    n
        Predictions whose outcome is known.
    level
        At which the intervals were stated, on average; NaN without any prediction.
    coverage
        Share of outcomes inside of their interval.
    within_15, within_5
        Share of predictions within 15 and 5 % of the outcome.
    skill
        1 - mean absolute error / that of the mean of the past.
    verdict
        For a person; "not enough yet" below `FEWEST` predictions. All figures are None then.
    """

    n: int
    level: float
    coverage: Figure | None
    within_15: Figure | None
    within_5: Figure | None
    skill: Figure | None
    verdict: str

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "level": self.level if math.isfinite(self.level) else None}


def calibrate(outcomes: Iterable[PredictedOutcome]) -> Calibration:
    """Compare predictions with what happened; those without a finite prediction or outcome are left out.

    The intervals of shares are Wilson's, that of the skill is a bootstrap over predictions. An interval that is
    infinite contains everything, and was honest about it.
    """
    known = [each for each in outcomes if all(map(math.isfinite, (each.predicted, each.observed, each.mean_of_past)))]
    n = len(known)
    level = float(np.mean([each.level for each in known])) if known else math.nan
    if n < FEWEST:
        return Calibration(
            n, level, None, None, None, None, f"not enough yet: {n} of {FEWEST} predictions have an outcome"
        )
    covered = sum(each.interval[0] <= each.observed <= each.interval[1] for each in known)
    coverage, skill = _share(covered, n), _skill(known)
    return Calibration(
        n=n,
        level=level,
        coverage=coverage,
        within_15=_share(sum(_is_within(each, 0.15) for each in known), n),
        within_5=_share(sum(_is_within(each, 0.05) for each in known), n),
        skill=skill,
        verdict=_verdict(n, level, coverage, skill),
    )


def _is_within(each: PredictedOutcome, share: float) -> bool:
    return abs(each.predicted - each.observed) <= share * abs(each.observed)


def _share(count: int, n: int) -> Figure:
    interval = binomtest(count, n).proportion_ci(_LEVEL, method="wilson")
    return Figure(count / n, float(interval.low), float(interval.high))


def _skill(known: list[PredictedOutcome]) -> Figure:
    errors = np.array([abs(each.predicted - each.observed) for each in known])
    of_mean = np.array([abs(each.mean_of_past - each.observed) for each in known])
    drawn = np.random.default_rng(0).integers(len(known), size=(_RESAMPLES, len(known)))
    skills = _ratio(errors[drawn].sum(axis=1), of_mean[drawn].sum(axis=1))
    low, high = np.quantile(skills, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Figure(float(_ratio(errors.sum(), of_mean.sum())), float(low), float(high))


def _ratio(errors: Floats, of_mean: Floats) -> Floats:
    """Where the mean was never wrong, there is nothing to be gained."""
    wrong = of_mean > 0
    return np.where(wrong, 1 - errors / np.where(wrong, of_mean, 1.0), 0.0)


def _verdict(n: int, level: float, coverage: Figure, skill: Figure) -> str:
    if coverage.high < level:
        intervals = "intervals are too narrow"
    elif coverage.low > level:
        intervals = "intervals are too wide"
    else:
        intervals = "intervals hold"
    if skill.low > 0:
        worth = "better than the mean"
    elif skill.high < 0:
        worth = "worse than the mean"
    else:
        worth = "not shown to be better than the mean"
    return f"{n} predictions: {worth} ({skill.value:+.0%}), {intervals} ({coverage.value:.0%} of {level:.0%})"
