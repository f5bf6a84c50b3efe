"""How long each epoch took, by the times at which its checkpoints say that they were saved."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

# An epoch that takes so many times as long as the others was interrupted: the machine slept, or had other work.
_GAP: Final = 5.0
# No checkpoint is longer in coming. A clock that was not set when the training began jumps by years.
_LONGEST: Final = timedelta(days=31)


@dataclass(frozen=True)
class Save:
    """A checkpoint of a run.

    Attributes
    ----------
    epoch
        Completed epochs.
    step
        Optimizer steps done, if known.
    saved_at
        As its header says (`ss_training_finished_at`); None if it does not.
    is_within_epoch
        Whether it was saved between the ends of two epochs.
    """

    epoch: int
    step: int | None
    saved_at: datetime | None
    is_within_epoch: bool = False


@dataclass(frozen=True)
class EpochTime:
    """The time before a checkpoint was saved, back to the one before it; half-open.

    Attributes
    ----------
    epoch
        That was saved at the end; None for the beginning of an epoch that was not completed.
    n_epochs
        How many were trained in this time; None if that cannot be told.
    is_typical
        Whether it tells how long an epoch takes.
    clock
        How often the clock had been set before: times by one setting may overlap those by another, and are others.
    """

    epoch: int | None
    begins: datetime
    ends: datetime
    n_epochs: int | None
    is_typical: bool = True
    clock: int = 0

    @property
    def seconds_per_epoch(self) -> float | None:
        """None where it cannot be told how many epochs it were."""
        return (self.ends - self.begins).total_seconds() / self.n_epochs if self.n_epochs else None


@dataclass(frozen=True)
class TrainingTimes:
    """All that the checkpoints of a run tell of its time.

    Attributes
    ----------
    is_complete
        False if some of the time is missing, so that the sum is a lower bound.
    notes
        What was odd, in sentences.
    """

    epochs: tuple[EpochTime, ...]
    is_complete: bool
    notes: tuple[str, ...]

    @property
    def seconds_per_epoch(self) -> float | None:
        """The median of the epochs that tell it."""
        typical = [
            seconds for each in self.epochs if each.is_typical and (seconds := each.seconds_per_epoch) is not None
        ]
        return statistics.median(typical) if typical else None


def epoch_times(started_at: datetime | None, saves: Iterable[Save], *, is_resumed: bool = False) -> TrainingTimes:
    """The times between the saves of one session.

    Files in between the ends of epochs are a part of the epoch that they lie in. Where epochs have left no file, the
    next file's time is that of all of them. Where a clock went back or jumped, the time in between is not known, and
    nothing is made up for it.

    Parameters
    ----------
    started_at
        `ss_training_started_at`; None if the headers do not say.
    saves
        Of one start of a trainer, in any order.
    is_resumed
        Whether the training went on from an earlier one, so that its first epoch need not be epoch 1.
    """
    notes: list[str] = []
    ends = _ends_of_epochs(saves)
    known = [(save, save.saved_at) for save in ends if save.saved_at is not None]
    if len(known) < len(ends):
        notes.append(f"{len(ends) - len(known)} of {len(ends)} checkpoints do not say when they were saved.")
    if started_at is None:
        notes.append("The headers do not say when the training began: its first epoch is missing.")
    is_complete = started_at is not None and bool(known) and known[-1][0] is ends[-1]
    points: list[tuple[Save | None, datetime]] = [*([] if started_at is None else [(None, started_at)]), *known]
    found: list[EpochTime] = []
    clock = 0
    for (before, begins), (save, at) in pairwise(points):
        assert save is not None  # noqa: S101 - only the first point is the start
        if not begins < at <= begins + _LONGEST:
            is_complete = False
            clock += 1
            moved = "went back" if at <= begins else "jumped by more than a month"
            notes.append(f"The clock {moved} before epoch {save.epoch} was saved: its time is not known.")
            continue
        is_unclear = before is None and is_resumed and save.epoch > 1
        n_epochs = None if is_unclear else save.epoch - (0 if before is None else before.epoch)
        if is_unclear:
            notes.append("The training was resumed: how many epochs lie before its first checkpoint is not known.")
        elif n_epochs is not None and n_epochs > 1 and not save.is_within_epoch:
            notes.append(f"Epochs {save.epoch - n_epochs + 1} to {save.epoch} have one checkpoint: their time is one.")
        found.append(
            EpochTime(None, begins, at, None, is_typical=False, clock=clock)
            if save.is_within_epoch
            else EpochTime(save.epoch, begins, at, n_epochs or None, is_typical=bool(n_epochs), clock=clock)
        )
    return TrainingTimes(tuple(_with_gaps(found, notes)), is_complete, tuple(notes))


def whole_time(started_at: datetime | None, seconds: object) -> TrainingTimes | None:
    """The time of a training of which only start and length are known; None if not even those are."""
    if started_at is None or isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return None
    if not 0 < seconds <= _LONGEST.total_seconds():
        return None
    whole = EpochTime(None, started_at, started_at + timedelta(seconds=float(seconds)), None, is_typical=False)
    return TrainingTimes(
        (whole,), is_complete=True, notes=("Only its whole time is known, and not that of its epochs.",)
    )


def _ends_of_epochs(saves: Iterable[Save]) -> list[Save]:
    """In the order of training: one an epoch, and the last file if it was saved within an epoch that never ended."""
    ordered = sorted(saves, key=lambda save: (save.epoch, save.is_within_epoch, save.step or 0))
    ends: dict[int, Save] = {}
    for save in ordered:
        # The last file of a run may repeat that of its last epoch: the training was over at the first of them.
        if not save.is_within_epoch and (save.epoch not in ends or ends[save.epoch].saved_at is None):
            ends[save.epoch] = save
    last = ordered[-1:]
    return [*ends.values(), *(save for save in last if save.is_within_epoch)]


def _with_gaps(found: Sequence[EpochTime], notes: list[str]) -> list[EpochTime]:
    """Epochs that took far longer than the others are counted, for the machine was held, but they are not typical."""
    usual = TrainingTimes(tuple(found), is_complete=True, notes=()).seconds_per_epoch
    marked = []
    for each in found:
        seconds = each.seconds_per_epoch
        if usual is None or seconds is None or seconds <= _GAP * usual:
            marked.append(each)
            continue
        notes.append(f"Epoch {each.epoch} took {seconds / usual:.0f} times as long as usual: it was interrupted.")
        marked.append(replace(each, is_typical=False))
    return marked
