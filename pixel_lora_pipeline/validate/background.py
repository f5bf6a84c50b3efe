"""Which cells are background, and which are the figure in front of it."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.colorspace import is_shade_of
from pixel_lora_pipeline.validate.palette import Palette

# Shoulders reach the lower part of the sides of a portrait; hair and background meet the rest of the border.
_BORDER_DEPTH: Final = 0.7
# A colour this close to the border's commonest belongs to it: one and a third steps of the palette, or, in a
# speckled picture, this many times the median distance of the border's cells from it, up to a limit.
_ALIKE: Final = 0.06
_SPECKLE: Final = 3.0
_MOST_ALIKE: Final = 0.15
# A shade of the background's colour is background (a vignette) if it shows on this share of the sides, where
# hats do not reach; any other colour (a background in two colours) if it also holds a top corner.
_SHADE_SHARE: Final = 0.05
_SECOND_SHARE: Final = 0.1
# A gradient runs on from cell to cell in steps no larger than this, noise included; the edge of a figure,
# even a soft one, is a larger step.
_GRADIENT_STEP: Final = 0.035
# Islands of at most this share of all cells are specks in the background, not a part of the figure.
_SPECK: Final = 0.004
# A part of the figure (a crown above the head) is at least this large, relative to the largest part.
_PART: Final = 0.02


@dataclass(frozen=True)
class Background:
    """Where the background is, and in which colours.

    Attributes
    ----------
    cells : bool[rows, columns]
        Background, specks and transparent cells included.
    figure : bool[rows, columns]
        What stands in front of it: all other cells.
    main : int or None
        Palette index of its commonest colour; None where the border is transparent.
    border_share : float
        Share of the border that has the main colour, 0-1: how sure the whole is.
    speckle : float
        Median distance of the border from the main colour in OKLab: 0 where it is flat, above about 0.02 in
        a gradient or under noise.
    """

    cells: NDArray[np.bool_]
    figure: NDArray[np.bool_]
    main: int | None
    border_share: float
    speckle: float


def find_background(cells: NDArray[np.float64], palette: Palette) -> Background:
    """Separate background and figure of a portrait at native size, float64[rows, columns, 3] in OKLab.

    The commonest colour of the border - the top edge and the upper part of both sides - is the background's,
    together with close neighbours, its own shades along the border, and any second colour that holds a
    corner of it. Background is what has one of these colours and is connected to the border, and the lighter
    or darker shades of it that a smooth gradient leads to.

    Notes
    -----
    A figure in the very colour of the background is swallowed by it. On labelled portraits the colour was
    within ΔE00 5 for all images, clean or soft.
    """
    labels = palette.labels
    border = _border(labels.shape, _BORDER_DEPTH)
    edges = _border(labels.shape, 1.0)
    on_border = labels[border]
    counts = np.bincount(on_border[on_border >= 0], minlength=len(palette))
    if counts.sum() * 2 < on_border.size:
        outside = _touching(labels < 0, edges)
        figure = _parts(~outside & (labels >= 0))
        return Background(~figure, figure, None, 0.0, 0.0)
    main = int(np.argmax(counts))
    shares = counts / on_border.size
    on_sides = np.bincount(labels[1:, [0, -1]][border[1:, [0, -1]]] + 1, minlength=len(palette) + 1)[1:]
    speckle = float(np.median(np.linalg.norm(cells[border] - palette.colors[main], axis=1)))
    alike = np.linalg.norm(palette.colors - palette.colors[main], axis=1)
    is_background = (
        (alike <= np.clip(_SPECKLE * speckle, _ALIKE, _MOST_ALIKE))
        | ((on_sides >= _SHADE_SHARE * on_border.size) & is_shade_of(palette.colors, palette.colors[main]))
        | ((shares >= _SECOND_SHARE) & np.isin(np.arange(len(palette)), labels[0, [0, -1]]))
    )
    outside = _touching((labels < 0) | is_background[labels], edges)
    shade = is_shade_of(palette.colors, palette.colors[main])[labels] & (labels >= 0)
    outside = _along_gradients(outside, shade, cells)
    figure = _parts(~outside & (labels >= 0))
    return Background(~figure, figure, main, float(shares[main]), speckle)


def _border(shape: tuple[int, ...], share_of_sides: float) -> NDArray[np.bool_]:
    border = np.zeros(shape, dtype=bool)
    border[0] = True
    depth = max(1, round(share_of_sides * shape[0]))
    border[:depth, 0] = border[:depth, -1] = True
    return border


def _touching(candidates: NDArray[np.bool_], border: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The candidates that are connected to the border by their sides."""
    components, count = ndimage.label(candidates)
    touches = np.zeros(count + 1, dtype=bool)
    touches[components[border & candidates]] = True
    return np.asarray(touches[components])


def _along_gradients(
    region: NDArray[np.bool_], candidates: NDArray[np.bool_], cells: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """The region grown into neighbouring candidates, as long as no step between two cells is large."""
    down = np.linalg.norm(np.diff(cells, axis=0), axis=2) <= _GRADIENT_STEP
    right = np.linalg.norm(np.diff(cells, axis=1), axis=2) <= _GRADIENT_STEP
    grown = 0
    while grown != region.sum():
        grown = int(region.sum())
        reached = region.copy()
        reached[1:] |= region[:-1] & down
        reached[:-1] |= region[1:] & down
        reached[:, 1:] |= region[:, :-1] & right
        reached[:, :-1] |= region[:, 1:] & right
        region = region | (reached & candidates)
    return region


def _parts(foreground: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The foreground without specks: components connected by sides or corners that are large enough."""
    components, count = ndimage.label(foreground, structure=np.ones((3, 3)))
    if count == 0:
        return np.zeros_like(foreground)
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    large = (sizes > _SPECK * foreground.size) & (sizes >= _PART * sizes.max())
    return np.asarray(large[components])
