"""The colours that an image is made of, as a painter would count them."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import hex_of_rgb, oklab_of_rgb, rgb_of_oklab

# Colours closer than this in OKLab are one colour. On portraits with a known palette the count is then exact
# for clean images and within one colour after blur, noise and JPEG for 96 %.
SAME_COLOR: Final = 0.045
# More colours than this are not a palette any more, and comparing all with all would cost seconds.
MOST_COLORS: Final = 256
# Colours are gathered in boxes of this side first; everything in a box is far closer than SAME_COLOR.
_BOX: Final = 0.02


@dataclass(frozen=True)
class Palette:
    """Perceptually distinct colours of an image, most frequent first.

    Attributes
    ----------
    colors : float64[k, 3]
        OKLab; k is at most `MOST_COLORS`.
    shares : float64[k]
        Share of the opaque cells, adding up to 1.
    labels : int64[rows, columns]
        Index of each cell's colour; -1 where the cell is transparent.
    """

    colors: NDArray[np.float64]
    shares: NDArray[np.float64]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.colors)

    @property
    def rgb(self) -> NDArray[np.uint8]:
        """The colours as sRGB, uint8[k, 3]."""
        return rgb_of_oklab(self.colors)

    def hex(self, index: int) -> str:
        """One colour as `#rrggbb`."""
        return hex_of_rgb(rgb_of_oklab(self.colors[index]))


def extract_palette(image: NDArray[np.uint8], opaque: NDArray[np.bool_]) -> Palette:
    """Merge the colours of uint8[rows, columns, 3] that a viewer takes for one.

    From the most frequent colour down, each takes in all that lie within `SAME_COLOR` of it; then every cell
    goes to the nearest of the resulting colours. Cells that are not `opaque` (bool[rows, columns]) count for
    nothing. Meant for the image at native size: at full size, the fringes of soft edges are colours too.
    """
    labels = np.full(image.shape[:2], -1, dtype=np.int64)
    packed = image[opaque].astype(np.int64) @ np.array([65536, 256, 1])
    if packed.size == 0:
        return Palette(np.zeros((0, 3)), np.zeros(0), labels)
    codes, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    exact = oklab_of_rgb(np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1).astype(np.uint8))

    box = np.floor(exact / _BOX).astype(np.int64) @ np.array([1_000_000, 1_000, 1])
    _, box_of_code, _ = np.unique(box, return_inverse=True, return_counts=True)
    weights = np.bincount(box_of_code, weights=counts)
    means = _weighted_means(exact, counts, box_of_code, len(weights))

    seeds: list[int] = []
    free = weights.copy()
    while free.any() and len(seeds) < MOST_COLORS:
        seed = int(np.argmax(free))
        seeds.append(seed)
        free[np.sum((means - means[seed]) ** 2, axis=1) <= SAME_COLOR**2] = 0.0
    entry_of_box = _nearest(means, means[seeds])
    colors = _weighted_means(means, weights, entry_of_box, len(seeds))
    entry_of_code = entry_of_box[box_of_code]
    shares = np.bincount(entry_of_code, weights=counts, minlength=len(seeds)) / packed.size

    order = np.argsort(-shares, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    labels[opaque] = rank[entry_of_code[inverse]]
    return Palette(colors[order], shares[order], labels)


def _weighted_means(
    values: NDArray[np.float64], weights: NDArray[np.number], groups: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    totals = np.bincount(groups, weights=weights, minlength=count)
    sums = [np.bincount(groups, weights=values[:, i] * weights, minlength=count) for i in range(3)]
    return np.asarray(np.stack(sums, axis=1) / totals[:, None])


def _nearest(points: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.intp]:
    squared = (points**2).sum(1)[:, None] - 2.0 * points @ centres.T + (centres**2).sum(1)[None, :]
    return np.asarray(np.argmin(squared, axis=1))
