"""The colours that a LoRA was trained on."""

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.native_view import native_view
from pixel_lora_pipeline.validate.palette import extract_palette

ENOUGH_IMAGES: Final = 24
"""Pictures that are looked at: those of one training share their palette, and each takes about 10 ms."""

# A colour of fewer of all cells is a fringe or a speck of some picture, not one that was meant to be learnt.
_LEAST_SHARE: Final = 0.0005


def spread(number: int) -> list[int]:
    """Places of at most `ENOUGH_IMAGES` of so many pictures, evenly spread: neighbours in a folder are often alike."""
    return sorted({int(place) for place in np.linspace(0, number - 1, min(number, ENOUGH_IMAGES))})


def training_palette(images: Iterable[NDArray[np.uint8]]) -> NDArray[np.uint8] | None:
    """The colours of training images, uint8[k, 3], the most frequent first; None if they show none.

    Each picture, uint8[H, W, 3 or 4], counts the same, at its native size.
    """
    colors, weights = [], []
    for image in images:
        palette = native_view(image).palette
        colors.append(palette.rgb)
        weights.append(palette.shares)
    if not colors or not sum(len(rgb) for rgb in colors):
        return None
    merged = _weighted_cells(np.concatenate(colors), np.concatenate(weights) / len(colors))
    palette = extract_palette(merged[None], np.ones((1, len(merged)), dtype=bool))
    return palette.rgb[palette.shares >= _LEAST_SHARE]


def _weighted_cells(rgb: NDArray[np.uint8], shares: NDArray[np.float64]) -> NDArray[np.uint8]:
    """As many cells of each colour as its share is worth, in ten-thousandths."""
    return rgb.repeat(np.maximum(1, np.rint(shares * 10_000)).astype(int), axis=0)
