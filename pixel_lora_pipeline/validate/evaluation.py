"""From the images of a checkpoint to what is known of it: measurements, rollup and contact sheet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.validate.contact_sheet import Labelled, contact_sheet
from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation
from pixel_lora_pipeline.validate.generate import Generator
from pixel_lora_pipeline.validate.measurement import METRICS_VERSION, ImageMeasurement, decode_png, measure_image
from pixel_lora_pipeline.validate.rollup import rollup
from pixel_lora_pipeline.validate.semantic import NOT_CONFIGURED, SemanticScorer, semantic_rollup
from pixel_lora_pipeline.validate.suite import BaseKind, Suite


@dataclass(frozen=True)
class MeasuredImage:
    """An image file with what was measured on it; `semantic` as from `SemanticScorer.measure`."""

    prompt_id: str
    png: bytes
    measurement: ImageMeasurement
    semantic: Mapping[str, Any] = field(default_factory=lambda: NOT_CONFIGURED)


@dataclass(frozen=True)
class Evaluation:
    """What is known of a checkpoint by its images.

    Attributes
    ----------
    metrics
        The rollup in the shape of `epoch_results.quantitative_metrics`.
    contact_sheet
        PNG of all images.
    worst
        The image with the lowest overall score; None where none could be told.
    """

    metrics: dict[str, Any]
    contact_sheet: bytes
    worst: MeasuredImage | None


def measure_png(png: bytes, expected: str | Expectation) -> ImageMeasurement:
    """Measure an image file against an expectation, or what a prompt names."""
    expectation = parse_expectation(expected) if isinstance(expected, str) else expected
    return measure_image(decode_png(png), expectation)


def is_measured(metrics: Mapping[str, Any] | None, expectation: Expectation) -> bool:
    """Whether stored measurements are of the current version of the metrics, and against this expectation."""
    if metrics is None or metrics["metrics_version"] != METRICS_VERSION:
        return False
    expected: Mapping[str, Any] = metrics["evidence"]["expected"]
    return expected == expectation.to_dict()


def evaluate_images(images: Sequence[MeasuredImage]) -> Evaluation:
    """Roll up the measurements and draw the sheet.

    Raises
    ------
    ValueError
        If there is no image, or they were measured by different versions of the metrics.
    """
    prompt_ids = [image.prompt_id for image in images]
    metrics = rollup([image.measurement for image in images], prompt_ids)
    metrics["semantic"] = semantic_rollup(prompt_ids, [image.semantic for image in images])
    sheet = contact_sheet([Labelled(image.png, image.prompt_id, _scores(image.measurement)) for image in images])
    told = [image for image in images if image.measurement.overall_score is not None]
    worst = min(told, key=lambda image: image.measurement.overall_score or 0.0, default=None)
    return Evaluation(metrics, sheet, worst)


def evaluate_file(
    checkpoint: Path | None,
    generator: Generator,
    suite: Suite,
    kind: BaseKind,
    on_progress: Callable[[int, int], None] | None = None,
    scorer: SemanticScorer | None = None,
) -> Evaluation:
    """Generate the whole suite with a checkpoint (None: with the base model alone) and evaluate it, storing nothing.

    Raises
    ------
    BaseModelError, LoraError, GenerationMemoryError
        As `Generator.generate`.
    """
    expected = suite.expectations()
    generated = generator.generate(checkpoint, suite.requests(kind), on_progress=on_progress)
    return evaluate_images(
        [
            MeasuredImage(
                image.request.prompt_id,
                image.png,
                measure_png(image.png, expected[image.request.prompt_id]),
                NOT_CONFIGURED if scorer is None else scorer.measure(decode_png(image.png), image.request.prompt),
            )
            for image in generated
        ]
    )


def _scores(measurement: ImageMeasurement) -> str:
    color = measurement.color_accuracy["overall_color_accuracy"]
    style = measurement.style_quality["overall_style_score"]
    shown = ["?" if value is None else f"{value:.0f}" for value in (color, style)]
    return f"colour {shown[0]}  style {shown[1]}"
