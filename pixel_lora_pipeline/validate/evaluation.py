"""From the images of a checkpoint to what is known of it: measurements, rollup and contact sheet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.validate.contact_sheet import Labelled, contact_sheet
from pixel_lora_pipeline.validate.expectation import parse_expectation
from pixel_lora_pipeline.validate.generate import Generator
from pixel_lora_pipeline.validate.measurement import ImageMeasurement, decode_png, measure_image
from pixel_lora_pipeline.validate.rollup import rollup
from pixel_lora_pipeline.validate.suite import BaseKind, Suite


@dataclass(frozen=True)
class MeasuredImage:
    """An image file with what was measured on it."""

    prompt_id: str
    png: bytes
    measurement: ImageMeasurement


@dataclass(frozen=True)
class Evaluation:
    """The rollup of a checkpoint's images in the shape of `epoch_results.quantitative_metrics`, and their sheet."""

    metrics: dict[str, Any]
    contact_sheet: bytes


def measure_png(png: bytes, prompt: str) -> ImageMeasurement:
    """Measure an image file against what its prompt names."""
    return measure_image(decode_png(png), parse_expectation(prompt))


def evaluate_images(images: Sequence[MeasuredImage]) -> Evaluation:
    """Roll up the measurements and draw the sheet.

    Raises
    ------
    ValueError
        If there is no image, or they were measured by different versions of the metrics.
    """
    metrics = rollup([image.measurement for image in images], [image.prompt_id for image in images])
    sheet = contact_sheet([Labelled(image.png, image.prompt_id, _scores(image.measurement)) for image in images])
    return Evaluation(metrics, sheet)


def evaluate_file(
    checkpoint: Path | None,
    generator: Generator,
    suite: Suite,
    kind: BaseKind,
    on_progress: Callable[[int, int], None] | None = None,
) -> Evaluation:
    """Generate the whole suite with a checkpoint (None: with the base model alone) and evaluate it, storing nothing.

    Raises
    ------
    BaseModelError, LoraError, GenerationMemoryError
        As `Generator.generate`.
    """
    generated = generator.generate(checkpoint, suite.requests(kind), on_progress=on_progress)
    return evaluate_images(
        [
            MeasuredImage(image.request.prompt_id, image.png, measure_png(image.png, image.request.prompt))
            for image in generated
        ]
    )


def _scores(measurement: ImageMeasurement) -> str:
    color = measurement.color_accuracy["overall_color_accuracy"]
    style = measurement.style_quality["overall_style_score"]
    shown = ["?" if value is None else f"{value:.0f}" for value in (color, style)]
    return f"colour {shown[0]}  style {shown[1]}"
