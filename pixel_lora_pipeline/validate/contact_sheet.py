"""All images of a checkpoint in one picture, enlarged without smoothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from pixel_lora_pipeline.validate.crisp_picture import encoded, fitted, opened, shortened

SIZE_LIMIT: Final = 200_000
"""Bytes. Larger pictures embedded in metadata make Dagster's UI slow (dagster issue 17189)."""

_GAP: Final = 6
_LABEL_HEIGHT: Final = 26
# Sides of a cell in pixels and numbers of colours, in the order in which they are given up. A picture of few colours
# loses nothing by a palette of 256, so size is what goes first only where colours are many.
_CELLS: Final = (192, 128, 96, 64, 48, 32, 16, 8)
_COLORS: Final = (None, 256, 64, 16)
# Even 16 colours do not make a file this many times smaller: such a size need not be tried with fewer colours.
_HOPELESS: Final = 8
# Below this, labels would be cut to a letter or two.
_NARROWEST_LABELLED: Final = 64
_INK: Final = "#22262e"
_PAPER: Final = "#ffffff"


@dataclass(frozen=True)
class Labelled:
    """One image of the sheet with two short lines below it."""

    png: bytes
    title: str
    subtitle: str = ""


def contact_sheet(images: Sequence[Labelled], *, columns: int = 5, limit: int = SIZE_LIMIT) -> bytes:
    """A PNG of all images in rows.

    Small images are enlarged to about 192 pixels by a whole factor, large ones are reduced by one, always to the
    nearest pixel, so that what is crisp stays crisp. If the file would be too large, colours and then the size of
    the cells are reduced, and labels left out where they would not fit.

    Parameters
    ----------
    images
        At least one; they may differ in size.
    limit
        Most bytes of the result.

    Raises
    ------
    ValueError
        If there is no image, or so many that not even the smallest cells fit.
    """
    if not images:
        raise ValueError("A contact sheet needs at least one image.")
    pictures = [opened(labelled.png) for labelled in images]
    for cell in _CELLS:
        sheet = _drawn(images, pictures, columns, cell)
        for colors in _COLORS:
            picture = encoded(sheet, colors)
            if len(picture) <= limit:
                return picture
            if len(picture) > _HOPELESS * limit:
                break
    raise ValueError(f"{len(images)} images do not fit on a contact sheet of {limit} bytes. Make several sheets.")


def _drawn(images: Sequence[Labelled], pictures: Sequence[Image.Image], columns: int, cell: int) -> Image.Image:
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    is_labelled = cell >= _NARROWEST_LABELLED
    width, height = cell + _GAP, cell + _GAP + (_LABEL_HEIGHT if is_labelled else 0)
    sheet = Image.new("RGB", (columns * width + _GAP, rows * height + _GAP), _PAPER)
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=11)
    for index, (labelled, original) in enumerate(zip(images, pictures, strict=True)):
        left = _GAP + index % columns * width
        top = _GAP + index // columns * height
        picture = fitted(original, cell)
        sheet.paste(picture, (left + (cell - picture.width) // 2, top + (cell - picture.height) // 2))
        for line, text in enumerate((labelled.title, labelled.subtitle) if is_labelled else ()):
            pen.text((left, top + cell + 1 + 12 * line), shortened(text, cell, font), fill=_INK, font=font)
    return sheet
