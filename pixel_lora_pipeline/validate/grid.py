"""The pixel grid of an image: how large its cells are, where they start, and its picture at native size."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

# A cell is at least two image pixels: below that the samples cannot tell a grid from the pixels themselves.
SMALLEST_CELL: Final = 2.0
# A sprite has at least eight cells a side; with fewer, any picture has a "grid" through its few edges.
FEWEST_CELLS: Final = 8
# Photographs reach a coherence of 0.4 by chance and 0.5 with a JPEG's blocks (scikit-image's photographs at
# 64 to 512 pixels); a grid at 0.5 drifts by a fifth of a cell, after which there is little left to snap to.
LEAST_COHERENCE: Final = 0.5
# Differences above this count alike, so that one black outline does not outvote a hundred soft edges.
_STRONGEST_STEP: Final = 64
# Frequencies are sampled this many times finer than the image can resolve, so that the nearest sample has
# at least 99 % of the coherence at the true frequency (sinc of 1/16 of a cycle).
_OVERSAMPLING: Final = 8
# Multiples of the frequency of a grid are as coherent as the grid itself: the largest cell within this share
# of the best is the grid.
_HARMONIC_SHARE: Final = 0.9
# A picture of at most this many pixels a side can be a sprite at native size, one image pixel a cell.
_LARGEST_NATIVE: Final = 128
# Share of neighbouring pixels that are exactly equal in a native sprite, and the median difference of those
# that are not, in levels: a soft picture has equal neighbours too, but few of its steps are large.
_NATIVE_FLATNESS: Final = 0.35
_NATIVE_STEP: Final = 16
# A picture that looks like a sprite at native size is taken for one unless a coarser grid is this coherent.
_BEYOND_CHANCE: Final = 0.9
# The median colour of a cell is taken over this share of its width, away from what bleeds over its edges.
_CORE: Final = 0.4
_MOST_SAMPLES: Final = 5


@dataclass(frozen=True)
class Grid:
    """The pixel grid found in an image; `pixel_size` is None where there is none.

    Attributes
    ----------
    pixel_size : float or None
        Side of a cell in image pixels.
    phase : tuple of float, or None
        Position of the first grid line, (x, y) in image pixels, 0 <= phase < pixel_size.
    coherence : float
        How much of all edges lies on the lines of one grid, 0-1 (1: every edge). Without a grid, that of the
        best candidate.
    off_grid_error : float or None
        Standard deviation of the edges' distance from their grid line, in image pixels.
    """

    pixel_size: float | None
    phase: tuple[float, float] | None
    coherence: float
    off_grid_error: float | None


def off_grid_error(coherence: float, pixel_size: float) -> float:
    """How far edges drift from a perfect grid, in image pixels (0: every edge on the grid).

    Assumes Gaussian drift of the edges, for which the coherence of a comb of period *p* falls as
    exp(-(2*pi*sigma/p)**2 / 2). Not meaningful below a coherence of 0.4: there is no grid to drift from.

    Raises
    ------
    ValueError
        If `coherence` is not in (0, 1] or `pixel_size` is not positive.
    """
    if not 0.0 < coherence <= 1.0:
        raise ValueError(f"coherence is {coherence}, expected a number in (0, 1]")
    if pixel_size <= 0.0:
        raise ValueError(f"pixel_size is {pixel_size}, expected a positive number of image pixels")
    return math.sqrt(2.0 * abs(math.log(coherence))) * pixel_size / (2.0 * math.pi)


def find_grid(image: NDArray[np.uint8]) -> Grid:
    """Find the pixel grid of uint8[H, W, C].

    The differences between neighbouring columns (and rows) make a profile with a tooth at every cell edge.
    Its Fourier transform, divided by its sum, is the coherence of the edges with a grid of that period; both
    axes vote together, and of a period and its fractions the largest wins.

    Notes
    -----
    Trust it where `coherence` is above about 0.6. Cells are taken to be square and of one size; drift lowers
    the coherence. A sprite at native size has cells of one pixel, which no transform can show: it is
    recognised by its flatness. A JPEG's own 8 x 8 blocks are a grid too, if a faint one.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    profiles = [_edge_profile(image, axis) for axis in (1, 0)]
    weight = sum(float(profile.sum()) for profile in profiles)
    coherence = 0.0
    if weight > 0.0 and longest >= SMALLEST_CELL * FEWEST_CELLS:
        length = _OVERSAMPLING * longest
        # Entry x of a profile is the step between pixels x and x + 1: the edge lies at x + 1, and the shift
        # by one changes the angle, not the magnitude.
        spectra = [np.abs(np.fft.rfft(profile, length)) for profile in profiles]
        spectrum = (spectra[0] + spectra[1]) / weight
        lowest = math.ceil(_OVERSAMPLING * FEWEST_CELLS * longest / min(height, width))
        highest = math.floor(length / SMALLEST_CELL)
        candidates = spectrum[lowest : highest + 1]
        if candidates.size:
            best = _lowest_strong_peak(candidates) + lowest
            frequency = _refined_peak(spectrum, best, highest) / length
            size = 1.0 / frequency
            coherence = min(1.0, _coherence(profiles, frequency) / weight)
            is_native = longest <= _LARGEST_NATIVE and coherence < _BEYOND_CHANCE and _looks_native(image)
            if coherence >= LEAST_COHERENCE and not is_native:
                phase_x, phase_y = (_phase(profile, size) for profile in profiles)
                return Grid(size, (phase_x, phase_y), coherence, off_grid_error(coherence, size))
    if longest <= _LARGEST_NATIVE and _looks_native(image):
        return Grid(1.0, (0.0, 0.0), 1.0, 0.0)
    return Grid(None, None, coherence, None)


