"""How right the grid, palette and style metrics are: rows for `benchmarks/metrics.py`.

Pixel art with known cells - labelled sprites from a folder, and the portraits that the embedded model is trained on -
is enlarged and damaged in ways of known strength. What is no pixel art: photographs that come with scikit-image (and
scikit-learn, if it is installed), the same portraits in the soft rendering, gradients and noise. Beside each figure
stand the roadmap's first sketch (counting distinct colours), perfect-pixel (if it is installed), scikit-image's
blur_effect and Pillow's quantize on the same images. By itself: `python benchmarks/style_figures.py FOLDER`.
"""

import argparse
import contextlib
import importlib
import importlib.util
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from rich.console import Console
from rich.progress import track
from scipy.stats import bootstrap, rankdata, spearmanr
from skimage import data
from skimage.measure import blur_effect

from pixel_lora_pipeline.embedded.portrait import draw_portrait
from pixel_lora_pipeline.embedded.render import IMAGE_SIZE, SPRITE_CELLS, render_pixel, render_soft
from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.dithering import find_dithering
from pixel_lora_pipeline.validate.palette import extract_palette

RESAMPLES = 1000
SIDE = 512  # pixels of an enlarged image
PORTRAITS = 200  # of the embedded model
REFERENCES_EVERY = 8  # the other methods are slower: they see each n-th image
PHOTOGRAPHS = (
    *("astronaut", "coffee", "chelsea", "rocket", "hubble_deep_field", "immunohistochemistry", "retina"),
    *("camera", "coins", "grass", "brick", "gravel", "cell", "clock"),
)
PHOTOGRAPH_SIDES = (64, 256, 512)

Pixels = NDArray[np.uint8]
Interval = tuple[float, float, float]
Damage = Callable[[Pixels, int, int], Pixels]  # native sprite, cell, seed


@dataclass(frozen=True)
class Row:
    """One figure with its 95 % bootstrap interval, what it must and should reach, and what other methods reach."""

    name: str
    value: float
    low: float
    high: float
    must: float | None
    stretch: float | None
    n: int
    references: Mapping[str, float] = field(default_factory=dict)
    lower_is_better: bool = False


def enlarged(native: Pixels, cell: int) -> Pixels:
    return native.repeat(cell, axis=0).repeat(cell, axis=1)


def resized(image: Pixels, width: int, height: int, method: Image.Resampling) -> Pixels:
    return np.asarray(Image.fromarray(image).resize((width, height), method))


def blurred(image: Pixels, radius: float) -> Pixels:
    return np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(radius))) if radius else image


