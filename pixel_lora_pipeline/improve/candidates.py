"""The best of all configurations in a space that may be too large to look at whole."""

from collections.abc import Callable, Iterable

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from pixel_lora_pipeline.improve.search_space import Floats, SearchSpace

Steps = NDArray[np.int64]
Score = Callable[[Steps], Floats]

# Spaces of at most so many configurations are looked at whole; of larger ones, so many are drawn.
POOL = 1024
# Those from which better ones are looked for by changing one parameter after the other, and how often.
_STARTS = 6
_MOVES = 10


def best_configuration(
    space: SearchSpace, score: Score, known: Iterable[tuple[int, ...]], random: Generator
) -> tuple[tuple[int, ...], float] | None:
    """The configuration with the highest score.

    Parameters
    ----------
    score
        Numbers of values int[n, d] → float[n]; minus infinity for what may not be chosen.
    known
        Configurations near which good ones are likely; they are looked around first.

    Returns
    -------
    The configuration as numbers of values, and its score; None if nothing was found that may be chosen.
    """
    scores: dict[tuple[int, ...], float] = {}

    def scored(steps: Steps) -> Floats:
        keys = [tuple(row) for row in steps.tolist()]
        new = list(dict.fromkeys(key for key in keys if key not in scores))
        if new:
            scores.update(zip(new, score(np.array(new, dtype=np.int64)).tolist(), strict=True))
        return np.array([scores[key] for key in keys])

    counts = np.array([len(grid) for grid in space.grid])
    if space.size <= POOL:
        scored(np.stack(np.unravel_index(np.arange(space.size), counts), axis=1))
    else:
        drawn = (random.random((POOL, len(counts))) * counts).astype(np.int64)
        order = np.argsort(-scored(drawn), kind="stable")
        near = np.array(list(known), dtype=np.int64).reshape(-1, len(counts))
        _climb(np.vstack([drawn[order[:_STARTS]], near]), scored, counts)
    found = max(scores, key=lambda key: scores[key])
    return (found, scores[found]) if np.isfinite(scores[found]) else None


def _climb(at: Steps, scored: Score, counts: Steps) -> None:
    """From each configuration, always on to the best of its neighbours; several at once, for it is quicker."""
    heights = np.full(len(at), -np.inf)
    for _ in range(_MOVES):
        around = np.stack([_neighbours(each, counts) for each in at])
        scores = scored(around.reshape(-1, len(counts))).reshape(around.shape[:2])
        best = scores.argmax(axis=1)
        rises = scores.max(axis=1) > heights
        if not rises.any():
            return
        at, heights = around[np.arange(len(at)), best][rises], scores.max(axis=1)[rises]


def _neighbours(at: Steps, counts: Steps) -> Steps:
    """Everything that differs in one parameter, and the configuration itself."""
    columns = np.repeat(np.arange(len(counts)), counts)
    around = np.tile(at, (len(columns), 1))
    around[np.arange(len(columns)), columns] = np.concatenate([np.arange(count) for count in counts])
    return around
