"""How right the image metrics are, on labelled sprites: `python benchmarks/metrics.py FOLDER`.

FOLDER holds small sprites at native size and a `labels.json` with, for each, `file`, `background_color`, `hair_color`,
`hair_px`, `two_tone`, and `hat`/`hat_color`, `glasses`/`glasses_color` where it has them. Each sprite is enlarged and
degraded in ways that have known strength; photographs come with scikit-image. Shares and areas under the ROC curve
have 95 % bootstrap intervals. The roadmap's first sketch (dominant colour of the top third; distinct RGB colours) is
measured beside.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import rankdata
from skimage import data

from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.colorspace import delta_e_hex, hex_of_rgb

SCALE = 16
RESAMPLES = 1000
LITTLE_HAIR = 4  # cells of visible hair up to which no colour of hair is asked for
PHOTOGRAPHS = (
    *("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "immunohistochemistry", "retina"),
    *("camera", "coins", "grass", "brick", "gravel", "moon"),
)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sprite:
    label: dict[str, Any]
    image: Image.Image

    def enlarged(self, scale: int = SCALE) -> Image.Image:
        return self.image.resize((self.image.width * scale, self.image.height * scale), Image.Resampling.NEAREST)

    def color(self, key: str) -> str | None:
        value = self.label.get(f"{key}_color")
        return None if value is None else f"#{value.lstrip('#').lower()}"


def through_jpeg(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def with_noise(image: Image.Image, sigma: float, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0.0, sigma, (image.height, image.width, 3))
    return Image.fromarray(np.clip(np.rint(np.asarray(image) + noise), 0, 255).astype(np.uint8))


def blurred(image: Image.Image, radius: float) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(radius))


def soft(image: Image.Image, seed: int) -> Image.Image:
    """What a decoder of latents does to hard pixels, roughly."""
    return through_jpeg(with_noise(blurred(image, 1.2), 3.0, seed), 85)


def resampled(image: Image.Image, factor: float) -> Image.Image:
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, Image.Resampling.BICUBIC)


def shaded(image: Image.Image, strength: float) -> Image.Image:
    """Light from the upper left over every cell of a native sprite."""
    rows, columns = np.mgrid[0 : image.height, 0 : image.width] / max(image.size)
    light = 1.0 + strength * np.sin(3.0 * columns + 1.0) * np.cos(2.0 * rows)
    return Image.fromarray(np.clip(np.asarray(image) * light[..., None], 0, 255).astype(np.uint8))


FINDING: dict[str, Callable[[Sprite, int], tuple[Image.Image, float]]] = {
    "x8": lambda sprite, _: (sprite.enlarged(8), 8.0),
    "x16": lambda sprite, _: (sprite.enlarged(), SCALE),
    "x16 soft": lambda sprite, seed: (soft(sprite.enlarged(), seed), SCALE),
    "x16 JPEG 60": lambda sprite, _: (through_jpeg(sprite.enlarged(), 60), SCALE),
    "x16 times 1.07": lambda sprite, _: (resampled(sprite.enlarged(), 1.07), SCALE * 1.07),
}
IMPURE: dict[str, Callable[[Sprite, int], Image.Image]] = {
    "blur 1 px": lambda sprite, _: blurred(sprite.enlarged(), 1.0),
    "blur 3 px": lambda sprite, _: blurred(sprite.enlarged(), 3.0),
    "bilinear": lambda sprite, _: sprite.image.resize(
        (sprite.image.width * SCALE, sprite.image.height * SCALE), Image.Resampling.BILINEAR
    ),
    "soft": lambda sprite, seed: soft(sprite.enlarged(), seed),
    "noise 10": lambda sprite, seed: with_noise(sprite.enlarged(), 10.0, seed),
    "JPEG 20": lambda sprite, _: through_jpeg(sprite.enlarged(), 20),
    "resampled by 1.07": lambda sprite, _: resampled(sprite.enlarged(), 1.07),
    "shading over cells": lambda sprite, _: Sprite(sprite.label, shaded(sprite.image, 0.35)).enlarged(),
}


def interval(statistic: Callable[[NDArray[np.intp]], float], size: int) -> str:
    """Value and 95 % bootstrap interval of a statistic of drawn indices."""
    rng = np.random.default_rng(0)
    values = [statistic(rng.integers(0, size, size)) for _ in range(RESAMPLES)]
    low, high = np.percentile(values, [2.5, 97.5])
    return f"{statistic(np.arange(size)):.3f} ({low:.3f}-{high:.3f})"


def share(hits: Sequence[bool]) -> str:
    array = np.asarray(hits, dtype=np.float64)
    return interval(lambda drawn: float(array[drawn].mean()), len(array)) if len(array) else "none"


def auc(higher: Sequence[float], lower: Sequence[float]) -> str:
    """Area under the ROC curve: how often one of `higher` is above one of `lower`."""
    values = np.array([*higher, *lower])
    positive = np.arange(len(values)) < len(higher)

    def area(drawn: NDArray[np.intp]) -> float:
        ranks, is_positive = rankdata(values[drawn]), positive[drawn]
        count = int(is_positive.sum())
        if count in (0, len(drawn)):
            return float("nan")
        return float((ranks[is_positive].sum() - count * (count + 1) / 2) / (count * (len(drawn) - count)))

    return interval(area, len(values)) if higher and lower else "none"


def is_close(found: str | None, wanted: str | None, limit: float) -> bool:
    return found is not None and wanted is not None and delta_e_hex(found, wanted) <= limit


def top_third_color(image: Image.Image) -> str:
    """The roadmap's first sketch of the colour of the hair."""
    top = np.asarray(image)[: image.height // 3].reshape(-1, 3)
    colors, counts = np.unique(top, axis=0, return_counts=True)
    return hex_of_rgb(colors[np.argmax(counts)])


def distinct_colors(image: Image.Image) -> int:
    return len(np.unique(np.asarray(image).reshape(-1, 3), axis=0))


def photographs(size: int) -> list[Pixels]:
    images = []
    for name in PHOTOGRAPHS:
        pixels = getattr(data, name)()
        image = Image.fromarray(pixels).convert("RGB")
        side = min(image.size)
        images.append(np.asarray(image.crop((0, 0, side, side)).resize((size, size), Image.Resampling.LANCZOS)))
    return images


def purity(measurements: Iterable[ImageMeasurement]) -> list[float]:
    values = [measurement.style_quality["pixel_art_purity"] for measurement in measurements]
    return [value for value in values if value is not None]


def finding_table(sprites: list[Sprite]) -> Table:
    table = Table("images", "grid within 4 %", "background ΔE00 ≤ 5", "hair ≤ 10, no hat", "with hat", "top third ≤ 10",
                  "two-tone TPR / TNR", "palette within 1", "distinct RGB colours (median)",
                  title="Finding what is there")  # fmt: skip
    for name, make in FINDING.items():
        grid: list[bool] = []
        background: list[bool] = []
        hair: dict[bool, list[bool]] = {False: [], True: []}
        sketch: list[bool] = []
        two: dict[bool, list[bool]] = {False: [], True: []}
        palette: list[bool] = []
        raw: list[int] = []
        for seed, sprite in enumerate(track(sprites, name, console=Console(stderr=True), transient=True)):
            image, size = make(sprite, seed)
            hat = sprite.color("hat")
            expected = Expectation(accessories={} if hat is None else {"hat": hat})
            measured = measure_image(np.asarray(image), expected)
            found = measured.grid.pixel_size
            grid.append(found is not None and abs(found / size - 1.0) <= 0.04)
            seen = measured.evidence["background"]["hex"]
            background.append(is_close(seen, sprite.color("background"), 5.0))
            native = measure_image(np.asarray(sprite.image)).style_quality["color_palette_size"]
            palette.append(abs(measured.style_quality["color_palette_size"] - native) <= 1)
            raw.append(distinct_colors(image))
            if sprite.label.get("hair_px", 0) <= LITTLE_HAIR:
                continue
            tones = measured.evidence["hair"]
            hair[hat is not None].append(is_close(tones[0]["hex"] if tones else None, sprite.color("hair"), 10.0))
            sketch.append(is_close(top_third_color(image), sprite.color("hair"), 10.0))
            two[sprite.label.get("two_tone") is not None].append(bool(measured.color_accuracy["hair_is_two_toned"]))
        table.add_row(name, share(grid), share(background), share(hair[False]), share(hair[True]), share(sketch),
                      f"{np.mean(two[True]):.2f} / {1 - np.mean(two[False]):.2f}", share(palette),
                      f"{np.median(raw):.0f}")  # fmt: skip
    return table


def accessory_table(sprites: list[Sprite]) -> Table:
    table = Table("expectation", "ROC-AUC", "n", "cannot tell", title="Right against wrong")
    right: list[float] = []
    wrong: list[float] = []
    for at, sprite in enumerate(sprites):
        other = sprites[(at + 7) % len(sprites)].color("hair")
        own = sprite.color("hair")
        if (
            own is None
            or other is None
            or sprite.label.get("hair_px", 0) <= LITTLE_HAIR
            or delta_e_hex(own, other) <= 20.0
        ):
            continue
        pixels = np.asarray(sprite.enlarged(8))
        for asked, scores in ((own, right), (other, wrong)):
            score = measure_image(pixels, Expectation(hair=asked)).color_accuracy["hair_color_accuracy"]
            if score is not None:
                scores.append(score)
    table.add_row("hair, wrong colour > 20 ΔE00 away", auc(right, wrong), f"{len(right)} + {len(wrong)}", "")
    for name in ("hat", "glasses"):
        colors = [color for sprite in sprites if (color := sprite.color(name)) is not None]
        if not colors:
            continue
        seen: dict[bool, list[float]] = {False: [], True: []}
        untold = 0
        for at, sprite in enumerate(sprites):
            own = sprite.color(name)
            expected = Expectation(
                background=sprite.color("background"),
                hair=sprite.color("hair"),
                accessories={name: own or colors[at % len(colors)]},
            )
            sighting = measure_image(np.asarray(sprite.enlarged(8)), expected).evidence["accessories"].get(name)
            if sighting is None or sighting["surplus"] is None:
                untold += 1
            else:
                seen[own is not None].append(sighting["surplus"])
        counts = f"{len(seen[True])} + {len(seen[False])}"
        table.add_row(f"{name} in its colour", auc(seen[True], seen[False]), counts, str(untold))
    return table


def purity_table(sprites: list[Sprite]) -> Table:
    table = Table("against", "ROC-AUC of purity", "median purity", "called photorealistic", title="Style")
    clean = [measure_image(np.asarray(sprite.enlarged())) for sprite in sprites]
    table.add_row("(sprites themselves)", "", f"{np.median(purity(clean)):.1f}", called_photorealistic(clean))
    others: dict[str, list[Pixels]] = {
        name: [np.asarray(make(sprite, seed)) for seed, sprite in enumerate(sprites)] for name, make in IMPURE.items()
    }
    for size in (64, 512):
        others[f"photographs, {size} px"] = photographs(size)
    rng = np.random.default_rng(0)
    others["noise"] = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(20)]
    others["noise in blocks"] = [image.repeat(8, 0).repeat(8, 1) for image in others["noise"]]
    for name, images in others.items():
        measured = [measure_image(image) for image in images]
        table.add_row(
            name,
            auc(purity(clean), purity(measured)),
            f"{np.median(purity(measured)):.1f}",
            called_photorealistic(measured),
        )
    return table


