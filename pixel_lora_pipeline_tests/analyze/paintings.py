"""Real pictures of embedded portraits at several qualities, measured as the pipeline measures them."""

import hashlib
import io
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import numpy as np
from PIL import Image, ImageFilter

from pixel_lora_pipeline.analyze.report import ReportImage
from pixel_lora_pipeline.embedded.portrait import Portrait
from pixel_lora_pipeline.embedded.render import render_pixel, render_soft
from pixel_lora_pipeline.validate import METRICS_VERSION, measure_png
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES

Quality = Literal["sprite", "blurred", "photo", "wrong background", "black"]

HAIR = ("blue", "green", "purple", "orange", "yellow", "pink", "brown", "red", "teal", "white", "black")


def portrait_of(number: int) -> tuple[Portrait, str]:
    """The portrait that a prompt asks for, and the prompt."""
    hair = HAIR[number % len(HAIR)]
    background = HAIR[(number + 4) % len(HAIR)]
    portrait = Portrait(
        background=NAMED_COLORS[background],
        hair=NAMED_COLORS[hair],
        skin=SKIN_TONES["light"],
        clothes=NAMED_COLORS["red"],
        accessory="crown" if number % 3 == 0 else "none",
    )
    crown = ", gold crown #ffd700" if number % 3 == 0 else ""
    return portrait, f"pixchar, {hair} hair {portrait.hair}, {background} background {portrait.background}{crown}"


@cache
def painted(number: int, quality: Quality = "sprite", seed: int = 1) -> ReportImage:
    """The image of a prompt as a checkpoint of this quality paints it."""
    portrait, prompt = portrait_of(number)
    portrait = replace(portrait, pose=(float(seed % 3 - 1), 0.0, 1.0))
    pixels = render_pixel(portrait)
    match quality:
        case "photo":
            pixels = render_soft(portrait, np.random.default_rng(seed))
        case "blurred":
            pixels = np.asarray(Image.fromarray(pixels).filter(ImageFilter.GaussianBlur(1.2)))
        case "wrong background":
            other = NAMED_COLORS["teal"] if portrait.background != NAMED_COLORS["teal"] else NAMED_COLORS["orange"]
            pixels = render_pixel(replace(portrait, background=other))
        case "black":
            pixels = np.zeros_like(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    png = buffer.getvalue()
    is_black = quality == "black"
    return ReportImage(
        prompt_id=f"prompt_{number:02d}",
        prompt=prompt,
        negative_prompt="",
        seed=seed,
        png=png,
        sha256=hashlib.sha256(png).hexdigest(),
        fault="black" if is_black else None,
        metrics=None if is_black else measure_png(png, prompt).to_dict(),
        metrics_version=None if is_black else METRICS_VERSION,
    )


def suite_of(quality: Quality, prompts: int = 11, seeds: int = 1) -> list[ReportImage]:
    """The images of a whole suite."""
    return [painted(number, quality, seed) for number in range(prompts) for seed in range(1, seeds + 1)]


def with_metrics(image: ReportImage, **scores: Any) -> ReportImage:
    """An image with some of its measurements replaced, by the last part of their place."""
    assert image.metrics is not None
    metrics: dict[str, Any] = {
        group: {**values, **{key: scores[key] for key in values.keys() & scores.keys()}}
        if isinstance(values, dict)
        else values
        for group, values in image.metrics.items()
    }
    return replace(image, metrics={**metrics, **{key: scores[key] for key in metrics.keys() & scores.keys()}})
