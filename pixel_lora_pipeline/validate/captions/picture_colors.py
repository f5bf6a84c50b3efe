"""The colours that a picture really has."""

import hashlib
import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.colorspace import delta_e, hex_of_rgb, oklab_of_rgb, rgb_of_hex

# Pillow counts so many colours at once, in a table that it makes for as many as it is told: pixel art has fewer, and
# a larger table costs more time than the picture.
_COUNTED: Final = 1 << 12
_OPAQUE: Final = 128
# Of this many nearest colours in OKLab, which is quick, the nearest is looked for by CIEDE2000, which is not.
_CANDIDATES: Final = 16


@dataclass(frozen=True)
class PictureColors:
    """Every colour of a picture, and what tells the picture from others.

    Attributes
    ----------
    rgb : uint8[k, 3]
        Each colour once; those of transparent pixels are left out.
    picture
        Hash of the file.
    """

    rgb: NDArray[np.uint8]
    picture: str

    def has(self, color: str) -> bool:
        """Whether `#rrggbb` is exactly one of them."""
        return bool((self.rgb == rgb_of_hex(color)).all(axis=1).any())

    def nearest(self, color: str) -> tuple[str, float]:
        """The colour nearest to `#rrggbb` and how far it is (CIEDE2000)."""
        wanted = rgb_of_hex(color)
        distance = ((oklab_of_rgb(self.rgb) - oklab_of_rgb(wanted)) ** 2).sum(axis=1)
        near = self.rgb[np.argsort(distance, kind="stable")[:_CANDIDATES]]
        differences = delta_e(wanted[None], near)
        best = int(np.argmin(differences))
        return hex_of_rgb(near[best]), float(differences[best])

    @property
    def hexes(self) -> list[str]:
        """All of them as `#rrggbb`."""
        return [hex_of_rgb(color) for color in self.rgb]


def picture_colors(file: bytes) -> PictureColors | None:
    """The colours of a picture, from the bytes of its file; None if it cannot be read or shows nothing."""
    try:
        with Image.open(io.BytesIO(file)) as image:
            pixels = image.convert("RGBA" if image.has_transparency_data else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for broken files
        return None
    counted = pixels.getcolors(_COUNTED)
    if counted is None:
        values = np.unique(np.asarray(pixels).reshape(-1, len(pixels.getbands())), axis=0)
    else:
        values = np.array([color for _, color in counted], dtype=np.uint8)
    if values.shape[1] == 4:
        values = np.unique(values[values[:, 3] >= _OPAQUE, :3], axis=0)
    if len(values) == 0:
        return None
    return PictureColors(np.ascontiguousarray(values), hashlib.sha256(file).hexdigest())
