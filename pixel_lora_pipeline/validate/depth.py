"""How thoroughly an epoch is evaluated: a few images early on, all of them where it matters."""

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


def depth_for(epoch: int | None, planned_epochs: int | None) -> Depth:
    """How thoroughly to evaluate an epoch (counted from 1) of a training of `planned_epochs`.

    The plan for ten epochs is stretched or compressed to the planned number. Stretched, each of its looks is
    taken once, at the epoch nearest to its place, and the watch for overtraining goes on to the end;
    compressed, the most thorough of the looks that fall on an epoch is taken. A checkpoint without an epoch
    (one saved by step, or by another trainer) is looked at fully, one without a plan is taken to be of ten
    epochs, and epochs beyond the plan are watched like its last.

    Raises
    ------
    ValueError
        If `epoch` or `planned_epochs` is below 1.
    """
    if epoch is None:
        return "full"
    planned = len(PLAN) if planned_epochs is None else planned_epochs
    if epoch < 1 or planned < 1:
        raise ValueError(f"epoch {epoch} of {planned}: epochs are counted from 1")
    if epoch > planned:
        return PLAN[-1]
    looks = [depth for place, depth in enumerate(PLAN, start=1) if _epoch_of(place, planned) == epoch]
    if looks:
        return max(looks, key=DEPTHS.index)
    return PLAN[-1] if epoch > _epoch_of(PLAN.index("full") + 1, planned) else "quick"


def _epoch_of(place: int, planned: int) -> int:
    """The epoch of a training of `planned` epochs that corresponds to a place of the plan."""
    return max(1, round(place * planned / len(PLAN)))
