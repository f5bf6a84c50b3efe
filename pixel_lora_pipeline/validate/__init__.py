"""Step two of the loop: a checkpoint becomes images, and the images become numbers."""

from pixel_lora_pipeline.validate.color_accuracy import color_accuracy_score
from pixel_lora_pipeline.validate.contact_sheet import Labelled, contact_sheet
from pixel_lora_pipeline.validate.depth import Depth, depth_for
from pixel_lora_pipeline.validate.evaluation import (
    Evaluation,
    MeasuredImage,
    evaluate_file,
    evaluate_images,
    measure_png,
)
from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation
from pixel_lora_pipeline.validate.generate import GeneratedImage, Generator, ImageRequest
from pixel_lora_pipeline.validate.grid import Grid
from pixel_lora_pipeline.validate.measurement import METRICS_VERSION, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.rollup import rollup
from pixel_lora_pipeline.validate.suite import BaseKind, Prompt, Suite, SuiteError, base_kind, load_suite

__all__ = [
    "METRICS_VERSION",
    "BaseKind",
    "Depth",
    "Evaluation",
    "Expectation",
    "GeneratedImage",
    "Generator",
    "Grid",
    "ImageMeasurement",
    "ImageRequest",
    "Labelled",
    "MeasuredImage",
    "Prompt",
    "Suite",
    "SuiteError",
    "base_kind",
    "color_accuracy_score",
    "contact_sheet",
    "depth_for",
    "evaluate_file",
    "evaluate_images",
    "load_suite",
    "measure_image",
    "measure_png",
    "parse_expectation",
    "rollup",
]
