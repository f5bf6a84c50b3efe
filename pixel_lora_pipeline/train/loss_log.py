"""Whether a training diverged, by the loss that Kohya's trainer logs for TensorBoard.

A diverged network is a valid file whose evaluation is a waste, and the loss says so epochs earlier than a score.
Kohya writes to `logging_dir/<log_prefix><YYYYmmddHHMMSS>/network_train/events.out.tfevents.<seconds>.<host>.…`
(another last folder with `--log_tracker_name`), with `loss/current` at every optimizer step. `loss/average` and
`loss/epoch` (`loss/epoch_average` in newer versions) are running sums there: after a single NaN they stay NaN, so
they cannot tell a batch that overflowed from a training that is lost.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.event_file import read_scalars

LOSS_TAG: Final = "loss/current"

# One batch may overflow in half precision, and the loss scaler then skips the step; when the log is read at that
# very moment, the overflow is its end.
MIN_LOST_STEPS: Final = 3

_EVENT_FILE: Final = re.compile(r"events\.out\.tfevents\.(?P<created>\d+)\..+")


@dataclass(frozen=True)
class Divergence:
    """From where on a training's loss was no number any more.

    Attributes
    ----------
    step
        The first optimizer step of which that is true, counted from 1 as Kohya does.
    last_step
        The last step that was logged.
    """

    step: int
    last_step: int

    def first_lost_epoch(self, steps_per_epoch: float) -> int:
        """The first epoch that was saved after the divergence, counted from 1: `diverged_at` of
        `detect_convergence`.

        An epoch that ends on the step before counts as sound: whether its weights are finite is seen in the
        file itself.

        Raises
        ------
        ValueError
            If `steps_per_epoch` is not positive.
        """
        if not steps_per_epoch > 0:
            raise ValueError(f"{steps_per_epoch} steps per epoch: take ss_steps / ss_epoch of a checkpoint")
        return math.ceil(self.step / steps_per_epoch)


def find_loss_log(logging_dir: Path, started_at: float, first_saved_at: float) -> Path | None:
    """The event file of the training that ran between two moments, or None.

    A checkpoint does not say where its log is, so that only the time links them: the log is opened after the
    training's start (at once, or after the latents are cached) and before its first checkpoint. Where several
    files fit (two trainings at once, or one of a validation beside), none is sure and None is returned.

    Parameters
    ----------
    logging_dir
        Kohya's `logging_dir`; a missing one holds no log.
    started_at, first_saved_at
        Unix seconds: `ss_training_started_at`, and `ss_training_finished_at` of the run's first checkpoint
        (Kohya sets it at every save).
    """
    fitting = [
        path
        for path in sorted(logging_dir.rglob("events.out.tfevents.*"))
        if (match := _EVENT_FILE.fullmatch(path.name)) is not None
        # The file's name has whole seconds.
        and math.floor(started_at) <= int(match["created"]) <= first_saved_at
    ]
    return fitting[0] if len(fitting) == 1 else None


def read_losses(path: Path) -> dict[int, float]:
    """Loss by optimizer step, in order of steps; empty if the file logs none.

    Of a step that was logged twice (a training resumed from a state into the same file), the later is taken.

    Raises
    ------
    EventFileError, OSError
        As `read_scalars`.
    """
    losses = {scalar.step: scalar.value for scalar in read_scalars(path) if scalar.tag == LOSS_TAG}
    return dict(sorted(losses.items()))


def find_divergence(losses: Iterable[tuple[int, float]]) -> Divergence | None:
    """Where the loss became NaN or infinite for good, or None if it did not.

    Parameters
    ----------
    losses
        Step and loss, in order of steps: `read_losses(path).items()`.
    """
    lost: list[int] = []
    for step, loss in losses:
        if math.isfinite(loss):
            lost.clear()
        else:
            lost.append(step)
    return Divergence(lost[0], lost[-1]) if len(lost) >= MIN_LOST_STEPS else None
