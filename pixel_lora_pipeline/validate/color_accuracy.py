"""How well the colours of an image match what its prompt names."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.accessories import PLACES as ON_HEAD
from pixel_lora_pipeline.validate.accessories import Sighting, find_accessory
from pixel_lora_pipeline.validate.background import Background, find_background
from pixel_lora_pipeline.validate.colorspace import delta_e, delta_e_hex, is_shade_of, oklab_of_rgb, rgb_of_hex
from pixel_lora_pipeline.validate.expectation import Expectation
from pixel_lora_pipeline.validate.face import Face, find_face
from pixel_lora_pipeline.validate.figure import Box, head_and_shoulders
from pixel_lora_pipeline.validate.hair import Hair, find_hair
from pixel_lora_pipeline.validate.outline import find_outline
from pixel_lora_pipeline.validate.palette import Palette

# Up to this ΔE00 a colour is the one that was asked for: the tolerance at which the finding of backgrounds was
# checked. From the second on it is another colour: named colours that people tell apart are 20 and more
# apart. In between the match falls linearly, so that a small drift never makes a score jump.
FULL_MATCH: Final = 5.0
NO_MATCH: Final = 20.0
# Weights of the overall score. Equal weights of the four parts that the roadmap names reproduce its example
# (85.3, 72.1, 45.0 and 68.5 make 67.7); skin and lips, which it does not name, count less.
WEIGHTS: Final = {
    "background_accuracy": 1.0,
    "hair_color_accuracy": 1.0,
    "accessory_accuracy": 1.0,
    "color_purity_score": 1.0,
    "skin_accuracy": 0.5,
    "lips_accuracy": 0.25,
}
# A solid region shows at most this many colours: hair has a shadow and a highlight, skin a shadow.
_COLORS_OF_BACKGROUND: Final = 1
_COLORS_OF_HAIR: Final = 3
_COLORS_OF_SKIN: Final = 2
# A cell is solid if at least this share of its neighbours by side has its colour: half, as along an edge.
_SOLID: Final = 0.5
# Hair asked for in a colour closer than this (ΔE00) to the background's cannot be told from it where it is not
# found; an accessory in a colour this close to the hair's does not rule the colour out for hair.
_INDISTINCT: Final = 8.0
# Hair of which this share lies above the middle of a hat or crown, whose own colour goes down beside the face for
# this share of its height and within this reach (in widths of the face), is the hat, and the hat is the hair.
_ABOVE: Final = 0.8
_BESIDE_FACE: Final = 0.5
_BESIDE_REACH: Final = 0.8
# A cell that matches less than this is marked as being of another colour.
_RIGHT: Final = 0.5
# Where the mouth is, in shares of the figure's height and width.
_MOUTH_ROWS: Final = (0.35, 0.75)
_MOUTH_REACH: Final = 0.18
# Share of that window which lips of the right colour cover at least.
_LIPS_SHARE: Final = 0.02
# A figure of less or more than this share of the image is no portrait: nothing can be said of its parts.
_SMALLEST_FIGURE: Final = 0.05
_LARGEST_FIGURE: Final = 0.98
# Continuous inside a band of the 1-10 score: from this accuracy on, the band begins at this score and is one
# wide. The TODO document gives the upper two; the others go on in the same steps.
_BANDS: Final = ((90.0, 100.0, 9.0), (70.0, 90.0, 7.0), (50.0, 70.0, 5.0), (30.0, 50.0, 3.0), (0.0, 30.0, 1.0))


@dataclass(frozen=True)
class ColorAccuracy:
    """Colour scores of one image, 0-100 each, with what they rest on.

    A score is None where the prompt does not name the thing, or where it cannot be told. `skin` and `lips` are palette
    indices; lips are looked for only where the prompt names their colour. `regions` are the cells,
    bool[rows, columns], of background, hair, skin, each accessory that could be told, and `off_color`: those of the
    former that are clearly of another colour than the prompt gives them.
    """

    background_accuracy: float | None
    hair_color_accuracy: float | None
    hair_is_two_toned: bool | None
    accessory_accuracy: float | None
    skin_accuracy: float | None
    lips_accuracy: float | None
    color_purity_score: float | None
    background: Background
    box: Box | None
    face: Face | None
    skin: int | None
    lips: int | None
    hair: Hair | None
    sightings: dict[str, Sighting]
    regions: dict[str, NDArray[np.bool_]]

    @property
    def overall(self) -> float | None:
        """Mean of what could be told, by `WEIGHTS`; None where nothing that the prompt names could."""
        scores = {name: getattr(self, name) for name in WEIGHTS}
        told = {name: score for name, score in scores.items() if score is not None}
        if not told.keys() - {"color_purity_score"}:
            return None
        total = sum(WEIGHTS[name] for name in told)
        return float(sum(WEIGHTS[name] * score for name, score in told.items()) / total)


def measure_colors(cells: NDArray[np.float64], palette: Palette, expectation: Expectation) -> ColorAccuracy:
    """Compare the colours of a portrait at native size with the expectation.

    Parameters
    ----------
    cells : float64[rows, columns, 3]
        The image at native size, in OKLab.
    palette : Palette
        Of the same image.
    expectation : Expectation
        What the prompt names; only that is scored, except for `hair_is_two_toned` and `color_purity_score`.
    """
    background = find_background(cells, palette)
    share = float(background.figure.mean())
    box = head_and_shoulders(background.figure) if _SMALLEST_FIGURE <= share <= _LARGEST_FIGURE else None
    face, skin, hair, sightings = None, None, None, {}
    if box is not None:
        inner = background.figure & ~find_outline(palette, background.figure)
        face = find_face(
            palette,
            background,
            box,
            expectation.skin,
            [*_hair_colors(expectation), *filter(None, expectation.accessories.values())],
        )
        skin = None if face is None else face.skin
        worn = _worn_on_head(expectation)
        hair = find_hair(palette, background, inner, box, face, worn.values())
        sightings = {
            name: find_accessory(
                name, color, palette, inner, box, face, _hair_colors(expectation), expectation.background
            )
            for name, color in expectation.accessories.items()
        }
        if (
            hair is not None
            and face is not None
            and (
                under_hair := {
                    name for name in worn.keys() & ON_HEAD if _is_under(sightings[name], hair, face, palette.labels)
                }
            )
        ):
            sightings |= {name: Sighting(0.0, reason="what has its colour lies under the hair") for name in under_hair}
            rest = [color for name, color in worn.items() if name not in under_hair]
            hair = find_hair(palette, background, inner, box, face, rest)
    lips = None if box is None else _lips(palette, background, box, expectation.lips)
    presences = [sighting.presence for sighting in sightings.values() if sighting.presence is not None]
    return ColorAccuracy(
        background_accuracy=_background_accuracy(palette, background, expectation.background),
        hair_color_accuracy=_hair_accuracy(palette, box, hair, expectation),
        hair_is_two_toned=None if hair is None else len(hair.tones) > 1,
        accessory_accuracy=float(np.mean(presences)) if presences else None,
        skin_accuracy=None if skin is None else _match(palette, [skin], expectation.skin),
        lips_accuracy=None if lips is None else _match(palette, [lips], expectation.lips),
        color_purity_score=_purity(palette, background, skin, hair),
        background=background,
        box=box,
        face=face,
        skin=skin,
        lips=lips,
        hair=hair,
        sightings=sightings,
        regions=_regions(palette, background, skin, hair, sightings, expectation),
    )


def match_of(distance: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """How well a colour at this ΔE00 matches, 0-1: 1 up to `FULL_MATCH`, 0 from `NO_MATCH`, linear between."""
    return np.clip((NO_MATCH - np.asarray(distance)) / (NO_MATCH - FULL_MATCH), 0.0, 1.0)


def color_accuracy_score(overall: float | None) -> float | None:
    """The 1-10 score of an overall accuracy of 0-100: 90 and more give 9-10, 70-90 give 7-8, and so on down.

    Rises with the accuracy inside a band, and jumps between bands.

    Raises
    ------
    ValueError
        If `overall` is outside 0-100.
    """
    if overall is None:
        return None
    for low, high, score in _BANDS:
        if low <= overall <= high:
            return score + (overall - low) / (high - low)
    raise ValueError(f"an accuracy of {overall} has no score: expected 0 to 100")


def _regions(
    palette: Palette,
    background: Background,
    skin: int | None,
    hair: Hair | None,
    sightings: dict[str, Sighting],
    expectation: Expectation,
) -> dict[str, NDArray[np.bool_]]:
    """The cells of each thing that was found, and of all that clearly have another colour than they should."""
    nothing = np.zeros(palette.labels.shape, dtype=bool)
    regions = {
        "background": background.cells & (palette.labels >= 0),
        "hair": nothing if hair is None else hair.cells,
        "skin": nothing if skin is None else background.figure & (palette.labels == skin),
    }
    off = nothing.copy()
    for name, cells in regions.items():
        wanted = _hair_colors(expectation) if name == "hair" else filter(None, [getattr(expectation, name)])
        is_right = [_is_right(palette, color, shades=name != "background") for color in wanted]
        if is_right and cells.any():
            off |= cells & ~np.any(is_right, axis=0)[palette.labels]
    accessories = {name: seen.cells for name, seen in sightings.items() if seen.cells is not None}
    return {**regions, **accessories, "off_color": off}


def _is_right(palette: Palette, expected: str, *, shades: bool) -> NDArray[np.bool_]:
    """Which palette colours pass for the expected one, with its shadows and highlights if `shades`, bool[k]."""
    is_right = match_of(delta_e(palette.rgb, rgb_of_hex(expected))) >= _RIGHT
    return is_right | is_shade_of(palette.colors, oklab_of_rgb(rgb_of_hex(expected))) if shades else is_right


def _worn_on_head(expectation: Expectation) -> dict[str, str]:
    """Colours of things in the hair's place, unless the hair itself is to have that colour."""
    colors = {name: color for name, color in expectation.accessories.items() if color and name != "necklace"}
    hair = _hair_colors(expectation)
    return {
        name: color
        for name, color in colors.items()
        if all(delta_e_hex(color, wanted) >= _INDISTINCT for wanted in hair)
    }


