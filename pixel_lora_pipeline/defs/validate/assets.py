"""One checkpoint becomes images, the images become numbers, the numbers become what is known of the epoch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.costs import evaluation_is_counted
from pixel_lora_pipeline.defs.execution import GPU_POOL, GPU_QUEUE_TAG, OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.defs.refusal import refused
from pixel_lora_pipeline.defs.train.assets import model_checkpoint
from pixel_lora_pipeline.defs.validate.metadata import evaluation_metadata, images_metadata, measurements_metadata
from pixel_lora_pipeline.epoch_measurement import evaluate_epoch, measure_images, palette_of_run
from pixel_lora_pipeline.store import RowId, Store, StoredCheckpoint, StoredImage, TestImage
from pixel_lora_pipeline.validate import Generator, Suite, asked_images, base_kind, depth_for
from pixel_lora_pipeline.validate.lora import LoraError
from pixel_lora_pipeline.validate.semantic import SemanticScorer


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
    """The suite's images for one checkpoint, at the depth that its epoch deserves: every epoch the same prompts."""
    checkpoint = store.checkpoints.get(context.partition_key)
    planned = depth_for(checkpoint.epoch, checkpoint.planned_epochs, settings.depth.plan)
    depth = store.depths.deepen(checkpoint.epoch_id, planned)
    store.suites.add(suite.name, suite.version, suite.to_content())
    requests = suite.at_depth(depth).requests(base_kind(settings.base_model))
    known = store.images.known_fingerprints(checkpoint.epoch_id)
    with evaluation_is_counted(store, settings.costs, checkpoint.training_run_id, checkpoint.epoch_id):
        try:
            for batch in generator.generate_batches(Path(checkpoint.path), requests, skip=known):
                images = [TestImage.of(image, suite.name, suite.version) for image in batch]
                store.images.add(checkpoint.epoch_id, images)
        except LoraError as error:
            raise refused(store, store.landed_files.newest(context.partition_key), error) from error
        for reference in references(store, checkpoint):
            try:
                for batch in generator.generate_batches(
                    reference.checkpoint, requests, skip=store.images.known_fingerprints(reference.epoch_id)
                ):
                    images = [TestImage.of(image, suite.name, suite.version) for image in batch]
                    store.images.add(reference.epoch_id, images)
            except LoraError as error:  # it was made for another base model, or its file is gone
                context.log.warning(f"Without the baseline to compare with: {error}")
    store.epochs.set_status(checkpoint.epoch_id, "generated")
    full = len(suite.requests(base_kind(settings.base_model)))
    return dg.MaterializeResult(metadata=images_metadata(answers(store, settings, suite, checkpoint), depth, full))


@dg.asset(
    partitions_def=checkpoints,
    deps=[test_images],
    group_name="validate",
    kinds={"numpy", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
)
def quantitative_metrics(
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
    semantic_scorer: dg.ResourceParam[SemanticScorer | None],
) -> dg.MaterializeResult[Any]:
    """Colour, accessories and pixel-art style, measured on every image of the checkpoint."""
    checkpoint = store.checkpoints.get(context.partition_key)
    expected = suite.expectations()
    palette = palette_of_run(store, checkpoint.training_run_id, checkpoint.parameters)
    measure_images(
        store,
        answers(store, settings, suite, checkpoint),
        lambda image: expected[image.prompt_id],
        semantic_scorer,
        training_palette=palette,
    )
    for reference in references(store, checkpoint):
        images = answers_of(store, settings, suite, checkpoint, reference.epoch_id)
        measure_images(store, images, lambda image: expected[image.prompt_id], semantic_scorer)
    images = answers(store, settings, suite, checkpoint)
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
    context: dg.AssetExecutionContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
) -> dg.MaterializeResult[Any]:
    """What is known of the epoch: the rollup of all its images, with a contact sheet to look at."""
    checkpoint = store.checkpoints.get(context.partition_key)
    images = answers(store, settings, suite, checkpoint)
    evaluation, sheet_path = evaluate_epoch(store, checkpoint.epoch_id, images)
    return dg.MaterializeResult(metadata=evaluation_metadata(evaluation, sheet_path))


@dataclass(frozen=True)
class Reference:
    """What every epoch is shown beside: the base model alone (both are None), or the checkpoint in production."""

    epoch_id: RowId | None
    checkpoint: Path | None


def references(store: Store, checkpoint: StoredCheckpoint) -> list[Reference]:
    """The references of a checkpoint; each is asked what the epochs are asked, once for all of them."""
    baseline = store.baselines.current()
    if baseline is None or baseline.epoch_id == checkpoint.epoch_id:
        return [Reference(None, None)]
    return [Reference(None, None), Reference(baseline.epoch_id, baseline.checkpoint)]


def answers(store: Store, settings: Settings, suite: Suite, checkpoint: StoredCheckpoint) -> list[StoredImage]:
    """The stored images of a checkpoint that answer what the suite asks of it now."""
    return answers_of(store, settings, suite, checkpoint, checkpoint.epoch_id)


def answers_of(
    store: Store, settings: Settings, suite: Suite, checkpoint: StoredCheckpoint, epoch_id: RowId | None
) -> list[StoredImage]:
    """The stored images of another epoch, or of the base model alone, that answer what is asked of a checkpoint."""
    asked = suite.at_depth(store.depths.of(checkpoint.epoch_id)).requests(base_kind(settings.base_model))
    return asked_images(asked, store.images.of_epoch(epoch_id))
