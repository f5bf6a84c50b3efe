"""Where the hair of a portrait is and which tones it has, found by structure and by what the prompt names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.background import Background
from pixel_lora_pipeline.validate.colorspace import delta_e, is_shade_of, rgb_of_hex
from pixel_lora_pipeline.validate.figure import Box, depth_inside
from pixel_lora_pipeline.validate.palette import Palette

# The face: this part of the figure's height, and this far to either side of its middle (share of its width).
_FACE_TOP: Final = 0.25
_FACE_BOTTOM: Final = 0.65
_FACE_REACH: Final = 0.18
# Skin of any tone is a weak orange in OKLab; other colours (eyes, glasses, hair over the face) must be this
# much more frequent to be taken for it. Green skin can still win.
_SKIN_HUE: Final = (15.0, 95.0)
_SKIN_CHROMA: Final = (0.015, 0.16)
_NOT_SKIN: Final = 0.4
# The colour that the prompt gives to the skin is taken for it if it covers this share of the face.
_NAMED_SKIN_SHARE: Final = 0.1
_NAMED_SKIN_DISTANCE: Final = 15.0
_SKIN_ITSELF: Final = 0.03
# Skin counts this much among the candidates for hair: a head that is all skin is bald, or has hair of that
# very colour, and either way skin is what there is to compare with the hair that was asked for.
_SKIN_AS_HAIR: Final = 0.06
# Hair begins within two cells of the skin, or a sixteenth of the figure's width, outline and shadow between them
# included. What does not, a crown that the prompt did not name, counts this much.
_SKIN_REACH: Final = (2, 1 / 16)
_AWAY_FROM_SKIN: Final = 0.3
# A background with more speckle than this is no flat colour, and neither is anything else in the picture (sprites
# stay below, JPEG and blur included): soft edges have fringes of mixed colours. Then shades of the background
# count this much among the candidates.
_SMUDGED: Final = 0.008
_HALO: Final = 0.3

# Hair counts in the upper part of the figure, less the further down and the further from its outline: what
# lies inside the face are eyes and glasses. 0.42 of the height, and a decay over a twelfth of the width.
_HAIR_ZONE: Final = 0.42
_DECAY: Final = 12.0
# A cell on its own (outlines, glints) weighs this, in 2 x 2 blocks of one colour that a cell belongs to.
_LONE_CELL: Final = 0.25
# Colours this close (ΔE00) to what the prompt gives to a hat, crown or the like are not hair.
_NAMED_ELSEWHERE: Final = 8.0
# Rows narrower than this, relative to the figure, are the points of a crown and not yet the head.
_HEAD_WIDTH: Final = 0.3

# A second tone: seen down to this part of the figure (dipped ends), differing by this ΔE00, with this share
# of the main tone's weight, touching it in two cells, and partly (30 %) within an eighth of the width of the
# figure's outline. On labelled portraits: balanced accuracy 0.86.
_TONE_ZONE: Final = 0.65
_TONE_DIFFERENCE: Final = 12.0
_TONE_SHARE: Final = 0.15
_TONE_CONTACT: Final = 2
_TONE_OUTER_SHARE: Final = 0.3
_TONE_REACH: Final = 8.0
# Parts of the hair smaller than this, relative to the largest, are eyes or teeth of the same colour.
_ISLAND: Final = 0.1
# Dark, hardly ever two cells wide and all along the silhouette: an outline, not a tone.
_OUTLINE_LIGHTNESS: Final = 0.35
_THIN_SOLID_SHARE: Final = 0.5
_OUTLINE_SHARE: Final = 0.4
# A colour this close (OKLab) to the line between two others, and thin, is what a soft edge makes of them.
_BLEND: Final = 0.06


@dataclass(frozen=True)
class Tone:
    """One tone of the hair with its shadows and highlights.

    Attributes
    ----------
    colors : tuple of int
        Palette indices; the first is the tone's own colour, the others shades of it.
    share : float
        Share of the hair that has this tone, 0-1.
    """

    colors: tuple[int, ...]
    share: float


@dataclass(frozen=True)
class Hair:
    """The hair found in a portrait.

    Attributes
    ----------
    cells : bool[rows, columns]
        Where it is.
    tones : tuple of Tone
        One, or two where the hair is two-toned; the main tone first.
    dominance : float
        Weight of the main colour among all that could be hair, 0-1: how sure its choice is.
    """

    cells: NDArray[np.bool_]
    tones: tuple[Tone, ...]
    dominance: float


def find_skin(palette: Palette, background: Background, box: Box, named: str | None) -> int | None:
    """Palette index of the skin: the commonest solid colour of the face, preferably one that skin can have.

    `named` is the hex that the prompt gives to the skin, if any: it decides where hair, glasses and skin
    share the face, and only if it is there. On labelled portraits the skin was within ΔE00 10 for 99 %.
    """
    face = background.figure & box.window(background.figure.shape, (_FACE_TOP, _FACE_BOTTOM), _FACE_REACH)
    weights = _weight_by_color(palette, _solidity(palette.labels) + _LONE_CELL, face)
    if not weights.any():
        return None
    if named is not None:
        close = delta_e(palette.rgb, rgb_of_hex(named)) <= _NAMED_SKIN_DISTANCE
        if weights[close].sum() >= _NAMED_SKIN_SHARE * weights.sum():
            return int(np.argmax(np.where(close, weights, 0.0)))
    return int(np.argmax(weights * np.where(_can_be_skin(palette.colors), 1.0, _NOT_SKIN)))


def find_hair(
    palette: Palette, background: Background, box: Box, skin: int | None, elsewhere: Sequence[str]
) -> Hair | None:
    """Find the hair and its tones; None if nothing in the hair's place can be hair.

    Parameters
    ----------
    palette, background, box, skin
        What was found before.
    elsewhere
        Hex colours that the prompt gives to other things in the hair's place: hat, crown, glasses.

    Notes
    -----
    The expected colour of the hair is deliberately not an argument: it would find itself in clothes and eyes.
    On labelled portraits, the main colour was within ΔE00 10 for 94 % without a hat (97 % where the hair has
    one tone) and 75 % with one. A bald head gives whatever else stands out at its outline.
    """
    figure, labels = background.figure, palette.labels
    excluded = np.zeros(len(palette), dtype=bool)
    for color in elsewhere:
        excluded |= delta_e(palette.rgb, rgb_of_hex(color)) <= _NAMED_ELSEWHERE
    is_skin = np.zeros(len(palette), dtype=bool)
    if skin is not None:
        is_skin = np.linalg.norm(palette.colors - palette.colors[skin], axis=1) <= _SKIN_ITSELF
    head_top = _top_of_head(figure & ~(excluded | is_skin)[labels], box) if elsewhere else box.top
    depth = depth_inside(figure)
    nearness = np.exp(-np.maximum(depth - 1, 0) * _DECAY / box.width)

    height = (np.arange(labels.shape[0]) - head_top) / (_HAIR_ZONE * (box.bottom - head_top))
    zone = figure & ((height > -1.0) & (height < 1.0))[:, None]
    solidity = _solidity(labels)
    weights = _weight_by_color(
        palette, (solidity + _LONE_CELL) * nearness * np.exp(-np.clip(height, 0.0, 1.0))[:, None], zone
    )
    weights[excluded] = 0.0
    weights[is_skin] *= _SKIN_AS_HAIR
    weights[~_near(is_skin[labels] & figure, zone, labels, box)] *= _AWAY_FROM_SKIN
    is_halo = np.zeros(len(palette), dtype=bool)
    smudged = background.speckle > _SMUDGED
    if background.main is not None and smudged:
        is_halo = is_shade_of(palette.colors, palette.colors[background.main])
    weights[is_halo] *= _HALO
    if not weights.any():
        return None
    main = int(np.argmax(weights))

    excluded |= is_skin | (is_halo & (np.arange(len(palette)) != main))
    if smudged and skin is not None:
        excluded |= is_shade_of(palette.colors, palette.colors[skin])
        excluded[main] = False
    lower = zone | (figure & box.window(figure.shape, (0.0, _TONE_ZONE)))
    first = _family(palette, main, ~excluded)
    first_cells = _large_parts(lower & first[labels])
    totals = _weight_by_color(palette, nearness, lower)
    neighbours = [color for color in (main, skin, background.main) if color is not None]
    excluded[neighbours] = True
    second = _second_tone(
        palette, lower, first_cells, main, totals, excluded | first, neighbours, smudged, depth, box, solidity
    )
    if second is None:
        return Hair(first_cells, (Tone(_members(main, first, totals), 1.0),), float(weights[main] / weights.sum()))
    members = _family(palette, second, ~(excluded | first))
    amounts = [float(totals[first].sum()), float(totals[members].sum())]
    tones = (
        Tone(_members(main, first, totals), amounts[0] / sum(amounts)),
        Tone(_members(second, members, totals), amounts[1] / sum(amounts)),
    )
    return Hair(first_cells | (lower & members[labels]), tones, float(weights[main] / weights.sum()))


def _near(skin: NDArray[np.bool_], zone: NDArray[np.bool_], labels: NDArray[np.int64], box: Box) -> NDArray[np.bool_]:
    """Which colours of the zone come close to the skin, bool[k]; all where there is no skin."""
    count = int(labels.max()) + 1
    if not skin.any():
        return np.ones(count, dtype=bool)
    reach = max(_SKIN_REACH[0], round(_SKIN_REACH[1] * box.width))
    close = zone & ndimage.maximum_filter(skin, size=2 * reach + 1)
    return np.asarray(np.bincount(labels[close], minlength=count) > 0)


def _second_tone(
    palette: Palette,
    zone: NDArray[np.bool_],
    first_cells: NDArray[np.bool_],
    main: int,
    totals: NDArray[np.float64],
    excluded: NDArray[np.bool_],
    neighbours: list[int],
    smudged: bool,
    depth: NDArray[np.int64],
    box: Box,
    solidity: NDArray[np.float64],
) -> int | None:
    """Palette index of a second tone that is no shade of the first, or None."""
    touching = ndimage.binary_dilation(first_cells, structure=np.ones((3, 3)))
    main_total = totals[np.unique(palette.labels[first_cells])].sum()
    different = delta_e(palette.rgb, palette.rgb[main]) > _TONE_DIFFERENCE
    outer = depth <= max(1.0, box.width / _TONE_REACH)
    silhouette = zone & (depth == 1)
    best: int | None = None
    for color in np.flatnonzero(different & ~excluded & (totals > 0.0) & (totals >= _TONE_SHARE * main_total)):
        cells = zone & (palette.labels == color)
        is_thin = np.mean(solidity[cells] > 0) < _THIN_SOLID_SHARE
        is_outline = (
            is_thin
            and palette.colors[color, 0] < _OUTLINE_LIGHTNESS
            and (cells & silhouette).sum() >= _OUTLINE_SHARE * silhouette.sum()
        )
        is_fringe = smudged and _blends(palette.colors[color], palette.colors[neighbours])
        if (
            is_outline
            or is_fringe
            or (cells & touching).sum() < _TONE_CONTACT
            or outer[cells].mean() < _TONE_OUTER_SHARE
        ):
            continue
        if best is None or totals[color] > totals[best]:
            best = int(color)
    return best


def _family(palette: Palette, color: int, allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A colour and the shades of it, bool[k]."""
    family = is_shade_of(palette.colors, palette.colors[color]) & allowed
    family[color] = True
    return np.asarray(family)


