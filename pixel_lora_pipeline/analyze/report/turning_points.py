"""Where the smoothed course of a run changes: the steepest rise, the plateau, the peak, the decline."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

# Points of the overall score. Less is neither a rise nor a decline: it is what a repeated evaluation scatters by.
_NOTABLE: Final = 1.0


@dataclass(frozen=True)
class TurningPoint:
    """An epoch at which the course changes, and what changes there."""

    epoch: int
    kind: Literal["steepest rise", "plateau", "peak", "decline"]
    sentence: str


def turning_points(smoothed: Mapping[int, float]) -> list[TurningPoint]:
    """Turning points of a smoothed score, in the order of the epochs; empty for fewer than three epochs.

    Parameters
    ----------
    smoothed
        Epoch to smoothed or fitted score. Raw scores would show turns that are noise.
    """
    epochs = sorted(smoothed)
    if len(epochs) < 3:
        return []
    best = max(epochs, key=lambda epoch: smoothed[epoch])
    highest = smoothed[best]
    points = []
    rises = {later: (smoothed[later] - smoothed[earlier]) / (later - earlier) for earlier, later in pairwise(epochs)}
    steepest = max(rises, key=lambda epoch: rises[epoch])
    if rises[steepest] >= _NOTABLE:
        points.append(
            TurningPoint(steepest, "steepest rise", f"The steepest rise, {rises[steepest]:.1f} points, ends here.")
        )
    plateau = next(epoch for epoch in epochs if highest - smoothed[epoch] <= _NOTABLE)
    if plateau < best:
        points.append(TurningPoint(plateau, "plateau", f"From here on within one point of the best, epoch {best}."))
    points.append(TurningPoint(best, "peak", f"The highest smoothed score, {highest:.1f}."))
    decline = next((e for e in epochs if e > best and highest - smoothed[e] > _NOTABLE), None)
    if decline is not None:
        fallen = highest - smoothed[decline]
        points.append(TurningPoint(decline, "decline", f"{fallen:.1f} points below the best: overtraining begins."))
    return points