def native_image(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The picture with one pixel a cell, uint8[rows, columns, C].

    The colour of a cell is the median of each channel over the middle of the cell, where the neighbours'
    colours do not bleed in. Cells of which the image shows less than half are left out.

    Raises
    ------
    ValueError
        If `grid` holds no grid.
    """
    if grid.pixel_size is None or grid.phase is None:
        raise ValueError("this image has no pixel grid, and so no native size: check grid.pixel_size first")
    if grid.pixel_size <= 1.0:
        return image
    columns = cell_samples(image.shape[1], grid.pixel_size, grid.phase[0])
    rows = cell_samples(image.shape[0], grid.pixel_size, grid.phase[1])
    cells = image[rows[:, None, :, None], columns[None, :, None, :]]
    n_rows, n_columns = cells.shape[:2]
    return np.asarray(np.median(cells.reshape(n_rows, n_columns, -1, image.shape[2]), axis=2), dtype=np.uint8)


def cell_samples(length: int, pixel_size: float, phase: float) -> NDArray[np.intp]:
    """Image pixels in the middle of every cell along one axis, intp[cells, samples a cell]."""
    first = -1 if phase >= 0.5 * pixel_size else 0
    last = math.floor((length - phase) / pixel_size - 0.5)
    centres = phase + (np.arange(first, max(last, first) + 1) + 0.5) * pixel_size
    count = 2 if pixel_size < 2.5 else min(_MOST_SAMPLES, max(1, round(_CORE * pixel_size)))
    reach = 0.25 if count == 2 else _CORE / 2 * (count - 1) / count
    offsets = np.linspace(-reach, reach, count) * pixel_size if count > 1 else np.zeros(1)
    return np.clip(np.floor(centres[:, None] + offsets[None, :]), 0, length - 1).astype(np.intp)


def cell_of_each_pixel(length: int, pixel_size: float, phase: float) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Row (or column) of the native picture for each image pixel, and its distance from the cell's centre.

    intp[length] and float64[length]; the distance is in cells, 0-0.5. Cells count from the first that
    `cell_samples` has; pixels before it get -1.
    """
    position = (np.arange(length) + 0.5 - phase) / pixel_size
    cell = np.floor(position)
    first = -1 if phase >= 0.5 * pixel_size else 0
    return (cell - first).astype(np.intp), np.abs(position - cell - 0.5)


def _edge_profile(image: NDArray[np.uint8], axis: int) -> NDArray[np.float64]:
    """Strength of the edges between neighbours along `axis`, float64[n - 1], less what every line has."""
    n = image.shape[axis]
    if n < 2:
        return np.zeros(0)
    after = image[1:] if axis == 0 else image[:, 1:]
    before = image[:-1] if axis == 0 else image[:, :-1]
    # Channel by channel: NumPy reduces over an axis of three far more slowly than it compares whole planes.
    step = _distance(after[..., 0], before[..., 0])
    for channel in range(1, image.shape[2]):
        np.maximum(step, _distance(after[..., channel], before[..., channel]), out=step)
    profile = np.minimum(step, _STRONGEST_STEP).sum(axis=1 - axis, dtype=np.float64)
    return np.asarray(np.maximum(profile - np.median(profile), 0.0))


def _distance(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(np.maximum(first, second) - np.minimum(first, second))


def _lowest_strong_peak(spectrum: NDArray[np.float64]) -> int:
    """Index of the lowest frequency that is a local maximum within the harmonic share of the best."""
    padded = np.concatenate(([-1.0], spectrum, [-1.0]))
    is_peak = (padded[1:-1] >= padded[:-2]) & (padded[1:-1] >= padded[2:])
    strong = is_peak & (spectrum >= _HARMONIC_SHARE * spectrum.max())
    return int(np.flatnonzero(strong)[0])


def _refined_peak(spectrum: NDArray[np.float64], index: int, highest: int) -> float:
    """Position of the peak near `index` between the samples, by the parabola through three of them."""
    if index <= 0 or index >= min(highest, len(spectrum) - 1):
        return float(index)
    left, middle, right = spectrum[index - 1 : index + 2]
    curvature = left - 2.0 * middle + right
    if curvature >= 0.0:
        return float(index)
    return index + float(np.clip(0.5 * (left - right) / curvature, -0.5, 0.5))


def _transform(profile: NDArray[np.float64], frequency: float) -> complex:
    edges = np.arange(1, len(profile) + 1)
    return complex(np.sum(profile * np.exp(2j * np.pi * frequency * edges)))


def _coherence(profiles: list[NDArray[np.float64]], frequency: float) -> float:
    return sum(abs(_transform(profile, frequency)) for profile in profiles)


def _phase(profile: NDArray[np.float64], pixel_size: float) -> float:
    angle = np.angle(_transform(profile, 1.0 / pixel_size)) if profile.size else 0.0
    phase = float(angle) / (2.0 * math.pi) * pixel_size % pixel_size
    # A hair's breadth under a whole cell is the grid line at zero, seen through rounding.
    return 0.0 if pixel_size - phase < 1e-6 * pixel_size else phase


def _looks_native(image: NDArray[np.uint8]) -> bool:
    """Whether every pixel may be a cell: many neighbours are equal, and the others far apart."""
    steps = np.concatenate([np.abs(np.diff(image.astype(np.int16), axis=axis)).max(axis=2).ravel() for axis in (0, 1)])
    changes = steps[steps > 0]
    if changes.size == 0 or changes.size > (1.0 - _NATIVE_FLATNESS) * steps.size:
        return False
    return bool(np.median(changes) >= _NATIVE_STEP)
