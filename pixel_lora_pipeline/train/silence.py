"""Whether a training that should still be saving epochs has fallen silent."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import Final

# A training that shares its GPU, or saves a sample picture in between, is late by half; one that takes three times
# as long as it used to is not coming.
PATIENCE: Final = 3.0
# Minutes pass between two looks at a folder, a copy over a network takes some more.
SHORTEST_SECONDS: Final = 900.0
# After so long nobody wonders any more: the training was ended by a person.
FORGOTTEN_SECONDS: Final = 2 * 86_400.0


def silent_for(saved_at: Sequence[float], now: float) -> float | None:
    """Seconds since the last epoch, if that is longer than the epochs before let expect; else None.

    Parameters
    ----------
    saved_at
        When each epoch so far was saved, Unix seconds, in any order. With fewer than two there is no pace yet, and
        nothing is missed.
    """
    if len(saved_at) < 2:
        return None
    times = sorted(saved_at)
    silence = now - times[-1]
    usual = median(later - earlier for earlier, later in pairwise(times))
    expected = max(PATIENCE * usual, SHORTEST_SECONDS)
    return silence if expected < silence < max(FORGOTTEN_SECONDS, 2 * expected) else None
