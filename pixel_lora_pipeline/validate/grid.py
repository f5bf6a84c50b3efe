"""The pixel grid of an image: how large its cells are, where they start, and its picture at native size."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.edge_profile import EdgeProfile, edge_profiles
from pixel_lora_pipeline.validate.grid_drift import drift, local_coherence, position_in_cells, track_lines
from pixel_lora_pipeline.validate.native_sprite import looks_native

# A cell is at least two image pixels: below that the samples cannot tell a grid from the pixels themselves.
SMALLEST_CELL: Final = 2.0
# A sprite has at least eight cells a side; with fewer, any picture has a "grid" through its few edges. An axis
# that is too short for that is measured by the other one's cells.
FEWEST_CELLS: Final = 8
# The least geometric mean of coherence and contrast, with many cells. Chance makes few cells coherent more easily:
# what it adds falls with the square root of their number. Photographs (scikit-image's at 16 to 512 pixels, with and
# without a JPEG's blocks) stay below, except for one of rows of coins.
_LEAST_EVIDENCE: Final = 0.44
# Under noise, which fills the space between the lines, this coherence will do if the lines still stand out a little.
# Not for the smallest cells: a JPEG stores colour at half size, which is a faint grid of two pixels.
_LEAST_COHERENCE: Final = 0.5
_LEAST_CONTRAST: Final = 0.15
_SMALLEST_NOISY_CELL: Final = 3.0
_CHANCE: Final = 0.4
# Oblong cells and lines that bend fit any picture a little better, and need that much more evidence.
_FREEDOM: Final = 0.05
# Half-way (or at thirds) between the lines, a peak of this share of the lines' own is a line as well.
_SUBDIVISION: Final = 0.5
# One axis alone must show that its cells are longer than the other's by the absence of even faint lines.
_FAINT_SUBDIVISION: Final = 0.12
# Frequencies are sampled this many times finer than the image can resolve, so that the nearest sample has
# at least 99 % of the coherence at the true frequency (sinc of 1/16 of a cycle).
_OVERSAMPLING: Final = 8
# Multiples of the frequency of a grid are as coherent as the grid itself: the largest cell within this share
# of the best is the grid.
_HARMONIC_SHARE: Final = 0.9
# A grid this coherent is one even if it may be a sprite at native size, too.
_BEYOND_CHANCE: Final = 0.85
# Below this share of all edges, one axis does not speak for both.
_LEAST_SHARE: Final = 0.25
# Cells are at most this much longer than wide; 2 : 1 was usual on home computers.
_MOST_OBLONG: Final = 2.5
# Cells are oblong if one side for both axes explains less than this share of what a side for each does...
_MUCH_BETTER: Final = 0.8
# ...or if the largest square one that fits both axes is this much smaller than a side...
_COMMON_DIVISOR: Final = 1.4
# In either case each axis has this many lines: that all of them keep to every second line of a finer grid happens by
# chance once in two hundred and fifty sprites.
_SURE_LINES: Final = 8
# The middle between two lines reaches this far to either side, in cells.
_MIDDLE: Final = 0.2
# A line counts as an edge from this share of the strongest on.
_FAINT_LINE: Final = 0.02
# Lines that may bend explain a little more of any picture: cells drift only if they explain this share of what the
# regular grid leaves over.
_WORTH_BENDING: Final = 0.2
# A cell width recurs at least this much from cell to cell, if there are cells (photographs: 0.3).
_LEAST_RECURRENCE: Final = 0.4
# No search for drift where that is nothing.
_NO_DRIFT: Final = 0.995
# An edge is off the grid if it is further from a line than this, in image pixels and in cells.
_OFF_PIXELS, _OFF_CELLS = 1.0, 0.125
# The median colour of a cell is taken over this share of its width, away from what bleeds over its edges.
_CORE: Final = 0.4
_MOST_SAMPLES: Final = 5


@dataclass(frozen=True)
class Grid:
    """The pixel grid found in an image; `pixel_size` is None where there is none.

    Attributes
    ----------
    pixel_size : float or None
        Side of a cell in image pixels: of the square of the same area where cells are oblong, the mean where
        they vary.
    phase : tuple of float, or None
        Position of the first grid line, (x, y) in image pixels, 0 <= phase < side of a cell.
    coherence : float
        How much of all edges lies on the lines of one regular grid, 0-1 (1: every edge). Without a grid, that of
        the best candidate.
    off_grid_error : float or None
        Standard deviation of the edges' distance from their line of a regular grid, in image pixels.
    off_grid_share : float or None
        Share of all edges that lie between the lines of a regular grid, 0-1: further from one than an eighth of a
        cell, and than a pixel.
    cell : tuple of float, or None
        Width and height of a cell in image pixels; equal for square cells.
    lines : tuple of two tuples of int, or None
        Where cells drift: the edges of the columns (x) and of the rows (y) of cells, in image pixels. None for a
        regular grid.
    """

    pixel_size: float | None
    phase: tuple[float, float] | None
    coherence: float
    off_grid_error: float | None
    off_grid_share: float | None = None
    cell: tuple[float, float] | None = None
    lines: tuple[tuple[int, ...], tuple[int, ...]] | None = None


@dataclass(frozen=True)
class _Candidate:
    """A grid that may be in the image: how well it explains the edges, and how empty the space between is."""

    cell: tuple[float, float]
    coherence: float
    contrast: float
    lines: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None

    def is_convincing(self, shape: tuple[int, ...]) -> bool:
        cells = math.sqrt(shape[0] * shape[1] / (self.cell[0] * self.cell[1]))
        is_simple = self.lines is None and self.cell[0] == self.cell[1]
        chance = _CHANCE / math.sqrt(cells) + (0.0 if is_simple else _FREEDOM)
        is_noisy_grid = (
            is_simple
            and self.coherence >= _LEAST_COHERENCE + chance
            and self.contrast >= _LEAST_CONTRAST
            and self.cell[0] >= _SMALLEST_NOISY_CELL
        )
        evidence = math.sqrt(self.coherence * self.contrast)
        return evidence >= _LEAST_EVIDENCE + chance or is_noisy_grid


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
    axes vote together, and of a period and its fractions the largest wins. Where that leaves edges unexplained,
    the axes are tried apart (oblong cells), and lines that bend (cells whose width varies).

    Notes
    -----
    Trust it where `coherence` is above about 0.6. A sprite at native size has cells of one pixel, which no
    transform can show: it is recognised by its flatness. A JPEG's own 8 x 8 blocks are a grid too, if a faint one.
    """
    profiles = edge_profiles(image)
    best = _regular(profiles)
    if best is None or best.coherence < _NO_DRIFT:
        if (best is None or best.coherence < _BEYOND_CHANCE) and looks_native(image):
            return Grid(1.0, (0.0, 0.0), 1.0, 0.0, 0.0, (1.0, 1.0))
        bent = _drifting(profiles, 0.0 if best is None else best.coherence)
        if bent is not None and bent.is_convincing(image.shape):
            best = bent
    if best is not None and best.is_convincing(image.shape):
        return _grid(best, profiles)
    return Grid(None, None, 0.0 if best is None else best.coherence, None)


