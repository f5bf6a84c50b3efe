"""How much each colour of a palette weighs in a region of the picture."""

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.palette import Palette


def weight_by_color(palette: Palette, weights: NDArray[np.float64], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Sum of float64[rows, columns] over the cells of each colour in a region, float64[k]."""
    visible = region & (palette.labels >= 0)
    return np.bincount(palette.labels[visible], weights[visible], len(palette)).astype(np.float64)


def with_neighbours(palette: Palette, weights: NDArray[np.float64], reach: float) -> NDArray[np.float64]:
    """Each colour's weight, float64[k], with those of the colours around it: noise and shading spread one colour.

    A neighbour counts the less the further it is, and nothing from `reach` (OKLab) on. A colour without weight of its
    own gets none.
    """
    distance = np.linalg.norm(palette.colors[:, None] - palette.colors[None], axis=2)
    # Summed in place of a matrix product, so that the result is the same to the bit on every machine.
    gathered = (np.clip(1.0 - distance / reach, 0.0, 1.0) * weights).sum(axis=1)
    return np.asarray(np.where(weights > 0.0, gathered, 0.0))


def solidity(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """In how many 2 x 2 blocks of one colour each cell of labels lies, 0-4, float64[rows, columns]."""
    corner = labels[1:, 1:]
    block = (corner == labels[:-1, 1:]) & (corner == labels[1:, :-1]) & (corner == labels[:-1, :-1])
    count = np.zeros(labels.shape)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            count[rows, columns] += block
    return count
