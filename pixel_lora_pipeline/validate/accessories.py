"""Whether the accessory that the prompt names is there, told by its colour in the place where it belongs."""

from collections.abc import Iterable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.background import Background
from pixel_lora_pipeline.validate.colorspace import delta_e, delta_e_hex, rgb_of_hex
from pixel_lora_pipeline.validate.figure import Box, depth_inside
from pixel_lora_pipeline.validate.palette import Palette


@dataclass(frozen=True)
class Place:
    """Where an accessory belongs on a portrait, in shares of the figure's height and width.

    `rows` and `reach` (to either side of the middle) bound its place; `elsewhere` are the rows whose use of
    the same colour speaks against it: hair for a crown, clothes for a necklace. `absent` and `present` are
    the surplus of its colour at which it is certainly not and certainly there. What lies `inside` the figure
    is told from its outline, which may have the same dark colour.
    """

    rows: tuple[float, float]
    reach: float
    elsewhere: tuple[float, float]
    absent: float
    present: float
    inside: bool


# Places follow from how a head-and-shoulders portrait is built; the surpluses were read off labelled sprites
# (600 with hats and glasses) and rendered portraits in two styles (300 with crowns, sunglasses, necklaces).
PLACES: Final = MappingProxyType(
    {
        "crown": Place((0.0, 0.35), 0.5, (0.35, 0.65), 0.03, 0.15, inside=False),
        "hat": Place((0.0, 0.45), 0.5, (0.45, 0.65), 0.05, 0.2, inside=False),
        "glasses": Place((0.25, 0.6), 0.22, (0.0, 0.25), 0.05, 0.15, inside=True),
        "sunglasses": Place((0.25, 0.6), 0.22, (0.0, 0.25), 0.09, 0.17, inside=True),
        "necklace": Place((0.5, 0.85), 0.3, (0.85, 1.0), 0.015, 0.06, inside=True),
    }
)
# Further from the named colour than this (ΔE00), a cell is of another colour.
_TOLERANCE: Final = 12.0
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
        Share of its colour in its place, less half the share elsewhere.
    hex : str or None
        The commonest colour in its place that matches.
    reason : str or None
        Why it cannot be told.
    """

    presence: float | None
    surplus: float | None = None
    hex: str | None = None
    reason: str | None = None


def find_accessory(
    name: str, color: str | None, palette: Palette, background: Background, box: Box, others: Iterable[str]
) -> Sighting:
    """Look for the accessory `name` in `color` (hex) on a portrait at native size.

    `others` are the hex colours that the prompt gives to hair and background.

    Notes
    -----
    Without a colour, or with one that hair or background share, the answer is "cannot tell". ROC-AUC on labelled
    portraits: crown 1.00, hat 1.00, sunglasses 0.99, glasses 0.95, necklace 0.95 (clothes of its colour hide it).
    """
    place = PLACES.get(name)
    if place is None:
        return Sighting(None, reason=f"no rule says where a {name} belongs")
    if color is None:
        return Sighting(None, reason="the prompt names no colour")
    if any(delta_e_hex(other, color) < _INDISTINCT for other in others):
        return Sighting(None, reason="hair or background have its colour")
    figure = depth_inside(background.figure) > 1 if place.inside else background.figure
    inside = figure & box.window(figure.shape, place.rows, place.reach)
    outside = figure & ~inside & box.window(figure.shape, place.elsewhere)
    matching = delta_e(palette.rgb, rgb_of_hex(color)) <= _TOLERANCE
    if not inside.any():
        return Sighting(None, reason="the figure does not reach its place")
    surplus = _share(matching, palette.labels[inside]) - _ELSEWHERE_WEIGHT * _share(matching, palette.labels[outside])
    presence = float(np.clip((surplus - place.absent) / (place.present - place.absent), 0.0, 1.0)) * 100.0
    found = np.bincount(palette.labels[inside], minlength=len(palette)) * matching
    return Sighting(presence, surplus, palette.hex(int(np.argmax(found))) if found.any() else None)


def _share(matching: NDArray[np.bool_], labels: NDArray[np.int64]) -> float:
    return float(matching[labels].mean()) if labels.size else 0.0