def native_image(image: NDArray[np.uint8], grid: Grid) -> NDArray[np.uint8]:
    """The picture with one pixel a cell, uint8[rows, columns, C].

    The colour of a cell is the median of each channel over the middle of the cell, where the neighbours'
    colours do not bleed in. Cells of which the image shows less than half are left out.

    Raises
    ------
    ValueError
        If `grid` holds no grid.
    """
    if grid.pixel_size == 1.0:
        return image
    column_edges, row_edges = cell_edges(grid, image.shape[:2])
    columns, rows = cell_samples(column_edges, image.shape[1]), cell_samples(row_edges, image.shape[0])
    per_cell = rows.shape[1] * columns.shape[1]
    sampled = image.take(rows.ravel(), axis=0).take(columns.ravel(), axis=1)
    cells = sampled.reshape(*rows.shape, *columns.shape, -1).transpose(0, 2, 4, 1, 3)
    samples = np.sort(cells.reshape(*cells.shape[:3], per_cell), axis=3)
    # The lower of two middle values: a mean would be a colour of its own.
    return np.ascontiguousarray(samples[..., (per_cell - 1) // 2])


def cell_edges(grid: Grid, shape: tuple[int, ...]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the columns and the rows of cells begin and end, (x, y): float64[columns + 1], float64[rows + 1].

    In pixels of an image of `shape` (height, width). The first and last cell may reach beyond the image by less
    than half.

    Raises
    ------
    ValueError
        If `grid` holds no grid.
    """
    if grid.cell is None or grid.phase is None:
        raise ValueError("this image has no pixel grid, and so no native size: check grid.pixel_size first")
    if grid.lines is not None:
        return np.asarray(grid.lines[0], dtype=np.float64), np.asarray(grid.lines[1], dtype=np.float64)
    edges: list[NDArray[np.float64]] = []
    for length, side, phase in zip((shape[1], shape[0]), grid.cell, grid.phase, strict=True):
        first = -1 if phase >= 0.5 * side else 0
        last = max(math.floor((length - phase) / side - 0.5), first)
        edges.append(np.asarray(phase + np.arange(first, last + 2) * side, dtype=np.float64))
    return edges[0], edges[1]


def cell_samples(edges: NDArray[np.float64], length: int) -> NDArray[np.intp]:
    """Image pixels in the middle of every cell along one axis, intp[cells, samples a cell].

    `edges` as from `cell_edges`, `length` the image's pixels along the axis.
    """
    widths = np.diff(edges)
    cell = float(np.median(widths))
    count = 2 if cell < 2.5 else min(_MOST_SAMPLES, max(1, round(_CORE * cell)))
    reach = 0.25 if count == 2 else _CORE / 2 * (count - 1) / count
    offsets = np.linspace(-reach, reach, count) if count > 1 else np.zeros(1)
    centres = 0.5 * (edges[1:] + edges[:-1])
    positions = centres[:, None] + offsets[None, :] * widths[:, None]
    return np.clip(np.floor(positions), 0, length - 1).astype(np.intp)


def cell_of_pixels(
    edges: NDArray[np.float64], pixels: NDArray[np.intp]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Row (or column) of the native picture for each of `pixels` along one axis, and how far off its centre it is.

    intp[n] and float64[n]; the distance is in cells, 0-0.5. Pixels outside the first and last cell get -1 and the
    number of cells.
    """
    centres = pixels + 0.5
    cell = np.searchsorted(edges, centres, side="right") - 1
    inside = np.clip(cell, 0, len(edges) - 2)
    widths = np.diff(edges)[inside]
    return np.asarray(cell, dtype=np.intp), np.abs((centres - edges[inside]) / widths - 0.5)


def _grid(found: _Candidate, profiles: tuple[EdgeProfile, EdgeProfile]) -> Grid:
    width, height = found.cell
    size = math.sqrt(width * height)
    phase_x, phase_y = (_phase(profile, side) for profile, side in zip(profiles, found.cell, strict=True))
    between = sum(_between_lines(profile, side) for profile, side in zip(profiles, found.cell, strict=True))
    share = between / sum(profile.weight for profile in profiles)
    if found.lines is None:
        error = off_grid_error(found.coherence, size)
        return Grid(size, (phase_x, phase_y), found.coherence, error, share, found.cell)
    columns, rows = (
        _with_ends(lines, side, profile.length)
        for lines, side, profile in zip(found.lines, found.cell, profiles, strict=True)
    )
    regular = _coherence(profiles, found.cell)
    error = math.hypot(drift(found.lines[0]), drift(found.lines[1])) / math.sqrt(2.0)
    return Grid(size, (phase_x, phase_y), regular, error, share, found.cell, (columns, rows))


def _between_lines(profile: EdgeProfile, side: float) -> float:
    """The teeth of a profile that are on no line of a regular grid."""
    position = _position(profile, side)
    distance = np.abs(position - np.rint(position)) * side
    return float(profile.teeth[distance > max(_OFF_PIXELS, _OFF_CELLS * side)].sum())


def _with_ends(lines: NDArray[np.intp], side: float, length: int) -> tuple[int, ...]:
    """The lines, and the image's ends where they cut off less than half a cell."""
    first = (0,) if lines[0] >= 0.5 * side else ()
    last = (length,) if length - lines[-1] >= 0.5 * side else ()
    return (*first, *(int(line) for line in lines), *last)


def _regular(profiles: tuple[EdgeProfile, EdgeProfile]) -> _Candidate | None:
    """The regular grid that explains the edges best, square if a square one does nearly as well."""
    longest = max(profile.length for profile in profiles)
    weights = [profile.weight for profile in profiles]
    if sum(weights) == 0.0 or longest < SMALLEST_CELL * FEWEST_CELLS:
        return None
    length = _OVERSAMPLING * longest
    highest = math.floor(length / SMALLEST_CELL)
    # Entry x of a profile is the step between pixels x and x + 1: the edge lies at x + 1, and the shift
    # by one changes the angle, not the magnitude.
    spectra = [np.abs(np.fft.rfft(profile.teeth, length))[: highest + 1] for profile in profiles]
    fewest = np.array([FEWEST_CELLS * length / profile.length for profile in profiles])
    shown = [np.arange(highest + 1) >= lowest for lowest in fewest]
    total = sum(weight * is_shown for weight, is_shown in zip(weights, shown, strict=True))
    both = sum(spectrum * is_shown for spectrum, is_shown in zip(spectra, shown, strict=True))
    joint = np.asarray(both / np.maximum(total, _LEAST_SHARE * sum(weights)))
    if not joint.any():
        return None
    side = length / _refined_peak(joint, _lowest_strong_peak(joint), highest)
    sides = [
        length / _refined_peak(spectrum, _lowest_strong_peak(spectrum * is_shown), highest)
        for spectrum, is_shown in zip(spectra, shown, strict=True)
        if is_shown.any() and (spectrum * is_shown).any()
    ]
    cell = _undivided(profiles, (side, side), _SUBDIVISION)
    if len(sides) == 2 and _may_be_oblong(profiles, cell[0], (sides[0], sides[1])):
        oblong = tuple(
            _undivided((profile,), (side,), _FAINT_SUBDIVISION)[0]
            for profile, side in zip(profiles, sides, strict=True)
        )
        if _may_be_oblong(profiles, cell[0], (oblong[0], oblong[1])):
            cell = oblong
    return _candidate(profiles, (cell[0], cell[1]))


def _undivided(profiles: tuple[EdgeProfile, ...], cell: tuple[float, ...], least: float) -> tuple[float, ...]:
    """The cell, or the half or third of it that has lines of its own, of `least` the strength of the others.

    Blur weakens a short period more than its multiples, so that the spectrum may show two cells as one.
    """
    for parts in (2, 3):
        while min(cell) / parts >= SMALLEST_CELL:
            lines, inner, between = 0.0, 0.0, 0.0
            for profile, side in zip(profiles, cell, strict=True):
                position, reach = _position(profile, side), 0.5 / side
                lines += profile.mean_near(position, 0.0, reach)
                # The parts have one phase in common when counted in parts: lines are at 0, their middles at 0.5.
                is_line = np.abs(position - np.rint(position)) <= reach
                in_parts = np.where(is_line, np.nan, position * parts)
                inner += profile.mean_near(in_parts, 0.0, reach * parts)
                between += profile.mean_near(position * parts, 0.5, reach * parts)
            if inner - between < least * max(lines - between, inner - between, 1e-9):
                break
            cell = tuple(side / parts for side in cell)
    return cell


def _may_be_oblong(profiles: tuple[EdgeProfile, EdgeProfile], side: float, sides: tuple[float, float]) -> bool:
    """Whether each axis having a cell side of its own explains the edges better than one `side` for both."""
    shorter, longer = min(sides), max(sides)
    if longer > _MOST_OBLONG * shorter or min(_count_lines(profile) for profile in profiles) < _SURE_LINES:
        return False
    apart, together = _coherence(profiles, sides), _coherence(profiles, (side, side))
    if together < _MUCH_BETTER * apart:
        return True
    if apart < _HARMONIC_SHARE * together:
        return False
    if shorter >= _COMMON_DIVISOR * side:
        return True
    return longer >= _COMMON_DIVISOR * side


def _count_lines(profile: EdgeProfile) -> int:
    teeth = profile.teeth
    is_peak = (teeth[1:-1] >= teeth[:-2]) & (teeth[1:-1] > teeth[2:])
    return int((is_peak & (teeth[1:-1] > _FAINT_LINE * teeth.max())).sum()) if teeth.size > 2 else 0


def _drifting(profiles: tuple[EdgeProfile, EdgeProfile], regular: float) -> _Candidate | None:
    """The grid of bending lines that explains the edges best; None if it is not worth it, given the `regular` one's."""
    periods, coherence = local_coherence(profiles, FEWEST_CELLS)
    if not coherence.any() or coherence.max() < max(_LEAST_RECURRENCE, _HARMONIC_SHARE * regular):
        return None
    period = float(periods[::-1][_lowest_strong_peak(coherence[::-1])])
    lines = [track_lines(profile, period) for profile in profiles]
    if min(len(line) for line in lines) < 2:
        return None
    sides = [float(line[-1] - line[0]) / (len(line) - 1) for line in lines]
    bent = _candidate(profiles, (sides[0], sides[1]), (lines[0], lines[1]))
    return bent if bent.coherence >= regular + _WORTH_BENDING * (1.0 - regular) else None


def _candidate(
    profiles: tuple[EdgeProfile, EdgeProfile],
    cell: tuple[float, float],
    lines: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None,
) -> _Candidate:
    aligned, on, between = 0.0, 0.0, 0.0
    for axis, (profile, side) in enumerate(zip(profiles, cell, strict=True)):
        position = _position(profile, side) if lines is None else position_in_cells(lines[axis], profile.length)
        aligned += abs(profile.transform(position))
        on += profile.mean_near(position, 0.0, 0.5 / side)
        between += profile.mean_near(position, 0.5, _MIDDLE)
    coherence = min(1.0, aligned / sum(profile.weight for profile in profiles))
    return _Candidate(cell, coherence, max(0.0, 1.0 - between / on) if on > 0.0 else 0.0, lines)


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


def _coherence(profiles: tuple[EdgeProfile, EdgeProfile], cell: tuple[float, float]) -> float:
    aligned = sum(abs(profile.transform(_edges(profile) / side)) for profile, side in zip(profiles, cell, strict=True))
    return min(1.0, aligned / sum(profile.weight for profile in profiles))


def _edges(profile: EdgeProfile) -> NDArray[np.float64]:
    return np.arange(1, profile.length, dtype=np.float64)


def _position(profile: EdgeProfile, side: float) -> NDArray[np.float64]:
    """Where the edges of a profile lie in cells of a regular grid."""
    return np.asarray((_edges(profile) - _phase(profile, side)) / side)


def _phase(profile: EdgeProfile, side: float) -> float:
    angle = np.angle(profile.transform(_edges(profile) / side)) if profile.weight > 0.0 else 0.0
    phase = float(angle) / (2.0 * math.pi) * side % side
    # A hair's breadth under a whole cell is the grid line at zero, seen through rounding.
    return 0.0 if side - phase < 1e-6 * side else phase
