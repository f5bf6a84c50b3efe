"""Where the face of a portrait is: all other parts have their places relative to it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.background import Background
from pixel_lora_pipeline.validate.color_weights import solidity, weight_by_color, with_neighbours
from pixel_lora_pipeline.validate.colorspace import delta_e, rgb_of_hex
from pixel_lora_pipeline.validate.figure import Box, bounding_box
from pixel_lora_pipeline.validate.palette import Palette

# The face: this part of the height of head and shoulders, and this far to either side of their middle.
_ROWS: Final = (0.25, 0.65)
_REACH: Final = 0.18
# A cell in no 2 x 2 block of one colour weighs this, others one more for each such block.
_LONE_CELL: Final = 0.25
# Skin of any tone is a weak orange in OKLab - hue in degrees, chroma - and not as dark as outlines and sunglasses.
# Other colours (eyes, glasses, hair over the face) must be this much more frequent to be taken for it. Green skin
# can still win.
_SKIN_HUE: Final = (0.0, 105.0)
_SKIN_CHROMA: Final = (0.015, 0.16)
_NOT_SKIN: Final = 0.4
_DARKEST_SKIN: Final = 0.27
_DARKEST_OTHER: Final = 0.35
_TOO_DARK: Final = 0.25
# The colour that the prompt gives to the skin (within this ΔE00) is likelier than any other, but no more than that: a
# face in another colour must not disappear behind hair in this one.
_NAMED: Final = 2.0
_NAMED_DISTANCE: Final = 15.0
# What the prompt gives to hair or to something worn is less likely to be skin, in the same way.
_NAMED_ELSEWHERE: Final = 0.4
_NAMED_ELSEWHERE_DISTANCE: Final = 10.0
# Cells this close in OKLab to a colour belong to one flat area of it: less than two steps of the palette.
_ALIKE: Final = 0.08
# Eyes are a pair of islands in the upper part of the face, one to the left and one to the right, level, of sizes with
# at least this ratio; glasses can be one island across it. None is larger than this share of the face.
_EYE_PART: Final = 0.75
_BALANCE: Final = 0.3
_BAND_WIDTH: Final = 0.4
_LARGEST_ISLAND: Final = 0.35
# What eyes add to the weight of a colour.
_PAIR: Final = 2.5
_BAND: Final = 1.5
# Glasses or a mask may cut the face in two: pieces this close, in widths of the face, belong together.
_CUT: Final = 0.4
# What is narrower than this share of the face's width is neck; a face is not longer than that many widths.
_NECK: Final = 0.6
_LONGEST: Final = 1.6
# An area flatter than this, in its widths, is a forehead above glasses or a mask: the face goes on below it, to the
# usual length, but not below the chin of a bust.
_FLAT: Final = 0.55
_USUAL_LENGTH: Final = 0.9
_CHIN: Final = 0.7
# No part of it is below this part of head and shoulders, where a bare chest or clothes in its colour begin.
_HEAD: Final = 0.8


@dataclass(frozen=True)
class Face:
    """The face, as far as hair and what is worn let it be seen.

    Attributes
    ----------
    skin : int
        Palette index of the skin's colour.
    cells : bool[rows, columns]
        Cells of that colour that belong to face and neck.
    box : Box
        From the first row of skin to the chin, and from one cheek to the other.
    """

    skin: int
    cells: NDArray[np.bool_]
    box: Box

    def window(self, rows: tuple[float, float], reach: float) -> NDArray[np.bool_]:
        """Cells between two heights above the chin, `reach` to either side of the middle, in widths of the face.

        Heights count from the chin because hair hides the upper part, and in widths for the same reason; negative
        heights lie below the chin.
        """
        window = np.zeros(self.cells.shape, dtype=bool)
        middle, width = (self.box.left + self.box.right) / 2, self.box.width
        top, bottom = self.box.bottom - rows[1] * width, self.box.bottom - rows[0] * width
        left, right = middle - reach * width, middle + reach * width
        window[max(0, round(top)) : max(0, round(bottom)), max(0, round(left)) : max(0, round(right))] = True
        return window


def find_face(
    palette: Palette, background: Background, bust: Box, named: str | None, elsewhere: Iterable[str]
) -> Face | None:
    """Find the face in the box of head and shoulders; None where there is nothing in its place.

    The skin is the commonest solid colour there, preferably one that skin can have and that has eyes in it. `named`
    is the hex that the prompt gives to the skin, if any: it helps where hair, glasses and skin share the face.
    `elsewhere` are those that it gives to hair and to what is worn.

    Notes
    -----
    On labelled sprites the skin was within ΔE00 10 for 98 %, on drawn portraits in a third style for 94 % (88 % where
    the prompt names neither hair nor anything worn).
    """
    figure = background.figure
    place = figure & bust.window(figure.shape, _ROWS, _REACH)
    head = figure & (np.arange(figure.shape[0]) < bust.top + round(_HEAD * bust.height))[:, None]
    weights = weight_by_color(palette, solidity(palette.labels) + _LONE_CELL, place)
    if not weights.any():
        return None
    weights = with_neighbours(palette, weights, _ALIKE) * _likelihood_of_skin(palette, named, elsewhere)
    # Eyes cannot help a colour that has less than this.
    rivals = np.flatnonzero(weights * _PAIR >= weights.max())
    for color in rivals if len(rivals) > 1 else ():
        weights[color] *= _eyes(_main_area(head & _alike(palette, int(color))[palette.labels], place), figure)
    skin = int(np.argmax(weights))
    cells = _with_cut_off_parts(head & _alike(palette, skin)[palette.labels], place)
    whole = bounding_box(cells)
    return None if whole is None else Face(skin, cells, _without_neck(cells, whole, bust))


def _alike(palette: Palette, color: int) -> NDArray[np.bool_]:
    return np.asarray(np.linalg.norm(palette.colors - palette.colors[color], axis=1) <= _ALIKE)


def _eyes(area: NDArray[np.bool_], figure: NDArray[np.bool_]) -> float:
    """`_PAIR` for two islands side by side in the upper part of an area, `_BAND` for one across, else 1."""
    whole = bounding_box(area)
    if whole is None:
        return 1.0
    islands, count = ndimage.label(_between(area) & figure & ~area, structure=np.ones((3, 3)))
    sizes = np.bincount(islands.ravel(), minlength=count + 1)[1:]
    boxes = ndimage.find_objects(islands)
    small = [at for at in range(count) if sizes[at] <= _LARGEST_ISLAND * area.sum()]
    middle = (whole.left + whole.right) / 2
    lowest = whole.top + _EYE_PART * whole.height
    found = 1.0
    for at in small:
        rows, columns = boxes[at]
        if (rows.start + rows.stop) / 2 > lowest:
            continue
        if columns.stop - columns.start >= _BAND_WIDTH * whole.width and columns.start < middle < columns.stop:
            found = max(found, _BAND)
        for other in small[:at]:
            other_rows, other_columns = boxes[other]
            level = abs((rows.start + rows.stop) - (other_rows.start + other_rows.stop)) <= max(2, 0.2 * whole.width)
            gap = max(columns.start - other_columns.stop, other_columns.start - columns.stop)
            alike = min(sizes[at], sizes[other]) >= _BALANCE * max(sizes[at], sizes[other])
            if level and alike and gap >= 0.1 * whole.width:
                return _PAIR
    return found


def _between(area: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cells with the area on both sides of them, or above and below."""
    left, right = np.logical_or.accumulate(area, axis=1), np.logical_or.accumulate(area[:, ::-1], axis=1)[:, ::-1]
    above, below = np.logical_or.accumulate(area, axis=0), np.logical_or.accumulate(area[::-1], axis=0)[::-1]
    return np.asarray((left & right) | (above & below))


