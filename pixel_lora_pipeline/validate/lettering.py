"""Text and legends on drawn sheets."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from PIL import ImageDraw, ImageFont

INK: Final = "#22262e"
QUIET: Final = "#8a919e"
FAINT: Final = "#e6e8ec"
PAPER: Final = "#ffffff"

Mark = Literal["square", "cross", "line", "ring", "frame", "bars"]

_CHIP: Final = 12
_LINE: Final = 20
_GAP: Final = 16


@dataclass(frozen=True)
class Chip:
    """An entry of a legend: a mark, and what it stands for."""

    color: str
    text: str
    form: Mark = "square"


@cache
def lettering(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans as matplotlib brings it: unlike Pillow's own font it has Δ and ×. Size in pixels."""
    import matplotlib  # a tenth of a second, which only those pay who draw

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def fitted(text: str, width: float, font: ImageFont.FreeTypeFont) -> str:
    """The text, or as much of its beginning as fits, with an ellipsis."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1].rstrip()
    return text + "…"


def paint_chips(pen: ImageDraw.ImageDraw, chips: Sequence[Chip], at: tuple[int, int], width: int) -> int:
    """Draw a legend from `at` on, in lines of at most `width` pixels, and return where it ends below."""
    font = lettering(12)
    left, top = at
    for chip in chips:
        needed = _CHIP + 6 + round(font.getlength(chip.text))
        if left > at[0] and left + needed > at[0] + width:
            left, top = at[0], top + _LINE
        paint_mark(pen, chip.form, (left, top + 2, left + _CHIP - 1, top + _CHIP + 1), chip.color)
        pen.text((left + _CHIP + 6, top), chip.text, fill=INK, font=font)
        left += needed + _GAP
    return top + _LINE if chips else top


def paint_mark(
    pen: ImageDraw.ImageDraw, mark: Mark, box: tuple[int, int, int, int], color: str, width: int = 2
) -> None:
    """Draw a mark into a box: left, top, right and bottom pixel, all included."""
    left, top, right, bottom = box
    if mark == "square":
        pen.rectangle(box, fill=color)
    elif mark == "cross":
        pen.line((left, top, right, bottom), fill=color, width=width)
        pen.line((left, bottom, right, top), fill=color, width=width)
    elif mark == "line":
        pen.line((left, (top + bottom) // 2, right, (top + bottom) // 2), fill=color, width=width)
    elif mark == "ring":
        pen.ellipse(box, outline=color, width=width)
    elif mark == "frame":
        pen.rectangle(box, outline=color, width=width)
    else:
        for y in ((2 * top + bottom) // 3, (top + 2 * bottom) // 3):
            pen.line((left, y, right, y), fill=color, width=width)
