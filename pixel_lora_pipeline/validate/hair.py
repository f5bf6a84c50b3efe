"""Where the hair of a portrait is and which tones it has, found by structure and by what the prompt names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from pixel_lora_pipeline.validate.background import Background
from pixel_lora_pipeline.validate.color_weights import solidity, weight_by_color, with_neighbours
from pixel_lora_pipeline.validate.colorspace import delta_e, is_on_ramp_of, is_shade_of, oklab_of_rgb, rgb_of_hex
from pixel_lora_pipeline.validate.face import Face
from pixel_lora_pipeline.validate.figure import Box, depth_inside
from pixel_lora_pipeline.validate.palette import Palette

# No one tells a colour this close (OKLab) to the skin's from it.
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
# Colours closer than this in OKLab speak for each other: less than two steps of the palette.
_ALIKE: Final = 0.08
# Colours this close (ΔE00) to what the prompt gives to a hat, crown or the like are not hair.
_NAMED_ELSEWHERE: Final = 8.0
# Rows narrower than this, relative to the figure, are the points of a crown and not yet the head.
_HEAD_WIDTH: Final = 0.3

# A second tone: seen down to this part of the figure (dipped ends), differing by this ΔE00, with this share
# of the main tone's weight, touching it in two cells, and partly (30 %) within an eighth of the width of the
# figure's outline. On labelled sprites: balanced accuracy 0.88, on drawn portraits in a third style 0.81.
_TONE_ZONE: Final = 0.65
_TONE_DIFFERENCE: Final = 12.0
_TONE_SHARE: Final = 0.15
_TONE_CONTACT: Final = 2
_TONE_OUTER_SHARE: Final = 0.3
_TONE_REACH: Final = 8.0
# Tones that are parted by the forehead or by what is worn need not touch: a second tone is also what lies, for this
# share of it, where the first tone would be if it were mirrored.
_MIRRORED: Final = 0.7
# A shadow of the skin lies inside the figure; a tone that has this share of its cells on the outline is hair.
_NOT_A_SHADOW: Final = 0.5
# Shadows and highlights of skin and of what is worn stay within these factors of its lightness: two steps down a
# painter's ramp and two up.
_DEEPEST_SHADOW: Final = 0.5
_BRIGHTEST_HIGHLIGHT: Final = 1.3
# Shadow and highlight of a thing lie within a sixteenth of the figure's width of its own colour, for this share of
# them at least.
_SHADE_REACH: Final = 1 / 16
_CLINGING: Final = 0.7
# They are thinner than it: at most this part of its thickness, where that is enough cells to have parts. There, what
# is hardly ever two cells wide is a line or a glint and no tone either.
_THIN_SHADE: Final = 0.6
_THICK: Final = 3
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


def find_hair(
    palette: Palette,
    background: Background,
    inner: NDArray[np.bool_],
    box: Box,
    face: Face | None,
    elsewhere: Iterable[str],
) -> Hair | None:
    """Find the hair and its tones; None if nothing in the hair's place can be hair.

    Parameters
    ----------
    palette, background, box, face
        What was found before.
    inner : bool[rows, columns]
        The figure without its outline.
    elsewhere
        Hex colours that the prompt gives to other things in the hair's place: hat, crown, glasses.

    Notes
    -----
    The expected colour of the hair is deliberately not an argument: it would find itself in clothes and eyes.
    On labelled sprites the main colour was within ΔE00 10 for 96 % without a hat and 88 % with one; on drawn portraits
    in a third style, 94 % and 78 %. A bald head gives whatever else stands out at its outline.
    """
    portrait = _Portrait(
        palette,
        inner,
        background,
        box,
        face,
        _like_any(palette, inner, box, elsewhere),
        depth_inside(inner),
        solidity(palette.labels),
    )
    zone = _hair_zone(portrait)
    weights = _candidates(portrait, zone)
    if not weights.any():
        return None
    main = int(np.argmax(with_neighbours(palette, weights, _ALIKE)))

    cells = zone | (inner & box.window(inner.shape, (0.0, _TONE_ZONE)))
    totals = weight_by_color(palette, portrait.nearness, cells)
    other = portrait.not_hair
    other[main] = False
    first = _family(palette, main, ~other)
    first_cells = _large_parts(cells & first[palette.labels])
    second = _second_tone(portrait, cells, first_cells, main, totals, other | first)
    families = [(main, first)]
    if second is not None:
        families.append((second, _family(palette, second, ~(other | first))))
        first_cells |= cells & families[1][1][palette.labels]
    amounts = [float(totals[family].sum()) for _, family in families]
    tones = tuple(
        Tone(_members(color, family, totals), amount / sum(amounts))
        for (color, family), amount in zip(families, amounts, strict=True)
    )
    return Hair(first_cells, tones, float(weights[main] / weights.sum()))


@dataclass(frozen=True)
class _Portrait:
    """What the search for hair goes by.

    Attributes
    ----------
    inner : bool[rows, columns]
        The figure without its outline.
    elsewhere : bool[k]
        Colours that the prompt gives to things that are not hair.
    depth, solidity : [rows, columns]
        As from `depth_inside` and `solidity`.
    """

    palette: Palette
    inner: NDArray[np.bool_]
    background: Background
    box: Box
    face: Face | None
    elsewhere: NDArray[np.bool_]
    depth: NDArray[np.int64]
    solidity: NDArray[np.float64]

    @property
    def skin(self) -> int | None:
        """Palette index of the skin's colour."""
        return None if self.face is None else self.face.skin

    @property
    def is_smudged(self) -> bool:
        """Whether soft edges have fringes of mixed colours."""
        return self.background.speckle > _SMUDGED

    @property
    def is_skin(self) -> NDArray[np.bool_]:
        """The skin's own colour and what no one tells from it, bool[k]."""
        if self.skin is None:
            return np.zeros(len(self.palette), dtype=bool)
        colors = self.palette.colors
        return np.asarray(np.linalg.norm(colors - colors[self.skin], axis=1) <= _SKIN_ITSELF)

    @property
    def is_halo(self) -> NDArray[np.bool_]:
        """Shades of the background where edges are soft, bool[k]."""
        colors, main = self.palette.colors, self.background.main
        if main is None or not self.is_smudged:
            return np.zeros(len(self.palette), dtype=bool)
        return is_shade_of(colors, colors[main])

    @property
    def not_hair(self) -> NDArray[np.bool_]:
        """Colours that belong to other things than hair, bool[k]."""
        colors = self.palette.colors
        taken = self.elsewhere | self.is_skin | self.is_halo
        if self.skin is not None and self.is_smudged:
            taken |= is_shade_of(colors, colors[self.skin])
        return taken

    @property
    def nearness(self) -> NDArray[np.float64]:
        """1 on the outline of the figure, less inside, float64[rows, columns]."""
        return np.exp(-np.maximum(self.depth - 1, 0) * _DECAY / self.box.width)


