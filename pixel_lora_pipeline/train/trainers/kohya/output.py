"""What Kohya's trainer prints while it trains: its progress bar, its epochs, and why it failed."""

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.trainers.log_tail import last_lines

# tqdm's bar, as in "steps:  10%|█         | 16/160 [00:05<00:45,  3.20it/s, avr_loss=0.123]".
_BAR: Final = re.compile(
    r"steps:\s*\d+%\|.*\|\s*(?P<step>\d+)/(?P<steps>\d+)\s*\[(?P<spent>[\d:]+)<(?P<left>[\d:]+|\?)"
    r"(?:.*avr_loss=(?P<loss>[^\],\s]+))?"
)
_EPOCH: Final = re.compile(r"epoch (?P<epoch>\d+)/(?P<epochs>\d+)\s*")
_LINE_ENDS: Final = re.compile(r"[\r\n]+")
# The last line of a traceback, and what argparse says.
_FAILURE: Final = re.compile(r"(?:[\w.]*(?:Error|Exception|Interrupt)\b|[\w.]+: error:).*")
# accelerate's own, which only says that the script has failed.
_LAUNCHER: Final = ("subprocess.CalledProcessError", "torch.distributed.elastic")
_TAIL_BYTES: Final = 65_536
_LONGEST_REASON: Final = 500


@dataclass(frozen=True)
class Printed:
    """How far a training has come by its own words; None for what it has not said yet.

    Attributes
    ----------
    epoch, epochs
        The one that runs, counted from 1, and all that are planned.
    step, steps
        Optimizer steps done, and all that are planned.
    seconds_left
        As the progress bar has it.
    mean_loss
        Over an epoch's steps, as the progress bar has it; may be NaN.
    """

    epoch: int | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    seconds_left: int | None = None
    mean_loss: float | None = None


class GrowingLog:
    """A log that a training still writes: each of its lines is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0
        self._rest = ""
        self._printed = Printed()

    def read(self) -> Printed:
        """How far the training has come, by all that was written up to now."""
        if not self._path.is_file():
            return self._printed
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            new = file.read()
            self._read_to = file.tell()
        # A letter that is cut in two is one of a bar's, which is drawn again.
        *lines, self._rest = _LINE_ENDS.split(self._rest + new.decode("utf-8", errors="replace"))
        for line in [*lines, self._rest]:  # a bar that is complete but for the end of its line counts, too
            self._printed = _after(self._printed, line)
        return self._printed


def _after(before: Printed, line: str) -> Printed:
    if bar := _BAR.search(line):
        loss = None if bar["loss"] is None else _number(bar["loss"])
        left = None if bar["left"] == "?" else _seconds(bar["left"])
        return replace(before, step=int(bar["step"]), steps=int(bar["steps"]), seconds_left=left, mean_loss=loss)
    if epoch := _EPOCH.fullmatch(line.strip()):
        return replace(before, epoch=int(epoch["epoch"]), epochs=int(epoch["epochs"]))
    return before


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:  # cut off in the middle
        return None


def _seconds(clock: str) -> int:
    seconds = 0
    for part in clock.split(":"):
        seconds = seconds * 60 + int(part or 0)
    return seconds


def reason_of_failure(log: Path) -> str | None:
    """The error that ended a training, in its own words; None if it named none."""
    named = [line for line in last_lines(log, _TAIL_BYTES) if _FAILURE.match(line)]
    own = [line for line in named if not line.startswith(_LAUNCHER)]
    return own[-1][:_LONGEST_REASON] if own else None
