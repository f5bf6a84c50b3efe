"""The copy of an image that an artist would have drawn: on its grid, in its palette."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import oklab_of_rgb
from pixel_lora_pipeline.validate.grid import Grid, native_image
from pixel_lora_pipeline.validate.palette import Palette

# Cells at least this opaque (of 255) are drawn, the others left out.
OPAQUE: Final = 128


def snap_to_grid(image: NDArray[np.uint8], grid: Grid, palette: Palette) -> NDArray[np.uint8]:
    """Redraw uint8[H, W, 3 or 4] with one pixel a cell, each in the nearest colour of the palette.

    Returns
    -------
    uint8[rows, columns, 3 or 4]
        At native size. Transparency is all or nothing: alpha 255, or four zeros.

    Raises
    ------
    ValueError
        If `grid` holds no grid, or if there is something to draw and the palette is empty.
    """
    native = native_image(image, grid)
    drawn = np.ones(native.shape[:2], dtype=bool) if native.shape[2] == 3 else native[..., 3] >= OPAQUE
    if drawn.any() and len(palette) == 0:
        raise ValueError("the palette holds no colour to draw with: extract it from the image at native size")
    snapped = np.zeros_like(native)
    if drawn.any():
        exact, inverse = np.unique(native[drawn][:, :3], axis=0, return_inverse=True)
        difference = oklab_of_rgb(exact)[:, None] - palette.colors[None, :]
        nearest = np.argmin(np.sum(difference**2, axis=2), axis=1)
        snapped[drawn, :3] = palette.rgb[nearest][inverse.ravel()]
        snapped[drawn, 3:] = 255
    return snapped
