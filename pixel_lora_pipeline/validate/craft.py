"""Faults of craft that a pixel artist looks for, counted at native size: orphan pixels, jaggies and banding."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.colorspace import is_shade_of
from pixel_lora_pipeline.validate.palette import Palette

# A colour is a blend of two others if it lies between them in OKLab, no further from the way than this share of it.
_BLEND_WIDTH: Final = 0.25
# Runs of a straight line differ by at most one cell; a run that is out of step with both its neighbours differs more.
_OUT_OF_STEP: Final = 2
# A band is at least this long: two cells side by side have their ends in line with many others.
_SHORTEST_BAND: Final = 3

_AROUND: Final = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
_OPPOSITE: Final = [((0, -1), (0, 1)), ((-1, 0), (1, 0)), ((-1, -1), (1, 1)), ((-1, 1), (1, -1))]


@dataclass(frozen=True, eq=False)
class Craft:
    """Where the faults are, each bool[rows, columns]; a fault is a patch of connected cells.

    Attributes
    ----------
    orphans, jaggies, bands
        Cells of orphan pixels, of runs that break a line, and of bands that hug each other.
    """

    orphans: NDArray[np.bool_]
    jaggies: NDArray[np.bool_]
    bands: NDArray[np.bool_]


def find_faults(palette: Palette, dithered: NDArray[np.bool_]) -> Craft:
    """Look for faults of craft in a picture at native size.

    `dithered` (bool[rows, columns]) marks patterns in which single cells are meant; they are left out.

    References
    ----------
    cure, "The Pixel Art Tutorial", Pixel Joint 2010, https://pixeljoint.com/forum/forum_posts.asp?TID=11299:
    clusters, jaggies, banding and what they look like.
    """
    return Craft(
        orphans=orphan_pixels(palette) & ~dithered,
        jaggies=jaggies(palette.labels) & ~dithered,
        bands=banding(palette) & ~dithered,
    )


def count_patches(cells: NDArray[np.bool_]) -> int:
    """Patches of cells of bool[rows, columns] that touch by sides or corners."""
    return int(ndimage.label(cells, structure=np.ones((3, 3)))[1])


def orphan_pixels(palette: Palette) -> NDArray[np.bool_]:
    """Single cells that belong to no cluster: none of the eight around has their colour, bool[rows, columns].

    In pixel art a colour works as a cluster of cells; a lone cell reads as a speck. Anti-aliasing is made of
    lone cells on purpose: a cell whose colour lies between the colours of two opposite neighbours is none.
    Cells at the border of the picture may belong to something outside, and are none either.
    """
    labels = palette.labels
    rows, columns = labels.shape
    orphans = np.zeros(labels.shape, dtype=bool)
    if min(rows, columns) < 3:
        return orphans
    centre = labels[1:-1, 1:-1]

    def shifted(dy: int, dx: int) -> NDArray[np.int64]:
        return labels[1 + dy : rows - 1 + dy, 1 + dx : columns - 1 + dx]

    alone = centre >= 0
    for dy, dx in _AROUND:
        alone = alone & (shifted(dy, dx) != centre)
    where = np.nonzero(alone)
    own = palette.colors[centre[where]]
    blended = np.zeros(len(own), dtype=bool)
    for first, second in _OPPOSITE:
        one, other = shifted(*first)[where], shifted(*second)[where]
        visible = (one >= 0) & (other >= 0) & (one != other)
        blended |= visible & _is_blend(own, palette.colors[one], palette.colors[other])
    orphans[1:-1, 1:-1][where] = ~blended
    return orphans


def jaggies(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Runs of cells that break the flow of an outline, bool[rows, columns].

    Between two colours, a slanted outline is a staircase of runs. Along a straight line their lengths differ by
    one cell at most, along a curve they grow or shrink steadily; a run that is at least two cells shorter than
    both its neighbours, or two longer than both, is a jaggy. Runs at the ends of a staircase are free.

    References
    ----------
    Rosenfeld, "Digital straight line segments", IEEE Transactions on Computers C-23 (1974)
    """
    return np.asarray(_jaggies_along_rows(labels) | _jaggies_along_rows(labels.T).T)


