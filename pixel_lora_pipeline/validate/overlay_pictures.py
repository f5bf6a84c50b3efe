"""The pictures of an overlay: the image as it is, its regions, and what is wrong with its cells."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from pixel_lora_pipeline.validate.grid import cell_edges, cell_of_pixels
from pixel_lora_pipeline.validate.lettering import Chip, Mark, paint_mark
from pixel_lora_pipeline.validate.measurement import ImageMeasurement
from pixel_lora_pipeline.validate.region import cells_of

# Colours that people with any colour vision tell apart: Okabe and Ito, "Color universal design", 2008,
# https://jfly.uni-koeln.de/color/. The accessories take theirs in turn.
_REGION_COLORS: Final = {"background": "#0072b2", "hair": "#d55e00", "skin": "#009e73"}
_ACCESSORY_COLORS: Final = ("#e69f00", "#cc79a7", "#56b4e9", "#f0e442")
_FAULT: Final = "#e6007e"
_CASING: Final = "#ffffff"  # lets a mark be seen on its own colour
_GRID: Final = "#1f6fb2"
# Transparent pixels show a board of these two greys, as painting programs do, in squares of so many pixels.
_BOARD: Final = (236, 212)
_SQUARE: Final = 8
# How much of the colour of the picture below remains: regions lie on grey, marks on the faded image.
_TINT: Final = 0.45
_FADED_GREY: Final = 0.5
_FADED: Final = 0.6
_OUTLINE: Final = 2
# In pixels of the sheet: lines closer than this hide the picture, marks smaller than this cannot be told apart.
_CLOSEST_LINES: Final = 6.0
_SMALLEST_MARK: Final = 6
_VEIL: Final = 150  # opacity of 255 of what marks cells that are too small
_OFF_COLOR: Final = "off_color"
# How faults of craft are marked and called: color, form, name.
_CRAFT: Final[Mapping[str, tuple[str, Mark, str]]] = {
    "orphan_pixels": ("#0072b2", "ring", "orphan pixels"),
    "jaggies": ("#d55e00", "frame", "jaggies"),
    "banding": ("#6a3d9a", "bars", "bands"),
}


@dataclass(frozen=True)
class Enlargement:
    """How an image is shown, and which native cell each pixel of the sheet belongs to.

    Attributes
    ----------
    factor, step
        Each image pixel becomes `factor` pixels square, of every `step` pixels one is shown; one of them is 1.
    image_rows, image_columns : intp[h], intp[w]
        Row (column) of the image for each of the sheet.
    cell_rows, cell_columns : intp[h], intp[w]
        Row (column) of the native cell; -1 before the first and their number after the last.
    row_lines, column_lines : float64[n]
        Where the grid's lines lie on the sheet; none without a grid.
    """

    factor: int
    step: int
    image_rows: NDArray[np.intp]
    image_columns: NDArray[np.intp]
    cell_rows: NDArray[np.intp]
    cell_columns: NDArray[np.intp]
    row_lines: NDArray[np.float64]
    column_lines: NDArray[np.float64]

    @classmethod
    def to_fit(cls, shape: tuple[int, ...], measurement: ImageMeasurement, side: int) -> "Enlargement":
        """Show an image of this shape on the area of a square of `side` pixels, by a whole factor.

        A long image may be up to twice as long as that square.
        """
        extent = max(math.sqrt(shape[0] * shape[1]), max(shape[:2]) / 2)
        factor, step = max(1, math.floor(side / extent)), math.ceil(extent / side)
        sheet_rows, sheet_columns = (np.arange(length * factor // step) * step // factor for length in shape[:2])
        edges = _edges(measurement, shape)
        cell_rows, cell_columns = (
            _cells(of_axis, length, count)
            for of_axis, length, count in zip(edges, shape[:2], measurement.evidence["native_size"], strict=True)
        )
        has_grid = measurement.grid.pixel_size is not None
        row_lines, column_lines = (of_axis if has_grid else of_axis[:0] for of_axis in edges)
        return cls(
            factor,
            step,
            sheet_rows,
            sheet_columns,
            cell_rows[sheet_rows],
            cell_columns[sheet_columns],
            row_lines * factor / step,
            column_lines * factor / step,
        )

    @property
    def width(self) -> int:
        """In pixels of the sheet."""
        return len(self.image_columns)

    @property
    def described(self) -> str:
        """How large the image is shown, in words."""
        if self.step > 1:
            return f"1 pixel in {self.step}"
        return f"{self.factor} times as large" if self.factor > 1 else "as it is"

    def picture(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The image as it is shown, uint8[h, w, 3], on a chequered board where it is transparent."""
        shown = image[self.image_rows[:, None], self.image_columns[None, :]]
        if image.shape[2] == 3:
            return shown
        rows, columns = np.indices(shown.shape[:2]) // _SQUARE
        board = np.where((rows + columns) % 2, *_BOARD)[..., None]
        opacity = shown[..., 3:] / 255.0
        return np.asarray(np.rint(shown[..., :3] * opacity + board * (1.0 - opacity)), dtype=np.uint8)

    def mask(self, cells: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """The pixels of the sheet, bool[h, w], that show the given cells."""
        padded = np.pad(cells, 1)  # what was not measured lies before the first and after the last cell
        return np.asarray(padded[self.cell_rows[:, None] + 1, self.cell_columns[None, :] + 1])

    def boxes(self, cells: NDArray[np.bool_]) -> Iterator[tuple[int, int, int, int]]:
        """Left, top, right and bottom pixel on the sheet, all included, of each cell that shows on it."""
        tops = np.searchsorted(self.cell_rows, np.arange(cells.shape[0] + 1)).tolist()
        lefts = np.searchsorted(self.cell_columns, np.arange(cells.shape[1] + 1)).tolist()
        for row, column in np.argwhere(cells).tolist():
            box = lefts[column], tops[row], lefts[column + 1] - 1, tops[row + 1] - 1
            if box[0] <= box[2] and box[1] <= box[3]:
                yield box


def plain_picture(image: NDArray[np.uint8], shown: Enlargement) -> Image.Image:
    """The image and nothing else."""
    return Image.fromarray(shown.picture(image))


def regions_picture(
    image: NDArray[np.uint8], measurement: ImageMeasurement, shown: Enlargement
) -> tuple[Image.Image, list[Chip]]:
    """The regions tinted and outlined on the image in grey, and their legend with shares of all cells."""
    grey = np.asarray(Image.fromarray(shown.picture(image)).convert("L"), dtype=np.float64)
    canvas = np.repeat((255.0 - (255.0 - grey) * _FADED_GREY)[..., None], 3, axis=2)
    chips = []
    accessory_colors = cycle(_ACCESSORY_COLORS)
    for name, cells in _regions(measurement).items():
        if name == _OFF_COLOR or not cells.any():
            continue
        color = _REGION_COLORS.get(name) or next(accessory_colors)
        mask, ink = shown.mask(cells), np.array(_rgb(color))
        canvas[mask] += (ink - canvas[mask]) * _TINT
        canvas[mask & ~ndimage.binary_erosion(mask, iterations=_OUTLINE)] = ink
        chips.append(Chip(color, f"{name} {100.0 * cells.mean():.0f} %"))
    return Image.fromarray(np.rint(canvas).astype(np.uint8)), chips


def faults_picture(
    image: NDArray[np.uint8], measurement: ImageMeasurement, shown: Enlargement
) -> tuple[Image.Image, list[Chip]]:
    """Grid and marks on the faded image, and their legend with numbers of cells."""
    faded = 255.0 - (255.0 - shown.picture(image).astype(np.float64)) * _FADED
    picture = Image.fromarray(np.rint(faded).astype(np.uint8))
    chips = [_paint_grid(picture, shown)]
    pen = ImageDraw.Draw(picture, "RGBA")
    off = _regions(measurement).get(_OFF_COLOR)
    if off is not None:
        for box in shown.boxes(off):
            _paint_fault(pen, "cross", box, _FAULT)
        chips.append(Chip(_FAULT, f"off colour: {_counted(int(off.sum()))}", "cross"))
    for key, places in (measurement.evidence.get("craft") or {}).items():
        color, mark, name = _CRAFT[key]
        for box in shown.boxes(_at(places, measurement.evidence["native_size"])):
            _paint_fault(pen, mark, box, color)
        chips.append(Chip(color, f"{name}: {measurement.style_quality[key]}", mark))
    return picture, chips


def _edges(measurement: ImageMeasurement, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the rows and the columns of native cells begin and end in the image."""
    grid = measurement.grid
    if grid.pixel_size is not None:
        column_edges, row_edges = cell_edges(grid, shape)
        return row_edges, column_edges
    # Square blocks of whole pixels, with a rest at the end that was not measured.
    rows, columns = measurement.evidence["native_size"]
    side = min(shape[0] // rows, shape[1] // columns)
    return np.arange(0.0, side * rows + 1.0, side), np.arange(0.0, side * columns + 1.0, side)


def _cells(edges: NDArray[np.float64], length: int, count: int) -> NDArray[np.intp]:
    """Native row (column) of each row (column) of the image, -1 before the first, `count` after the last."""
    return np.clip(cell_of_pixels(edges, np.arange(length))[0], -1, count)


def _at(places: Sequence[Sequence[int]], shape: Sequence[int]) -> NDArray[np.bool_]:
    """The cells of a list of [row, column]."""
    rows, columns = shape
    cells = np.zeros((rows, columns), dtype=bool)
    for row, column in places:
        cells[row, column] = True
    return cells


def _regions(measurement: ImageMeasurement) -> dict[str, NDArray[np.bool_]]:
    shape = measurement.evidence["native_size"]
    return {name: cells_of(runs, shape) for name, runs in measurement.evidence.get("regions", {}).items()}


def _paint_grid(picture: Image.Image, shown: Enlargement) -> Chip:
    """Thin lines, as many as leave the picture to be seen."""
    lines = max(shown.row_lines, shown.column_lines, key=len)
    if len(lines) < 2:
        return Chip(_GRID, "no pixel grid", "line")
    every = 1
    while every * (lines[1] - lines[0]) < _CLOSEST_LINES:
        every *= 2
    pen = ImageDraw.Draw(picture, "RGBA")
    ink = (*_rgb(_GRID), 90)
    for x in shown.column_lines[::every]:
        pen.line((round(x), 0, round(x), picture.height), fill=ink)
    for y in shown.row_lines[::every]:
        pen.line((0, round(y), picture.width, round(y)), fill=ink)
    return Chip(_GRID, "grid" if every == 1 else f"one grid line in {every}", "line")


def _paint_fault(pen: ImageDraw.ImageDraw, mark: Mark, box: tuple[int, int, int, int], color: str) -> None:
    """A mark on one cell, with a casing that lets it be seen on its own colour."""
    left, top, right, bottom = box
    if min(right - left, bottom - top) + 1 < _SMALLEST_MARK:
        pen.rectangle(box, fill=(*_rgb(color), _VEIL))
        return
    inset, thick = (right - left) // 5, 1 + (right - left) // 12
    inner = left + inset, top + inset, right - inset, bottom - inset
    outer = inner if mark == "cross" else (inner[0] - 1, inner[1] - 1, inner[2] + 1, inner[3] + 1)
    paint_mark(pen, mark, outer, _CASING, thick + 2)
    paint_mark(pen, mark, inner, color, thick)


def _counted(cells: int) -> str:
    return f"{cells} cell" if cells == 1 else f"{cells} cells"


def _rgb(color: str) -> tuple[int, int, int]:
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)
