"""Whether a run is worth its price: how likely it fails, and how likely it is as good as the best."""

from dataclasses import dataclass
from typing import Final, Literal

from pixel_lora_pipeline.improve.conformal_interval import Outlook
from pixel_lora_pipeline.learn.parameter_column import Floats

Risk = Literal["LOW", "MEDIUM", "HIGH"]
Recommendation = Literal["RUN", "SKIP"]

# A run is skipped only if the best would be missed by it in one of twenty cases at most.
HOPELESS: Final = 0.05
# Chance of a failure from which on the risk has this name.
MEDIUM_RISK: Final = 0.2
HIGH_RISK: Final = 0.5


@dataclass(frozen=True)
class Verdict:
    """What follows from an outlook.

    Attributes
    ----------
    risk
        By `failure`; a step higher if the proposal goes beyond what was tried.
    failure
        Probability that the run ends on the worse side of `failure_line`.
    failure_line
        Half-way between the worst and the best configuration so far, in units of the metric.
    top
        Probability that it is at least as good as `top_line`.
    top_line
        The best configuration so far, less what its repetition might be worse by.
    recommendation
        SKIP if `top` is at most `HOPELESS`.
    """

    risk: Risk
    failure: float
    failure_line: float
    top: float
    top_line: float
    recommendation: Recommendation


def judge(
    outlook: Outlook,
    metric: Floats,
    *,
    noise: float,
    lower_is_better: bool,
    goes_beyond: bool,
    knows_parameters: bool,
) -> Verdict:
    """Judge a proposal.

    Parameters
    ----------
    outlook
        Of the proposal.
    metric
        float[n]: of the configurations so far.
    noise
        By how much a repetition of the best may be worse.
    lower_is_better
        Whether the metric is better the lower it is.
    goes_beyond
        Whether the proposal has a value that was never tried, of a parameter that may matter.
    knows_parameters
        Whether the model looks at parameters at all. One that does not can advise against nothing.
    """
    sign = -1.0 if lower_is_better else 1.0
    best, worst = sign * float((sign * metric).max()), sign * float((sign * metric).min())
    failure_line, top_line = (best + worst) / 2, best - sign * noise
    failure = 1 - _at_least_as_good(outlook, failure_line, lower_is_better)
    top = _at_least_as_good(outlook, top_line, lower_is_better)
    return Verdict(
        risk=_risk(failure, goes_beyond),
        failure=failure,
        failure_line=failure_line,
        top=top,
        top_line=top_line,
        recommendation="SKIP" if knows_parameters and top <= HOPELESS else "RUN",
    )


def _at_least_as_good(outlook: Outlook, value: float, lower_is_better: bool) -> float:
    above = outlook.probability_above(value)
    return 1 - above if lower_is_better else above


def _risk(failure: float, goes_beyond: bool) -> Risk:
    names: tuple[Risk, ...] = ("LOW", "MEDIUM", "HIGH")
    step = int(failure >= MEDIUM_RISK) + int(failure >= HIGH_RISK)
    return names[min(step + goes_beyond, 2)]
