"""What a training left behind, as it entered the database."""

from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.costs import count_run
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.defs.refusal import refused
from pixel_lora_pipeline.defs.train.cost_metadata import cost_metadata
from pixel_lora_pipeline.defs.train.lineage_metadata import lineage_metadata
from pixel_lora_pipeline.lineage import family, trace_lineage
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train import Checkpoint, CheckpointError, read_checkpoint, verify_weights, watched_root
from pixel_lora_pipeline.train.costs import PriceTableError


@dg.asset(
    partitions_def=checkpoints,
    group_name="train",
    kinds={"safetensors", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def model_checkpoint(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[Any]:
    """One file that a training saved: verified, and registered with every parameter that can be known of it."""
    landed = store.landed_files.newest(context.partition_key)
    root = watched_root(landed.path, settings.watched_folders)
    try:
        checkpoint = read_checkpoint(landed.path, root)
        verify_weights(landed.path, root)
    except CheckpointError as error:
        raise refused(store, landed, error) from error
    store.checkpoints.register(checkpoint)
    trace_lineage(store)
    stored = store.checkpoints.get(context.partition_key)
    metadata = checkpoint_metadata(checkpoint, stored.run_name)
    metadata |= lineage_metadata(family(store, stored.training_run_id, with_gains=False))
    try:
        metadata |= cost_metadata(count_run(store, settings.costs, stored.training_run_id), stored.epoch)
    except PriceTableError as error:  # the checkpoint is as good as with a price
        context.log.warning(f"Its cost is not counted: {error}")
    return dg.MaterializeResult(metadata=metadata)


def checkpoint_metadata(checkpoint: Checkpoint, run_name: str) -> dict[str, dg.MetadataValue]:
    """What the UI shows of a checkpoint: numbers that plot, and every parameter with its source."""
    records = [
        dg.TableRecord({"parameter": name, "value": str(value.value), "source": value.source})
        for name, value in sorted(checkpoint.parameters.items())
        if value.value is not None
    ]
    numbers = {
        name: dg.MetadataValue.float(float(value))
        for name, value in (
            ("epoch", checkpoint.epoch),
            ("step", checkpoint.step),
            ("size_bytes", checkpoint.size),
        )
        if value is not None
    }
    return {
        **numbers,
        "run": dg.MetadataValue.text(run_name),
        "file": dg.MetadataValue.path(str(checkpoint.path)),
        "sha256": dg.MetadataValue.text(checkpoint.sha256),
        "parameters_missing": dg.MetadataValue.int(len(checkpoint.missing)),
        "parameters": dg.MetadataValue.table(records),
    }
