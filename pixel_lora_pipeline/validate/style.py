"""How much an image is pixel art: sharp steps, flat cells, few colours, one grid, no smooth shading."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import oklab_of_rgb
from pixel_lora_pipeline.validate.grid import Grid, cell_of_each_pixel
from pixel_lora_pipeline.validate.palette import Palette

# Where nothing else is said, the numbers below were chosen between what was measured on labelled sprites
# (clean, blurred, resampled, JPEG, noisy, shaded), photographs at 64 and 512 pixels, noise, and images of a
# small diffusion model before and during LoRA training.

# Brightness steps below this many levels (of 255) are noise and shading, not edges.
_EDGE: Final = 24
# Distance from the colour of its cell, in levels, at which a pixel in the middle of it is not flat at all,
# and at which no pixel of the image is explained by the native picture.
_NOT_FLAT: Final = 16.0
_NOT_EXPLAINED: Final = 32.0
# The middle of a cell reaches this far from its centre; narrow cells are all middle.
_MIDDLE: Final = 0.3
_NARROW_CELL: Final = 4.0
# The roadmap calls 20-50 colours a limited palette; on a logarithmic scale nothing is left of it at five
# times that.
FEW_COLORS: Final = 50
MANY_COLORS: Final = 250
# Three steps in a row of one sign and of this size in OKLab lightness are shading: larger ones are drawn,
# smaller ones invisible. Sprites have none of these chains, photographs and shading over cells 2-30 %.
_SHADING_STEP: Final = (0.004, 0.045)
_FEW_CHAINS: Final = 0.02
_MANY_CHAINS: Final = 0.12
# Neighbours whose colours differ by this much in OKLab are neither one colour nor a drawn step: up to 5 % of
# the pairs of a sprite, 15-45 % in photographs and speckled generations.
_MUDDY_STEP: Final = (0.012, 0.05)
_LITTLE_MUD: Final = 0.05
_MUCH_MUD: Final = 0.5
# Agreement of neighbouring cells beyond chance: noise 0, sprites above 0.5, speckled generations above 0.25.
_PATCHY: Final = 0.25
# Weights of the parts of purity in a geometric mean: grid and crispness make an image
# pixel art in the first place, the tests for shading and mud see what is painted over it. No part
# counts less than 1 %, so that one failing part does not hide how the others change.
_PURITY_WEIGHTS: Final = {
    "coherence": 0.3,
    "crispness": 0.3,
    "few_colors": 0.2,
    "flatness": 0.15,
    "residual": 0.05,
    "no_shading": 0.4,
    "no_mud": 0.3,
}
_FLOOR: Final = 0.01
# Sprites have a purity of 90-100, blurred sprites, soft renderings and photographs mostly below 40.
PHOTOREALISTIC_BELOW: Final = 50.0
# Correlation of the lightness of neighbouring cells: at most 0.1 in noise, 0-0.4 in photographs of gravel and
# grass, above 0.6 in most others.
_SMOOTH: Final = 0.25
# The overall score is a geometric mean as well: with an arithmetic one, the sharp edges of pure noise would
# buy a third of the points. Bad dithering costs at most 7 %: it is easily taken for something else.
_OVERALL_WEIGHTS: Final = {"purity": 0.55, "edges": 0.25, "palette": 0.1, "dithering": 0.1}

# A window that can hold dithering: two colours make up this much of it, the rarer at least this much, and
# neighbours agree less often than in this share.
_WINDOW: Final = 6
_TWO_COLORS: Final = 0.8
_RARER_COLOR: Final = 0.25
_ALTERNATING: Final = 0.5
# With fewer such windows (they overlap by half) it is a detail of the drawing and not dithering.
_FEWEST_WINDOWS: Final = 3


@dataclass(frozen=True)
class Style:
    """Style of one image; every score is 0-100, None where it cannot be told.

    Attributes
    ----------
    edge_sharpness : float or None
        Share of the steps in brightness that happen within one pixel; 0 for a ramp, 100 for hard steps.
    pixel_art_purity : float or None
        Geometric mean of the `parts`, times the part `patches`.
    is_photorealistic : bool or None
        Impure and smooth; noise is impure and not photorealistic.
    dithering_quality : float or None
        100 for an ordered pattern, 0 for noise; None without anything like dithering.
    overall_style_score : float or None
        Weighted geometric mean of purity, edges, palette and dithering.
    parts : dict of str to float
        What the purity is made of, 0-1 each.
    """

    edge_sharpness: float | None
    pixel_art_purity: float | None
    is_photorealistic: bool | None
    dithering_quality: float | None
    overall_style_score: float | None
    parts: dict[str, float]


def measure_style(image: NDArray[np.uint8], grid: Grid, native: NDArray[np.uint8], palette: Palette) -> Style:
    """Measure the style of uint8[H, W, 3], given its grid, its native picture and that picture's palette.

    Notes
    -----
    An image of one colour has no style: everything is None. ROC-AUC of the purity of sprites against their
    blurred, resampled, noisy and shaded versions and against photographs: 0.99 and more. A photograph that
    was pixelated on purpose passes for (bad) pixel art.
    """
    if len(palette) < 2:
        return Style(None, None, None, None, None, {})
    edges = edge_sharpness(image, grid)
    flatness, residual = _flatness(image, grid, native)
    cells = oklab_of_rgb(native)
    parts = {
        "coherence": grid.coherence,
        "crispness": edges / 100.0,
        "few_colors": palette_score(len(palette)) / 100.0,
        "flatness": flatness,
        "residual": residual,
        "no_shading": 1.0 - _ramp(share_of_chains(cells), _FEW_CHAINS, _MANY_CHAINS),
        "no_mud": 1.0 - _ramp(share_of_muddy_steps(cells), _LITTLE_MUD, _MUCH_MUD),
    }
    patches = _ramp(patchiness(palette), 0.0, _PATCHY)
    purity = 100.0 * patches * _geometric_mean(parts, _PURITY_WEIGHTS)
    dithering = dithering_quality(palette)
    scores = {"purity": purity, "edges": edges, "palette": palette_score(len(palette))}
    if dithering is not None:
        scores["dithering"] = 50.0 + dithering / 2.0
    return Style(
        edge_sharpness=edges,
        pixel_art_purity=purity,
        is_photorealistic=purity < PHOTOREALISTIC_BELOW and correlation(cells) >= _SMOOTH,
        dithering_quality=dithering,
        overall_style_score=100.0
        * _geometric_mean({name: score / 100.0 for name, score in scores.items()}, _OVERALL_WEIGHTS),
        parts=parts | {"patches": patches},
    )


def edge_sharpness(image: NDArray[np.uint8], grid: Grid) -> float:
    """Share of the image's steps in brightness that happen within one pixel, 0-100.

    At each steepest point, the change between two pixels is compared with the change over three pixels
    (cells narrower than four) or five. A linear ramp counts 0. An image without any step counts 0.
    """
    reach = 1 if grid.pixel_size is not None and grid.pixel_size < _NARROW_CELL else 2
    channels = image.astype(np.int16)
    # Green counts most for the eye; weights in eighths stay in integers.
    brightness = (2 * channels[..., 0] + 5 * channels[..., 1] + channels[..., 2]) >> 3
    within_one, total = 0.0, 0.0
    for lines in (brightness, brightness.T):
        count = lines.shape[1] - 1 - 2 * reach
        if count < 1:
            continue
        step = np.abs(np.diff(lines, axis=1))
        middle = step[:, reach : reach + count]
        change = np.abs(lines[:, 2 * reach + 1 :] - lines[:, :count])
        is_edge = change >= _EDGE
        for offset in (*range(reach), *range(reach + 1, 2 * reach + 1)):
            is_edge &= middle >= step[:, offset : offset + count]
        within_one += float(np.minimum(middle, change)[is_edge].sum(dtype=np.int64))
        total += float(change[is_edge].sum(dtype=np.int64))
    if total == 0.0:
        return 0.0
    of_a_ramp = 1.0 / (2 * reach + 1)
    return 100.0 * max(0.0, (within_one / total - of_a_ramp) / (1.0 - of_a_ramp))


def palette_score(colors: int) -> float:
    """How limited a palette is, 0-100: 100 up to `FEW_COLORS`, 0 from `MANY_COLORS`, logarithmic between."""
    return 100.0 * (1.0 - _ramp(math.log(max(1, colors)), math.log(FEW_COLORS), math.log(MANY_COLORS)))


def share_of_chains(cells: NDArray[np.float64]) -> float:
    """Share of runs of four cells whose lightness rises or falls three times a little, 0-1.

    float64[rows, columns, 3] in OKLab. Shading painted over crisp cells is invisible to every test of
    sharpness; this sees nothing else.
    """
    chains, runs = 0, 0
    for lightness in (cells[..., 0], cells[..., 0].T):
        step = np.diff(lightness, axis=1)
        size = np.abs(step)
        sign = np.where((size >= _SHADING_STEP[0]) & (size <= _SHADING_STEP[1]), np.sign(step), 0.0)
        total = np.abs(sign[:, :-2] + sign[:, 1:-1] + sign[:, 2:])
        chains += int((total == 3.0).sum())
        runs += total.size
    return chains / runs if runs else 0.0


def share_of_muddy_steps(cells: NDArray[np.float64]) -> float:
    """Share of neighbouring cells that differ too little for a drawn step and too much for one colour, 0-1."""
    muddy, pairs = 0, 0
    for axis in (0, 1):
        step = np.linalg.norm(np.diff(cells, axis=axis), axis=2)
        muddy += int(((step > _MUDDY_STEP[0]) & (step <= _MUDDY_STEP[1])).sum())
        pairs += step.size
    return muddy / pairs if pairs else 0.0


def patchiness(palette: Palette) -> float:
    """Agreement of neighbouring cells beyond chance (Cohen's kappa): 0 for noise, towards 1 for large patches.

    Neighbours by side or by corner, whichever agree more, so that a checkerboard is not taken for noise.
    """
    labels = palette.labels
    chance = float((palette.shares**2).sum())
    by_side = _agreement([(labels[1:], labels[:-1]), (labels[:, 1:], labels[:, :-1])])
    by_corner = _agreement([(labels[1:, 1:], labels[:-1, :-1]), (labels[1:, :-1], labels[:-1, 1:])])
    return (max(by_side, by_corner) - chance) / (1.0 - chance)


def correlation(cells: NDArray[np.float64]) -> float:
    """Pearson correlation of the lightness of neighbouring cells, -1 to 1; 0 where nothing varies."""
    lightness = cells[..., 0]
    first = np.concatenate([lightness[1:].ravel(), lightness[:, 1:].ravel()])
    second = np.concatenate([lightness[:-1].ravel(), lightness[:, :-1].ravel()])
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0.0 else 0.0


def dithering_quality(palette: Palette) -> float | None:
    """How ordered the dithering is, 0 (noise) to 100 (a regular pattern); None where there is none.

    In each window in which two colours alternate, the agreement of cells two or four apart, less that of
    neighbours: an ordered pattern repeats itself, noise and error diffusion do not.
    """
    windows = (
        np.lib.stride_tricks.sliding_window_view(palette.labels, (_WINDOW, _WINDOW))[:: _WINDOW // 2, :: _WINDOW // 2]
        if min(palette.labels.shape) >= _WINDOW
        else np.empty((0, 0, _WINDOW, _WINDOW), dtype=np.int64)
    )
    scores = []
    for window in windows.reshape(-1, _WINDOW, _WINDOW):
        apart_one = _agreement_at(window, 1)
        if apart_one >= _ALTERNATING:
            continue
        counts = np.sort(np.unique(window, return_counts=True)[1])[::-1] / window.size
        if counts.size < 2 or counts[0] + counts[1] < _TWO_COLORS or counts[1] < _RARER_COLOR:
            continue
        scores.append(max(_agreement_at(window, 2), _agreement_at(window, 4)) - apart_one)
    return 100.0 * min(1.0, max(0.0, float(np.mean(scores)))) if len(scores) >= _FEWEST_WINDOWS else None


def _agreement_at(labels: NDArray[np.int64], lag: int) -> float:
    return _agreement([(labels[lag:], labels[:-lag]), (labels[:, lag:], labels[:, :-lag])])


def _agreement(pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> float:
    total = sum(first.size for first, _ in pairs)
    return sum(int((first == second).sum()) for first, second in pairs) / total if total else 1.0


def _flatness(image: NDArray[np.uint8], grid: Grid, native: NDArray[np.uint8]) -> tuple[float, float]:
    """How flat the middles of the cells are, and how much of the image the native picture explains, 0-1."""
    if grid.pixel_size is None or grid.phase is None:
        return 0.0, 0.0
    if grid.pixel_size <= 1.0:
        return 1.0, 1.0
    rows, from_row_centre = cell_of_each_pixel(image.shape[0], grid.pixel_size, grid.phase[1])
    columns, from_column_centre = cell_of_each_pixel(image.shape[1], grid.pixel_size, grid.phase[0])
    rows, columns = np.clip(rows, 0, native.shape[0] - 1), np.clip(columns, 0, native.shape[1] - 1)
    error = np.zeros(image.shape[:2], dtype=np.uint8)
    for channel in range(3):
        plane, cells = image[..., channel], native[..., channel][rows[:, None], columns[None, :]]
        np.maximum(error, np.maximum(plane, cells) - np.minimum(plane, cells), out=error)
    middle = error
    if grid.pixel_size >= _NARROW_CELL:
        middle = error[from_row_centre <= _MIDDLE][:, from_column_centre <= _MIDDLE]
    flatness = 1.0 - float(np.minimum(middle, _NOT_FLAT).mean()) / _NOT_FLAT
    return flatness, max(0.0, 1.0 - float(error.mean()) / _NOT_EXPLAINED)


def _geometric_mean(parts: dict[str, float], weights: dict[str, float]) -> float:
    total = sum(weights[name] for name in parts)
    return math.exp(sum(weights[name] * math.log(max(_FLOOR, part)) for name, part in parts.items()) / total)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
