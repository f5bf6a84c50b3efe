"""How a training of Kohya's stands while it runs, from what it prints and what it logs for TensorBoard."""

import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.event_file import EventFileError, GrowingEventFile, Scalar
from pixel_lora_pipeline.train.loss_log import LOSS_TAG, Divergence, find_divergence
from pixel_lora_pipeline.train.trainers.kohya.output import GrowingLog

LOGGING_DIR: Final = "tensorboard"
"""Folder of a training's log for TensorBoard, within its control folder."""

MESSAGES: Final = "messages.jsonl"
"""What was reported of a training, within its control folder."""

# Of several, the part that nearly every LoRA trains.
_RATE_TAGS: Final = ("lr/unet", "lr/textencoder", "lr/group0", "lr/group1")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a training has come; None for what is not known yet.

    Attributes
    ----------
    epoch, epochs
        The one that runs, counted from 1, and all that are planned.
    step, steps
        Optimizer steps done, and all that are planned.
    loss
        Mean over the steps since the last report, NaN left out.
    learning_rate
        Of the last step.
    seconds_left
        To the end of the training, as the trainer estimates it.
    """

    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    learning_rate: float | None = None
    seconds_left: int | None = None

    def sentence(self) -> str:
        """For people, as "epoch 2/10, step 120/400, loss 0.0812, learning rate 0.0001, 3 min left"."""
        said = []
        if self.epoch is not None:
            said.append(f"epoch {self.epoch}/{self.epochs}")
        if self.step is not None:
            said.append(f"step {self.step}" if self.steps is None else f"step {self.step}/{self.steps}")
        if self.loss is not None:
            said.append(f"loss {self.loss:.4f}")
        if self.learning_rate is not None:
            said.append(f"learning rate {self.learning_rate:.3g}")
        if self.seconds_left is not None:
            said.append(f"{math.ceil(self.seconds_left / 60)} min left")
        return ", ".join(said) or "it is being prepared"

    def to_dict(self) -> dict[str, Any]:
        """What is known, JSON-ready."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class TrainingRecords:
    """What a training writes while it runs; each call reads what is new.

    Parameters
    ----------
    log
        What it prints.
    logging_dir
        Where it logs for TensorBoard: no other training may log there.
    """

    def __init__(self, log: Path, logging_dir: Path) -> None:
        self._log = GrowingLog(log)
        self._logging_dir = logging_dir
        self._events: dict[Path, GrowingEventFile] = {}
        self._damaged: set[Path] = set()
        self._losses: dict[int, float] = {}
        self._told_to = 0
        self._rate: float | None = None

    def read(self) -> Progress:
        """How it stands; the loss is the mean since the last `told`."""
        printed = self._log.read()
        for scalar in self._new_scalars():
            if scalar.tag == LOSS_TAG:
                self._losses[scalar.step] = scalar.value
            elif scalar.tag in _RATE_TAGS:
                self._rate = scalar.value
        if not self._events and printed.step is not None and printed.mean_loss is not None:
            # Without TensorBoard in its environment, the mean that it prints is all there is.
            self._losses[printed.step] = printed.mean_loss
        new = [loss for step, loss in self._losses.items() if step > self._told_to and math.isfinite(loss)]
        steps_done = max(self._losses, default=0)
        return Progress(
            epoch=printed.epoch,
            epochs=printed.epochs,
            step=max(printed.step or 0, steps_done) or None,
            steps=printed.steps,
            loss=sum(new) / len(new) if new else None,
            learning_rate=self._rate,
            seconds_left=printed.seconds_left,
        )

    def told(self) -> None:
        """Begin a new mean of the loss."""
        self._told_to = max(self._losses, default=0)

    def divergence(self) -> Divergence | None:
        """From where on the loss is no number; None while it is one."""
        return find_divergence(self._losses.items())

    def _new_scalars(self) -> list[Scalar]:
        new: list[Scalar] = []
        for path in sorted(self._logging_dir.rglob("events.out.tfevents.*")):
            if path in self._damaged:
                continue
            try:
                new.extend(self._events.setdefault(path, GrowingEventFile(path)).new_scalars())
            except (EventFileError, OSError) as error:  # the training goes on, and so do we
                self._damaged.add(path)
                _log.warning("%s: it is not read any further", error)
        return new
