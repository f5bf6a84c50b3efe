"""The loop closed: trainings that are chosen, started, watched and stopped, one after the other."""

import socket
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

import dagster as dg

from pixel_lora_pipeline import autopilot
from pixel_lora_pipeline.caption_gate import refuse_faulty_captions
from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.cost_budgets import reason_to_wait
from pixel_lora_pipeline.costs import record_training_on_this_machine
from pixel_lora_pipeline.defs.execution import HOST_TAG
from pixel_lora_pipeline.defs.improve.training_messages import reported_progress
from pixel_lora_pipeline.improving import campaign_space
from pixel_lora_pipeline.store import Campaign, Store
from pixel_lora_pipeline.store.experiments import UNDER_WAY
from pixel_lora_pipeline.train.trainers import Trainer, TrainerError
from pixel_lora_pipeline.training_history import read_history

CAMPAIGN_TAG: Final = "pixel_lora/campaign"
# Runs that end without having claimed an experiment: something is wrong that another run does not mend.
_MOST_IDLE_RUNS: Final = 3
_LONGEST_TRAINING_SECONDS: Final = 14 * 24 * 3600


class WhatToTrain(dg.Config):
    """Which experiment: without an id, the next of the queue or, if nothing is queued, what the search suggests."""

    experiment_id: str | None = None


@dg.op
def train_experiment(
    context: dg.OpExecutionContext,
    config: WhatToTrain,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    trainer: dg.ResourceParam[Trainer],
) -> None:
    """Claim an experiment, start its training and watch it to its end; or watch one that nobody watches any more."""
    history = read_history(store)
    if config.experiment_id is not None:
        experiment = store.experiments.take_over(config.experiment_id, context.run_id)
    else:
        active = store.campaigns.active()
        if active is None:
            context.log.info("No campaign is active: nothing is started")
            return
        reason = reason_to_wait(store, settings.costs, active, lambda: history, datetime.now(UTC))
        if reason is not None:
            context.log.info(reason)
            return
        space = campaign_space(settings.search_space, settings.base_model)
        claimed = autopilot.claim_next(store, active, history, space, context.run_id)
        if claimed is None:
            context.log.info("Nothing is queued, or nothing more may be started")
            return
        experiment = claimed
    context.log.info(f"{experiment.output_name}: {experiment.title}")
    base = store.campaigns.get(experiment.campaign_id).base
    folder = settings.trainings / str(experiment.output_name)
    try:
        check = partial(refuse_faulty_captions, settings)
        training = autopilot.start(store, trainer, base, experiment, history, folder, check)
        count = partial(record_training_on_this_machine, store, settings.costs, experiment.experiment_id, training)
        for note in training.get("notes", []):
            context.log.warning(note)
        with reported_progress(context, trainer, training) as keep_reported:

            def at_every_look() -> None:
                count()
                if keep_reported is not None:
                    keep_reported()

            autopilot.follow(
                store,
                trainer,
                experiment,
                training,
                context.log.info,
                count=at_every_look,
                tells_progress=keep_reported is None,
            )
    except TrainerError as error:
        raise dg.Failure(str(error)) from error
    except dg.DagsterExecutionInterruptedError:
        autopilot.abandon(store, trainer, experiment)
        raise


@dg.job(
    tags={
        # The training outlives a run that is killed, and the sensor finds somebody to watch it.
        "dagster/max_retries": "0",
        "dagster/max_runtime": str(_LONGEST_TRAINING_SECONDS),
    },
    description="Train the next experiment of the campaign, and stop the training when it has converged.",
)
def train_next() -> None:
    """One training."""
    train_experiment()


@dg.sensor(
    job=train_next,
    minimum_interval_seconds=10,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Goes on with the campaign that `pixel-lora autopilot` has begun; without one, nothing is started.",
)
def campaign(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.SensorResult | dg.SkipReason:
    """What is under way is read from the database and from Dagster's runs, and nothing is remembered here."""
    autopilot.settle(store)
    active = store.campaigns.active()
    requests = _take_overs(context.instance, store)
    if active is not None and not requests:
        reason = _reason_to_end(context.instance, active, store) or autopilot.reason_to_end(
            store, active, campaign_space(settings.search_space, settings.base_model)
        )
        if reason is None:
            requests = _next_trainings(context.instance, active, store)
            if requests:
                waits = reason_to_wait(store, settings.costs, active, partial(read_history, store), datetime.now(UTC))
                if waits is not None:
                    return dg.SkipReason(waits)
        else:
            store.campaigns.end(active.campaign_id, reason)
            return dg.SkipReason(f"The campaign is over. {reason}")
    if not requests:
        return dg.SkipReason("No campaign is active" if active is None else "Nothing more may be started now")
    return dg.SensorResult(run_requests=requests)


def _take_overs(instance: dg.DagsterInstance, store: Store) -> list[dg.RunRequest]:
    """One run for each training that is not watched any more."""
    requests = []
    for experiment in store.experiments.all(["RUNNING"]):
        run = instance.get_run_by_id(experiment.claimed_by or "")
        if run is None or not run.is_finished:
            continue
        requests.append(
            dg.RunRequest(
                run_key=f"experiment {experiment.experiment_id} after {run.run_id}",
                run_config=dg.RunConfig({"train_experiment": WhatToTrain(experiment_id=str(experiment.experiment_id))}),
                tags={CAMPAIGN_TAG: str(experiment.campaign_id), HOST_TAG: socket.gethostname()},
            )
        )
    return requests


def _next_trainings(instance: dg.DagsterInstance, active: Campaign, store: Store) -> list[dg.RunRequest]:
    """One run for each training that may be started now."""
    runs = instance.get_runs(dg.RunsFilter(job_name=train_next.name, tags={CAMPAIGN_TAG: str(active.campaign_id)}))
    experiments = store.experiments.of_campaign(active.campaign_id)
    under_way = sum(experiment.state in UNDER_WAY for experiment in experiments)
    # A run that has begun and claimed nothing yet is about to.
    claimed = {experiment.claimed_by for experiment in experiments}
    about_to = sum(not run.is_finished and run.run_id not in claimed for run in runs)
    free = min(active.most_running - under_way, active.budget_runs - len(experiments)) - about_to
    if active.needs_approval:
        free = min(free, len(store.experiments.all(["QUEUED"])) - about_to)
    return [
        dg.RunRequest(
            run_key=f"campaign {active.campaign_id}, run {len(runs) + at + 1}",
            tags={CAMPAIGN_TAG: str(active.campaign_id), HOST_TAG: socket.gethostname()},
        )
        for at in range(free)
    ]


def _reason_to_end(instance: dg.DagsterInstance, active: Campaign, store: Store) -> str | None:
    runs: Any = instance.get_runs(
        dg.RunsFilter(job_name=train_next.name, tags={CAMPAIGN_TAG: str(active.campaign_id)}), limit=_MOST_IDLE_RUNS
    )
    claimed = {experiment.claimed_by for experiment in store.experiments.of_campaign(active.campaign_id)}
    idle = [run for run in runs if run.is_finished and run.run_id not in claimed]
    if len(idle) < _MOST_IDLE_RUNS:
        return None
    return f"{_MOST_IDLE_RUNS} runs in a row have ended without a training: see {train_next.name} in Dagster's UI."
