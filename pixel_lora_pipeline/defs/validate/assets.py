"""One checkpoint becomes images, the images become numbers, the numbers become a verdict on the epoch."""

from typing import Any

import dagster as dg

from pixel_lora_pipeline.defs.execution import GPU_POOL, GPU_QUEUE_TAG, OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.defs.train.assets import model_checkpoint
from pixel_lora_pipeline.defs.validate.metadata import (
    images_metadata,
)
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.validate.depth import depth_for
from pixel_lora_pipeline.validate.generate import Generator
from pixel_lora_pipeline.validate.suite import Suite


@dg.asset(
    partitions_def=checkpoints,
    deps=[model_checkpoint],
    pool=GPU_POOL,  # one generation at a time on a GPU, across all runs
    op_tags=GPU_QUEUE_TAG,  # on a cluster: only workers that have one
    group_name="validate",
    kinds={"diffusers", "png"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def test_images(
    context: dg.AssetExecutionContext,
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
    generator: dg.ResourceParam[Generator],
) -> dg.MaterializeResult[Any]:
    """The suite's images for one checkpoint, at the depth that its epoch deserves."""
    checkpoint = store.checkpoints.get(context.partition_key)
    requests = suite.requests(depth_for(checkpoint.epoch, checkpoint.planned_epochs))
    for image in generator.generate(checkpoint.path, requests, skip=store.images.fingerprints(checkpoint.epoch_id)):
        store.images.add(checkpoint.epoch_id, suite, image)
    return dg.MaterializeResult(metadata=images_metadata(store.images.of_epoch(checkpoint.epoch_id, suite)))
