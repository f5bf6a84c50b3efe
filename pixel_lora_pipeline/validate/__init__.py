"""Step two of the loop: a checkpoint becomes images, and the images become numbers."""

from pixel_lora_pipeline.validate.asked_images import asked_images
from pixel_lora_pipeline.validate.color_accuracy import color_accuracy_score
from pixel_lora_pipeline.validate.contact_sheet import Labelled, contact_sheet
from pixel_lora_pipeline.validate.depth import Depth, depth_for, epochs_to_deepen, share_saved
from pixel_lora_pipeline.validate.evaluation import (
    Evaluation,
    MeasuredImage,
    evaluate_file,
    evaluate_images,
    is_measured,
    measure_png,
)
from pixel_lora_pipeline.validate.expectation import Expectation, parse_expectation
from pixel_lora_pipeline.validate.generate import GeneratedImage, Generator, ImageRequest
from pixel_lora_pipeline.validate.grid import Grid
from pixel_lora_pipeline.validate.measurement import METRICS_VERSION, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.rollup import rollup
from pixel_lora_pipeline.validate.suite import BaseKind, Prompt, Suite, SuiteError, base_kind
from pixel_lora_pipeline.validate.suite_file import load_suite, read_suite

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
    "asked_images",
    "base_kind",
    "color_accuracy_score",
    "contact_sheet",
    "depth_for",
    "epochs_to_deepen",
    "evaluate_file",
    "evaluate_images",
    "is_measured",
    "load_suite",
    "measure_image",
    "measure_png",
    "parse_expectation",
    "read_suite",
    "rollup",
    "share_saved",
]
