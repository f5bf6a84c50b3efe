"""From a pipeline's output to the bytes that are stored, and what is wrong with it when it shows nothing."""

import io
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# Levels of 255. A decoder that failed leaves exactly 0; pictures of the night reach far higher.
_BLACK_LEVEL = 4


class ImageFault(StrEnum):
    """Why an image shows nothing that could be measured."""

    NOT_FINITE = "not finite"
    BLACK = "black"
    FLAT = "flat"


def fault_of(values: NDArray[np.float32]) -> ImageFault | None:
    """What makes an image unusable: NaN or infinity, all pixels at most 4 of 255, or all pixels equal.

    Parameters
    ----------
    values
        Shape (height, width, 3), 0 … 1.
    """
    if not np.isfinite(values).all():
        return ImageFault.NOT_FINITE
    levels = levels_of(values)
    if levels.max() <= _BLACK_LEVEL:
        return ImageFault.BLACK
    if (levels == levels[0, 0]).all():
        return ImageFault.FLAT
    return None


def levels_of(values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Values in 0 … 1 as levels in 0 … 255, rounded as diffusers rounds; what is not finite becomes black."""
    return (np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0) * 255).round().astype(np.uint8)


def png_bytes(levels: NDArray[np.uint8]) -> bytes:
    """A PNG file of pixels alone: no text, no time, no software name."""
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="PNG")
    return buffer.getvalue()