def _hair_zone(portrait: _Portrait) -> NDArray[np.bool_]:
    """The upper part of the head, and what is above it."""
    height = _height_below_top(portrait)
    return portrait.inner & ((height > -1.0) & (height < 1.0))[:, None]


def _height_below_top(portrait: _Portrait) -> NDArray[np.float64]:
    """Each row's distance from the top of the head, in heights of the hair's zone."""
    figure, labels, box = portrait.background.figure, portrait.palette.labels, portrait.box
    top = box.top
    if portrait.elsewhere.any():
        top = _top_of_head(figure & ~(portrait.elsewhere | portrait.is_skin)[labels], box)
    return (np.arange(labels.shape[0]) - top) / (_HAIR_ZONE * (box.bottom - top))


def _candidates(portrait: _Portrait, zone: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How much speaks for each colour to be the hair's, float64[k]."""
    downwards = np.exp(-np.clip(_height_below_top(portrait), 0.0, 1.0))[:, None]
    weights = weight_by_color(portrait.palette, (portrait.solidity + _LONE_CELL) * portrait.nearness * downwards, zone)
    weights[portrait.elsewhere] = 0.0
    weights[portrait.is_skin] *= _SKIN_AS_HAIR
    weights[portrait.is_halo] *= _HALO
    weights[~_near_skin(portrait, zone)] *= _AWAY_FROM_SKIN
    return weights


def _near_skin(portrait: _Portrait, zone: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which colours of the zone come close to the skin, bool[k]; all where there is no skin."""
    labels = portrait.palette.labels
    skin = portrait.is_skin[labels] & portrait.background.figure
    if not skin.any():
        return np.ones(len(portrait.palette), dtype=bool)
    reach = max(_SKIN_REACH[0], round(_SKIN_REACH[1] * portrait.box.width))
    close = zone & ndimage.maximum_filter(skin, size=2 * reach + 1)
    return np.asarray(np.bincount(labels[close], minlength=len(portrait.palette)) > 0)


def _second_tone(
    portrait: _Portrait,
    zone: NDArray[np.bool_],
    first_cells: NDArray[np.bool_],
    main: int,
    totals: NDArray[np.float64],
    excluded: NDArray[np.bool_],
) -> int | None:
    """Palette index of a second tone that is no shade of the first, or None."""
    palette, depth = portrait.palette, portrait.depth
    neighbours = [color for color in (main, portrait.skin, portrait.background.main) if color is not None]
    candidates = delta_e(palette.rgb, palette.rgb[main]) > _TONE_DIFFERENCE
    candidates &= ~excluded & (totals > 0.0)
    candidates &= totals >= _TONE_SHARE * totals[np.unique(palette.labels[first_cells])].sum()
    candidates[neighbours] = False
    touching = ndimage.binary_dilation(first_cells, structure=np.ones((3, 3)))
    outer = depth <= max(1.0, portrait.box.width / _TONE_REACH)
    silhouette = zone & (depth == 1)

    thickness = int(depth_inside(first_cells).max(initial=0))

    in_face = _around_face(portrait)

    def is_shading_of_skin(color: int) -> bool:
        skin = portrait.skin
        return skin is not None and bool(_is_shading_of(palette.colors[color], palette.colors[skin]))

    mirrored = ndimage.binary_dilation(_mirrored(first_cells, portrait.box), structure=np.ones((3, 3)))

    def clings_to_skin(cells: NDArray[np.bool_]) -> bool:
        skin = portrait.is_skin[palette.labels]
        if silhouette[cells].mean() >= _NOT_A_SHADOW:
            return False
        return _clings_to(cells, skin, portrait.box) and bool(in_face[cells].mean() >= _CLINGING)

    def is_tone(color: int) -> bool:
        cells = zone & (palette.labels == color)
        if is_shading_of_skin(color) and clings_to_skin(cells):
            return False
        thin = depth_inside(cells).max(initial=0) <= _THIN_SHADE * thickness
        if thickness >= _THICK and thin and is_on_ramp_of(palette.colors[color], palette.colors[main]):
            return False
        if outer[cells].mean() < _TONE_OUTER_SHARE:
            return False
        if (cells & touching).sum() < _TONE_CONTACT and mirrored[cells].mean() < _MIRRORED:
            return False
        if portrait.is_smudged and _blends(palette.colors[color], palette.colors[neighbours]):
            return False
        is_thin = np.mean(portrait.solidity[cells] > 0) < _THIN_SOLID_SHARE
        if thickness >= _THICK and is_thin:
            return False
        is_dark = palette.colors[color, 0] < _OUTLINE_LIGHTNESS
        runs_along = (cells & silhouette).sum() >= _OUTLINE_SHARE * silhouette.sum()
        return not (is_thin and is_dark and runs_along)

    tones = [int(color) for color in np.flatnonzero(candidates) if is_tone(int(color))]
    return max(tones, key=lambda color: totals[color]) if tones else None


def _mirrored(cells: NDArray[np.bool_], box: Box) -> NDArray[np.bool_]:
    """Cells of a box with its left and right exchanged."""
    mirrored = np.zeros_like(cells)
    mirrored[:, box.left : box.right] = cells[:, box.left : box.right][:, ::-1]
    return mirrored


def _around_face(portrait: _Portrait) -> NDArray[np.bool_]:
    """Face and neck with the shadows at their edges."""
    around = np.zeros(portrait.inner.shape, dtype=bool)
    if portrait.face is not None:
        face = portrait.face.box
        margin = max(1, round(_SHADE_REACH * portrait.box.width))
        around[face.top :, max(0, face.left - margin) : face.right + margin] = True
    return around


def _is_shading_of(color: NDArray[np.float64], base: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether a colour can be the shadow or the highlight of a base colour, float64[..., 3] of OKLab each."""
    relative = color[..., 0] / np.maximum(base[..., 0], 1e-6)
    return is_on_ramp_of(color, base) & (relative >= _DEEPEST_SHADOW) & (relative <= _BRIGHTEST_HIGHLIGHT)


def _clings_to(cells: NDArray[np.bool_], owner: NDArray[np.bool_], box: Box) -> bool:
    """Whether cells lie along those of an owner, as its shadow or highlight does."""
    near = ndimage.maximum_filter(owner, size=2 * max(1, round(_SHADE_REACH * box.width)) + 1)
    return bool(near[cells].mean() >= _CLINGING) if cells.any() else False


def _like_any(palette: Palette, figure: NDArray[np.bool_], box: Box, named: Iterable[str]) -> NDArray[np.bool_]:
    """Which palette colours are close to one of the named, or are shadows and highlights along it, bool[k]."""
    like = np.zeros(len(palette), dtype=bool)
    for color in map(rgb_of_hex, named):
        close = delta_e(palette.rgb, color) <= _NAMED_ELSEWHERE
        like |= close
        own = figure & close[palette.labels]
        for shade in np.flatnonzero(~close & _is_shading_of(palette.colors, oklab_of_rgb(color))):
            like[shade] |= _clings_to(figure & (palette.labels == shade), own, box)
    return like


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


def _top_of_head(figure: NDArray[np.bool_], box: Box) -> int:
    """First row of the box in which what is left of the figure is as wide as a head."""
    wide = np.flatnonzero(figure.sum(axis=1) >= _HEAD_WIDTH * box.width)
    return int(wide[0]) if wide.size and wide[0] < box.bottom - 1 else box.top
