"""Notices checkpoints as they land in the watched folders."""

import socket
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.execution import HOST_TAG, PRIORITY_TAG, RUN_TAG
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.notify import checkpoint_refused
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train import Landing, find_landings
from pixel_lora_pipeline.validate.depth import DEPTHS, Depth, depth_for
from pixel_lora_pipeline.validate.text_width import cross_attention_width

evaluate_checkpoint = dg.define_asset_job(
    "evaluate_checkpoint",
    selection=dg.AssetSelection.assets("model_checkpoint") | dg.AssetSelection.groups("validate"),
    description="Verify one checkpoint, generate the suite with it, measure the images, roll the numbers up.",
)


@dg.sensor(
    job=evaluate_checkpoint,
    minimum_interval_seconds=3,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for one evaluation of every complete checkpoint in the watched folders.",
)
def checkpoint_files(
    settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.SensorResult | dg.SkipReason:
    """One run for each content that was not evaluated yet, in the order of training.

    What was seen is kept in the database and not in the cursor: a tick that is lost with the daemon is simply
    repeated, and the run key holds the content's signature, so that a repetition starts nothing twice.
    """
    found = find_landings(
        settings.watched_folders,
        store.landed_files.settled(),
        now=time.time(),
        required_width=cross_attention_width(settings.base_model or WEIGHTS),
    )
    for refusal in found.refused:
        path = refusal.sighting.path
        news = checkpoint_refused(path, refusal.signature, refusal.fault, refusal.remedy)
        store.quarantine.add(path, refusal.signature, refusal.fault, refusal.remedy, news)
    store.landed_files.record(found)
    if not found.complete:
        return dg.SkipReason(f"No new checkpoint; {len(found.waiting)} still being written")
    keys = dict.fromkeys(landing.checkpoint.partition_key for landing in found.complete)
    return dg.SensorResult(
        dynamic_partitions_requests=[checkpoints.build_add_request(list(keys))],
        run_requests=[_run_request(landing, settings.depth.plan) for landing in found.complete],
    )


def _run_request(landing: Landing, plan: Sequence[Depth] | None) -> dg.RunRequest:
    checkpoint = landing.checkpoint
    return dg.RunRequest(
        run_key=checkpoint.signature,
        partition_key=checkpoint.partition_key,
        tags={
            RUN_TAG: checkpoint.run.name,
            "pixel_lora/file": checkpoint.path.name,
            HOST_TAG: socket.gethostname(),
            PRIORITY_TAG: str(_usefulness(landing, plan)),
        },
    )


# Seconds are counted from 2020 on, so that priorities stay below that of analyses (and of 32 bits) until 2041.
_LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC).timestamp()


def _usefulness(landing: Landing, plan: Sequence[Depth] | None) -> int:
    """Orders a backlog: the newest training first, and of its epochs those that are worth the deepest look.

    So an epoch of a training that is still running never waits behind finished ones.
    """
    checkpoint = landing.checkpoint
    started_at = checkpoint.run.started_at or landing.sighting.mtime_ns / 1e9
    return int(started_at - _LONG_AGO) * len(DEPTHS) + DEPTHS.index(
        depth_for(checkpoint.epoch, checkpoint.planned_epochs, plan)
    )