def called_photorealistic(measurements: list[ImageMeasurement]) -> str:
    return f"{np.mean([bool(measured.style_quality['is_photorealistic']) for measured in measurements]):.2f}"


def time_table(sprites: list[Sprite]) -> Table:
    table = Table("size", "p50 CPU ms", "p95 CPU ms", title="Time of one image, decoded, on one core")
    for scale in (1, 4, 32, 128):
        spent = []
        for sprite in sprites[:60]:
            pixels = np.asarray(sprite.enlarged(scale))
            expected = Expectation(background=sprite.color("background"), hair=sprite.color("hair"))
            start = time.process_time()
            measure_image(pixels, expected)
            spent.append(1000.0 * (time.process_time() - start))
        median, slow = np.percentile(spent, [50, 95])
        table.add_row(f"{pixels.shape[1]} x {pixels.shape[0]}", f"{median:.1f}", f"{slow:.1f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="labelled sprites: PNG files and labels.json")
    parser.add_argument("--every", type=int, default=1, help="use only each n-th sprite")
    arguments = parser.parse_args()
    labels = json.loads((arguments.folder / "labels.json").read_text(encoding="utf-8"))["items"][:: arguments.every]
    sprites = [Sprite(label, Image.open(arguments.folder / label["file"]).convert("RGB")) for label in labels]
    console = Console(width=200)
    for make in (finding_table, accessory_table, purity_table, time_table):
        console.print(make(sprites))


if __name__ == "__main__":
    main()
