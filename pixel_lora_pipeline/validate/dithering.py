"""Dithering: where two colours alternate to look like a third, and whether in a pattern or like noise."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.palette import Palette

# The side of a window: it holds each of the usual patterns (up to 8 x 8, which repeats roughly at 4) at least once.
_WINDOW: Final = 6
# In a window that can hold dithering two colours make up this much, and the rarer of them at least that much.
_TWO_COLORS: Final = 0.9
_RARER_COLOR: Final = 0.12
# Neighbours agree no more often than chance, give or take the standard error of a window; in patches they do.
_ABOVE_CHANCE: Final = 0.04
# Of the 2 x 2 blocks of a window, at least this share holds more than one colour: the edge of a patch and a single
# line run through fewer.
_MIXED_BLOCKS: Final = 0.5
# Where cells two and four apart agree less often than chance by this much, the window holds a drawing of lines.
_LEAST_ORDER: Final = -0.2
# With fewer such windows (they overlap by half), and with less than this share of all, it is a detail of the drawing
# and not dithering.
_FEWEST_WINDOWS: Final = 3
_LEAST_SHARE: Final = 0.01
# From this order on a window holds a pattern.
_ORDERED: Final = 0.5
# The distances at which the usual patterns repeat.
_PERIODS: Final = (2, 4)


@dataclass(frozen=True, eq=False)
class Dithering:
    """How ordered the dithering of an image is, and where.

    Attributes
    ----------
    quality : float or None
        0 (noise, error diffusion) to 100 (a regular pattern); None without anything like dithering.
    cells : bool[rows, columns]
        Windows in which a pattern repeats itself.
    """

    quality: float | None
    cells: NDArray[np.bool_]


def find_dithering(palette: Palette) -> Dithering:
    """Look for dithering in windows of a picture at native size, given the palette index of each cell.

    In a window in which two colours alternate, cells two or four apart agree always in an ordered pattern
    (Bayer's matrices, checkerboards, lines), and as often as chance has it in noise and in error diffusion.
    The order is that agreement beyond chance, as Cohen's kappa.
    """
    labels = palette.labels
    cells = np.zeros(labels.shape, dtype=bool)
    if min(labels.shape) < _WINDOW or len(palette) < 2:
        return Dithering(None, cells)
    row, column, chance = _alternating_windows(labels, len(palette))
    if row.size == 0:
        return Dithering(None, cells)
    best = np.max([_agreement(labels, period)[row, column] for period in _PERIODS], axis=0)
    order = (best - chance) / (1.0 - chance)
    row, column, order = (values[order >= _LEAST_ORDER] for values in (row, column, order))
    for top, left in zip(row[order >= _ORDERED], column[order >= _ORDERED], strict=True):
        cells[top : top + _WINDOW, left : left + _WINDOW] = True
    step = _WINDOW // 2
    n_windows = ((labels.shape[0] - _WINDOW) // step + 1) * ((labels.shape[1] - _WINDOW) // step + 1)
    if row.size < max(_FEWEST_WINDOWS, _LEAST_SHARE * n_windows):
        return Dithering(None, cells)
    return Dithering(100.0 * min(1.0, max(0.0, float(order.mean()))), cells)


def _alternating_windows(
    labels: NDArray[np.int64], colors: int
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """First rows and columns of windows in which two colours alternate, and the agreement that chance gives there."""
    step = _WINDOW // 2
    near = _agreement(labels, 1)[::step, ::step]
    most = 1.0 - 2.0 * _RARER_COLOR * (1.0 - _RARER_COLOR)
    block = labels[:-1, :-1]
    mixed = (block != labels[1:, :-1]) | (block != labels[:-1, 1:]) | (block != labels[1:, 1:])
    share_mixed = _box_sums(mixed, _WINDOW - 1, _WINDOW - 1)[::step, ::step] / (_WINDOW - 1) ** 2
    row, column = (
        index * step for index in np.nonzero((near <= most + _ABOVE_CHANCE) & (share_mixed >= _MIXED_BLOCKS))
    )
    windows = np.lib.stride_tricks.sliding_window_view(labels, (_WINDOW, _WINDOW))[row, column].reshape(
        row.size, _WINDOW**2
    )
    # Index 0 counts the transparent cells, which are no colour.
    slots = (windows + 1) + (colors + 1) * np.arange(row.size)[:, None]
    counts = np.bincount(slots.ravel(), minlength=slots.shape[0] * (colors + 1)).reshape(-1, colors + 1)[:, 1:]
    common = np.partition(counts, -2, axis=1)[:, -2:] / _WINDOW**2
    rarer, both = common[:, 0], common.sum(axis=1)
    share = rarer / np.maximum(both, 1e-9)
    chance = 1.0 - 2.0 * share * (1.0 - share)
    kept = (
        (both >= _TWO_COLORS) & (rarer >= _RARER_COLOR) & (near[row // step, column // step] <= chance + _ABOVE_CHANCE)
    )
    return row[kept], column[kept], chance[kept]


def _agreement(labels: NDArray[np.int64], lag: int) -> NDArray[np.float64]:
    """Share of the pairs of cells `lag` apart, along rows and columns, that agree in each window."""
    down = _box_sums(labels[lag:] == labels[:-lag], _WINDOW - lag, _WINDOW)
    right = _box_sums(labels[:, lag:] == labels[:, :-lag], _WINDOW, _WINDOW - lag)
    return (down + right) / (2.0 * _WINDOW * (_WINDOW - lag))


def _box_sums(values: NDArray[np.bool_], height: int, width: int) -> NDArray[np.int64]:
    """Sum over each box of a bool array, int64[rows - height + 1, columns - width + 1]."""
    total = np.pad(values.astype(np.int64).cumsum(axis=0).cumsum(axis=1), ((1, 0), (1, 0)))
    return np.asarray(
        total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    )
