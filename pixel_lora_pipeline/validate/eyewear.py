"""Glasses and sunglasses, told by their shape: one thing across both eyes."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from pixel_lora_pipeline.validate.face import Face
from pixel_lora_pipeline.validate.palette import Palette

# Eyes lie half a width of the face above the chin, whatever hair and hats hide. Frames may reach from above the brows
# to the middle of the cheeks; the eyes themselves are in the narrower band.
_FRAME_ROWS: Final = (0.22, 0.9)
_EYE_ROWS: Final = (0.25, 0.8)
_FRAME_REACH: Final = 0.5
_EYE_REACH: Final = 0.45
# Two eyes, level, cover at most the first share of a row of the face's width; glasses at least the second.
_EYES: Final = 0.35
_GLASSES: Final = 0.7
# Sunglasses do so in each of this many rows, in widths of the face: the edge of a fringe or a brim does so in one.
# Those whose colour is named may be narrow.
_LENS_HEIGHT: Final = 0.15
_NARROW_LENS_HEIGHT: Final = 0.1
_FEWEST_ROWS: Final = 2
# Their lenses are dark (OKLab lightness), and darker than the skin. Cells lighter than the skin, or white, are eyes
# that can be seen, and count this many times against them.
_DARK: Final = 0.6
_DARKER: Final = 0.1
_WHITE: Final = 0.8
_LIGHTER: Final = 0.04
_EYES_SEEN: Final = 2.0
_LOGIT_95: Final = float(logit(0.95))


@dataclass(frozen=True)
class Eyewear:
    """What lies across the eyes.

    Attributes
    ----------
    cover : float
        Share of the face's width that it covers, in its widest row or rows, 0-1.
    presence : float
        0-1: how sure that is more than eyes and brows cover.
    cells : bool[rows, columns]
        Where it is.
    """

    cover: float
    presence: float
    cells: NDArray[np.bool_]


def glasses_among(cells: NDArray[np.bool_], face: Face) -> Eyewear:
    """How far cells of one colour, bool[rows, columns], reach across both eyes in any row."""
    return _across(cells, face, 1)


def sunglasses_among(cells: NDArray[np.bool_], face: Face) -> Eyewear:
    """How far cells of one colour, bool[rows, columns], reach across both eyes in as many rows as a lens has."""
    return _across(cells, face, max(_FEWEST_ROWS, round(_NARROW_LENS_HEIGHT * face.box.width)))


def find_sunglasses(palette: Palette, face: Face, figure: NDArray[np.bool_]) -> Eyewear:
    """What looks like sunglasses of whatever colour: dark across both eyes, and no white of an eye to be seen.

    Notes
    -----
    A dark mask over the eyes and a bandage have that shape, too. Trust it less than a colour that the prompt names.
    """
    place = figure & face.window(_EYE_ROWS, _EYE_REACH) & ~face.cells
    # What is above all skin of the face is hair or the brim of a hat.
    place[: face.box.top] = False
    lightness = palette.colors[palette.labels, 0]
    skin = palette.colors[face.skin, 0]
    dark = place & (lightness < min(_DARK, skin - _DARKER))
    rows = max(_FEWEST_ROWS, round(_LENS_HEIGHT * face.box.width))
    width = 2 * _EYE_REACH * face.box.width
    cover = np.convolve(dark.sum(axis=1), np.ones(rows), "valid").max(initial=0.0) / (rows * width)
    whites = float((place & (lightness > max(_WHITE, skin + _LIGHTER))).sum()) / (rows * width)
    return _eyewear(float(cover) - _EYES_SEEN * whites, dark)


def presence_of(amount: float, absent: float, present: float) -> float:
    """0-1: 0.05 at the amount at which something is as good as absent, 0.95 at that at which it is present.

    A logistic curve, so that more evidence never counts for nothing.
    """
    return float(expit(_LOGIT_95 * (2.0 * amount - absent - present) / (present - absent)))


def _across(cells: NDArray[np.bool_], face: Face, rows: int) -> Eyewear:
    """Mean share of the face's width that cells cover in so many adjacent rows, where they cover most."""
    place = face.window(_FRAME_ROWS, _FRAME_REACH)
    # A face that is longer than usual - its chin not told from the neck - has its eyes higher above the chin.
    place |= face.window((_FRAME_ROWS[0], face.box.height / face.box.width), _FRAME_REACH)
    seen = cells & place
    total = np.convolve(seen.sum(axis=1), np.ones(rows), "valid").max(initial=0.0)
    return _eyewear(float(total) / (rows * face.box.width), seen)


def _eyewear(cover: float, cells: NDArray[np.bool_]) -> Eyewear:
    return Eyewear(cover, presence_of(cover, _EYES, _GLASSES), cells)
