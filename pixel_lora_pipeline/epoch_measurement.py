"""Stored images to stored numbers: what the assets of an epoch do, and `pixel-lora remeasure` does again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pixel_lora_pipeline.store import RowId, Store, StoredImage
from pixel_lora_pipeline.validate import (
    METRICS_VERSION,
    Evaluation,
    Expectation,
    ImageMeasurement,
    MeasuredImage,
    evaluate_images,
    is_measured,
)
from pixel_lora_pipeline.validate.image_file import png_bytes
from pixel_lora_pipeline.validate.measurement import decode_png, measure_view
from pixel_lora_pipeline.validate.native_view import native_view
from pixel_lora_pipeline.validate.semantic import NOT_CONFIGURED, SemanticScorer


def measure_images(
    store: Store,
    images: Sequence[StoredImage],
    expectation_of: Callable[[StoredImage], Expectation],
    scorer: SemanticScorer | None,
    *,
    again: bool = False,
) -> int:
    """Measure those images of the store that the current metrics have not measured, and return how many there were.

    A copy of each, snapped to its grid and palette, is stored beside it.
    An image is also measured again if it is expected to show something else now, or if the configured CLIP model has
    not scored it. What an older version of the metrics measured stays beside the new numbers.

    Parameters
    ----------
    expectation_of
        What an image should show.
    scorer
        The configured CLIP model, if any.
    again
        Whether to measure all of them.

    Raises
    ------
    ImageStoreError
        If the file of one is missing or damaged; nothing is stored then.
    SemanticModelError
        If the CLIP model cannot be used.
    """
    measured: dict[RowId, Mapping[str, Any]] = {}
    snapped: dict[RowId, bytes] = {}
    for image in images:
        expectation = expectation_of(image)
        if not again and is_measured(image.metrics, expectation) and _is_scored(image, scorer):
            continue
        pixels = decode_png(store.image_files.read(image.image_sha256))
        semantic = NOT_CONFIGURED if scorer is None else scorer.measure(pixels, image.prompt)
        view = native_view(pixels)
        measured[image.id] = {**measure_view(view, expectation).to_dict(), "semantic": semantic}
        copy = view.snapped()
        if copy is not None:
            snapped[image.id] = png_bytes(copy)
    store.images.set_metrics(measured, METRICS_VERSION, snapped)
    return len(measured)


def evaluate_epoch(store: Store, epoch_id: RowId, images: Sequence[StoredImage]) -> tuple[Evaluation, str]:
    """Roll up the measured ones among an epoch's images and store what is known of the epoch.

    Returns
    -------
    The evaluation, and the path of its contact sheet.

    Raises
    ------
    ValueError
        If none is measured, or they were measured by different versions of the metrics.
    UnknownEpochError
        If there is no such epoch.
    """
    evaluation = evaluate_images(
        [
            MeasuredImage(
                image.prompt_id,
                store.image_files.read(image.image_sha256),
                ImageMeasurement.from_dict(image.metrics),
                image.metrics.get("semantic", NOT_CONFIGURED),
            )
            for image in images
            if image.metrics is not None
        ]
    )
    sheet_path = str(store.image_files.path(store.image_files.put(evaluation.contact_sheet)))
    store.epochs.record_evaluation(epoch_id, evaluation.metrics, sheet_path)
    return evaluation, sheet_path


def _is_scored(image: StoredImage, scorer: SemanticScorer | None) -> bool:
    semantic = (image.metrics or {}).get("semantic", NOT_CONFIGURED)
    return scorer is None or semantic.get("model_sha256") == scorer.sha256
