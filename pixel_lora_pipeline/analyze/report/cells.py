"""Two images of one prompt and seed on one pixel grid: which of its cells changed."""

import io
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.colorspace import oklab_of_rgb
from pixel_lora_pipeline.validate.grid import Grid, find_grid, native_image
from pixel_lora_pipeline.validate.measurement import decode_png
from pixel_lora_pipeline.validate.palette import SAME_COLOR, extract_palette

# Where neither image has a grid they are compared in this many cells a side.
_CELLS_WITHOUT_GRID: Final = 64
# Colours that a PNG can name by one byte a cell.
_MOST_INDEXED: Final = 256

Cells = NDArray[np.uint8]


@dataclass(frozen=True)
class CellChange:
    """What changed from one image to another.

    Attributes
    ----------
    before, after
        Both images on the common grid, uint8[rows, columns, 3].
    changed
        Cells whose colour a viewer sees to differ, bool[rows, columns].
    new_colors, lost_colors
        How many colours of the palette came, and went.
    """

    before: Cells
    after: Cells
    changed: NDArray[np.bool_]
    new_colors: int
    lost_colors: int

    @property
    def share(self) -> float:
        """Of the cells, 0-1."""
        return float(self.changed.mean())


def native_cells(png: bytes) -> Cells:
    """An image with one pixel a cell of its grid; without a grid, averaged down to about 64 cells a side."""
    pixels = decode_png(png)[..., :3]
    return _on_grid(pixels, find_grid(pixels))


def cell_change(before: bytes, after: bytes) -> CellChange | None:
    """Compare two PNGs cell by cell; None where they differ in size and so have no grid in common.

    The grid is that of the later image, else that of the earlier one, else blocks of equal size.
    """
    old, new = decode_png(before)[..., :3], decode_png(after)[..., :3]
    if old.shape != new.shape:
        return None
    grid = find_grid(new)
    if grid.pixel_size is None:
        grid = find_grid(old)
    cells_before, cells_after = _on_grid(old, grid), _on_grid(new, grid)
    lab_before, lab_after = oklab_of_rgb(cells_before), oklab_of_rgb(cells_after)
    changed = np.sqrt(((lab_after - lab_before) ** 2).sum(axis=2)) > SAME_COLOR
    colors_before, colors_after = _palette(cells_before), _palette(cells_after)
    return CellChange(
        before=cells_before,
        after=cells_after,
        changed=changed,
        new_colors=_without_match(colors_after, colors_before),
        lost_colors=_without_match(colors_before, colors_after),
    )


def outline(marked: NDArray[np.bool_]) -> str:
    """The border of the marked cells as SVG path data, one unit a cell: straight lines between cells."""
    padded = np.pad(marked, 1)
    parts = []
    for row, line in enumerate(padded[1:, 1:-1] != padded[:-1, 1:-1]):
        parts += [f"M{start} {row}h{stop - start}" for start, stop in _stretches(line)]
    for column, line in enumerate((padded[1:-1, 1:] != padded[1:-1, :-1]).T):
        parts += [f"M{column} {start}v{stop - start}" for start, stop in _stretches(line)]
    return "".join(parts)


def png_of_cells(cells: Cells) -> bytes:
    """The cells as a PNG, as small as it can be without losing a colour."""
    codes, indices = np.unique(cells.reshape(-1, 3), axis=0, return_inverse=True)
    if len(codes) <= _MOST_INDEXED:
        image = Image.fromarray(indices.reshape(cells.shape[:2]).astype(np.uint8))
        image.putpalette(codes.tobytes())
    else:
        image = Image.fromarray(cells)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _on_grid(pixels: Cells, grid: Grid) -> Cells:
    if grid.pixel_size is not None:
        return native_image(pixels, grid)
    height, width = pixels.shape[:2]
    side = min(-(-max(height, width) // _CELLS_WITHOUT_GRID), height, width)
    rows, columns = height // side, width // side
    blocks = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, 3)
    return np.asarray(np.rint(blocks.mean(axis=(1, 3))), dtype=np.uint8)


def _palette(cells: Cells) -> NDArray[np.float64]:
    return extract_palette(cells, np.ones(cells.shape[:2], dtype=bool)).colors


def _without_match(colors: NDArray[np.float64], others: NDArray[np.float64]) -> int:
    distances = np.sqrt(((colors[:, None, :] - others[None, :, :]) ** 2).sum(axis=2))
    return int((distances.min(axis=1) > SAME_COLOR).sum())


def _stretches(line: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Start and end of every run of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], line.astype(np.int8), [0]))))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]
