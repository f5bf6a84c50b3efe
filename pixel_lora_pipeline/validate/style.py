"""How much an image is pixel art: sharp steps, flat cells, few colours, one grid, no smooth shading."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import oklab_of_rgb
from pixel_lora_pipeline.validate.grid import Grid, cell_edges, cell_of_pixels
from pixel_lora_pipeline.validate.palette import Palette

# Where nothing else is said, the numbers below were chosen between what was measured on labelled sprites
# (clean, blurred, resampled, JPEG, noisy, shaded), photographs at 64 and 512 pixels, noise, and images of a
# small diffusion model before and during LoRA training.

# Brightness steps below this many levels (of 255) are noise and shading, not edges.
_EDGE: Final = 24
# Distance from the colour of its cell, in levels, at which a pixel in the middle of it is not flat at all,
# and at which no pixel of the image is explained by the native picture.
_NOT_FLAT: Final = 16.0
_NOT_EXPLAINED: Final = 24.0
# Edges are looked at along this many rows and columns of the image at most, cells on half as many: more change the
# scores by less than 1 %.
_MOST_SAMPLED: Final = 256
# The middle of a cell reaches this far from its centre; narrow cells are all middle.
_MIDDLE: Final = 0.3
_NARROW_CELL: Final = 4.0
# The roadmap calls 20-50 colours a limited palette; on a logarithmic scale nothing is left of it at five
# times that.
FEW_COLORS: Final = 50
MANY_COLORS: Final = 250
# Steps in a row of one sign and of this size in OKLab lightness are shading: larger ones are drawn. In a slow
# gradient several cells share a level, so that equal cells may lie between steps of up to three levels.
_SHADING_STEP, _SHADING_STEPS = (0.004, 0.045), 3
_SLOW_STEP, _SLOW_STEPS = (0.0, 0.012), 5
# Of four independent values in a row, 2 of 24 orders rise or fall throughout and 10 go up and down by turns: of the
# rows of three steps, as many as this share of the alternating ones are noise. Rows of five are too rare in noise.
_NOISE_SHARE: Final = 0.2
# Shares of all cells at which such a row starts, from which on shading counts in full. Sprites have none; photographs
# and shading over cells 2-30 %.
_MANY_ROWS, _MANY_SLOW_ROWS = 0.12, 0.04
# Smooth change of lightness over the whole picture that leaves half of this part: light that varies by 3 %.
_SHADING_FOR_HALF: Final = 0.004
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
    "residual": 0.15,
    "no_shading": 0.5,
    "no_mud": 0.3,
}
_FLOOR: Final = 0.01
# An image is called photorealistic from half of the score on: sprites have a purity of 90-100, blurred sprites,
# soft renderings and photographs mostly below 40.
PHOTOREALISTIC_FROM: Final = 50.0
# Correlation of the brightness of neighbours: up to 0.1 in noise by chance (16 x 16), from 0.3 on in photographs,
# gravel and grass included, mostly above 0.8.
_NOISE, _SMOOTH = 0.1, 0.3
# An image with few changes of colour says little about style: half as sure at this many.
_CHANGES_FOR_HALF: Final = 50
# The overall score is a geometric mean as well: with an arithmetic one, the sharp edges of pure noise would
# buy a third of the points. Bad dithering costs at most 7 %: it is easily taken for something else.
_OVERALL_WEIGHTS: Final = {"purity": 0.55, "edges": 0.25, "palette": 0.1, "dithering": 0.1}


@dataclass(frozen=True)
class Style:
    """Style of one image; every score is 0-100, None where it cannot be told.

    Attributes
    ----------
    edge_sharpness : float or None
        Share of the steps in brightness that happen within one pixel; 0 for a ramp, 100 for hard steps.
    pixel_art_purity : float or None
        Geometric mean of the `parts`, times the part `patches`.
    photorealism_score : float or None
        What is missing from pure pixel art, if the image is smooth as photographs and renderings are: 100 -
        purity, faded out towards the correlation of noise, which is neither.
    is_photorealistic : bool or None
        Whether that score is at least `PHOTOREALISTIC_FROM`.
    dithering_quality : float or None
        100 for an ordered pattern, 0 for noise; None without anything like dithering.
    overall_style_score : float or None
        Weighted geometric mean of purity, edges, palette and dithering.
    confidence : float or None
        0-1: how many changes of colour there are to judge by.
    parts : dict of str to float
        What the purity is made of, 0-1 each.
    """

    edge_sharpness: float | None
    pixel_art_purity: float | None
    photorealism_score: float | None
    is_photorealistic: bool | None
    dithering_quality: float | None
    overall_style_score: float | None
    confidence: float | None
    parts: dict[str, float]


def measure_style(
    image: NDArray[np.uint8], grid: Grid, native: NDArray[np.uint8], palette: Palette, dithering: float | None
) -> Style:
    """Measure the style of uint8[H, W, 3], given its grid, and palette and dithering quality at native size.

    Notes
    -----
    An image of one colour has no style: everything is None. ROC-AUC of the purity of sprites against their
    blurred, resampled, noisy and shaded versions and against photographs: 0.99 and more. A photograph that
    was pixelated on purpose passes for (bad) pixel art.
    """
    if len(palette) < 2:
        return Style(None, None, None, None, None, None, None, {})
    edges = edge_sharpness(image, grid)
    flatness, residual = _flatness(image, grid, native)
    cells = oklab_of_rgb(native)
    parts = {
        "coherence": grid.coherence,
        "crispness": edges / 100.0,
        "few_colors": palette_score(len(palette)) / 100.0,
        "flatness": flatness,
        "residual": residual,
        "no_shading": _SHADING_FOR_HALF / (_SHADING_FOR_HALF + smooth_shading(cells)),
        "no_mud": 1.0 - _ramp(share_of_muddy_steps(cells), _LITTLE_MUD, _MUCH_MUD),
    }
    patches = _ramp(patchiness(palette), 0.0, _PATCHY)
    purity = 100.0 * patches * _geometric_mean(parts, _PURITY_WEIGHTS)
    smoothness = correlation(cells[..., 0], cells[..., 0].T)
    if grid.pixel_size is None:
        smoothness = max(smoothness, correlation(*_brightness(image)))
    photorealism = (100.0 - purity) * _ramp(smoothness, _NOISE, _SMOOTH)
    scores = {"purity": purity, "edges": edges, "palette": palette_score(len(palette))}
    if dithering is not None:
        scores["dithering"] = 50.0 + dithering / 2.0
    changes = _count_changes(palette)
    return Style(
        edge_sharpness=edges,
        pixel_art_purity=purity,
        photorealism_score=photorealism,
        is_photorealistic=photorealism >= PHOTOREALISTIC_FROM,
        dithering_quality=dithering,
        overall_style_score=100.0
        * _geometric_mean({name: score / 100.0 for name, score in scores.items()}, _OVERALL_WEIGHTS),
        confidence=changes / (changes + _CHANGES_FOR_HALF),
        parts=parts | {"patches": patches},
    )


def edge_sharpness(image: NDArray[np.uint8], grid: Grid) -> float:
    """Share of the image's steps in brightness that happen within one pixel, 0-100.

    At each steepest point, the change between two pixels is compared with the change over three pixels
    (cells narrower than four) or five. A linear ramp counts 0. An image without any step counts 0. At native
    size, where a step can be no wider, all are sharp.
    """
    if grid.pixel_size == 1.0:
        return 100.0
    reach = 1 if grid.pixel_size is not None and grid.pixel_size < _NARROW_CELL else 2
    within_one, total = 0.0, 0.0
    for lines in _brightness(image):
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


def _brightness(image: NDArray[np.uint8]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    """Brightness along some rows and along some columns, int16[lines, pixels] each."""
    height, width = image.shape[:2]
    rows = image[:: -(-height // _MOST_SAMPLED)]
    columns = image[:, :: -(-width // _MOST_SAMPLED)].transpose(1, 0, 2)
    # Green counts most for the eye; weights in eighths stay in integers.
    first, second = (
        (2 * lines[..., 0].astype(np.int16) + 5 * lines[..., 1].astype(np.int16) + lines[..., 2]) >> 3
        for lines in (rows, columns)
    )
    return first, second


def palette_score(colors: int) -> float:
    """How limited a palette is, 0-100: 100 up to `FEW_COLORS`, 0 from `MANY_COLORS`, logarithmic between."""
    return 100.0 * (1.0 - _ramp(math.log(max(1, colors)), math.log(FEW_COLORS), math.log(MANY_COLORS)))


def smooth_shading(cells: NDArray[np.float64]) -> float:
    """By how much lightness changes smoothly over the width of the picture, from 0.

    float64[rows, columns, 3] in OKLab. Shading painted over crisp cells is invisible to every test of
    sharpness; this sees nothing else. Small steps in one direction count, taken together, and the less the rarer they
    are beyond what noise has of them; in a drawing, flat areas end at an edge.
    """
    change, rows, slow_rows, total = 0.0, 0.0, 0, 0
    for lightness in (cells[..., 0], cells[..., 0].T):
        # A step to nowhere at the end of each line keeps the lines apart.
        steps = np.diff(lightness, axis=1, append=np.inf).ravel()
        signs = _signs(steps, _SHADING_STEP)
        starts = _starts_of_rows(signs, _SHADING_STEPS)
        turns = signs[1:] * signs[:-1] < 0.0
        changing = np.flatnonzero(steps)
        slow_starts = _starts_of_rows(_signs(steps[changing], _SLOW_STEP), _SLOW_STEPS)
        is_shading = np.zeros(steps.size, dtype=bool)
        for later in range(_SHADING_STEPS):
            is_shading[starts + later] = True
        for later in range(_SLOW_STEPS):
            is_shading[changing[slow_starts + later]] = True
        change += float(np.abs(steps[is_shading]).sum())
        rows += starts.size - _NOISE_SHARE * int((turns[1:] & turns[:-1]).sum())
        slow_rows += slow_starts.size
        total += steps.size
    presence = min(1.0, max(rows / total / _MANY_ROWS, slow_rows / total / _MANY_SLOW_ROWS))
    return presence * change / total * math.sqrt(cells.shape[0] * cells.shape[1])


def _signs(steps: NDArray[np.float64], sizes: tuple[float, float]) -> NDArray[np.float64]:
    """The sign of each step whose size is in the given range, 0 for the others."""
    size = np.abs(steps)
    return np.where((size >= sizes[0]) & (size <= sizes[1]), np.sign(steps), 0.0)


def _starts_of_rows(signs: NDArray[np.float64], count: int) -> NDArray[np.intp]:
    """Where `count` steps in a row have one sign."""
    if signs.size < count:
        return np.zeros(0, dtype=np.intp)
    total = np.lib.stride_tricks.sliding_window_view(signs, count).sum(axis=1)
    return np.flatnonzero(np.abs(total) == count)


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


def correlation(*lines: NDArray[np.floating] | NDArray[np.int16]) -> float:
    """Pearson correlation of neighbours along some lines, [lines, values] each, -1 to 1; 0 where nothing varies."""
    first = np.concatenate([values[:, 1:].ravel() for values in lines]).astype(np.float64)
    second = np.concatenate([values[:, :-1].ravel() for values in lines]).astype(np.float64)
    if first.size == 0:
        return 0.0
    first, second = first - first.mean(), second - second.mean()
    scale = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / scale if scale > 0.0 else 0.0


def _count_changes(palette: Palette) -> int:
    labels = palette.labels
    return int((labels[1:] != labels[:-1]).sum() + (labels[:, 1:] != labels[:, :-1]).sum())


def _agreement(pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> float:
    total = sum(first.size for first, _ in pairs)
    return sum(int((first == second).sum()) for first, second in pairs) / total if total else 1.0


def _flatness(image: NDArray[np.uint8], grid: Grid, native: NDArray[np.uint8]) -> tuple[float, float]:
    """How flat the middles of the cells are, and how much of the image the native picture explains, 0-1."""
    if grid.pixel_size is None:
        return 0.0, 0.0
    if grid.pixel_size <= 1.0:
        return 1.0, 1.0
    column_edges, row_edges = cell_edges(grid, image.shape[:2])
    rows, from_row_centre, image = _sampled_cells(row_edges, image, 0)
    columns, from_column_centre, image = _sampled_cells(column_edges, image, 1)
    rows, columns = np.clip(rows, 0, native.shape[0] - 1), np.clip(columns, 0, native.shape[1] - 1)
    error = np.zeros(image.shape[:2], dtype=np.uint8)
    for channel in range(3):
        plane, cells = image[..., channel], native[..., channel][rows[:, None], columns[None, :]]
        np.maximum(error, np.maximum(plane, cells) - np.minimum(plane, cells), out=error)
    middle = error
    if grid.pixel_size >= _NARROW_CELL:
        # In a strip, no pixel may lie that near the centre of its cell.
        nearest_rows, nearest_columns = from_row_centre.min(), from_column_centre.min()
        middle = error[from_row_centre <= max(_MIDDLE, nearest_rows)][
            :, from_column_centre <= max(_MIDDLE, nearest_columns)
        ]
    flatness = 1.0 - float(np.minimum(middle, _NOT_FLAT).mean()) / _NOT_FLAT
    rms = math.sqrt(float(np.square(error, dtype=np.float64).mean()))
    return flatness, math.exp(-rms / _NOT_EXPLAINED)


def _sampled_cells(
    edges: NDArray[np.float64], image: NDArray[np.uint8], axis: int
) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.uint8]]:
    """The cells of some of the image's lines, their distances from the cell's centre, and those lines."""
    lines = np.linspace(0.5, image.shape[axis] - 0.5, min(_MOST_SAMPLED // 2, image.shape[axis])).astype(np.intp)
    cells, distance = cell_of_pixels(edges, lines)
    return cells, distance, image.take(lines, axis=axis)


def _geometric_mean(parts: dict[str, float], weights: dict[str, float]) -> float:
    total = sum(weights[name] for name in parts)
    return math.exp(sum(weights[name] * math.log(max(_FLOOR, part)) for name, part in parts.items()) / total)


def _ramp(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))
