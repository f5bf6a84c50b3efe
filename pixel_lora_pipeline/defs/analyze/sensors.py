"""Asks for the analysis of runs whose epochs were measured."""

import json
import socket
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from pixel_lora_pipeline.defs.analyze.assets import convergence
from pixel_lora_pipeline.defs.analyze.checks import silence_result
from pixel_lora_pipeline.defs.execution import ANALYSIS_PRIORITY, HOST_TAG, PRIORITY_TAG, RUN_TAG
from pixel_lora_pipeline.defs.partitions import training_runs
from pixel_lora_pipeline.defs.train.sensors import evaluate_checkpoint
from pixel_lora_pipeline.run_analysis import silent_runs
from pixel_lora_pipeline.store import Store

analyze_run = dg.define_asset_job(
    "analyze_run",
    selection=dg.AssetSelection.groups("analyze") | dg.AssetSelection.assets("diagnosis"),
    description="Judge a training's course, follow its issues, find their causes, and report on it and its epochs.",
)

# While more epochs of a run are being evaluated, its analysis waits for them, so that several that land at once are
# analysed at once; but not for longer than this, or a long backlog would show nothing until its end.
LONGEST_WAIT: Final = timedelta(seconds=60)

_UNFINISHED: Final = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


@dg.sensor(
    job=analyze_run,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for one analysis of every run that has new measurements.",
)
def measured_runs(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]
) -> dg.SensorResult | dg.SkipReason:
    """What is due is kept in the database; the run key holds the newest measurement, so that nothing is asked twice."""
    being_analyzed = _unfinished(context.instance, analyze_run.name)
    being_evaluated = _unfinished(context.instance, evaluate_checkpoint.name)
    due = [
        run
        for run in store.analyses.due()
        if run.run_name not in being_analyzed
        and (run.run_name not in being_evaluated or datetime.now(UTC) - run.waiting_since > LONGEST_WAIT)
    ]
    if not due:
        return dg.SkipReason("No run has new measurements that its analysis need not wait for")
    return dg.SensorResult(
        dynamic_partitions_requests=[training_runs.build_add_request([run.run_name for run in due])],
        run_requests=[
            dg.RunRequest(
                run_key=f"{run.run_id}:{run.measured_at.isoformat()}",
                partition_key=run.run_name,
                tags={
                    RUN_TAG: run.run_name,
                    HOST_TAG: socket.gethostname(),
                    PRIORITY_TAG: ANALYSIS_PRIORITY,
                },
            )
            for run in due
        ],
    )


@dg.sensor(
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates the check `epochs_keep_coming` when a training falls silent or is heard of again: a silent "
    "one starts no run that could do it.",
)
def silent_trainings(
    context: dg.SensorEvaluationContext, store: dg.ResourceParam[Store]
) -> dg.SensorResult | dg.SkipReason:
    """The cursor holds the names of the runs that were silent at the last look."""
    silent = silent_runs(store)
    names = json.dumps(sorted(silent))
    if names == (context.cursor or "[]"):
        return dg.SkipReason(f"Nothing has changed: {len(silent)} silent")
    result = silence_result(silent)
    evaluation = dg.AssetCheckEvaluation(
        asset_key=convergence.key,
        check_name="epochs_keep_coming",
        passed=result.passed,
        severity=result.severity,
        description=result.description,
        metadata=result.metadata,
    )
    return dg.SensorResult(asset_events=[evaluation], cursor=names)


def _unfinished(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Names of the training runs that unfinished runs of a job are about."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=_UNFINISHED))
    return {run.tags[RUN_TAG] for run in runs if RUN_TAG in run.tags}