def _is_under(sighting: Sighting, hair: Hair, face: Face, labels: NDArray[np.int64]) -> bool:
    """Whether what was taken for a hat surrounds the face under what was taken for hair: it is the other way round."""
    if sighting.cells is None or not sighting.cells.any() or not hair.cells.any():
        return False
    is_above = np.mean(np.nonzero(hair.cells)[0] < np.nonzero(sighting.cells)[0].mean()) > _ABOVE
    head = slice(face.box.top, face.box.bottom)
    columns = face.window((0.0, 1.0), _BESIDE_REACH).any(axis=0)
    beside = np.isin(labels[head][:, columns], np.unique(labels[sighting.cells])).any(axis=1)
    return bool(is_above and beside.mean() > _BESIDE_FACE)


def _match(palette: Palette, colors: Sequence[int], expected: str | None) -> float | None:
    """Match of one or more palette colours, the best of them, 0-100."""
    if expected is None:
        return None
    return 100.0 * float(match_of(delta_e(palette.rgb[list(colors)], rgb_of_hex(expected))).max())


def _background_accuracy(palette: Palette, background: Background, expected: str | None) -> float | None:
    """Share of the background that has the expected colour; where there is no background, of the border."""
    if expected is None or background.main is None:
        return None
    labels = palette.labels[background.cells]
    counts = np.bincount(labels[labels >= 0], minlength=len(palette))
    matches = match_of(delta_e(palette.rgb, rgb_of_hex(expected)))
    return 100.0 * float(counts @ matches) / float(counts.sum())


