"""Whether the accessory that the prompt names is there, told by its colour in the place where it belongs."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.colorspace import delta_e, delta_e_hex, oklab_of_rgb, rgb_of_hex
from pixel_lora_pipeline.validate.eyewear import find_sunglasses, glasses_among, presence_of, sunglasses_among
from pixel_lora_pipeline.validate.face import Face
from pixel_lora_pipeline.validate.figure import Box, depth_inside
from pixel_lora_pipeline.validate.palette import Palette


@dataclass(frozen=True)
class Place:
    """Where an accessory belongs on a portrait, in shares of the height and width of head and shoulders.

    `rows` and `reach` (to either side of the middle) bound its place; `elsewhere` are the rows whose use of
    the same colour speaks against it: hair for a crown, clothes for a necklace. `absent` and `present` are
    the surplus of its colour at which it is certainly not and certainly there.
    """

    rows: tuple[float, float]
    reach: float
    elsewhere: tuple[float, float]
    absent: float
    present: float


# Places follow from how a head-and-shoulders portrait is built; the surpluses were read off labelled sprites
# (600 with hats) and rendered portraits in two styles (300 with crowns and necklaces).
PLACES: Final = MappingProxyType(
    {
        "crown": Place((0.0, 0.35), 0.5, (0.35, 0.65), 0.03, 0.15),
        "hat": Place((0.0, 0.45), 0.5, (0.45, 0.65), 0.05, 0.2),
    }
)
EYEWEAR: Final = frozenset({"glasses", "sunglasses"})
KNOWN: Final = frozenset({*PLACES, *EYEWEAR, "necklace"})
# A necklace lies between the chin and this far below it, within this reach of the middle; its colour beside and
# below that place is a collar or a shirt. In widths of the face.
_NECK_ROWS: Final = (-1.2, 0.02)
_NECK_REACH: Final = 0.75
_CHEST_ROWS: Final = (-1.9, -0.1)
_CHEST_REACH: Final = 1.6
# A chain is no thicker than this on either side of its middle, in cells or in widths of the face; a shirt is.
_THIN_CELLS: Final = 2
_THIN: Final = 0.12
# Nor is its colour as frequent around its place as in it, by this factor.
_CLOTHES: Final = 0.5
# A chain one cell thin across the neck has this width; less is a button.
_CHAIN: Final = (0.15, 0.45)
# Outside the sprites that its rule was made on, sunglasses without a colour have a ROC-AUC of 0.8: 0.6 above chance.
_SHAPE_ALONE: Final = 0.6
# Further from the named colour than this (ΔE00), a cell is of another colour.
_TOLERANCE: Final = 12.0
# CIEDE2000 tells near-blacks apart by tints that nobody sees, and what is black shows a tint of what is around it: up
# to this OKLab lightness, colours this close in OKLab are the named one, too.
_DARK: Final = 0.35
_AS_DARK: Final = 0.13
# Where the figure has a colour this much nearer to the named one, the others are not it: yellow beside gold.
_MUCH_NEARER: Final = 6.0
_FEWEST_CELLS: Final = 3
# Colours of hair or background closer than this to the accessory's leave nothing to tell it by.
_INDISTINCT: Final = 8.0
# How much the colour's share elsewhere counts against its share in the place.
_ELSEWHERE_WEIGHT: Final = 0.5


@dataclass(frozen=True)
class Sighting:
    """What was seen of one accessory.

    Attributes
    ----------
    presence : float or None
        0 (not there) to 100 (there); None where it cannot be told.
    surplus : float or None
        What speaks for it before it is cut off at 0 and 100: for hats and crowns the share of its colour in its
        place, less half the share elsewhere.
    hex : str or None
        The commonest colour in its place that matches.
    reason : str or None
        Why it cannot be told.
    cells : bool[rows, columns] or None
        Its cells; None where it cannot be told.
    trust : float
        How far the rule itself can be trusted, 0-1: 1 for a colour in its place, less for a shape alone.
    """

    presence: float | None
    surplus: float | None = None
    hex: str | None = None
    reason: str | None = None
    cells: NDArray[np.bool_] | None = None
    trust: float = 1.0


def find_accessory(
    name: str,
    color: str | None,
    palette: Palette,
    figure: NDArray[np.bool_],
    bust: Box,
    face: Face | None,
    hair: Iterable[str],
    background: str | None,
) -> Sighting:
    """Look for the accessory `name` in `color` (hex) on a portrait at native size.

    `figure` is the figure without its outline, bool[rows, columns]; `hair` and `background` are the hex colours that
    the prompt gives to them. Glasses lie on a face, where no background is seen: its colour may be theirs.

    Notes
    -----
    Without a colour, or with one that hair, background (for what is not on the face), clothes (for a necklace) or skin
    share, the answer is "cannot tell"; only sunglasses have a shape that tells them without. ROC-AUC on labelled
    sprites, rendered portraits and images that the embedded model painted: hat and crown 1.00, glasses and necklace
    0.99, sunglasses 0.96-1.00 (without a colour 0.77-0.98); on a third style, which helped to find faults: crown and
    hat 0.98, the others 0.92-0.95 (sunglasses without a colour 0.78-0.84). What a third style confuses with glasses
    are eye patches and the edges of brims and fringes in the colour that was asked for.
    """
    if name not in KNOWN:
        return Sighting(None, reason=f"no rule says where a {name} belongs")
    if color is None:
        if name == "sunglasses" and face is not None:
            seen = find_sunglasses(palette, face, figure)
            color = _commonest(palette, seen.cells)
            return Sighting(100.0 * seen.presence, seen.cover, color, cells=seen.cells, trust=_SHAPE_ALONE)
        return Sighting(None, reason="the prompt names no colour")
    others = list(hair)
    if background is not None and name not in EYEWEAR:
        others.append(background)
    if any(delta_e_hex(other, color) < _INDISTINCT for other in others):
        return Sighting(None, reason="hair or background have its colour")
    if face is not None and name not in PLACES:
        others.append(palette.hex(face.skin))
        if delta_e_hex(others[-1], color) < _INDISTINCT:
            return Sighting(None, reason="the skin has its colour")
    matching = figure & _matching(palette, figure, color, others)[palette.labels]
    if name in PLACES:
        place = PLACES[name]
        inside = figure & bust.window(figure.shape, place.rows, place.reach)
        outside = figure & ~inside & bust.window(figure.shape, place.elsewhere)
        surplus = _share(matching, inside) - _ELSEWHERE_WEIGHT * _share(matching, outside)
        presence = presence_of(surplus, place.absent, place.present)
        cells = inside & matching
    elif face is None:
        return Sighting(None, reason="no face was found")
    elif name == "necklace":
        width, cells = _necklace(matching, figure, face)
        if width is None:
            return Sighting(None, reason="the clothes have its colour")
        surplus, presence = width, presence_of(width, *_CHAIN)
    else:
        seen = (sunglasses_among if name == "sunglasses" else glasses_among)(matching, face)
        surplus, presence, cells = seen.cover, seen.presence, seen.cells
    return Sighting(100.0 * presence, surplus, _commonest(palette, cells), cells=cells)


def _matching(palette: Palette, figure: NDArray[np.bool_], color: str, others: Iterable[str]) -> NDArray[np.bool_]:
    """Which palette colours are meant by `color` and not by one of `others`, bool[k]."""
    distance = delta_e(palette.rgb, rgb_of_hex(color))
    present = np.bincount(palette.labels[figure], minlength=len(palette)) >= _FEWEST_CELLS
    nearest = float(distance[present].min(initial=np.inf))
    is_matching = distance <= min(_TOLERANCE, nearest + _MUCH_NEARER)
    lightness = oklab_of_rgb(rgb_of_hex(color))[0]
    if lightness <= _DARK:
        is_matching |= _oklab_distance(palette, color) <= _AS_DARK
    for other in others:
        if lightness <= _DARK:
            is_matching &= _oklab_distance(palette, color) < _oklab_distance(palette, other)
        else:
            is_matching &= distance < delta_e(palette.rgb, rgb_of_hex(other))
    return np.asarray(is_matching)


def _oklab_distance(palette: Palette, color: str) -> NDArray[np.float64]:
    return np.asarray(np.linalg.norm(palette.colors - oklab_of_rgb(rgb_of_hex(color)), axis=1))


def _necklace(
    matching: NDArray[np.bool_], figure: NDArray[np.bool_], face: Face
) -> tuple[float | None, NDArray[np.bool_]]:
    """Width of what lies below the chin, in widths of the face, and its cells; None where clothes have its colour."""
    place = face.window(_NECK_ROWS, _NECK_REACH) & figure
    around = face.window(_CHEST_ROWS, _CHEST_REACH) & figure & ~place
    cells = matching & place
    width = float(cells.any(axis=0).sum()) / face.box.width
    is_thick = depth_inside(matching)[cells].max(initial=0) > max(_THIN_CELLS, _THIN * face.box.width)
    if is_thick or _share(matching, around) > _CLOTHES * _share(matching, place):
        return None, cells
    return width, cells


def _commonest(palette: Palette, cells: NDArray[np.bool_]) -> str | None:
    counts = np.bincount(palette.labels[cells], minlength=len(palette))
    return palette.hex(int(np.argmax(counts))) if counts.any() else None


def _share(matching: NDArray[np.bool_], region: NDArray[np.bool_]) -> float:
    return float(matching[region].mean()) if region.any() else 0.0
