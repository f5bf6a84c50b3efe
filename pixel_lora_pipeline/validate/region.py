"""Regions of a native-size image as runs of cells: small enough to be stored with every measurement."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

# A portrait of 64 x 64 cells has a few hundred runs a region. Only noise has more than this, and there the short
# runs say nothing: they are left out, so that no image makes a row of megabytes.
MOST_RUNS: Final = 1024


def runs_of(cells: NDArray[np.bool_]) -> list[list[int]]:
    """The runs of true cells of bool[rows, columns] in row-major order, as [start, length] from cell 0.

    A run may go on from one row into the next. Of more than `MOST_RUNS`, the longest are kept.
    """
    edges = np.flatnonzero(np.diff(cells.ravel(), prepend=False, append=False))
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    if len(starts) > MOST_RUNS:
        kept = np.sort(np.argsort(-lengths, kind="stable")[:MOST_RUNS])
        starts, lengths = starts[kept], lengths[kept]
    return np.stack([starts, lengths], axis=1).tolist()  # type: ignore[no-any-return]


def cells_of(runs: Sequence[Sequence[int]], shape: Sequence[int]) -> NDArray[np.bool_]:
    """The cells that `runs_of` was given, bool[rows, columns]; `shape` is the measurement's `native_size`.

    Raises
    ------
    ValueError
        If a run does not lie inside the shape.
    """
    rows, columns = shape
    cells = np.zeros(rows * columns, dtype=bool)
    for start, length in runs:
        if start < 0 or length < 0 or start + length > cells.size:
            raise ValueError(
                f"a run of {length} cells from cell {start} does not fit into {rows} x {columns} cells: "
                "give the native size of the measurement that the runs belong to"
            )
        cells[start : start + length] = True
    return cells.reshape(rows, columns)
