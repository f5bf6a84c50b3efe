"""What to run next, from what is stored of all runs to what is stored of that."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from pixel_lora_pipeline.embedded.loading import EMBEDDED_SPACE
from pixel_lora_pipeline.improve import (
    Calibration,
    CampaignVerdict,
    PredictedOutcome,
    Prediction,
    Proposals,
    SearchSpace,
    SearchStudy,
    calibrate,
    judge_campaign,
    predict_trial_outcome,
    queue_markdown,
    survey,
    weigh_experiments,
)
from pixel_lora_pipeline.improve.pareto import Goal, ParetoFront, pareto_front
from pixel_lora_pipeline.learn import Principle
from pixel_lora_pipeline.learning import assess_history, diagnose_run
from pixel_lora_pipeline.starting_points import starting_point
from pixel_lora_pipeline.store import Experiment, NothingEvaluatedError, Store, StoredPrediction
from pixel_lora_pipeline.store.experiments import ENDED, OPEN, UNDER_WAY
from pixel_lora_pipeline.train.parameter_difference import same_value
from pixel_lora_pipeline.train.parameter_table import typed_value
from pixel_lora_pipeline.train.taxonomy import chosen_parameters
from pixel_lora_pipeline.training_history import CONFIGURATION, LOWER_IS_BETTER, TrainingHistory

_PROPOSER: Final = "hypotheses"


class ParameterError(ValueError):
    """Parameters that cannot be read: says which, and what is possible."""


def read_assignments(assignments: Sequence[str]) -> dict[str, Any]:
    """Parameters as people write them, `network_dim=64`, with the types that they have.

    Raises
    ------
    ParameterError
        If one is not of that form, unknown, there twice, or not of its type.
    """
    known = chosen_parameters()
    parameters: dict[str, Any] = {}
    for assignment in assignments:
        name, sign, text = assignment.partition("=")
        if not sign or not text:
            raise ParameterError(f"{assignment!r} is no parameter: write NAME=VALUE, as network_dim=64.")
        if name not in known:
            raise ParameterError(f"{name} is no parameter that is chosen before a training: see docs/parameters.md.")
        if name in parameters:
            raise ParameterError(f"{name} is there twice.")
        try:
            parameters[name] = typed_value(known[name], text)
        except ValueError as error:
            raise ParameterError(f"{assignment}: {error}") from error
    return parameters


def predict(
    store: Store, history: TrainingHistory, parameters: Mapping[str, Any], metric: str | None = None
) -> Prediction:
    """Predict what a training with these parameters will achieve, and keep the prediction to be compared with it.

    Parameters
    ----------
    metric
        None for the one that matters most, of those that are known.

    Raises
    ------
    NothingEvaluatedError
        If no run has ended, or none has the metric.
    """
    if not history.metrics or (metric is not None and metric not in history.metrics):
        known = f"known are {', '.join(history.metrics)}" if history.metrics else "no run has ended yet"
        raise NothingEvaluatedError(f"no run has a {metric or 'result'} to predict from: {known}.")
    metric = metric or history.metrics[0]
    prediction = predict_trial_outcome(
        dict(parameters), history.runs, metric, lower_is_better=metric in LOWER_IS_BETTER
    )
    past = float(history.runs[metric].mean())
    store.predictions.record(metric, parameters, {**prediction.to_dict(), "mean_of_past": past})
    return prediction


def propose(store: Store, history: TrainingHistory, space: Path | None = None) -> Proposals:
    """Propose what to run next, from everything that is known, and add it to the queue of experiments.

    What was proposed before, is not proposed any more and was not touched by anybody is taken off the queue.

    Parameters
    ----------
    space
        File of the search space; None for the roadmap's.
    """
    if not history.metrics:
        return Proposals((), ())
    newest = str(history.runs["run_name"].iloc[-1])
    causes = diagnose_run(store, history, newest).causes if _is_measured(store, newest) else ()
    proposals = weigh_experiments(
        history.runs,
        assess_history(history),
        {newest: [diagnosis for found in causes for diagnosis in found]},
        [Principle.from_dict(document) for document in store.knowledge.principles()],
        space,
        metric=history.metrics[0],
        lower_is_better=LOWER_IS_BETTER,
        tried=[
            {"parameters": known.parameters, "title": known.title, "state": known.state}
            for known in store.experiments.all()
            if not _is_untouched(known)
        ],
        starting_point=starting_point(
            store,
            history,
            untouched=frozenset(known.experiment_id for known in store.experiments.all() if _is_untouched(known)),
        ),
    )
    store.experiments.propose([hypothesis.to_dict() for hypothesis in proposals.hypotheses], _PROPOSER)
    wanted = [hypothesis.parameters for hypothesis in proposals.hypotheses]
    for known in store.experiments.all(OPEN):
        if _is_untouched(known) and known.parameters not in wanted:
            store.experiments.move_to(known.experiment_id, "SKIPPED", _PROPOSER, "it is not proposed any more")
    return proposals


def _is_untouched(experiment: Experiment) -> bool:
    """Whether nobody but the proposer has decided anything about an experiment."""
    return all(decision["by"] == _PROPOSER for decision in experiment.decisions)


def update_search(
    store: Store, history: TrainingHistory, space: Path | None = None
) -> tuple[CampaignVerdict, Sequence[str]] | None:
    """Make the ended runs trials of the study in the schema `optuna`, and end the trials that nobody runs any more.

    Returns
    -------
    Whether it is worth going on, and what could not be read of the runs; None while none has ended.
    """
    if not history.metrics:
        return None
    metric = history.metrics[0]
    lower, known = metric in LOWER_IS_BETTER, history.runs[history.runs[metric].notna()]
    searched = SearchSpace.default() if space is None else SearchSpace.read(space)
    under_way = {str(experiment.experiment_id) for experiment in store.experiments.all(UNDER_WAY)}
    with SearchStudy(store.database.url, searched, metric=metric, lower_is_better=lower) as study:
        study.add_history(known)
        study.reconcile(under_way)
        landscape = survey(
            searched,
            study.with_running(known),
            [Principle.from_dict(document) for document in store.knowledge.principles()],
            metric=metric,
            lower_is_better=lower,
        )
    return judge_campaign(landscape), [str(remark) for remark in landscape.observations.remarks]


# What a run takes, in the order of what it decides: the last is the price of "cheapest acceptable".
_COSTS: Final = (
    Goal("best_epoch", "lower", "sooner at its best"),
    Goal("total_training_time", "lower", "faster"),
    Goal("gpu_seconds", "lower", "shorter on the GPU"),
    Goal("cost_usd", "lower", "cheaper"),
)


def trade_offs(history: TrainingHistory) -> tuple[ParetoFront, list[Goal]] | None:
    """Which runs are worth choosing when quality is not everything; None while nothing is known to weigh it against.

    Repetitions are averaged under the name of the first, and tell the standard error of a run; without any, every
    difference counts.
    """
    if not history.metrics:
        return None
    quality = history.metrics[0]
    runs = history.runs[history.runs[quality].notna()]
    by_configuration = runs.groupby(CONFIGURATION, sort=False)
    degrees = len(runs) - by_configuration.ngroups
    squares = float(by_configuration[quality].transform(lambda each: (each - each.mean()) ** 2).sum())
    costs = [goal for goal in _COSTS if goal.column != quality and runs[goal.column].nunique() > 1]
    if not costs:
        return None
    better: Literal["higher", "lower"] = "lower" if quality in LOWER_IS_BETTER else "higher"
    goals = [Goal(quality, better, "better", (squares / degrees) ** 0.5 if degrees else 0.0), *costs]
    means = by_configuration[[goal.column for goal in goals]].mean().reset_index(names="run_name")
    return pareto_front(means, goals), goals


def campaign_space(configured: Path | None, base_model: str | None) -> SearchSpace:
    """What a campaign may choose among: as configured, or the one that suits the base model.

    Parameters
    ----------
    configured
        File of a search space.
    base_model
        None for the embedded one.
    """
    if configured is not None:
        return SearchSpace.read(configured)
    return SearchSpace.read(EMBEDDED_SPACE) if base_model is None else SearchSpace.default()


def queue_document(store: Store) -> str:
    """The experiments that have not ended, as markdown."""
    open_ones = [experiment for experiment in store.experiments.all() if experiment.state not in ENDED]
    return queue_markdown(
        [
            {
                **experiment.proposal,
                "parameters": experiment.parameters,
                "prediction": experiment.prediction,
                "status": experiment.state,
            }
            for experiment in open_ones
        ],
        datetime.now(UTC),
    )


def _is_measured(store: Store, run_name: str) -> bool:
    return store.conclusions.latest_issues(store.conclusions.run(run_name).run_id) is not None


def calibration(store: Store, history: TrainingHistory) -> Calibration:
    """How the predictions turned out of which the runs have ended since."""
    outcomes = (_outcome(kept, history.runs) for kept in store.predictions.all())
    return calibrate([outcome for outcome in outcomes if outcome is not None])


def _outcome(kept: StoredPrediction, runs: pd.DataFrame) -> PredictedOutcome | None:
    """The prediction with the result of the first later run that has its parameters; None if there is none."""
    predicted, (low, high) = kept.prediction["predicted"], kept.prediction["interval"]
    if predicted is None or low is None or high is None or kept.metric not in runs:
        return None
    dates = pd.to_datetime(runs["run_date"], utc=True)
    later = runs[(dates > kept.predicted_at) & runs[kept.metric].notna()]
    for _, run in later.sort_values("run_date").iterrows():
        if all(name in run and same_value(run[name], value) for name, value in kept.parameters.items()):
            return PredictedOutcome(
                predicted=predicted,
                interval=(low, high),
                level=kept.prediction["level"],
                mean_of_past=kept.prediction["mean_of_past"],
                observed=float(run[kept.metric]),
            )
    return None
