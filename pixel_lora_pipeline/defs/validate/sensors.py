"""Asks for finer looks at epochs that were evaluated already."""

import socket

import dagster as dg

from pixel_lora_pipeline.defs.execution import HOST_TAG
from pixel_lora_pipeline.defs.train.sensors import evaluate_checkpoint
from pixel_lora_pipeline.store import Store


@dg.sensor(
    job=evaluate_checkpoint,
    minimum_interval_seconds=5,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Evaluates epochs again that a finer look was decided on; only images that are missing are generated.",
)
def finer_looks(store: dg.ResourceParam[Store]) -> list[dg.RunRequest] | dg.SkipReason:
    """One run for each epoch and depth; which are waiting is kept in the database."""
    requests = [
        dg.RunRequest(
            run_key=f"{row.signature}:{row.depth}",
            partition_key=row.partition_key,
            tags={"pixel_lora/depth": row.depth, HOST_TAG: socket.gethostname()},
        )
        for row in store.depths.waiting()
    ]
    return requests or dg.SkipReason("No epoch is waiting for a finer look")
