"""The line that sprite painters draw around a figure, which belongs to no part of it."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.palette import Palette

# A line's colour is dark (OKLab lightness) and hardly used for anything else: this share of its cells lies on the
# silhouette; or it is black, used for hair and clothes too, and has half of the silhouette to itself.
_DARK: Final = 0.5
_ON_SILHOUETTE: Final = 0.5
_BLACK: Final = 0.35
_MOST_OF_SILHOUETTE: Final = 0.5
# Only a line around nearly everything is an outline: dark hair and dark clothes have edges too.
_CLOSED: Final = 0.8
# It is as thick as that is true of one ring of cells after the other, up to this.
_THICKEST: Final = 4


def find_outline(palette: Palette, figure: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The cells of a figure's outline, bool[rows, columns]; none if it is drawn without.

    An outline may have one colour or be tinted by what it surrounds. Where the figure is cut off by the image's
    edge there is none.
    """
    # By sides only: an outline that runs diagonally leaves the corners of what it surrounds open.
    silhouette = figure & ~ndimage.binary_erosion(figure, border_value=1)
    total = int(silhouette.sum())
    on_silhouette = np.bincount(palette.labels[silhouette], minlength=len(palette))
    everywhere = np.bincount(palette.labels[figure], minlength=len(palette))
    lightness = palette.colors[:, 0]
    is_line = ((lightness < _DARK) & (on_silhouette >= _ON_SILHOUETTE * np.maximum(everywhere, 1))) | (
        (lightness < _BLACK) & (on_silhouette >= _MOST_OF_SILHOUETTE * total)
    )
    line = is_line[palette.labels]
    outline = np.zeros_like(figure)
    if (silhouette & line).sum() < _CLOSED * total:
        return outline
    inside = figure
    for thickness in range(1, _THICKEST + 1):
        smaller = ndimage.binary_erosion(inside, structure=np.ones((3, 3)), border_value=1)
        ring = inside & ~smaller
        if thickness > 1 and (ring & line).sum() < _CLOSED * ring.sum():
            break
        outline |= ring & line
        inside = smaller
    return outline
