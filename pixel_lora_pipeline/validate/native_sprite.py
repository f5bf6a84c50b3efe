"""Whether an image is a sprite at native size: every pixel a cell."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.edge_profile import step_sizes

# Larger pictures at native size are not drawn by hand, pixel by pixel.
LARGEST_NATIVE: Final = 512
# Share of neighbouring pixels that are exactly equal in a native sprite, and the median difference of those
# that are not, in levels: a soft picture has equal neighbours too, but few of its steps are large.
_FLATNESS: Final = 0.35
_STEP: Final = 16
# Share of the steps that bound a line of one pixel, brighter or darker than both sides. In an enlarged sprite no
# line is that thin, and the thin lines of smooth drawings are fringes, between their two sides.
_THIN_LINES: Final = 0.05
# So small a picture would have few cells if it were enlarged: it is taken for a sprite whether or not it shows
# such lines.
_SMALL: Final = 64
# A picture is judged by at most this many rows and columns.
_MOST_LINES: Final = 64


def looks_native(image: NDArray[np.uint8]) -> bool:
    """Whether every pixel of uint8[H, W, C] may be a cell.

    Many neighbours are equal, the others are far apart, and details are as small as one pixel.
    """
    height, width = image.shape[:2]
    if max(height, width) > LARGEST_NATIVE:
        return False
    across = image[:: -(-height // _MOST_LINES)]
    down = image[:, :: -(-width // _MOST_LINES)].transpose(1, 0, 2)
    sizes = [step_sizes(lines[:, 1:], lines[:, :-1]) for lines in (across, down)]
    changes = np.concatenate([size[size > 0] for size in sizes])
    total = sum(size.size for size in sizes)
    if changes.size == 0 or changes.size > (1.0 - _FLATNESS) * total or np.median(changes) < _STEP:
        return False
    if max(height, width) <= _SMALL:
        return True
    thin = sum(_count_thin_lines(lines) for lines in (across, down))
    return thin >= _THIN_LINES * changes.size


def _count_thin_lines(lines: NDArray[np.uint8]) -> int:
    """Pixels along some lines, [lines, pixels, C], that are brighter or darker than both neighbours in a channel."""
    steps = np.diff(lines.astype(np.int16), axis=1)
    is_opposite = (np.minimum(np.abs(steps[:, 1:]), np.abs(steps[:, :-1])) >= _STEP) & (
        np.signbit(steps[:, 1:]) != np.signbit(steps[:, :-1])
    )
    return int(is_opposite.any(axis=2).sum())
