"""What a training will probably achieve, before any money is spent on it."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.improve.basis import basis_of
from pixel_lora_pipeline.improve.deciding_parameters import Change
from pixel_lora_pipeline.improve.outcome_models import MEAN
from pixel_lora_pipeline.improve.prediction_reason import reason_of
from pixel_lora_pipeline.improve.proposal_place import Neighbour, beyond_what_was_tried, nearest_configurations
from pixel_lora_pipeline.improve.trials import Trials, read_trials
from pixel_lora_pipeline.improve.verdict import Recommendation, Risk, judge
from pixel_lora_pipeline.learn.domain_priors import UNNAMED

# Changes with whatever changes a prediction.
METHOD_VERSION: Final = "1"
NO_MODEL: Final = "none"
_MOST_CHANGES: Final = 3


@dataclass(frozen=True)
class Prediction:
    """What is expected of a proposed run.

    Attributes
    ----------
    metric
        What is predicted.
    predicted
        In units of the metric; NaN without any run.
    interval
        In which the run lies with probability `level`; infinite where the runs are too few for one.
    level
        Of the interval.
    risk
        LOW, MEDIUM or HIGH: by `failure_probability`, and a step higher beyond what was tried.
    failure_probability
        That the run ends on the worse side of `failure_line`, half-way between the worst and the best so far.
    failure_line
        In units of the metric.
    top_probability
        That the run is as good as the best so far, a repetition of it included.
    recommendation
        RUN, or SKIP if `top_probability` is 5 % at most.
    advice
        The recommendation in words, as "SKIP - reduce network_dim to 32".
    reason
        A sentence or two for a person, citing runs and the parameter that decides.
    model
        Which one predicted; "mean of the runs" if none was better than that, "repetitions of the run" if the same was
        run twice or more.
    skill
        1 - mean absolute error / that of the mean, for configurations that were left out; 0 for the mean.
    n_runs, n_configurations
        What it rests on.
    nearest
        The configurations that are most like it.
    changes
        Changes of single parameters by which the prediction would change most.
    beyond
        In what the proposal goes beyond what was tried.
    method_version
        Of this method.
    """

    metric: str
    predicted: float
    interval: tuple[float, float]
    level: float
    risk: Risk
    failure_probability: float
    failure_line: float
    top_probability: float
    recommendation: Recommendation
    advice: str
    reason: str
    model: str
    skill: float
    n_runs: int
    n_configurations: int
    nearest: tuple[Neighbour, ...] = ()
    changes: tuple[Change, ...] = ()
    beyond: tuple[str, ...] = ()
    method_version: str = METHOD_VERSION

    def to_dict(self) -> dict[str, Any]:
        """For JSON: what is not finite is None."""
        found = _plain(asdict(self))
        return found if isinstance(found, dict) else {}


def predict_trial_outcome(
    parameters: Mapping[str, Any],
    history: pd.DataFrame,
    metric: str = "quality_score",
    level: float = 0.9,
    *,
    lower_is_better: bool = False,
) -> Prediction:
    """Predict the outcome of a training from all that were made before.

    Several models are tried on the history, each configuration is predicted from all others, and the model that is
    best at that predicts the proposal (see `outcome_models`, `model_choice`). The interval is as wide as that model was
    wrong about configurations that it had not seen, and wider for a proposal that is unlike them.

    Parameters
    ----------
    parameters
        Of the proposed run. What is not named is not known: it is taken to be any of the values that were tried.
    history
        A row a run. Parameters are the columns that `parameters` names and those that are known as parameters, see
        `history_parameters`; their cells may be numbers, booleans, texts or empty. Rows without a finite metric are
        left out. `run_name`, `run_id` or `id` names the runs, else the index does. Runs with the same parameters are
        replicates, and left out together. The newest 300 rows are used.
    metric
        Column to predict, in whatever units.
    level
        Of the interval, 0 to 1.
    lower_is_better
        Whether the metric is better the lower it is.

    Returns
    -------
    Prediction

    Raises
    ------
    ValueError
        If the metric is not a column or not a number, if it is among the parameters, or if `level` is not between 0
        and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: give the probability of the interval, between 0 and 1")
    trials = read_trials(parameters, history, metric)
    proposal = {name: value for name, value in parameters.items() if value is not None}
    if len(trials) < 2 and len(trials.repetitions) < 2:
        return _without_a_model(trials, metric, level)
    columns = trials.beside([proposal])
    basis = basis_of(trials, proposal, columns, level)
    beyond = beyond_what_was_tried(trials, proposal)
    verdict = judge(
        basis.outlook,
        trials.metric,
        noise=basis.noise,
        lower_is_better=lower_is_better,
        goes_beyond=any(trials.prior[each.parameter] >= UNNAMED for each in beyond),
        knows_parameters=basis.model != MEAN,
    )
    neighbours = nearest_configurations(trials, columns)
    return Prediction(
        metric=metric,
        predicted=basis.outlook.mean,
        interval=basis.outlook.interval,
        level=level,
        risk=verdict.risk,
        failure_probability=verdict.failure,
        failure_line=verdict.failure_line,
        top_probability=verdict.top,
        recommendation=verdict.recommendation,
        advice=_advice(verdict.recommendation, basis.changes, lower_is_better),
        reason=reason_of(trials, basis, verdict, neighbours, beyond, lower_is_better=lower_is_better),
        model=basis.model,
        skill=basis.skill,
        n_runs=trials.n_runs,
        n_configurations=len(trials),
        nearest=neighbours,
        changes=tuple(basis.changes[:_MOST_CHANGES]),
        beyond=tuple(each.statement for each in beyond),
    )


def _without_a_model(trials: Trials, metric: str, level: float) -> Prediction:
    """With no configuration or a single one there is nothing to compare."""
    predicted = float(trials.metric.mean()) if len(trials) else math.nan
    known = f"Only one configuration has {metric}" if len(trials) else f"No run has {metric} yet"
    return Prediction(
        metric=metric,
        predicted=predicted,
        interval=(-math.inf, math.inf),
        level=level,
        risk="MEDIUM",
        failure_probability=0.5,
        failure_line=predicted,
        top_probability=0.5,
        recommendation="RUN",
        advice="RUN",
        reason=f"{known}: nothing can be predicted from it.",
        model=MEAN if len(trials) else NO_MODEL,
        skill=0.0,
        n_runs=trials.n_runs,
        n_configurations=len(trials),
    )


def _advice(recommendation: Recommendation, changes: list[Change], lower_is_better: bool) -> str:
    """As the roadmap words it: what not to run, and what to do instead."""
    better = [change for change in changes if (change.difference < 0) == lower_is_better]
    return f"SKIP - {better[0].instruction}" if recommendation == "SKIP" and better else recommendation


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
