"""Epochs against prompts in one picture, as the X/Y/Z plots of image generators show it: every pixel stays crisp."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from pixel_lora_pipeline.validate.crisp_picture import Font, encoded, fitted, opened, shortened

SIZE_LIMIT: Final = 4_000_000
"""Bytes. A report that holds the grid is then still light enough for e-mail."""

# Sides of a cell in pixels, in the order in which they are given up, and the numbers of colours tried for each.
_CELLS: Final = (128, 96, 64, 48, 32, 16)
_COLORS: Final = (None, 256, 64)
# Larger pictures are refused by image viewers as decompression bombs (Pillow's limit is 89 million pixels).
_MOST_PIXELS: Final = 60_000_000
_GAP: Final = 4
_GAP_BETWEEN_GROUPS: Final = 12
_MARGIN: Final = 132
_FONT_SIZE: Final = 12
_LINE: Final = 15
_HEADING_LINES: Final = 3
_INK: Final = "#22262e"
_FAINT: Final = "#6b7280"
_EMPTY: Final = "#e5e7eb"
_PAPER: Final = "#ffffff"


@dataclass(frozen=True)
class GridRow:
    """One row: an epoch, at one strength of the LoRA where that is an axis, or what it is compared with.

    Attributes
    ----------
    title, subtitle
        "epoch 6" and "strength 0.8". Rows of one title stand together.
    images
        PNG by column; a column that is not there stays empty.
    """

    title: str
    images: Mapping[str, bytes]
    subtitle: str = ""


def epoch_grid(rows: Sequence[GridRow], columns: Sequence[str], *, limit: int = SIZE_LIMIT) -> bytes:
    """A PNG with a row an epoch and a column a prompt.

    Small images are enlarged by a whole factor, large ones reduced by one, to the nearest pixel. If the file would be
    too large, cells become smaller and colours fewer.

    Parameters
    ----------
    columns
        Keys of the rows' images, shown as headings in this order.
    limit
        Most bytes of the result.

    Raises
    ------
    ValueError
        If there is no row or no column, or if not even the smallest cells fit.
    """
    if not rows or not columns:
        raise ValueError(f"{len(rows)} rows and {len(columns)} columns make no grid: give at least one of each.")
    pictures = [{column: opened(row.images[column]) for column in columns if column in row.images} for row in rows]
    for cell in _CELLS:
        width, height = _size(rows, columns, cell)
        if width * height > _MOST_PIXELS:
            continue
        drawn = _drawn(rows, columns, pictures, cell)
        for colors in _COLORS:
            picture = encoded(drawn, colors)
            if len(picture) <= limit:
                return picture
    raise ValueError(
        f"{len(rows)} epochs by {len(columns)} prompts do not fit into a picture of {limit} bytes and "
        f"{_MOST_PIXELS} pixels. Draw several, of fewer epochs or prompts each."
    )


def _size(rows: Sequence[GridRow], columns: Sequence[str], cell: int) -> tuple[int, int]:
    height = _top_of_rows() + sum(_gap_before(rows, at) + cell for at in range(len(rows))) + _GAP
    return _MARGIN + len(columns) * (cell + _GAP) + _GAP, height


def _top_of_rows() -> int:
    return _GAP + _HEADING_LINES * _LINE


def _gap_before(rows: Sequence[GridRow], at: int) -> int:
    stands_apart = at > 0 and bool(rows[at].subtitle) and rows[at].title != rows[at - 1].title
    return _GAP_BETWEEN_GROUPS if stands_apart else _GAP


def _drawn(
    rows: Sequence[GridRow], columns: Sequence[str], pictures: Sequence[Mapping[str, Image.Image]], cell: int
) -> Image.Image:
    sheet = Image.new("RGB", _size(rows, columns, cell), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=_FONT_SIZE)
    lefts = [_MARGIN + number * (cell + _GAP) for number in range(len(columns))]
    for left, column in zip(lefts, columns, strict=True):
        lines = _wrapped(column, cell, font)
        for number, line in enumerate(lines):
            pen.text((left, _top_of_rows() - _LINE * (len(lines) - number)), line, fill=_INK, font=font)
    top = _top_of_rows()
    for at, (row, shown) in enumerate(zip(rows, pictures, strict=True)):
        top += _gap_before(rows, at)
        middle = top + cell // 2 - (_LINE if row.subtitle else _LINE // 2)
        pen.text((_GAP, middle), shortened(row.title, _MARGIN - 2 * _GAP, font), fill=_INK, font=font)
        pen.text((_GAP, middle + _LINE), shortened(row.subtitle, _MARGIN - 2 * _GAP, font), fill=_FAINT, font=font)
        for left, column in zip(lefts, columns, strict=True):
            if column in shown:
                picture = fitted(shown[column], cell)
                sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
            else:
                pen.rectangle((left, top, left + cell - 1, top + cell - 1), outline=_EMPTY)
        top += cell
    return sheet


def _wrapped(text: str, width: int, font: Font) -> list[str]:
    """The text in at most three lines, broken after underscores and spaces."""
    lines: list[str] = []
    for word in re.findall(r"[^_\s]+[_\s]?|[_\s]", text):
        if lines and font.getlength(lines[-1] + word.rstrip()) <= width:
            lines[-1] += word
        else:
            lines.append(word)
    if len(lines) > _HEADING_LINES:
        lines = [*lines[: _HEADING_LINES - 1], "".join(lines[_HEADING_LINES - 1 :])]
    return [shortened(line, width, font) for line in lines]