def _main_area(cells: NDArray[np.bool_], place: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Of the parts connected by sides or corners the one with most cells in the place of the face."""
    components, _ = ndimage.label(cells, structure=np.ones((3, 3)))
    return np.asarray(components == _commonest(components[place & cells]))


def _with_cut_off_parts(cells: NDArray[np.bool_], place: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The main area and what glasses, a mask or a necklace separate from it."""
    components, _ = ndimage.label(cells, structure=np.ones((3, 3)))
    areas = ndimage.find_objects(components)
    main = _commonest(components[place & cells])
    rows, columns = areas[main - 1]
    reach = _CUT * (columns.stop - columns.start)
    kept = [main]
    for label, (other_rows, other_columns) in enumerate(areas, start=1):
        middle = (other_columns.start + other_columns.stop) / 2
        gap = max(other_rows.start - rows.stop, rows.start - other_rows.stop)
        if columns.start <= middle <= columns.stop and gap <= reach:
            kept.append(label)
    return np.isin(components, kept)


def _commonest(components: NDArray[np.int32]) -> int:
    return int(np.argmax(np.bincount(components)))


def _without_neck(cells: NDArray[np.bool_], whole: Box, bust: Box) -> Box:
    """The box of the face down to the chin: the last wide row, whatever glasses make narrow in between."""
    widths = np.array([_extent(row) for row in cells[whole.top : whole.bottom]])
    widest = int(widths.max())
    wide = np.flatnonzero(widths[: round(_LONGEST * widest)] >= _NECK * widest)
    chin = whole.top + int(wide[-1]) + 1 if wide.size else whole.bottom
    face = bounding_box(cells[:chin]) or whole
    if face.height >= _FLAT * face.width:
        return face
    lowest_chin = bust.top + round(_CHIN * bust.height)
    chin = max(face.bottom, min(face.top + round(_USUAL_LENGTH * face.width), lowest_chin))
    return replace(face, bottom=chin)


def _extent(row: NDArray[np.bool_]) -> int:
    filled = np.flatnonzero(row)
    return int(filled[-1] - filled[0]) + 1 if filled.size else 0


def _likelihood_of_skin(palette: Palette, named: str | None, elsewhere: Iterable[str]) -> NDArray[np.float64]:
    colors = palette.colors
    hue = np.degrees(np.arctan2(colors[:, 2], colors[:, 1]))
    chroma = np.hypot(colors[:, 1], colors[:, 2])
    possible = (hue > _SKIN_HUE[0]) & (hue < _SKIN_HUE[1]) & (chroma > _SKIN_CHROMA[0]) & (chroma < _SKIN_CHROMA[1])
    dark = colors[:, 0] < np.where(possible, _DARKEST_SKIN, _DARKEST_OTHER)
    likelihood = np.where(possible, 1.0, _NOT_SKIN) * np.where(dark, _TOO_DARK, 1.0)
    for color in elsewhere:
        likelihood[delta_e(palette.rgb, rgb_of_hex(color)) <= _NAMED_ELSEWHERE_DISTANCE] *= _NAMED_ELSEWHERE
    if named is not None:
        likelihood[delta_e(palette.rgb, rgb_of_hex(named)) <= _NAMED_DISTANCE] = _NAMED
    return np.asarray(likelihood)
