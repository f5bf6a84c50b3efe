"""Epochs of a run against its prompts as a picture, and what has to be painted to show them at other strengths."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pixel_lora_pipeline.analyze.epoch_grid import GridRow, epoch_grid
from pixel_lora_pipeline.analyze.tested_image import Question, question
from pixel_lora_pipeline.epoch_measurement import measure_images
from pixel_lora_pipeline.kept_expectations import KeptExpectations
from pixel_lora_pipeline.run_evaluations import BASELINE, WITHOUT_LORA, RunEvaluations
from pixel_lora_pipeline.store import EvaluatedEpoch, Store, StoredImage, TestImage
from pixel_lora_pipeline.validate import Generator, Suite
from pixel_lora_pipeline.validate.batches import ImageRequest


def grid_of_run(store: Store, evaluations: RunEvaluations) -> bytes:
    """A PNG of the run's epochs against its prompts, below the base model and the baseline; one seed a prompt.

    An epoch that was painted at other strengths of the LoRA has a row for each of them.
    """
    columns = _questions(evaluations)
    rows = [
        _row(store, columns, WITHOUT_LORA, evaluations.without_lora),
        _row(store, columns, BASELINE, evaluations.baseline),
    ]
    for epoch, images in evaluations.images.items():
        rows += _rows_of_epoch(store, columns, f"epoch {epoch}", images, evaluations.strengths.get(epoch, {}))
    return epoch_grid([row for row in rows if row.images], list(dict.fromkeys(columns.values())))


def grid_requests(evaluations: RunEvaluations) -> list[ImageRequest]:
    """What has to be painted to show the grid's questions once more, exactly as they were asked."""
    return [
        ImageRequest(
            prompt_id=image.prompt_id,
            prompt=image.prompt,
            negative_prompt=image.negative_prompt,
            seed=image.seed,
            width=image.width,
            height=image.height,
            steps=int(image.fingerprint["steps"]),
            guidance=float(image.fingerprint["guidance"]),
        )
        for image in _shown(evaluations).values()
    ]


def paint_at_strength(
    store: Store, suite: Suite, evaluations: RunEvaluations, epoch: EvaluatedEpoch, generator: Generator
) -> None:
    """Paint the grid's questions with an epoch at the generator's strength, measure and store what is missing of them.

    They are kept apart from the images of the evaluation: nothing that is concluded of the epoch changes.

    Raises
    ------
    ValueError
        If no file of the epoch is known.
    BaseModelError, LoraError, GenerationMemoryError
        As `Generator.generate`.
    """
    if epoch.path is None:
        raise ValueError(f"no checkpoint of epoch {epoch.epoch} of {evaluations.run.run_name} is known.")
    asked = _shown(evaluations)
    known = store.images.known_fingerprints(epoch.epoch_id)
    known |= store.images.known_fingerprints(epoch.epoch_id, purpose="strength")
    for batch in generator.generate_batches(Path(epoch.path), grid_requests(evaluations), skip=known):
        painted = []
        for image in batch:
            request = image.request
            first = asked[request.prompt, request.negative_prompt, request.seed]
            painted.append(TestImage.of(image, first.suite_name, first.suite_version, purpose="strength"))
        store.images.add(epoch.epoch_id, painted)
    expectations = KeptExpectations(store, suite)
    measure_images(store, store.images.of_epoch(epoch.epoch_id, purpose="strength"), expectations.of, None)


def _questions(evaluations: RunEvaluations) -> dict[Question, str]:
    """What a grid shows, with the name of its column."""
    return {asked: image.prompt_id for asked, image in _shown(evaluations).items()}


def _shown(evaluations: RunEvaluations) -> dict[Question, StoredImage]:
    """Of every prompt that any epoch was asked the first seed, with an image that answers it; by the prompt's id."""
    first: dict[tuple[str, str], StoredImage] = {}
    for images in evaluations.images.values():
        for image in images:
            asked = image.prompt, image.negative_prompt
            if asked not in first or image.seed <= first[asked].seed:
                first[asked] = image
    ordered = sorted(first.values(), key=lambda image: image.prompt_id)
    return {question(image): image for image in ordered}


def _rows_of_epoch(
    store: Store,
    columns: Mapping[Question, str],
    title: str,
    images: Sequence[StoredImage],
    strengths: Mapping[float, Sequence[StoredImage]],
) -> list[GridRow]:
    if not strengths:
        return [_row(store, columns, title, images)]
    own = next((image.strength for image in images if image.strength is not None), None)
    by_strength = sorted([*strengths.items(), *([] if own is None else [(own, images)])], key=lambda row: row[0])
    return [_row(store, columns, title, shown, f"strength {strength:g}") for strength, shown in by_strength]


def _row(
    store: Store, columns: Mapping[Question, str], title: str, images: Sequence[StoredImage], subtitle: str = ""
) -> GridRow:
    files = {
        columns[question(image)]: store.image_files.read(image.image_sha256)
        for image in images
        if question(image) in columns
    }
    return GridRow(title, files, subtitle)
