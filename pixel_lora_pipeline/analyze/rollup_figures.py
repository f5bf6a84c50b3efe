"""The scores of an epoch that people are shown, by their label, with the place of each in its rollup."""

from collections.abc import Mapping
from typing import Final

SCORES: Final[Mapping[str, tuple[str, ...]]] = {
    "Overall": ("overall_score",),
    "Colour accuracy": ("color_accuracy", "overall"),
    "Background": ("color_accuracy", "background_accuracy"),
    "Hair colour": ("color_accuracy", "hair_accuracy"),
    "Accessories": ("color_accuracy", "accessory_accuracy"),
    "Style quality": ("style_quality", "overall"),
    "Pixel-art purity": ("style_quality", "pixel_art_purity"),
}
FIGURES: Final[Mapping[str, tuple[str, ...]]] = {**SCORES, "Colours": ("style_quality", "color_palette_size")}
