"""What a portrait shows: the attributes that captions name and that the renderers paint."""

import hashlib
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES

Accessory = Literal["none", "crown", "sunglasses", "necklace"]
Expression = Literal["smile", "neutral"]
HairLength = Literal["short", "long"]

ACCESSORIES: Final[tuple[Accessory, ...]] = ("none", "crown", "sunglasses", "necklace")
EXPRESSIONS: Final[tuple[Expression, ...]] = ("smile", "neutral")
HAIR_LENGTHS: Final[tuple[HairLength, ...]] = ("short", "long")
ACCESSORY_COLORS: Final[dict[Accessory, str]] = {
    "crown": "#ffd700",
    "sunglasses": "#1b1b1f",
    "necklace": "#ffd700",
}

_HELD_OUT_SHARE: Final = 16


@dataclass(frozen=True)
class Portrait:
    """One character. Colours are `#rrggbb`; the same portrait can be painted in either style."""

    background: str
    hair: str
    skin: str
    clothes: str
    hair_length: HairLength = "short"
    accessory: Accessory = "none"
    expression: Expression = "neutral"
    pose: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Shift right and down in sprite cells (−1…1), and width of the head relative to the mean (0.9…1.1)."""

    @property
    def held_out(self) -> bool:
        """Whether this combination is kept from the training of the base model, to test it on new captions."""
        shown = (self.background, self.hair, self.hair_length, self.accessory, self.expression)
        return hashlib.sha256("|".join(shown).encode()).digest()[0] % _HELD_OUT_SHARE == 0


def draw_portrait(rng: np.random.Generator, *, hex_share: float = 0.0) -> Portrait:
    """A random portrait.

    Parameters
    ----------
    rng
        Source of every choice.
    hex_share
        Probability (0…1), for each region, of a colour that has no name: half of them uniform in RGB, half a
        named colour moved a little. The others have exactly the colour of a word.
    """

    def color(names: dict[str, str]) -> str:
        hexes = list(names.values())
        anchor = hexes[int(rng.integers(len(hexes)))]
        if rng.random() >= hex_share:
            return anchor
        if rng.random() < 0.5 and names is NAMED_COLORS:
            return _hex(rng.integers(0, 256, 3))
        channels = [int(anchor[at : at + 2], 16) for at in (1, 3, 5)]
        return _hex(np.clip(np.array(channels) + rng.integers(-28, 29, 3), 0, 255))

    return Portrait(
        background=color(NAMED_COLORS),
        hair=color(NAMED_COLORS),
        skin=color(SKIN_TONES),
        clothes=color(NAMED_COLORS),
        hair_length=HAIR_LENGTHS[int(rng.integers(2))],
        accessory=ACCESSORIES[int(rng.integers(4))],
        expression=EXPRESSIONS[int(rng.integers(2))],
        pose=(float(rng.integers(-1, 2)), float(rng.integers(-1, 2)), float(rng.choice([0.92, 1.0, 1.08]))),
    )


def _hex(channels: np.ndarray) -> str:
    return "#" + "".join(f"{int(channel):02x}" for channel in channels)
