"""How much each colour of a palette weighs in a region of the picture."""

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.palette import Palette


def weight_by_color(palette: Palette, weights: NDArray[np.float64], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sum of float64[rows, columns] over the cells of each colour in a region, float64[k]."""
    visible = region & (palette.labels >= 0)
    return np.bincount(palette.labels[visible], weights[visible], len(palette)).astype(np.float64)


def solidity(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """In how many 2 x 2 blocks of one colour each cell of labels lies, 0-4, float64[rows, columns]."""
    corner = labels[1:, 1:]
    block = (corner == labels[:-1, 1:]) & (corner == labels[1:, :-1]) & (corner == labels[:-1, :-1])
    count = np.zeros(labels.shape)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            count[rows, columns] += block
    return count
