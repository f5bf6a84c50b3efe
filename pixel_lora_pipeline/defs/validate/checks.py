"""What has to hold before anything is learnt from an evaluation."""

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.validate.assets import answers, epoch_evaluation, test_images
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.validate import Suite, base_kind


@dg.asset_check(asset=test_images, blocking=True)
def images_are_complete(
    context: dg.AssetCheckExecutionContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    suite: dg.ResourceParam[Suite],
) -> dg.AssetCheckResult:
    """Every image that the suite asks for at the epoch's depth is there, and none is black, flat or not finite."""
    checkpoint = store.checkpoints.get(context.partition_key)
    images = answers(store, settings, suite, checkpoint)
    asked = suite.at_depth(store.depths.of(checkpoint.epoch_id)).requests(base_kind(settings.base_model))
    wanted = {(request.prompt_id, request.seed) for request in asked}
    missing = sorted(wanted - {(image.prompt_id, image.seed) for image in images})
    unusable = sorted({image.prompt_id for image in images if image.fault is not None})
    return dg.AssetCheckResult(
        passed=not missing and not unusable,
        description=_explained(missing, unusable),
        metadata={"images": len(images), "missing": len(missing), "unusable": len(unusable)},
    )


@dg.asset_check(asset=epoch_evaluation)
def something_could_be_measured(
    context: dg.AssetCheckExecutionContext, store: dg.ResourceParam[Store]
) -> dg.AssetCheckResult:
    """Colour and style of the epoch both have a value: neither is unknown for every image."""
    checkpoint = store.checkpoints.get(context.partition_key)
    metrics = store.epochs.metrics(checkpoint.epoch_id)
    unknown = [group for group in ("color_accuracy", "style_quality") if metrics[group]["overall"] is None]
    return dg.AssetCheckResult(
        passed=not unknown,
        severity=dg.AssetCheckSeverity.WARN,
        description=f"Could not be told: {', '.join(unknown)}" if unknown else "Colour and style were measured",
    )


def _explained(missing: list[tuple[str, int]], unusable: list[str]) -> str:
    parts = []
    if missing:
        shown = ", ".join(f"{prompt} (seed {seed})" for prompt, seed in missing)
        parts.append(f"Missing: {shown}. Materialise test_images again: only what is missing is generated.")
    if unusable:
        parts.append(f"Black, flat or not finite: {', '.join(unusable)}. The checkpoint or the precision is at fault.")
    return " ".join(parts) or "All images of the suite are there and show something."
