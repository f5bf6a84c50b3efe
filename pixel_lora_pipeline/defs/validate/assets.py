"""One checkpoint becomes images, the images become numbers, the numbers become what is known of the epoch."""

from pathlib import Path
from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.execution import GPU_POOL, GPU_QUEUE_TAG, OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.defs.refusal import refused
from pixel_lora_pipeline.defs.train.assets import model_checkpoint
from pixel_lora_pipeline.defs.validate.metadata import evaluation_metadata, images_metadata, measurements_metadata
from pixel_lora_pipeline.store import Store, TestImage
from pixel_lora_pipeline.validate import (
    METRICS_VERSION,
    Generator,
    ImageMeasurement,
    MeasuredImage,
    Suite,
    base_kind,
    evaluate_images,
    measure_png,
)
from pixel_lora_pipeline.validate.lora import LoraError


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
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
    generator: dg.ResourceParam[Generator],
) -> dg.MaterializeResult[Any]:
    """The suite's images for one checkpoint: same prompts and seeds for every epoch."""
    checkpoint = store.checkpoints.get(context.partition_key)
    requests = suite.requests(base_kind(settings.base_model))
    known = store.images.known_fingerprints(checkpoint.epoch_id)
    try:
        for batch in generator.generate_batches(Path(checkpoint.path), requests, skip=known):
            store.images.add(checkpoint.epoch_id, [TestImage.of(image, suite.name, suite.version) for image in batch])
    except LoraError as error:
        raise refused(store, store.landed_files.newest(context.partition_key), error) from error
    store.epochs.set_status(checkpoint.epoch_id, "generated")
    return dg.MaterializeResult(metadata=images_metadata(store.images.of_epoch(checkpoint.epoch_id, suite.version)))


@dg.asset(
    partitions_def=checkpoints,
    deps=[test_images],
    group_name="validate",
    kinds={"numpy", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def quantitative_metrics(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], suite: dg.ResourceParam[Suite]
) -> dg.MaterializeResult[Any]:
    """Colour, accessories and pixel-art style, measured on every image of the checkpoint."""
    checkpoint = store.checkpoints.get(context.partition_key)
    unmeasured = [
        image
        for image in store.images.of_epoch(checkpoint.epoch_id, suite.version)
        if image.metrics_version != METRICS_VERSION
    ]
    measured = {
        image.id: measure_png(store.image_files.read(image.image_sha256), image.prompt).to_dict()
        for image in unmeasured
    }
    store.images.set_metrics(measured, METRICS_VERSION)
    images = store.images.of_epoch(checkpoint.epoch_id, suite.version)
    return dg.MaterializeResult(metadata=measurements_metadata(images))


@dg.asset(
    partitions_def=checkpoints,
    deps=[quantitative_metrics],
    group_name="validate",
    kinds={"postgres", "png"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def epoch_evaluation(
    context: dg.AssetExecutionContext, store: dg.ResourceParam[Store], suite: dg.ResourceParam[Suite]
) -> dg.MaterializeResult[Any]:
    """What is known of the epoch: the rollup of all its images, with a contact sheet to look at."""
    checkpoint = store.checkpoints.get(context.partition_key)
    images = [
        MeasuredImage(
            image.prompt_id,
            store.image_files.read(image.image_sha256),
            ImageMeasurement.from_dict(image.metrics),
        )
        for image in store.images.of_epoch(checkpoint.epoch_id, suite.version)
        if image.metrics is not None
    ]
    evaluation = evaluate_images(images)
    sheet = str(store.image_files.path(store.image_files.put(evaluation.contact_sheet)))
    store.epochs.record_evaluation(checkpoint.epoch_id, evaluation.metrics, sheet)
    return dg.MaterializeResult(metadata=evaluation_metadata(evaluation.metrics, evaluation.contact_sheet, sheet))
