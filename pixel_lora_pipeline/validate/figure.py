"""The figure of a portrait as a shape: its box, places in it, and how far inside it a cell lies."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


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


def depth_inside(figure: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Cells from each cell of bool[rows, columns] to the outside, corners included; 0 outside, 1 on the outline.

    The image's border counts as outside.
    """
    padded = np.pad(figure, 1)
    return np.asarray(ndimage.distance_transform_cdt(padded, metric="chessboard")[1:-1, 1:-1], dtype=np.int64)
