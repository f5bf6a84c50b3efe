"""How thoroughly an epoch is evaluated: a few images early on, all of them where it matters."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Final, Literal

Depth = Literal["quick", "medium", "full"]
DEPTHS: Final[tuple[Depth, ...]] = ("quick", "medium", "full")

# The TODO document's plan for a training of ten epochs: 5 is a first serious look, 7 is expected to be the
# best, and 8-10 are watched for overtraining.
PLAN: Final[tuple[Depth, ...]] = (
    *("quick",) * 4,
    "medium",
    "quick",
    "full",
    *("medium",) * 3,
)

# Above this probability that a later epoch is better, looking harder at those that are there decides little. On
# simulated trainings (benchmarks/progressive_depth.py) 0.15 and 0.3 choose the same epochs, and 0.5 costs more.
STILL_RISING: Final = 0.3


def depth_for(epoch: int | None, planned_epochs: int | None, plan: Sequence[Depth] | None = None) -> Depth:
    """How thoroughly to evaluate an epoch (counted from 1) of a training of `planned_epochs`.

    The plan (`PLAN`, unless another is given) is stretched or compressed to that length: each of its looks is taken
    at the epoch nearest to its place. Between two places the shallower of both looks is taken, so that a single
    thorough look stays single in a long training; where several places fall on one epoch, the most thorough.
    Epochs beyond the planned number are looked at like the last.

    What a file does not tell, or cannot be right: a checkpoint without an epoch is looked at fully, one of epoch 0
    (saved within the first) like the first, and a training without a length is taken to be as long as the plan.

    Raises
    ------
    ValueError
        If the plan is empty.
    """
    plan = PLAN if plan is None else plan
    if not plan:
        raise ValueError("the plan of depths is empty. Name at least one depth, as ['full']")
    if epoch is None:
        return DEPTHS[-1]
    planned = planned_epochs if planned_epochs is not None and planned_epochs > 0 else len(plan)
    epoch = max(1, epoch)
    places = [max(1, round(place * planned / len(plan))) for place in range(1, len(plan) + 1)]
    looks = [depth for place, depth in zip(places, plan, strict=True) if place == epoch]
    if looks:
        return max(looks, key=DEPTHS.index)
    for (before, earlier), (after, later) in pairwise(zip(places, plan, strict=True)):
        if before < epoch < after:
            return min(earlier, later, key=DEPTHS.index)
    return plan[0] if epoch < places[0] else plan[-1]


def epochs_to_deepen(
    depths: Mapping[int, Depth], best_epoch_interval: tuple[int, int], probability_of_gain: float
) -> dict[int, Depth]:
    """Which epochs deserve a finer look, now that something is known of the course of the training.

    While the training still rises, none: whichever epoch is ahead now will be overtaken. Once it may have peaked,
    those between which the choice of the best is open: of them the ones that were looked at least, one depth
    further. Asked again after that evaluation, with what was learnt, it ends when all that are left in the interval
    were looked at fully.

    Parameters
    ----------
    depths
        How each epoch was looked at so far.
    best_epoch_interval
        First and last epoch that may be the best.
    probability_of_gain
        That a later epoch is better than all so far, 0-1.

    Returns
    -------
    dict
        The depth to which each of them should be evaluated; what they have already need not be generated again.
    """
    if probability_of_gain > STILL_RISING:
        return {}
    first, last = best_epoch_interval
    candidates = {epoch: depth for epoch, depth in depths.items() if first <= epoch <= last}
    least = min(candidates.values(), key=DEPTHS.index, default=DEPTHS[-1])
    if len(candidates) < 2 or least == DEPTHS[-1]:
        return {}
    return {epoch: _deeper(depth) for epoch, depth in candidates.items() if depth == least}


def share_saved(depths: Sequence[Depth], images: Mapping[Depth, int]) -> float:
    """Which share of the images, and so of the GPU's time, these looks save against looking fully at every epoch.

    Parameters
    ----------
    depths
        One for each epoch.
    images
        How many images a look of that depth takes.
    """
    taken = sum(images[depth] for depth in depths)
    return 1.0 - taken / (len(depths) * images[DEPTHS[-1]]) if depths else 0.0


def _deeper(depth: Depth) -> Depth:
    return DEPTHS[DEPTHS.index(depth) + 1]
