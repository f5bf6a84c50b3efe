"""The one table that says which hex a colour word means, for captions, prompts and the embedded model."""

from typing import Final

from PIL import ImageColor

# The words that captions of pixel-art portraits use. Where CSS has a muddy or
# extreme value for a word (green #008000, yellow #ffff00, brown #a52a2a) the
# table holds what sprite painters usually mean by it. Neighbours are at least
# ΔE00 10 apart, so that "the nearest named colour" is a meaningful question.
NAMED_COLORS: Final[dict[str, str]] = {
    "black": "#1b1b1f",
    "white": "#f4f4f4",
    "grey": "#8a8a8f",
    "red": "#d62828",
    "orange": "#f08a24",
    "yellow": "#f5d83d",
    "green": "#2e9e44",
    "teal": "#1fa6a0",
    "blue": "#2f5fd0",
    "purple": "#7b3fb5",
    "pink": "#ff69b4",
    "brown": "#7a4a26",
}

# Other words for the same colours, and words that only make sense for one thing.
SYNONYMS: Final[dict[str, str]] = {
    "gray": "#8a8a8f",
    "silver": "#c0c0c8",
    "gold": "#ffd700",
    "golden": "#ffd700",
    "blonde": "#f0cf65",
    "blond": "#f0cf65",
    "turquoise": "#1fa6a0",
    "violet": "#7b3fb5",
    "crimson": "#dc143c",
    "navy": "#1b2a5c",
    "magenta": "#ff00ff",
    "cyan": "#00bcd4",
    "lime": "#8fd14f",
    "beige": "#e8d8b0",
    "cream": "#fff4d6",
    "amber": "#ffb000",
    "bronze": "#b08040",
    "burgundy": "#7a1f35",
    "charcoal": "#36393f",
    "emerald": "#2fa36b",
    "jet": "#1b1b1f",
    "lilac": "#c8a2c8",
    "mint": "#98e0b5",
    "mustard": "#d9a520",
    "peach": "#ffc59e",
    "rust": "#a8441a",
    "scarlet": "#e0241b",
    "sky": "#87ceeb",
    # Hair has names of its own.
    "auburn": "#7b2d1e",
    "brunette": "#7a4a26",
    "chestnut": "#6b3a24",
    "copper": "#b5622d",
    "ebony": "#221c1a",
    "ginger": "#c1440e",
    "platinum": "#ece5d3",
    "raven": "#1b1b1f",
    "sandy": "#c9a66b",
    "ashblonde": "#c9b896",
    "ashblond": "#c9b896",
    "dirtyblonde": "#b89a5e",
    "dirtyblond": "#b89a5e",
    "platinumblonde": "#efe6c8",
    "platinumblond": "#efe6c8",
    "strawberryblonde": "#e0a070",
    "strawberryblond": "#e0a070",
}

SKIN_TONES: Final[dict[str, str]] = {
    "light": "#f6d3b3",
    "medium": "#d49a6a",
    "tan": "#b87a4b",
    "dark": "#6b4028",
}

# Other words for skin; "white", "brown" and "black" mean tones of skin here, and not those colours.
SKIN_SYNONYMS: Final[dict[str, str]] = {
    "pale": "light",
    "fair": "light",
    "white": "light",
    "olive": "medium",
    "tanned": "tan",
    "brown": "tan",
    "deep": "dark",
    "black": "dark",
}


def hex_of_color_word(word: str) -> str | None:
    """`#rrggbb` for a colour word in lower case, two words joined (`hotpink`) included; None if unknown.

    Words that neither table above has are looked up among the names that CSS knows.
    """
    known = NAMED_COLORS.get(word) or SYNONYMS.get(word)
    if known is None and word in ImageColor.colormap:
        red, green, blue = ImageColor.getrgb(word)[:3]
        known = f"#{red:02x}{green:02x}{blue:02x}"
    return known


def hex_of_skin_word(word: str) -> str | None:
    """`#rrggbb` for a word that describes skin, in lower case; None if it says nothing of its tone."""
    return SKIN_TONES.get(SKIN_SYNONYMS.get(word, word))
