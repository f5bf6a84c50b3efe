"""Notices checkpoints as they land in the watched folders."""

import socket
import time

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.execution import HOST_TAG
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train import Checkpoint, find_landings
from pixel_lora_pipeline.validate.text_width import cross_attention_width

evaluate_checkpoint = dg.define_asset_job(
    "evaluate_checkpoint",
    selection=dg.AssetSelection.groups("train", "validate"),
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
        settings.watched,
        store.landed_files.settled(),
        now=time.time(),
        required_width=cross_attention_width(settings.base_model or WEIGHTS),
    )
    for refusal in found.refused:
        store.quarantine.add(refusal.sighting.path, refusal.signature, refusal.fault, refusal.remedy)
    store.landed_files.record(found)
    if not found.complete:
        return dg.SkipReason(f"No new checkpoint; {len(found.waiting)} still being written")
    keys = dict.fromkeys(landing.checkpoint.partition_key for landing in found.complete)
    return dg.SensorResult(
        dynamic_partitions_requests=[checkpoints.build_add_request(list(keys))],
        run_requests=[_run_request(landing.checkpoint) for landing in found.complete],
    )


def _run_request(checkpoint: Checkpoint) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=checkpoint.signature,
        partition_key=checkpoint.partition_key,
        tags={
            "pixel_lora/run": checkpoint.run.name,
            "pixel_lora/file": checkpoint.path.name,
            HOST_TAG: socket.gethostname(),
        },
    )
