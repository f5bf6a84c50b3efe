"""What is measured of an image: its cells at native size, their palette, and the image as it was."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.grid import Grid, find_grid, native_image
from pixel_lora_pipeline.validate.palette import Palette, extract_palette
from pixel_lora_pipeline.validate.snap import OPAQUE, snap_to_grid

# Without a grid there is no native size: the picture is averaged down to at most this many cells a side, about
# the largest sprite that portraits are drawn as.
_CELLS_WITHOUT_GRID: Final = 64


@dataclass(frozen=True)
class NativeView:
    """An image, and what it shows cell by cell.

    Attributes
    ----------
    visible
        uint8[H, W, 3 or 4]: the image, black where it is transparent.
    grid
        Its `pixel_size` is None where there is none.
    rgb
        uint8[rows, columns, 3]: a colour a cell; without a grid, of square blocks.
    palette
        Of the cells.
    """

    visible: NDArray[np.uint8]
    grid: Grid
    rgb: NDArray[np.uint8]
    palette: Palette

    def snapped(self) -> NDArray[np.uint8] | None:
        """The image on its own grid in its own palette, uint8[rows, columns, 3 or 4]; None where it has no grid."""
        return snap_to_grid(self.visible, self.grid, self.palette) if self.grid.pixel_size is not None else None


def native_view(image: NDArray[np.uint8]) -> NativeView:
    """Look at uint8[H, W, 3 or 4] at native size.

    Raises
    ------
    ValueError
        If `image` is not uint8 of that shape, or is empty.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] not in (3, 4) or image.size == 0:
        raise ValueError(
            f"cannot measure an array of shape {image.shape} and type {image.dtype}: "
            "expected uint8 of shape (height, width, 3 or 4). decode_png gives that for any image file"
        )
    visible = _visible(image)
    grid = find_grid(visible)
    native = native_image(visible, grid) if grid.pixel_size is not None else _averaged_down(visible)
    return NativeView(visible, grid, native[..., :3], extract_palette(native[..., :3], _opaque(native)))


def _visible(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image with black behind what is transparent, so that invisible colours make no edges."""
    if image.shape[2] == 3:
        return image
    if image[..., 3].min() == 255:
        return image[..., :3]
    return np.where(image[..., 3:] >= OPAQUE, image, np.uint8(0))


def _opaque(native: NDArray[np.uint8]) -> NDArray[np.bool_]:
    if native.shape[2] == 3:
        return np.ones(native.shape[:2], dtype=bool)
    return native[..., 3] >= OPAQUE


def _averaged_down(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The image in square blocks of whole pixels, each at its mean; what is left over at the end is cut off."""
    height, width = image.shape[:2]
    side = min(-(-max(height, width) // _CELLS_WITHOUT_GRID), height, width)
    rows, columns = height // side, width // side
    whole = np.ascontiguousarray(image[: rows * side, : columns * side])
    # Rows first: they are contiguous, and what is left is small.
    sums = whole.reshape(rows, side, -1).sum(axis=1, dtype=np.uint32)
    return np.asarray(np.rint(sums.reshape(rows, columns, side, -1).sum(axis=2) / side**2), dtype=np.uint8)
