"""The evidence of one measurement as a picture: the image, where its regions were found, what is wrong, the numbers."""

import io
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from pixel_lora_pipeline.validate.contact_sheet import SIZE_LIMIT
from pixel_lora_pipeline.validate.expectation import Expectation
from pixel_lora_pipeline.validate.lettering import INK, PAPER, QUIET, Chip, lettering, paint_chips
from pixel_lora_pipeline.validate.measurement import ImageMeasurement
from pixel_lora_pipeline.validate.overlay_numbers import LEAST_WIDTH, numbers_panel
from pixel_lora_pipeline.validate.overlay_pictures import Enlargement, faults_picture, plain_picture, regions_picture

# Sides of a picture in pixels, and its numbers of colours, in the order in which they are given up. Pixel art fits at
# once; a photograph loses colours, then size.
_SIDES: Final = (512, 384, 256, 192, 128, 64)
_COLORS: Final = (None, 64, 32)
# 32 colours do not make a file this many times smaller: such a size need not be tried with fewer colours.
_HOPELESS: Final = 4
_MARGIN: Final = 20
_TITLE_HEIGHT: Final = 26
_NARROWEST: Final = 320


def overlay(
    image: NDArray[np.uint8],
    measurement: ImageMeasurement,
    expectation: Expectation | None = None,
    *,
    limit: int = SIZE_LIMIT,
) -> bytes:
    """A PNG of four panels that shows what a measurement rests on.

    The image enlarged (or, above 512 pixels, reduced) by a whole number to the nearest pixel; the regions in which
    colours were measured; the cells that have another colour than the prompt gives them, with the grid; and the
    numbers, expected beside found.

    Parameters
    ----------
    image : uint8[H, W, 3 or 4]
        The image that was measured.
    measurement
        What was measured on it. One of an older version, without regions, shows its numbers alone.
    expectation
        What the prompt names. The measurement knows that too, except for the words that were not understood:
        with it they are listed.
    limit
        Most bytes of the result.

    Raises
    ------
    ValueError
        If not even the smallest picture fits into `limit`.
    """
    for shown in _sizes(image, measurement):
        for colors in _COLORS:
            buffer = io.BytesIO()
            _sheet(image, measurement, expectation, shown, colors).save(buffer, "PNG")
            if buffer.tell() <= limit:
                return buffer.getvalue()
            if buffer.tell() > _HOPELESS * limit:
                break
    raise ValueError(f"The overlay does not fit into {limit} bytes. Allow more.")


def _sizes(image: NDArray[np.uint8], measurement: ImageMeasurement) -> Iterable[Enlargement]:
    """The largest first, each once."""
    fitting = [Enlargement.to_fit(image.shape, measurement, side) for side in _SIDES]
    return {(shown.factor, shown.step): shown for shown in fitting}.values()


def _sheet(
    image: NDArray[np.uint8],
    measurement: ImageMeasurement,
    expectation: Expectation | None,
    shown: Enlargement,
    colors: int | None,
) -> Image.Image:
    regions, region_chips = regions_picture(image, measurement, shown)
    faults, fault_chips = faults_picture(image, measurement, shown)
    column = max(shown.width, _NARROWEST)
    panels = [
        _panel(f"Image, {shown.described}", plain_picture(image, shown), (), column, colors),
        _panel("Regions found", regions, region_chips, column, colors),
        _panel("Off colour, craft, grid", faults, fault_chips, column, colors),
        numbers_panel(measurement, () if expectation is None else expectation.unknown, max(column, LEAST_WIDTH)),
    ]
    return _arranged(panels)


def _arranged(panels: Sequence[Image.Image]) -> Image.Image:
    """Two panels a row on one sheet."""
    widths = [max(panels[at].width, panels[at + 2].width) for at in (0, 1)]
    heights = [max(panels[at].height, panels[at + 1].height) for at in (0, 2)]
    sheet = Image.new("RGB", (sum(widths) + 3 * _MARGIN, sum(heights) + 3 * _MARGIN), PAPER)
    for at, panel in enumerate(panels):
        left = _MARGIN + (at % 2) * (widths[0] + _MARGIN)
        top = _MARGIN + (at // 2) * (heights[0] + _MARGIN)
        sheet.paste(panel, (left, top))
    return sheet


def _panel(title: str, picture: Image.Image, chips: Sequence[Chip], width: int, colors: int | None) -> Image.Image:
    """A picture below its title, with a legend of coloured chips."""
    if colors is not None:
        quantized = picture.quantize(colors, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        picture = quantized.convert("RGB")
    top = _TITLE_HEIGHT + picture.height + 8
    panel = Image.new("RGB", (width, top + 200), PAPER)
    pen = ImageDraw.Draw(panel)
    pen.text((0, 2), title, fill=INK, font=lettering(14, bold=True))
    panel.paste(picture, (0, _TITLE_HEIGHT))
    pen.rectangle((0, _TITLE_HEIGHT, picture.width - 1, _TITLE_HEIGHT + picture.height - 1), outline=QUIET)
    bottom = paint_chips(pen, chips, (0, top), width)
    return panel.crop((0, 0, width, bottom))
