"""Notices checkpoints as they land in the watched folders."""

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train import Landing, find_landings

evaluate_checkpoint = dg.define_asset_job(
    "evaluate_checkpoint",
    selection=dg.AssetSelection.groups("train", "validate"),
    partitions_def=checkpoints,
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
    found = find_landings(settings.watched, settled=store.checkpoint_files.settled())
    for refusal in found.refused:
        store.refused_checkpoints.add(refusal.path, refusal.signature, refusal.fault, refusal.remedy)
    store.checkpoint_files.land(found.complete)
    if not found.complete:
        return dg.SkipReason(f"No new checkpoint; {found.growing} still being written")
    return dg.SensorResult(
        dynamic_partitions_requests=[
            checkpoints.build_add_request(list(dict.fromkeys(landing.partition_key for landing in found.complete)))
        ],
        run_requests=[_run_request(landing) for landing in found.complete],
    )


def _run_request(landing: Landing) -> dg.RunRequest:
    return dg.RunRequest(
        run_key=landing.signature,
        partition_key=landing.partition_key,
        tags={"pixel_lora/run": landing.run_name, "pixel_lora/file": landing.path.name},
    )