def _hair_accuracy(palette: Palette, box: Box | None, hair: Hair | None, expectation: Expectation) -> float | None:
    """Match of each tone's own colour, weighted by the tone's share; 0 for a head without hair.

    Of hair that is to have two colours each tone may match either, and each colour must be there: the lower of the
    two counts.
    """
    wanted = _hair_colors(expectation)
    if not wanted or box is None:
        return None
    if hair is None:
        return 0.0
    tones = palette.rgb[[tone.colors[0] for tone in hair.tones]]
    matches = match_of(delta_e(tones[:, None], np.array([rgb_of_hex(color) for color in wanted])[None]))
    behind = expectation.background
    if matches.max() < 1.0 and behind is not None and min(delta_e_hex(behind, color) for color in wanted) < _INDISTINCT:
        return None
    shares = np.array([tone.share for tone in hair.tones])
    return 100.0 * float(
        min(shares @ matches.max(axis=1), matches.max(axis=0).mean()) if len(wanted) > 1 else shares @ matches[:, 0]
    )


def _hair_colors(expectation: Expectation) -> list[str]:
    return [color for color in (expectation.hair, expectation.second_hair) if color is not None]


def _lips(palette: Palette, background: Background, box: Box, expected: str | None) -> int | None:
    """Palette index of the colour nearest to the expected one that covers enough of the mouth's place for lips."""
    if expected is None:
        return None
    mouth = palette.labels[background.figure & box.window(background.figure.shape, _MOUTH_ROWS, _MOUTH_REACH)]
    counts = np.bincount(mouth[mouth >= 0], minlength=len(palette))
    candidates = np.flatnonzero(counts >= max(1.0, _LIPS_SHARE * mouth.size))
    if not candidates.size:
        return None
    return int(candidates[np.argmin(delta_e(palette.rgb[candidates], rgb_of_hex(expected)))])


def _purity(palette: Palette, background: Background, skin: int | None, hair: Hair | None) -> float | None:
    """Share of background, hair and skin that consists of solid cells in the few colours that each may have."""
    solid = _solid_cells(palette.labels)
    good, total = 0, 0
    regions = [(background.cells & (palette.labels >= 0), _COLORS_OF_BACKGROUND)]
    if hair is not None:
        regions.append((hair.cells, _COLORS_OF_HAIR))
    if skin is not None:
        regions.append((palette.labels == skin, _COLORS_OF_SKIN))
    for cells, few in regions:
        labels = palette.labels[cells]
        counts = np.bincount(labels, minlength=len(palette))
        main = np.argsort(-counts, kind="stable")[:few]
        good += int((np.isin(labels, main) & solid[cells]).sum())
        total += labels.size
    return 100.0 * good / total if total else None


def _solid_cells(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cells of which at least half the neighbours by side have the same colour."""
    same = np.zeros(labels.shape)
    neighbours = np.zeros(labels.shape)
    down, right = labels[1:] == labels[:-1], labels[:, 1:] == labels[:, :-1]
    for rows in (slice(1, None), slice(None, -1)):
        same[rows] += down
        neighbours[rows] += 1
    for columns in (slice(1, None), slice(None, -1)):
        same[:, columns] += right
        neighbours[:, columns] += 1
    return np.asarray(same >= _SOLID * neighbours)
