"""How far the colours of an image have drifted from those it was trained on."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import delta_e
from pixel_lora_pipeline.validate.palette import Palette

# From this difference on a colour is a clearly different shade of the nearest one, and not in the palette.
OUTSIDE: Final = 5.0


@dataclass(frozen=True)
class PaletteDrift:
    """Distance of an image's colours from a palette.

    Attributes
    ----------
    mean_delta_e : float
        CIEDE2000 of each colour from the nearest of the palette, weighted by the share of cells that have it.
    share_outside : float
        Share of cells whose colour is further than `OUTSIDE` from all of the palette, 0-1.
    """

    mean_delta_e: float
    share_outside: float


def palette_drift(found: Palette, training: NDArray[np.uint8] | None) -> PaletteDrift | None:
    """Compare an image's palette with the colours of its training images, uint8[k, 3] in sRGB.

    Returns None if no palette is given, or if the image shows no colour.

    Raises
    ------
    ValueError
        If `training` is no list of colours.
    """
    if training is None or len(found) == 0:
        return None
    if training.ndim != 2 or training.shape[1] != 3 or len(training) == 0 or training.dtype != np.uint8:
        raise ValueError(
            f"a training palette of shape {training.shape} and type {training.dtype} holds no colours: "
            "expected uint8 of shape (colours, 3)"
        )
    nearest = delta_e(found.rgb[:, None], training[None, :]).min(axis=1)
    return PaletteDrift(float(found.shares @ nearest), float(found.shares[nearest > OUTSIDE].sum()))
