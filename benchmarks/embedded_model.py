"""How well the embedded base model obeys captions: `python benchmarks/embedded_model.py`.

200 captions of portraits that its training never saw (their combination of attributes is held out), and 100 with
hex codes drawn at random. What an image shows is found by synthesis: the portrait is rendered in every pose and
with every accessory and expression, and the rendering that is nearest to the image says what it shows. Colours are
medians over the region in which the nearest rendering has it.
"""

import argparse
import itertools
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from scipy.ndimage import binary_erosion
from scipy.stats import binomtest
from skimage.color import deltaE_ciede2000, rgb2lab

from pixel_lora_pipeline.embedded.captioning import plain_tags
from pixel_lora_pipeline.embedded.loading import load_pipeline
from pixel_lora_pipeline.embedded.portrait import ACCESSORIES, EXPRESSIONS, Portrait, draw_portrait
from pixel_lora_pipeline.embedded.render import render_soft, visible_regions
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS

STEPS, GUIDANCE, BATCH = 15, 2.0, 25
POSES = list(itertools.product((-1.0, 0.0, 1.0), (-1.0, 0.0, 1.0), (0.92, 1.0, 1.08)))
MUST = {"background": 0.98, "hair": 0.95, "accessory": 0.90, "expression": 0.80}

Picture = NDArray[np.uint8]


def shown_by(image: Picture, asked: Portrait) -> Portrait:
    """The portrait nearest to the image, among all poses, accessories and expressions of the asked one."""

    def distance(candidate: Portrait) -> float:
        rendering = render_soft(candidate, np.random.default_rng(0)).astype(np.float64)
        return float(((rendering - image) ** 2).mean())

    posed = min((replace(asked, pose=pose) for pose in POSES), key=distance)
    variants = itertools.product(ACCESSORIES, EXPRESSIONS)
    return min((replace(posed, accessory=a, expression=e) for a, e in variants), key=distance)


def region_rgb(image: Picture, portrait: Portrait, region: str) -> NDArray[np.float64]:
    """Median (3,) of each channel over the inner part of a region, 0-255."""
    mask = visible_regions(portrait)[region]
    inner = binary_erosion(mask)
    return np.asarray(np.median(image[inner if inner.sum() > 20 else mask], axis=0))


def region_color(image: Picture, portrait: Portrait, region: str) -> NDArray[np.float64]:
    """Lab colour (3,) of the same."""
    return np.asarray(rgb2lab((region_rgb(image, portrait, region) / 255).reshape(1, 1, 3)).reshape(3))


def lab(color: str) -> NDArray[np.float64]:
    rgb = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    return np.asarray(rgb2lab(rgb.reshape(1, 1, 3)).reshape(3))


def nearest_name(color: NDArray[np.float64]) -> str:
    return min(NAMED_COLORS, key=lambda word: float(deltaE_ciede2000(color, lab(NAMED_COLORS[word]))))


def held_out_portraits(count: int, seed: int) -> list[Portrait]:
    rng = np.random.default_rng(seed)
    portraits: list[Portrait] = []
    while len(portraits) < count:
        portrait = draw_portrait(rng)
        if portrait.held_out:
            portraits.append(portrait)
    return portraits


def paint(pipeline, portraits: list[Portrait], progress: Console) -> list[Picture]:  # type: ignore[no-untyped-def]
    images: list[Picture] = []
    with progress.status("Generating") as status:
        for start in range(0, len(portraits), BATCH):
            part = portraits[start : start + BATCH]
            output = pipeline(
                [", ".join(plain_tags(portrait)) for portrait in part],
                height=64,
                width=64,
                num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
                generator=[torch.Generator().manual_seed(start + index) for index in range(len(part))],
                output_type="np",
            )
            images += [np.asarray(image * 255 + 0.5, dtype=np.uint8) for image in output.images]
            status.update(f"Generating {len(images)}/{len(portraits)}")
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--base", type=Path, help="pipeline folder; the packaged model by default")
    parser.add_argument("--captions", type=int, default=200)
    parser.add_argument("--sheet", type=Path, help="where a sheet of the first 48 images is written")
    arguments = parser.parse_args()
    console = Console()
    pipeline = load_pipeline(arguments.base) if arguments.base else load_pipeline()
    pipeline.set_progress_bar_config(disable=True)

    portraits = held_out_portraits(arguments.captions, seed=99)
    images = paint(pipeline, portraits, console)
    right: dict[str, list[bool]] = {name: [] for name in MUST}
    for portrait, image in zip(portraits, images, strict=True):
        shown = shown_by(image, portrait)
        right["background"].append(
            NAMED_COLORS[nearest_name(region_color(image, shown, "background"))] == portrait.background
        )
        right["hair"].append(NAMED_COLORS[nearest_name(region_color(image, shown, "hair"))] == portrait.hair)
        right["accessory"].append(shown.accessory == portrait.accessory)
        right["expression"].append(shown.expression == portrait.expression)

    rng = np.random.default_rng(7)
    coded = [draw_portrait(rng, hex_share=1.0) for _ in range(arguments.captions // 2)]
    errors: dict[str, list[float]] = {"hair": [], "background": []}
    for portrait, image in zip(coded, paint(pipeline, coded, console), strict=True):
        shown = shown_by(image, portrait)
        for region in errors:
            wanted = lab(getattr(portrait, region))
            errors[region].append(float(deltaE_ciede2000(region_color(image, shown, region), wanted)))

    table = Table("figure", "measured", "95 % interval", "must", title=f"{len(portraits)} held-out captions")
    for name, hits in right.items():
        interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
        table.add_row(
            f"{name} right",
            f"{np.mean(hits):.3f}",
            f"{interval.low:.3f}–{interval.high:.3f}",
            f"≥ {MUST[name]}",
        )
    for region, values in errors.items():
        quartiles = np.percentile(values, [25, 75])
        spread = f"quartiles {quartiles[0]:.1f}–{quartiles[1]:.1f}"
        table.add_row(f"{region} hex, median ΔE00", f"{np.median(values):.1f}", spread, "≤ 15")
    for count in (1, 15):
        seconds = []
        for _ in range(3):
            started = time.perf_counter()
            pipeline(
                ["pink hair, green background, smile"] * count, height=64, width=64, num_inference_steps=STEPS,
                guidance_scale=GUIDANCE,
            )  # fmt: skip
            seconds.append(time.perf_counter() - started)
        table.add_row(
            f"seconds for {count} image(s)",
            f"{min(seconds):.2f}",
            "fastest of 3",
            f"≤ {1.5 if count == 1 else 20}",
        )
    console.print(table)
    if arguments.sheet:
        rows = [np.concatenate(images[start : start + 12], axis=1) for start in range(0, min(48, len(images)), 12)]
        picture = Image.fromarray(np.concatenate(rows))
        picture.resize((picture.width * 2, picture.height * 2), Image.Resampling.NEAREST).save(arguments.sheet)


if __name__ == "__main__":
    main()
