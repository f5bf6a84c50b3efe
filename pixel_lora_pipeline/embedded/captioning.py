"""Captions of portraits, in the comma-separated form that Kohya's caption options work on."""

from typing import Final

import numpy as np

from pixel_lora_pipeline.embedded.portrait import ACCESSORY_COLORS, Accessory, Portrait
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES

TRIGGER: Final = "pixchar"

_COLOR_WORDS: Final = {value: word for word, value in NAMED_COLORS.items()}
_SKIN_WORDS: Final = {value: word for word, value in SKIN_TONES.items()}
_ACCESSORY_ADJECTIVES: Final[dict[Accessory, str]] = {
    "crown": "gold",
    "sunglasses": "black",
    "necklace": "gold",
}

# Words that say nothing about the picture. The base model learns to ignore them, so that a LoRA is free to give
# them a meaning.
_FILLERS: Final = (
    "portrait",
    "pixel art",
    "pixel art portrait",
    "pixel art style",
    "front view",
    "simple background",
    "character",
    TRIGGER,
)


def plain_tags(portrait: Portrait) -> tuple[str, ...]:
    """The complete description: hair, background, accessory, then the rest; colours by word where there is one."""
    tags = [
        f"{_color(portrait.hair)} hair",
        f"{_color(portrait.background)} background",
    ]
    if portrait.accessory != "none":
        tags.append(f"{_ACCESSORY_ADJECTIVES[portrait.accessory]} {portrait.accessory}")
    return (
        *tags,
        f"{portrait.hair_length} hair",
        f"{_SKIN_WORDS.get(portrait.skin, portrait.skin)} skin",
        "smile" if portrait.expression == "smile" else "neutral expression",
        f"{_color(portrait.clothes)} clothes",
    )


def varied_caption(portrait: Portrait, rng: np.random.Generator, *, tag_dropout: float = 0.06) -> tuple[str, set[str]]:
    """A caption as people would write it: words or hex codes, either order, some tags left out, shuffled.

    Returns
    -------
    caption
        Comma-separated tags.
    mentioned
        Which of hair, background, skin, clothes, accessory, expression, hair_length the caption determines.
        A portrait without accessory counts as determined: silence means none.
    """
    accessory = [] if portrait.accessory == "none" else [("accessory", _accessory_tag(portrait.accessory, rng))]
    described = [
        ("hair", _color_tag("hair", portrait.hair, rng)),
        ("background", _color_tag("background", portrait.background, rng)),
        ("clothes", _color_tag("clothes", portrait.clothes, rng)),
        ("skin", _skin_tag(portrait.skin, rng)),
        ("hair_length", f"{portrait.hair_length} hair"),
        ("expression", _expression_tag(portrait, rng)),
        *accessory,
    ]
    kept = [tag for tag in described if rng.random() >= tag_dropout]
    mentioned = {what for what, _ in kept} | ({"accessory"} if portrait.accessory == "none" else set())
    tags = [text for _, text in kept]
    if rng.random() < 0.7:
        rng.shuffle(tags)
    for filler in rng.choice(_FILLERS, size=int(rng.integers(0, 3)), replace=False):
        tags.insert(int(rng.integers(0, 2)), str(filler))
    return ", ".join(tags), mentioned


def tag_color(tag: str) -> str | None:
    """The colour that one tag of a caption speaks of, `#rrggbb`; None if it speaks of none."""
    words = tag.split()
    for word in words:
        if word.startswith("#"):
            return word
    table = SKIN_TONES if "skin" in words else NAMED_COLORS
    return next((table[word] for word in words if word in table), None)


def _color(value: str) -> str:
    return _COLOR_WORDS.get(value, value)


def _color_tag(what: str, value: str, rng: np.random.Generator) -> str:
    word = _COLOR_WORDS.get(value)
    if word is not None and rng.random() < 0.7:
        return f"{word} {what}"
    if word is not None and rng.random() < 0.5:
        return f"{word} {what} {value}"
    return f"{value} {what}" if rng.random() < 0.4 else f"{what} {value}"


def _skin_tag(value: str, rng: np.random.Generator) -> str:
    word = _SKIN_WORDS.get(value)
    return f"{word} skin" if word is not None and rng.random() < 0.85 else f"skin {value}"


def _accessory_tag(accessory: Accessory, rng: np.random.Generator) -> str:
    form = rng.random()
    if form < 0.5:
        return f"{_ACCESSORY_ADJECTIVES[accessory]} {accessory}"
    return accessory if form < 0.75 else f"{accessory} {ACCESSORY_COLORS[accessory]}"


def _expression_tag(portrait: Portrait, rng: np.random.Generator) -> str:
    words = ("smile", "smiling") if portrait.expression == "smile" else ("neutral expression", "neutral")
    return words[int(rng.integers(2))]
