"""How strong the edges of an image are, column by column and row by row."""

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

# Differences above this count alike, so that one black outline does not outvote a hundred soft edges.
_STRONGEST_STEP: Final = 64
# A profile is summed over at most this many lines: in a larger picture, every second (third, ...) one says the same.
_MOST_LINES: Final = 256


@dataclass(frozen=True, eq=False)
class EdgeProfile:
    """Strength of the edges across one axis.

    Attributes
    ----------
    strength : float64[n - 1]
        Entry i sums the differences between pixels i and i + 1 over the lines of the image: an edge at i + 1.
    """

    strength: NDArray[np.float64]

    @property
    def length(self) -> int:
        """Pixels along the axis."""
        return len(self.strength) + 1

    @cached_property
    def teeth(self) -> NDArray[np.float64]:
        """The strength above what every line has (noise, texture), float64[n - 1]."""
        if self.strength.size == 0:
            return self.strength
        return np.asarray(np.maximum(self.strength - np.median(self.strength), 0.0))

    @cached_property
    def weight(self) -> float:
        """All teeth together."""
        return float(self.teeth.sum())

    def transform(self, position: NDArray[np.float64]) -> complex:
        """Sum of the teeth as unit vectors; `position` float64[n - 1] is where each edge lies, in cells."""
        return complex(np.sum(self.teeth * np.exp(2j * np.pi * position)))

    def mean_near(self, position: NDArray[np.float64], phase: float, reach: float) -> float:
        """Mean strength of the edges within `reach` of `phase` (both in cells) of any cell; 0 where there are none.

        `position` as for `transform`.
        """
        distance = position - phase
        near = self.strength[np.abs(distance - np.rint(distance)) <= reach]
        return float(near.mean()) if near.size else 0.0


def edge_profiles(image: NDArray[np.uint8]) -> tuple[EdgeProfile, EdgeProfile]:
    """The profiles along x (steps between columns) and y (between rows) of uint8[H, W, C]."""
    height, width = image.shape[:2]
    some_rows = image[:: -(-height // _MOST_LINES)]
    some_columns = image[:, :: -(-width // _MOST_LINES)]
    return (
        EdgeProfile(_strength(some_rows[:, 1:], some_rows[:, :-1], 0)),
        EdgeProfile(_strength(some_columns[1:], some_columns[:-1], 1)),
    )


def step_sizes(after: NDArray[np.uint8], before: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Largest difference over the channels of two arrays uint8[..., C], uint8[...]."""
    # Channel by channel: NumPy reduces over an axis of three far more slowly than it compares whole planes.
    size = _distance(after[..., 0], before[..., 0])
    for channel in range(1, after.shape[-1]):
        np.maximum(size, _distance(after[..., channel], before[..., channel]), out=size)
    return size


def _strength(after: NDArray[np.uint8], before: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    step = np.minimum(step_sizes(after, before), _STRONGEST_STEP)
    return np.asarray(step.sum(axis=axis, dtype=np.uint32), dtype=np.float64)


def _distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(np.maximum(first, second) - np.minimum(first, second))