def with_noise(image: Pixels, sigma: float, seed: int) -> Pixels:
    noise = np.random.default_rng(seed).normal(0.0, sigma, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def through_jpeg(image: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def soft(image: Pixels, seed: int) -> Pixels:
    """What a decoder of latents does to hard pixels, roughly."""
    return through_jpeg(with_noise(blurred(image, 1.2), 3.0, seed), 85)


def resampled(image: Pixels, factor: float) -> Pixels:
    height, width = image.shape[:2]
    return resized(image, round(width * factor), round(height * factor), Image.Resampling.BICUBIC)


def smoothly_enlarged(native: Pixels, cell: int, method: Image.Resampling) -> Pixels:
    return resized(native, native.shape[1] * cell, native.shape[0] * cell, method)


def wandering(native: Pixels, cell: int, seed: int) -> Pixels:
    """Cells that are up to an eighth narrower or wider than `cell`, one by one."""
    rng = np.random.default_rng(seed)
    spread = max(1, cell // 8)
    for axis in (0, 1):
        widths = rng.integers(cell - spread, cell + spread + 1, native.shape[axis])
        native = np.repeat(native, widths, axis=axis)
    return native


def jittered(native: Pixels, cell: int, share: float, seed: int) -> Pixels:
    """Cell edges off their place by a standard deviation of `share` of a cell."""
    rng = np.random.default_rng(seed)
    for axis in (0, 1):
        count = native.shape[axis]
        edges = np.rint(np.arange(1, count) * cell + rng.normal(0.0, share * cell, count - 1))
        cells = np.searchsorted(np.sort(edges), np.arange(count * cell), side="right")
        native = native.take(cells, axis=axis)
    return native


def shaded(native: Pixels, strength: float, kind: int = 0) -> Pixels:
    """Smooth light over every cell: from one side, from above, or from the middle."""
    rows, columns = (np.mgrid[0 : native.shape[0], 0 : native.shape[1]] + 0.5) / np.reshape(native.shape[:2], (2, 1, 1))
    light = (
        np.sin(3.0 * columns + 1.0) * np.cos(2.0 * rows),
        1.0 - 2.0 * rows,
        0.5 - 2.0 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2),
    )[kind % 3]
    lit = np.clip(native * (1.0 + strength * light)[..., None], 0, 255)
    return np.asarray(lit, dtype=np.uint8)


# Damaged images whose cell is still known, and that cell as width and height.
GRIDS: dict[str, tuple[Damage, Callable[[int], tuple[float, float]]]] = {
    "clean": (lambda native, cell, _: enlarged(native, cell), lambda cell: (cell, cell)),
    "soft": (lambda native, cell, seed: soft(enlarged(native, cell), seed), lambda cell: (cell, cell)),
    "blur 1 px": (lambda native, cell, _: blurred(enlarged(native, cell), 1.0), lambda cell: (cell, cell)),
    "JPEG 60": (lambda native, cell, _: through_jpeg(enlarged(native, cell), 60), lambda cell: (cell, cell)),
    "times 1.07": (
        lambda native, cell, _: resampled(enlarged(native, cell), 1.07),
        lambda cell: (1.07 * cell, 1.07 * cell),
    ),
}
HARDER_GRIDS: dict[str, tuple[Damage, Callable[[int], tuple[float, float]]]] = {
    "oblong 4 : 3": (
        lambda native, cell, _: native.repeat(cell * 3 // 4, axis=0).repeat(cell, axis=1),
        lambda cell: (cell, cell * 3 // 4),
    ),
    "wandering": (wandering, lambda cell: (cell, cell)),
    "noise 10": (lambda native, cell, seed: with_noise(enlarged(native, cell), 10.0, seed), lambda cell: (cell, cell)),
}
IMPURE: dict[str, dict[str, Damage]] = {
    "blurred or resampled": {
        "blur 1 px": GRIDS["blur 1 px"][0],
        "blur 3 px": lambda native, cell, _: blurred(enlarged(native, cell), 3.0),
        "soft": GRIDS["soft"][0],
        "bilinear": lambda native, cell, _: smoothly_enlarged(native, cell, Image.Resampling.BILINEAR),
        "bicubic": lambda native, cell, _: smoothly_enlarged(native, cell, Image.Resampling.BICUBIC),
    },
    "smooth gradient over cells": {
        "strength 0.35": lambda native, cell, seed: enlarged(shaded(native, 0.35, seed), cell),
        "strength 0.15": lambda native, cell, seed: enlarged(shaded(native, 0.15, seed), cell),
    },
    "times 1.07": {"times 1.07": GRIDS["times 1.07"][0]},
    "JPEG 20": {"JPEG 20": lambda native, cell, _: through_jpeg(enlarged(native, cell), 20)},
    "noise 10": {"noise 10": HARDER_GRIDS["noise 10"][0]},
}
# Each with strengths from none on. Cells in step with a JPEG's blocks hide it: 12 pixels are not.
DEGRADATIONS: dict[str, tuple[tuple[float, ...], Callable[[Pixels, int, float, int], Pixels]]] = {
    "blur": (
        (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0),
        lambda native, cell, radius, _: blurred(enlarged(native, cell), radius),
    ),
    "noise": (
        (0.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0),
        lambda native, cell, sigma, seed: with_noise(enlarged(native, cell), sigma, seed),
    ),
    "JPEG": (
        (0.0, 5.0, 20.0, 40.0, 60.0, 80.0, 90.0),
        lambda native, _, loss, __: (
            through_jpeg(enlarged(native, 12), round(100 - loss)) if loss else enlarged(native, 12)
        ),
    ),
    "gradient over cells": (
        (0.0, 0.05, 0.1, 0.2, 0.35, 0.5),
        lambda native, cell, strength, seed: enlarged(shaded(native, strength, seed), cell),
    ),
    "reduced and enlarged": (
        (1.0, 1.25, 1.7, 2.5, 4.0),
        lambda native, cell, factor, _: (
            resampled(resampled(enlarged(native, cell), 1.0 / factor), factor)
            if factor > 1.0
            else enlarged(native, cell)
        ),
    ),
    "edges off the grid": (
        (0.0, 0.03, 0.06, 0.1, 0.15),
        lambda native, cell, share, seed: jittered(native, cell, share, seed),
    ),
}


def style_rows(folder: Path | None, every: int = 1) -> list[Row]:
    """All figures; without a folder, those of the embedded model's portraits only."""
    styles = {"embedded": embedded_sprites(every)}
    if folder is not None:
        styles = {"DiceBear": labelled_sprites(folder, every), **styles}
    rows: list[Row] = []
    photos = photographs()
    measured_photos = [measure_image(photo) for photo in photos]
    for style, sprites in styles.items():
        rows += grid_rows(style, sprites)
        rows.append(palette_row(style, sprites))
        rows += purity_rows(style, sprites, photos, measured_photos)
        rows += strength_rows(style, sprites[:: max(1, len(sprites) // 30)])
        rows += time_rows(style, sprites[:60])
    rows += [no_grid_row(photos, every), *dithering_rows(), *photorealism_rows(measured_photos, every)]
    return rows


def labelled_sprites(folder: Path, every: int) -> list[Pixels]:
    labels = json.loads((folder / "labels.json").read_text(encoding="utf-8"))["items"][::every]
    return [np.asarray(Image.open(folder / label["file"]).convert("RGB")) for label in labels]


def embedded_sprites(every: int) -> list[Pixels]:
    rng = np.random.default_rng(0)
    cell = IMAGE_SIZE // SPRITE_CELLS
    return [render_pixel(draw_portrait(rng, hex_share=0.3))[::cell, ::cell] for _ in range(-(-PORTRAITS // every))]


def photographs() -> list[Pixels]:
    pictures = [Image.fromarray(getattr(data, name)()).convert("RGB") for name in PHOTOGRAPHS]
    if importlib.util.find_spec("sklearn") is not None:
        samples = importlib.import_module("sklearn.datasets").load_sample_images().images
        pictures += [Image.fromarray(sample) for sample in samples]
    squares = []
    for picture in pictures:
        side = min(picture.size)
        left, top = (picture.width - side) // 2, (picture.height - side) // 2
        square = picture.crop((left, top, left + side, top + side))
        squares += [np.asarray(square.resize((size, size), Image.Resampling.LANCZOS)) for size in PHOTOGRAPH_SIDES]
    return squares


def grid_rows(style: str, sprites: Sequence[Pixels]) -> list[Row]:
    """Share of images whose cell is found within 4 % on both axes."""
    rows = []
    everything: list[float] = []
    by_perfect_pixel: list[float] = []
    for name, (damage, size) in (GRIDS | HARDER_GRIDS).items():
        hits, others = [], []
        for seed, native in enumerate(_watched(sprites, f"{style}: grid, {name}")):
            cell = SIDE // native.shape[0] // 2
            image = damage(native, cell, seed)
            width, height = size(cell)
            if name == "wandering":
                width, height = (image.shape[axis] / native.shape[axis] for axis in (1, 0))
            hits.append(float(_is_near(measure_image(image).grid.cell, width, height)))
            if seed % REFERENCES_EVERY == 0:
                others.append(float(_is_near(perfect_pixel_cell(image), width, height)))
        if name in GRIDS:
            everything += hits
            by_perfect_pixel += others
        else:
            rows.append(_row(f"{style}: grid within 4 %, {name}", mean_of(hits), None, None, len(hits),
                             _perfect_pixel(others)))  # fmt: skip
    found = mean_of(everything)
    return [
        _row(f"{style}: grid within 4 %", found, 0.98, 1.0, len(everything), _perfect_pixel(by_perfect_pixel)),
        *rows,
    ]


def palette_row(style: str, sprites: Sequence[Pixels]) -> Row:
    """Share of soft images whose palette has as many colours as the sprite, give or take one."""
    hits, distinct, quantized = [], [], []
    for seed, native in enumerate(_watched(sprites, f"{style}: palette")):
        image = soft(enlarged(native, SIDE // native.shape[0]), seed)
        truth = len(extract_palette(native, np.ones(native.shape[:2], dtype=bool)))
        hits.append(float(abs(measure_image(image).style_quality["color_palette_size"] - truth) <= 1))
        distinct.append(float(abs(distinct_colors(image) - truth) <= 1))
        quantized.append(float(abs(quantized_colors(image) - truth) <= 1))
    references = {"first sketch": float(np.mean(distinct)), "quantize": float(np.mean(quantized))}
    return _row(f"{style}: palette within one colour, soft", mean_of(hits), 0.90, 0.98, len(hits), references)


def purity_rows(
    style: str, sprites: Sequence[Pixels], photos: Sequence[Pixels], measured_photos: Sequence[ImageMeasurement]
) -> list[Row]:
    """ROC-AUC of the purity of clean sprites against what is none."""
    clean = [enlarged(native, SIDE // native.shape[0]) for native in sprites]
    pure = purities([measure_image(image) for image in clean])
    pure_by = reference_scores(clean[::REFERENCES_EVERY])
    targets = {
        "blurred or resampled": (0.99, 1.0),
        "smooth gradient over cells": (0.95, 0.99),
        "times 1.07": (0.95, 0.98),
    }
    rows = [_against(f"{style}: purity, photographs", pure, purities(measured_photos), pure_by,
                     reference_scores(photos[::2]), (0.98, 1.0))]  # fmt: skip
    for name, damages in IMPURE.items():
        images = [
            damage(native, SIDE // native.shape[0], seed)
            for damage in damages.values()
            for seed, native in enumerate(_watched(sprites, f"{style}: purity, {name}"))
        ]
        impure = purities([measure_image(image) for image in _watched(images, f"{style}: purity, {name}")])
        impure_by = reference_scores(images[:: REFERENCES_EVERY * len(damages)])
        rows.append(
            _against(f"{style}: purity, {name}", pure, impure, pure_by, impure_by, targets.get(name, (None, None)))
        )
    return rows


def strength_rows(style: str, sprites: Sequence[Pixels]) -> list[Row]:
    """Spearman correlation of purity with the strength of each degradation, per image."""
    rows = []
    for name, (strengths, degrade) in DEGRADATIONS.items():
        found: list[float] = []
        others: dict[str, list[float]] = {}
        for seed, native in enumerate(_watched(sprites, f"{style}: strength of {name}")):
            images = [degrade(native, SIDE // native.shape[0] // 2, strength, seed) for strength in strengths]
            found.append(_fall(purities([measure_image(image) for image in images]), strengths))
            if seed % REFERENCES_EVERY == 0:
                for method, scores in reference_scores(images).items():
                    others.setdefault(method, []).append(_fall(scores, strengths))
        references = {method: float(np.mean(values)) for method, values in others.items()}
        rows.append(_row(f"{style}: Spearman of purity, {name}", mean_of(found), 0.95, 0.99, len(found), references))
    return rows


def time_rows(style: str, sprites: Sequence[Pixels]) -> list[Row]:
    """Milliseconds of CPU time for all metrics of one image, clean and soft in turn."""
    spent, by_others = [], []
    for seed, native in enumerate(sprites):
        clean = enlarged(native, SIDE // native.shape[0])
        image = soft(clean, seed) if seed % 2 else clean
        expected = Expectation(background="#ffffff")
        spent.append(_milliseconds(partial(measure_image, image, expected)))
        if seed % REFERENCES_EVERY == 0:
            others = (partial(blur_effect, image, channel_axis=2), partial(quantized_colors, image),
                      partial(perfect_pixel_cell, image))  # fmt: skip
            by_others.append([_milliseconds(other) for other in others])
    references = dict(zip(("blur_effect", "quantize", "perfect-pixel"), np.median(by_others, axis=0), strict=True))
    if importlib.util.find_spec("perfect_pixel") is None:
        del references["perfect-pixel"]
    rows = []
    for percent, must, stretch in ((50, 25.0, 12.0), (95, 40.0, 18.0)):
        value = interval_of(partial(np.percentile, q=percent), spent)
        name = f"{style}: CPU ms for {SIDE} x {SIDE}, p{percent}"
        rows.append(Row(name, *value, must, stretch, len(spent), references, lower_is_better=True))
    return rows


def no_grid_row(photos: Sequence[Pixels], every: int) -> Row:
    """Share of photographs, soft renderings, gradients and noise in which no grid is found."""
    rows, columns = np.mgrid[0:256, 0:256]
    gradients = [np.dstack([rows, columns, 255 - rows]), np.dstack([(rows + columns) // 2] * 3)]
    images = [*photos, *soft_renderings(every), *(gradient.astype(np.uint8) for gradient in gradients)]
    images += [noise(side, seed) for side in (16, 32, 64, 256) for seed in range(10)]
    hits = [float(measure_image(image).grid.pixel_size is None) for image in images]
    return _row("no grid in what has none", mean_of(hits), None, None, len(hits), {})


def dithering_rows() -> list[Row]:
    """ROC-AUC of the quality of ordered dithering against noise and error diffusion."""
    bayer = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16.0 + 1.0 / 32.0
    scores: dict[str, list[float]] = {"ordered": [], "noise": [], "Floyd-Steinberg": []}
    rows, columns = np.mgrid[0:32, 0:32]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        low, high = np.sort(rng.uniform(0.15, 0.85, 2))
        level = low + (high - low) * (columns if seed % 2 else rows) / 31.0
        diffused = Image.fromarray(np.rint(255.0 * level).astype(np.uint8)).convert("1")
        patterns = {
            "ordered": level > bayer[rows % 4, columns % 4],
            "noise": level > rng.random(level.shape),
            "Floyd-Steinberg": np.asarray(diffused),
        }
        colors = rng.integers(0, 256, (2, 3), dtype=np.uint8)
        for name, pattern in patterns.items():
            palette = extract_palette(colors[pattern.astype(int)], np.ones(pattern.shape, dtype=bool))
            quality = find_dithering(palette).quality
            if quality is not None:
                scores[name].append(quality)
    return [
        _row(f"dithering: ordered against {name}", auc(scores["ordered"], scores[name]), None, None,
             len(scores["ordered"]) + len(scores[name]), {})
        for name in ("noise", "Floyd-Steinberg")
    ]  # fmt: skip


def photorealism_rows(measured_photos: Sequence[ImageMeasurement], every: int) -> list[Row]:
    """Share of images for which `is_photorealistic` is right."""
    renderings = [measure_image(image) for image in soft_renderings(every)]
    random = [measure_image(noise(side, seed)) for side in (32, 64, 256) for seed in range(10)]
    random += [measure_image(enlarged(noise(32, seed), 8)) for seed in range(10)]
    rows = []
    for name, measurements, wanted in (
        ("photographs", measured_photos, True),
        ("soft renderings", renderings, True),
        ("noise", random, False),
    ):
        hits = [float(bool(measured.style_quality["is_photorealistic"]) == wanted) for measured in measurements]
        title = f"called photorealistic: {name}" if wanted else f"not called photorealistic: {name}"
        rows.append(_row(title, mean_of(hits), None, None, len(hits), {}))
    return rows


def soft_renderings(every: int) -> list[Pixels]:
    rng = np.random.default_rng(1)
    pictures = []
    for number in range(-(-PORTRAITS // (2 * every))):
        small = render_soft(draw_portrait(rng), rng)
        pictures.append(small if number % 2 else resized(small, SIDE, SIDE, Image.Resampling.BICUBIC))
    return pictures


def noise(side: int, seed: int) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


def distinct_colors(image: Pixels) -> int:
    """The roadmap's first sketch of the size of a palette."""
    return len(np.unique(image.reshape(-1, 3), axis=0))


def quantized_colors(image: Pixels) -> int:
    return len(Image.fromarray(image).quantize(64).getcolors() or ())


def perfect_pixel_cell(image: Pixels) -> tuple[float, float] | None:
    if importlib.util.find_spec("perfect_pixel") is None:
        return None
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            columns, rows, _ = importlib.import_module("perfect_pixel").get_perfect_pixel(image)
        except (TypeError, IndexError):  # version 0.1.4 stumbles where its search finds nothing or runs off the image
            return None
    return None if not columns or not rows else (image.shape[1] / columns, image.shape[0] / rows)


def reference_scores(images: Sequence[Pixels]) -> dict[str, list[float]]:
    """What else could be taken for purity, higher for purer: fewer colours, less blur, less lost by 32 colours."""
    lost = []
    for image in images:
        reduced = np.asarray(Image.fromarray(image).quantize(32).convert("RGB"), dtype=np.int16)
        lost.append(-float(np.abs(reduced - image).mean()))
    return {
        "first sketch": [-float(distinct_colors(image)) for image in images],
        "blur_effect": [-float(blur_effect(image, channel_axis=2)) for image in images],
        "quantize": lost,
    }


def purities(measurements: Sequence[ImageMeasurement]) -> list[float]:
    return [measured.style_quality["pixel_art_purity"] for measured in measurements]


def interval_of(statistic: Callable[..., float], *samples: Sequence[float]) -> Interval:
    """A statistic and its 95 % bootstrap interval."""
    value = statistic(*samples)
    found = bootstrap(samples, statistic, n_resamples=RESAMPLES, vectorized=False, method="percentile",
                      rng=np.random.default_rng(0))  # fmt: skip
    return value, float(found.confidence_interval.low), float(found.confidence_interval.high)


def mean_of(values: Sequence[float]) -> Interval:
    return interval_of(lambda drawn: float(np.mean(drawn)), values)


def auc(higher: Sequence[float], lower: Sequence[float]) -> Interval:
    """Area under the ROC curve: how often one of `higher` is above one of `lower`."""
    return interval_of(_area, higher, lower)


def _area(higher: Sequence[float], lower: Sequence[float]) -> float:
    ranks = rankdata(np.concatenate([higher, lower]))
    count = len(higher)
    return float((ranks[:count].sum() - count * (count + 1) / 2) / (count * len(lower)))


def _against(
    name: str,
    pure: list[float],
    impure: list[float],
    pure_by: dict[str, list[float]],
    impure_by: dict[str, list[float]],
    targets: tuple[float | None, float | None],
) -> Row:
    references = {method: _area(scores, impure_by[method]) for method, scores in pure_by.items()}
    return _row(name, auc(pure, impure), *targets, len(pure) + len(impure), references)


def _row(
    name: str, value: Interval, must: float | None, stretch: float | None, n: int, references: Mapping[str, float]
) -> Row:
    return Row(name, *value, must, stretch, n, references)


def _perfect_pixel(hits: Sequence[float]) -> dict[str, float]:
    return {"perfect-pixel": float(np.mean(hits))} if importlib.util.find_spec("perfect_pixel") is not None else {}


def _is_near(cell: tuple[float, float] | None, width: float, height: float) -> bool:
    return cell is not None and abs(cell[0] / width - 1.0) <= 0.04 and abs(cell[1] / height - 1.0) <= 0.04


def _fall(scores: Sequence[float], strengths: Sequence[float]) -> float:
    """Spearman correlation of the scores with how little an image was degraded; 0 if they do not change at all."""
    return 0.0 if len(set(scores)) == 1 else float(spearmanr(scores, [-strength for strength in strengths])[0])


def _milliseconds(call: Callable[[], Any]) -> float:
    call()
    start = time.process_time()
    call()
    return 1000.0 * (time.process_time() - start)


def _watched(items: Sequence[Pixels], title: str) -> Any:
    return track(items, title, console=Console(stderr=True), transient=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", help="labelled sprites: PNG files and labels.json")
    parser.add_argument("--every", type=int, default=1, help="use only each n-th sprite")
    arguments = parser.parse_args()
    for row in style_rows(arguments.folder, arguments.every):
        references = "  ".join(f"{name} {value:.3f}" for name, value in row.references.items())
        print(f"{row.name:58s} {row.value:8.3f} ({row.low:.3f}-{row.high:.3f})  n={row.n}  {references}")


if __name__ == "__main__":
    main()