def banding(palette: Palette) -> NDArray[np.bool_]:
    """Bands of one colour ramp that hug each other, bool[rows, columns].

    Two runs, each one cell thick and at least three long, in two shades of one colour, that lie side by side
    and end at the same cells: where edges line up, the eye sees the grid in place of the shape.
    """
    is_shade = is_shade_of(palette.colors[:, None], palette.colors[None, :]) if len(palette) else np.zeros((0, 0), bool)
    return np.asarray(_bands_along_rows(palette.labels, is_shade) | _bands_along_rows(palette.labels.T, is_shade).T)


def _is_blend(color: NDArray[np.float64], first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.bool_]:
    way = second - first
    length = np.sum(way**2, axis=1)
    along = np.sum((color - first) * way, axis=1) / np.maximum(length, 1e-12)
    aside = np.sum((color - first - along[:, None] * way) ** 2, axis=1)
    return np.asarray((along > 0.0) & (along < 1.0) & (aside <= _BLEND_WIDTH**2 * length))


def _jaggies_along_rows(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Jaggies of outlines that are flatter than 45 degrees."""
    found = np.zeros(labels.shape, dtype=bool)
    rows, columns = labels.shape
    if rows < 2:
        return found
    # A pair of different colours above and below is a piece of outline; runs of one pair are its steps.
    count = int(labels.max()) + 2
    pair = np.where(labels[:-1] != labels[1:], (labels[:-1] + 1) * count + labels[1:] + 1, -1)
    row, first, last = _runs(pair)
    colors, length = pair[row, first], last - first
    is_outline = colors >= 0
    starts_at = np.full((rows + 1, columns + 1), -1, dtype=np.int64)
    starts_at[row[is_outline] + 1, first[is_outline]] = np.flatnonzero(is_outline)
    for down in (-1, 1):
        following = np.where(is_outline, starts_at[np.clip(row + 1 + down, 0, rows), last], -1)
        following = np.where((following >= 0) & (colors[following] == colors), following, -1)
        middle, after = following, np.where(following >= 0, following[following], -1)
        before = np.flatnonzero((middle >= 0) & (after >= 0))
        one, two, three = length[before], length[middle[before]], length[after[before]]
        is_short = (one - two >= _OUT_OF_STEP) & (three - two >= _OUT_OF_STEP)
        is_long = (two - one >= _OUT_OF_STEP) & (two - three >= _OUT_OF_STEP)
        for run in middle[before[is_short | is_long]]:
            found[row[run] : row[run] + 2, first[run] : last[run]] = True
    return found


def _bands_along_rows(labels: NDArray[np.int64], is_shade: NDArray[np.bool_]) -> NDArray[np.bool_]:
    found = np.zeros(labels.shape, dtype=bool)
    row, first, last = _runs(labels)
    color = labels[row, first]
    is_band = (color >= 0) & (last - first >= _SHORTEST_BAND) & _is_thin(labels)[row, first]
    row, first, last, color = row[is_band], first[is_band], last[is_band], color[is_band]
    order = {(int(r), int(a), int(b)): i for i, (r, a, b) in enumerate(zip(row, first, last, strict=True))}
    for (r, a, b), upper in order.items():
        lower = order.get((r + 1, a, b))
        if lower is not None and color[upper] != color[lower] and is_shade[color[upper], color[lower]]:
            found[r : r + 2, a:b] = True
    return found


def _is_thin(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """At the first cell of each run: whether the colour appears nowhere above or below the run."""
    thick = np.zeros(labels.shape, dtype=bool)
    thick[1:] |= labels[1:] == labels[:-1]
    thick[:-1] |= labels[:-1] == labels[1:]
    row, first, last = _runs(labels)
    below = np.concatenate([np.zeros((labels.shape[0], 1), dtype=np.int64), np.cumsum(thick, axis=1)], axis=1)
    thin = np.zeros(labels.shape, dtype=bool)
    thin[row, first] = below[row, last] == below[row, first]
    return thin


def _runs(values: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """Rows, first columns and ends (excluded) of the runs of equal values along the rows of int64[rows, columns]."""
    starts = np.ones(values.shape, dtype=bool)
    starts[:, 1:] = values[:, 1:] != values[:, :-1]
    row, first = np.nonzero(starts)
    last = np.append(first[1:], values.shape[1])
    return row, first, np.where(last <= first, values.shape[1], last)
