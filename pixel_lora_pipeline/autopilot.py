"""A campaign of trainings that goes on by itself: choose, train, stop early, learn from what came of it, choose again.

Nothing here waits for people unless the campaign asks for their approval, and nothing is started twice: an experiment
is claimed in the database before its training starts, and a training is known by its folder from before its start.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd

from pixel_lora_pipeline.improve import (
    CampaignVerdict,
    Landscape,
    SearchSpace,
    Suggestion,
    judge_campaign,
    propose,
    survey,
    training_parameters,
    unset_values,
)
from pixel_lora_pipeline.improve.configuration import as_written, is_known
from pixel_lora_pipeline.improving import predict
from pixel_lora_pipeline.learn import Principle
from pixel_lora_pipeline.store import Campaign, Experiment, Store
from pixel_lora_pipeline.store.experiments import UNDER_WAY
from pixel_lora_pipeline.train.taxonomy import chosen_parameters
from pixel_lora_pipeline.train.trainers import Trainer, TrainerError, TrainingState
from pixel_lora_pipeline.training_history import TrainingHistory, read_history

GOAL: Final = "overall_score"
"""What a campaign improves: what the suite measures, for nobody is there to give scores."""

NAME: Final = "autopilot"
"""Who decides, in the record of decisions."""

DIVERGED: Final = "diverged"
"""In the outcome of an experiment whose loss became no number."""

# An epoch takes this long at least; a verdict of seconds ago is as good as one of now.
_LOOK_SECONDS: Final = 2.0
# Evaluations follow a training within minutes. What is missing after this long will not come.
_LONGEST_EVALUATION: Final = timedelta(hours=1)
# In a row: what they share is at fault, and not what was tried with each.
_MOST_FAILURES: Final = 3
# Of a training that came to nothing, so that the search keeps away from it: as bad as the worst that is known.
_NO_RUN_YET: Final = 0.0


def queue_next(store: Store, campaign: Campaign, history: TrainingHistory, space: SearchSpace) -> None:
    """Queue what the search would run next; before anything else, what all trainings share as it is.

    People begin with settings that do something. A search that begins without them may find only settings that do
    nothing, and take the whole space to be like that.

    Hypotheses that people have approved come first, because they are queued already; the rest of the queue stays
    theirs to decide on. The search decides here, for evidence and principles are part of what it believes. Where
    nothing promises much, but nobody knows the noise of a run, the best configuration is run again with another seed:
    only then can the campaign be over.
    """
    experiments = store.experiments.of_campaign(campaign.campaign_id)
    if not experiments and _is_new(campaign.base, history, space):
        document = _beginning(campaign)
    else:
        landscape = _landscape(store, campaign, history, space)
        verdict = judge_campaign(landscape)
        if verdict.action == "replicate" and verdict.incumbent is not None:
            document = _repetition(campaign, verdict, len(experiments))
        else:
            document = _proposal(campaign, propose(landscape)[0])
    store.experiments.propose([document], NAME)
    for experiment in store.experiments.all(["PROPOSED"]):
        if experiment.parameters == document["parameters"]:
            store.experiments.move_to(experiment.experiment_id, "QUEUED", NAME, document["rationale"])


def _landscape(store: Store, campaign: Campaign, history: TrainingHistory, space: SearchSpace) -> Landscape:
    return survey(
        space,
        known_runs(history, store.experiments.of_campaign(campaign.campaign_id)),
        [Principle.from_dict(document) for document in store.knowledge.principles()],
        metric=GOAL,
        fixed={name: value for name, value in campaign.base.items() if name not in space.parameters},
    )


def known_runs(history: TrainingHistory, experiments: Sequence[Experiment]) -> pd.DataFrame:
    """The runs that the search learns from, with those that failed.

    A training that failed has no result, and would be taken for one that is not over. It counts as the worst run
    that is known, so that the search turns away from where it lies without being told how bad it would have been. So
    does one that has diverged: its first epochs may be measured, and good.
    """
    runs = history.runs
    worst = runs[GOAL].min() if runs[GOAL].notna().any() else _NO_RUN_YET
    known = set(runs.loc[runs[GOAL].notna(), "run_name"])
    rows = [
        {"run_name": each.output_name, **each.parameters, **_result(each, worst)}
        for each in experiments
        if each.output_name not in known or (each.outcome or {}).get(DIVERGED)
    ]
    if not rows:
        return runs
    others = runs[~runs["run_name"].isin([row["run_name"] for row in rows])]
    added = pd.DataFrame(rows).reindex(columns=runs.columns)
    return pd.concat([others.astype(object), added.astype(object)], ignore_index=True).astype({GOAL: float})


def _result(experiment: Experiment, worst: float) -> dict[str, float]:
    if experiment.state == "FAILED":
        return {GOAL: worst}
    return {} if experiment.outcome is None else {GOAL: experiment.outcome[GOAL]}


def _is_new(base: Mapping[str, Any], history: TrainingHistory, space: SearchSpace) -> bool:
    """Whether a configuration says something of the space, and no measured run has had just that."""
    named = [name for name in space.names if is_known(base.get(name))]
    if not named or GOAL not in history.runs:
        return bool(named)
    measured = history.runs[history.runs[GOAL].notna()]
    wanted = [as_written(base[name]) for name in named]
    return not any([as_written(run.get(name)) for name in named] == wanted for run in measured.to_dict("records"))


def _beginning(campaign: Campaign) -> dict[str, Any]:
    return {
        "title": "Begin with what all trainings share",
        "rationale": "Everything that is tried later is compared with it.",
        "source": "campaign",
        **_configured(campaign, {}),
    }


def _proposal(campaign: Campaign, found: Suggestion) -> dict[str, Any]:
    told = ", ".join(f"{name} = {value}" for name, value in found.parameters.items())
    expected = (
        "Too few runs to learn from: it is as unlike them as the space allows."
        if found.expected is None or found.deviation is None
        else f"{GOAL} is expected to be {found.expected:.3g} ± {found.deviation:.2g}."
    )
    return {
        "title": f"Follow the search: {told}",
        "rationale": f"Of the whole space, this promises most for {GOAL}. {expected}",
        "source": "search",
        **_configured(campaign, found.parameters),
    }


def _repetition(campaign: Campaign, verdict: CampaignVerdict, n_before: int) -> dict[str, Any]:
    best = verdict.incumbent
    assert best is not None  # noqa: S101 - asked for only where there is one
    known = {name: value for name, value in best.parameters.items() if value is not None}
    return {
        "title": f"Repeat {best.runs[0]} with another seed",
        "rationale": verdict.reason,
        "source": "replicate",
        **_configured(campaign, {**known, "seed": int(campaign.base.get("seed", 0)) + n_before}),
    }


def _configured(campaign: Campaign, changes: Mapping[str, Any]) -> dict[str, Any]:
    """What an experiment changes, and its whole configuration."""
    names = chosen_parameters()
    whole = training_parameters(campaign.base, changes, {})
    return {
        "priority": "MEDIUM",
        "parameters": {name: value for name, value in whole.items() if name in names},
        "changes": [
            {"parameter": name, "before": campaign.base.get(name), "after": value} for name, value in changes.items()
        ],
    }


def claim_next(
    store: Store, campaign: Campaign, history: TrainingHistory, space: SearchSpace, by: str
) -> Experiment | None:
    """Take the next experiment to train: what people have queued, or else, if they need not approve, the search's.

    None if nothing is queued, or nothing more may be started.
    """
    terms: dict[str, Any] = {
        "most_running": campaign.most_running,
        "most_started": campaign.budget_runs,
        "campaign_id": campaign.campaign_id,
        "by": by,
    }
    claimed = store.experiments.claim(**terms)
    if claimed is None and not campaign.needs_approval:
        queue_next(store, campaign, history, space)
        claimed = store.experiments.claim(**terms)
    return claimed


def start(
    store: Store,
    trainer: Trainer,
    base: Mapping[str, Any],
    experiment: Experiment,
    history: TrainingHistory,
    folder: Path,
    check: Callable[[Mapping[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """Start an experiment's training, with a prediction of what will come of it; return how it is found again.

    One that was started already is not started again.

    Parameters
    ----------
    base
        What all trainings of the campaign share.
    folder
        Where its checkpoints are to land.
    check
        Raises `TrainerError` if a configuration should not be trained with.

    Raises
    ------
    TrainerError
        If it cannot be started; the experiment has failed then.
    """
    if experiment.training is not None:
        return experiment.training
    asked = {**base, **experiment.parameters, "output_name": experiment.output_name}
    configuration = training_parameters(asked, {}, unset_values())
    try:
        check(configuration)
        training = trainer.start(configuration, folder)
    except TrainerError as error:
        store.experiments.record_outcome(experiment.experiment_id, "FAILED", {"failure": str(error)}, NAME)
        raise
    expected = predict(store, history, experiment.parameters, GOAL).to_dict() if GOAL in history.metrics else None
    store.experiments.record_training(experiment.experiment_id, training, expected)
    return training


def follow(
    store: Store,
    trainer: Trainer,
    experiment: Experiment,
    training: Mapping[str, Any],
    tell: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
    count: Callable[[], None] = lambda: None,
    *,
    tells_progress: bool = True,
) -> TrainingState:
    """Watch a training to its end, and stop it when its epochs say that it need not go on.

    What is left is the evaluation of its last epochs: the experiment is EVALUATING then, or FAILED if nothing was
    saved, or its loss became no number.

    Parameters
    ----------
    count
        Called at every look at which it runs: it has used its machine until then.
    tells_progress
        Whether its progress is told, too; the trainer may have it reported otherwise.
    """
    told, stopped = "", False
    while (state := trainer.look(training)).is_running:
        count()
        if tells_progress and state.progress != told:
            told = state.progress
            tell(told)
        if not stopped and (reason := _reason_to_stop(store, experiment)) is not None:
            tell(f"Stopped early: {reason}")
            trainer.stop(training)
            stopped = True
            continue
        sleep(_LOOK_SECONDS)
    if _saved(training) and not state.has_diverged:
        store.experiments.move_to(experiment.experiment_id, "EVALUATING", NAME, "stopped early" if stopped else "")
    else:
        failure = state.failure or "it saved no checkpoint"
        tell(f"It has failed: {failure}")
        outcome = {"failure": failure} | ({DIVERGED: True} if state.has_diverged else {})
        store.experiments.record_outcome(experiment.experiment_id, "FAILED", outcome, NAME)
    return state


def abandon(store: Store, trainer: Trainer, experiment: Experiment) -> None:
    """Stop a training that somebody does not want any more; its experiment has failed."""
    found = store.experiments.get(experiment.experiment_id)
    if found.state != "RUNNING":
        return
    if found.training is not None:
        trainer.stop(found.training)
    store.experiments.record_outcome(found.experiment_id, "FAILED", {"failure": "it was cancelled"}, NAME)


def _reason_to_stop(store: Store, experiment: Experiment) -> str | None:
    """Why its training need not go on; None while it should, or nothing is known."""
    try:
        verdict = store.conclusions.verdict(store.conclusions.run(experiment.output_name).run_id)
    except LookupError:
        return None
    return str(verdict["reason"]) if verdict["should_stop"] else None


def _saved(training: Mapping[str, Any]) -> list[Path]:
    last = Path(training["last_checkpoint"])
    return sorted(last.parent.glob(f"{last.stem}*.safetensors"))


def settle(store: Store) -> list[Experiment]:
    """End the experiments whose trainings are over and measured, with what came of them; return those."""
    due = {run.run_name for run in store.analyses.due()}
    ended = []
    for experiment in store.experiments.all(["EVALUATING"]):
        waits = datetime.now(UTC) - _evaluating_since(experiment) < _LONGEST_EVALUATION
        if waits and (experiment.output_name in due or not _is_measured(store, experiment)):
            continue
        outcome = _outcome(store, experiment)
        state: Literal["DONE", "FAILED"] = "FAILED" if "failure" in outcome else "DONE"
        store.experiments.record_outcome(experiment.experiment_id, state, outcome, NAME)
        ended.append(store.experiments.get(experiment.experiment_id))
    return ended


def _evaluating_since(experiment: Experiment) -> datetime:
    at = next(decision["at"] for decision in reversed(experiment.decisions) if decision.get("state") == "EVALUATING")
    return datetime.fromisoformat(at)


def _is_measured(store: Store, experiment: Experiment) -> bool:
    """Whether every checkpoint that its training has saved was measured or refused."""
    refused = {row.path for row in store.quarantine.list()}
    try:
        run = store.conclusions.run(experiment.output_name)
        measured = {epoch.path for epoch in store.conclusions.epochs(run.run_id)}
    except LookupError:
        measured = set()
    assert experiment.training is not None  # noqa: S101 - it is EVALUATING
    return all(str(path) in refused | measured for path in _saved(experiment.training))


def _outcome(store: Store, experiment: Experiment) -> dict[str, Any]:
    """What came of a training, and whether it was as predicted."""
    try:
        run = store.conclusions.run(experiment.output_name)
        verdict = store.conclusions.verdict(run.run_id)
        epochs = {epoch.epoch: epoch.metrics for epoch in store.conclusions.epochs(run.run_id)}
    except LookupError:
        return {"failure": "none of its checkpoints could be measured"}
    best = verdict["best_epoch"]
    value = epochs[best].get(GOAL) if best in epochs else None
    if value is None:
        return {"failure": "none of its epochs has a score"}
    found = {
        "run_name": run.run_name,
        "best_epoch": best,
        GOAL: value,
        "epochs": len(epochs),
        "planned_epochs": run.planned_epochs,
    }
    prediction = experiment.prediction or {}
    if prediction.get("metric") == GOAL and prediction.get("predicted") is not None:
        found["predicted"] = prediction["predicted"]
        low, high = prediction["interval"]
        # From few runs the interval has no bounds, and whatever happens agrees with it.
        found["as_predicted"] = (low is None or low <= value) and (high is None or value <= high)
    return found


def reason_to_end(store: Store, campaign: Campaign, space: SearchSpace) -> str | None:
    """Why a campaign is over; None while it should go on. It is never over while one of its trainings is under way."""
    experiments = store.experiments.of_campaign(campaign.campaign_id)
    if any(experiment.state in UNDER_WAY for experiment in experiments):
        return None
    scores = {
        experiment.output_name: experiment.outcome[GOAL]
        for experiment in experiments
        if experiment.outcome is not None and GOAL in experiment.outcome
    }
    if campaign.target is not None and scores:
        best = max(scores, key=lambda name: float(scores[name]))
        if scores[best] >= campaign.target:
            return f"{best} came to {scores[best]:.1f}, and {campaign.target:g} was the target."
    last = experiments[-_MOST_FAILURES:]
    if len(last) == _MOST_FAILURES and all(experiment.state == "FAILED" for experiment in last):
        why = (last[-1].outcome or {}).get("failure")
        return f"{_MOST_FAILURES} trainings in a row have failed, the last because: {why}"
    if len(experiments) >= campaign.budget_runs:
        return f"All {campaign.budget_runs} trainings of the budget were run."
    if campaign.target is None and len(scores) > 1:
        verdict = judge_campaign(_landscape(store, campaign, read_history(store), space))
        if verdict.should_stop:
            return verdict.reason
    return None
