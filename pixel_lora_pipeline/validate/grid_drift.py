"""The lines of a grid whose cells vary in width, as image generators draw them."""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.validate.edge_profile import EdgeProfile

# Narrower cells leave no room to vary by a pixel and still be told from their neighbours.
SMALLEST_DRIFTING_CELL: Final = 3.0
# How far a cell may be narrower or wider than the usual one, relative to it: a generator asked for eight pixels
# draws six to ten.
_MOST_STRETCH: Final = 0.3
# What a cell that is off by its whole width would cost, in mean teeth: one that is off by an eighth costs a tenth.
_STIFFNESS: Final = 6.0
# Drift adds up along the image, so that only edges at most this many cells apart are compared.
_NEAR: Final = 3
_PERIODS: Final = 240


def local_coherence(
    profiles: tuple[EdgeProfile, ...], fewest_cells: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much edges a few cells apart agree on a cell width, whatever the drift over the whole image.

    Returns
    -------
    periods : float64[k]
        Cell widths in image pixels.
    coherence : float64[k]
        Square root of the autocorrelation of the teeth at up to three periods, weighted by the cosine of the
        distance in periods: 1 where all edges keep the distance, 0 for chance. Distances under half a period
        are left out, so that the blur of an edge does not count as agreement with itself.
    """
    longest = max(profile.length for profile in profiles)
    if longest < SMALLEST_DRIFTING_CELL * fewest_cells:
        return np.zeros(0), np.zeros(0)
    periods = np.geomspace(SMALLEST_DRIFTING_CELL, longest / fewest_cells, _PERIODS)
    agreement, total = np.zeros(_PERIODS), np.zeros(_PERIODS)
    for profile in profiles:
        if profile.weight == 0.0:
            continue
        length = len(profile.teeth)
        spectrum = np.fft.rfft(profile.teeth / profile.weight, 2 * length)
        correlation = np.fft.irfft(np.abs(spectrum) ** 2)[:length] * length
        shown = periods <= profile.length / fewest_cells
        window, cosine = _lag_windows(longest, fewest_cells)
        lags = min(length, window.shape[1])
        agreement[shown] += cosine[shown, :lags] @ correlation[:lags]
        # Where nearly no two edges are that close, the few that are agree by chance: count at least half of what
        # evenly spread edges would have.
        evenly = 1.0 - np.arange(lags) / length
        total[shown] += np.maximum(window[shown, :lags] @ correlation[:lags], 0.5 * (window[shown, :lags] @ evenly))
    ratio = np.divide(agreement, total, out=np.zeros(_PERIODS), where=total > 0.0)
    return periods, np.sqrt(np.maximum(ratio, 0.0))


@lru_cache(maxsize=4)
def _lag_windows(longest: int, fewest_cells: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weight of each distance for each period, and the same times the cosine, float64[periods, lags]."""
    periods = np.geomspace(SMALLEST_DRIFTING_CELL, longest / fewest_cells, _PERIODS)[:, None]
    lags = np.arange(int((_NEAR + 0.5) * periods[-1, 0]) + 2)[None, :]
    window = np.maximum(1.0 - lags / ((_NEAR + 0.5) * periods), 0.0) * (lags >= 0.5 * periods)
    return window, window * np.cos(2.0 * np.pi * lags / periods)


def track_lines(profile: EdgeProfile, cell: float) -> NDArray[np.intp]:
    """The grid lines that pass through the strongest edges with cells of about one width, intp[k].

    Dynamic programming from left to right: the best chain of lines that ends at each position is the best one
    that ends one cell before it, and what is gained there. Where there are no edges, the cells get the usual
    width.
    """
    length = profile.length
    widths = np.arange(max(1, int(cell * (1.0 - _MOST_STRETCH))), int(np.ceil(cell * (1.0 + _MOST_STRETCH))) + 1)
    narrowest, widest = int(widths[0]), int(widths[-1])
    gain = np.zeros(length + widest)
    if profile.weight > 0.0:
        gain[1:length] = profile.teeth * (length / cell / profile.weight)
    cost = _STIFFNESS * ((widths - cell) / cell) ** 2
    # Positions are shifted by `widest`: a line before the image costs and gains nothing.
    best = np.zeros(length + 2 * widest)
    previous = np.zeros(length + 2 * widest, dtype=np.intp)
    for start in range(widest, length + widest, narrowest):
        # No cell is narrower than this block, so that its positions do not depend on each other.
        stop = min(start + narrowest, length + widest)
        at = np.arange(start, stop)
        chains = best[at[:, None] - widths] - cost
        chosen = np.argmax(chains, axis=1)
        best[start:stop] = chains[np.arange(stop - start), chosen] + gain[start - widest : stop - widest]
        previous[start:stop] = at - widths[chosen]
    position = length + int(np.argmax(best[length : length + widest]))
    lines = []
    while position >= widest:
        lines.append(position - widest)
        position = int(previous[position])
    return np.array(lines[::-1], dtype=np.intp)


def position_in_cells(lines: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    """Where the edges between the pixels of an axis lie, counted in cells of a drifting grid, float64[length - 1]."""
    edges = np.arange(1, length)
    first, last = float(lines[1] - lines[0]), float(lines[-1] - lines[-2])
    before, after = (edges - lines[0]) / first, len(lines) - 1 + (edges - lines[-1]) / last
    inside = np.interp(edges, lines, np.arange(len(lines)))
    return np.asarray(np.where(edges < lines[0], before, np.where(edges > lines[-1], after, inside)))


def drift(lines: NDArray[np.intp]) -> float:
    """Standard deviation of the lines from the regular grid that fits them best, in image pixels."""
    numbers = np.arange(len(lines))
    slope, offset = np.polyfit(numbers, lines, 1)
    return float(np.sqrt(np.mean((lines - offset - slope * numbers) ** 2)))
