"""The figure of a portrait as a shape: its box, places in it, and how far inside it a cell lies."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

# A neck is looked for in this part of the figure's height, and is narrower than what is above and below it by at
# least this factor.
_NECK_PART: Final = (0.12, 0.8)
_NECK_WAIST: Final = 1.2
# What is above a neck is a head: no flatter than this, in its widths, even under a broad brim. A crown above long
# hair is.
_FLATTEST_HEAD: Final = 0.6
# Head and shoulders: the neck at this part of the height.
_NECK_HEIGHT: Final = 0.72
# A figure longer than this, in its widths, is more than a bust, even where hair hides the neck.
_LONGEST_BUST: Final = 1.6


@dataclass(frozen=True)
class Box:
    """Bounding box of the figure in cells, ends excluded."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def window(self, shape: tuple[int, ...], rows: tuple[float, float], reach: float = 0.5) -> NDArray[np.bool_]:
        """Cells between two heights (shares of the box, from the top), `reach` to either side of its middle."""
        window = np.zeros(shape, dtype=bool)
        middle = (self.left + self.right) / 2
        first_row = math.floor(self.top + rows[0] * self.height)
        last_row = math.ceil(self.top + rows[1] * self.height)
        first_column = math.floor(middle - reach * self.width)
        last_column = math.ceil(middle + reach * self.width)
        window[max(0, first_row) : last_row, max(0, first_column) : last_column] = True
        return window


def bounding_box(figure: NDArray[np.bool_]) -> Box | None:
    """The smallest box around bool[rows, columns]; None around nothing."""
    rows, columns = np.flatnonzero(figure.any(axis=1)), np.flatnonzero(figure.any(axis=0))
    if rows.size == 0:
        return None
    return Box(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def head_and_shoulders(figure: NDArray[np.bool_]) -> Box | None:
    """The box of what a bust would show of a figure of bool[rows, columns]; None around nothing.

    Where the outline has a neck - the row that is narrowest for the widths above and below it, the highest of
    equals - the box ends as far below it as shoulders do in a bust. Without one, it is the box of the whole figure,
    or as high as wide where that is clearly a whole body.
    """
    whole = bounding_box(figure)
    if whole is None:
        return None
    rows = figure[whole.top : whole.bottom]
    widths = whole.width - np.argmax(rows[:, whole.left :], axis=1) - np.argmax(rows[:, : whole.right][:, ::-1], axis=1)
    widths = np.where(rows.any(axis=1), widths, 0)
    above, below = np.maximum.accumulate(widths), np.maximum.accumulate(widths[::-1])[::-1]
    waist = np.minimum(above, below) / np.maximum(widths, 1)
    waist[np.arange(1, whole.height + 1) < _FLATTEST_HEAD * above] = 0.0
    first, last = (round(part * whole.height) for part in _NECK_PART)
    if last > first and waist[first:last].max() >= _NECK_WAIST:
        height = round((first + int(np.argmax(waist[first:last])) + 1) / _NECK_HEIGHT)
    elif whole.height > _LONGEST_BUST * whole.width:
        height = whole.width
    else:
        return whole
    bottom = whole.top + max(1, height)
    return bounding_box(figure & (np.arange(figure.shape[0]) < bottom)[:, None])


def depth_inside(figure: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Cells from each cell of bool[rows, columns] to the outside, corners included; 0 outside, 1 on the outline.

    The image's border counts as outside.
    """
    padded = np.pad(figure, 1)
    return np.asarray(ndimage.distance_transform_cdt(padded, metric="chessboard")[1:-1, 1:-1], dtype=np.int64)