def _blends(color: NDArray[np.float64], between: NDArray[np.float64]) -> bool:
    """Whether a colour lies on the line between two of float64[n, 3], away from both."""
    for i in range(len(between)):
        for j in range(i):
            line = between[j] - between[i]
            along = float((color - between[i]) @ line) / max(float(line @ line), 1e-12)
            if 0.1 < along < 0.9 and np.linalg.norm(between[i] + along * line - color) <= _BLEND:
                return True
    return False


def _large_parts(cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Without the small islands, eyes of the hair's colour for instance."""
    components, count = ndimage.label(cells, structure=np.ones((3, 3)))
    sizes = np.bincount(components.ravel(), minlength=count + 1)
    sizes[0] = 0
    return np.asarray((sizes >= _ISLAND * sizes.max())[components] & cells)


def _members(main: int, family: NDArray[np.bool_], totals: NDArray[np.float64]) -> tuple[int, ...]:
    """Palette indices of a family that occur, its main colour first."""
    return main, *(int(color) for color in np.flatnonzero(family & (totals > 0.0)) if color != main)


def _weight_by_color(palette: Palette, weights: NDArray[np.float64], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    visible = region & (palette.labels >= 0)
    return np.bincount(palette.labels[visible], weights[visible], len(palette)).astype(np.float64)


def _solidity(labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """In how many 2 x 2 blocks of one colour each cell lies, 0-4."""
    corner = labels[1:, 1:]
    block = (corner == labels[:-1, 1:]) & (corner == labels[1:, :-1]) & (corner == labels[:-1, :-1])
    count = np.zeros(labels.shape)
    for rows in (slice(1, None), slice(None, -1)):
        for columns in (slice(1, None), slice(None, -1)):
            count[rows, columns] += block
    return count


def _top_of_head(figure: NDArray[np.bool_], box: Box) -> int:
    """First row of the box in which what is left of the figure is as wide as a head."""
    wide = np.flatnonzero(figure.sum(axis=1) >= _HEAD_WIDTH * box.width)
    return int(wide[0]) if wide.size and wide[0] < box.bottom - 1 else box.top


def _can_be_skin(colors: NDArray[np.float64]) -> NDArray[np.bool_]:
    hue = np.degrees(np.arctan2(colors[:, 2], colors[:, 1]))
    chroma = np.hypot(colors[:, 1], colors[:, 2])
    return np.asarray(
        (hue > _SKIN_HUE[0]) & (hue < _SKIN_HUE[1]) & (chroma > _SKIN_CHROMA[0]) & (chroma < _SKIN_CHROMA[1])
    )
