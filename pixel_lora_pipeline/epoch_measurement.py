"""Stored images to stored numbers: what the assets of an epoch do, and `pixel-lora remeasure` does again."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.store import RowId, Store, StoredImage
from pixel_lora_pipeline.store.epochs import OF_SAMPLES
from pixel_lora_pipeline.train.training_images import training_image_files
from pixel_lora_pipeline.validate import (
    METRICS_VERSION,
    Evaluation,
    Expectation,
    ImageMeasurement,
    MeasuredImage,
    evaluate_images,
    is_measured,
)
from pixel_lora_pipeline.validate.colorspace import hex_of_rgb, rgb_of_hex
from pixel_lora_pipeline.validate.image_file import png_bytes
from pixel_lora_pipeline.validate.image_reading import ImageFileError, read_image
from pixel_lora_pipeline.validate.measurement import decode_png, measure_view
from pixel_lora_pipeline.validate.native_view import native_view
from pixel_lora_pipeline.validate.semantic import NOT_CONFIGURED, SemanticScorer
from pixel_lora_pipeline.validate.training_palette import spread, training_palette

_log = logging.getLogger(__name__)


def measure_images(
    store: Store,
    images: Sequence[StoredImage],
    expectation_of: Callable[[StoredImage], Expectation],
    scorer: SemanticScorer | None,
    *,
    training_palette: NDArray[np.uint8] | None = None,
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
    training_palette
        The colours that the checkpoint was trained on, see `palette_of_run`.
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
        measured[image.id] = {**measure_view(view, expectation, training_palette).to_dict(), "semantic": semantic}
        copy = view.snapped()
        if copy is not None:
            snapped[image.id] = png_bytes(copy)
    store.images.set_metrics(measured, METRICS_VERSION, snapped)
    return len(measured)


def palette_of_run(
    store: Store, run_id: RowId, parameters: Mapping[str, Any] | None = None
) -> NDArray[np.uint8] | None:
    """The colours of the pictures that a run was trained on, uint8[k, 3]; None where they are not at hand.

    They are looked at once and kept: the pictures may be gone when a later epoch, or a later version of the metrics,
    is measured.

    Parameters
    ----------
    parameters
        The run's, which say where the pictures lie; None for what was kept.
    """
    known = store.runs.training_palette(run_id)
    if known is None:
        found = palette_of_images(training_image_files(parameters or {}))
        if found is None:
            return None
        known = [hex_of_rgb(color) for color in found]
        store.runs.set_training_palette(run_id, known)
    return np.array([rgb_of_hex(color) for color in known], dtype=np.uint8)


def palette_of_images(files: Sequence[Path]) -> NDArray[np.uint8] | None:
    """The colours of training images, uint8[k, 3]; of many, some that are spread over them are looked at."""
    return training_palette(_readable(files[at] for at in spread(len(files))))


def _readable(files: Iterable[Path]) -> Iterator[NDArray[np.uint8]]:
    for path in files:
        try:
            yield read_image(path)
        except ImageFileError as error:
            _log.warning("%s Its colours are left out of the training palette.", error)


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
    evaluation = _evaluation(store, images)
    sheet_path = str(store.image_files.path(store.image_files.put(evaluation.contact_sheet)))
    store.epochs.record_evaluation(epoch_id, evaluation.metrics, sheet_path)
    return evaluation, sheet_path


def evaluate_samples(store: Store, epoch_id: RowId, images: Sequence[StoredImage]) -> None:
    """Roll up an epoch's measured images of its trainer's sample prompts, and store that where nothing better is known.

    The rollup names the prompts in its `metrics_version`, so that it is compared only with others of the same prompts.
    """
    measured = [image for image in images if image.metrics is not None]
    if not measured:
        return
    evaluation = _evaluation(store, measured)
    version = f"{METRICS_VERSION}{OF_SAMPLES}{measured[0].suite_version}"
    sheet_path = str(store.image_files.path(store.image_files.put(evaluation.contact_sheet)))
    store.epochs.record_samples(epoch_id, {**evaluation.metrics, "metrics_version": version}, sheet_path)


def _evaluation(store: Store, images: Sequence[StoredImage]) -> Evaluation:
    return evaluate_images(
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


def _is_scored(image: StoredImage, scorer: SemanticScorer | None) -> bool:
    semantic = (image.metrics or {}).get("semantic", NOT_CONFIGURED)
    return scorer is None or semantic.get("model_sha256") == scorer.sha256
