"""Trainings on this machine: each a process group of its own, which outlives whoever has started it."""

import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from pixel_lora_pipeline.train.trainers.trainer import TrainerError, TrainingState
from pixel_lora_pipeline.whole_file import write_whole

# A step of a large model and the saving of an epoch both fit.
_GRACE_SECONDS: Final = 60
_TAIL_BYTES: Final = 4096
# Two readings of the same start differ by rounding.
_SAME_START_SECONDS: Final = 0.01


def control_folder(folder: Path) -> Path:
    """Where what is written about a training lies, apart from its checkpoints and what is read along with them."""
    return folder / "trainer"


class LocalProcess:
    """Starts a program that takes Kohya's `--config_file`, and knows its process again.

    A process is known by its number and by the moment of its start, because numbers are used again. What is known of
    it lies in the training's folder from before the start, so that no crash lets a training start twice.

    Parameters
    ----------
    command
        Program and arguments; the configuration's file is added.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self._command = list(command)

    def start(self, config_file: Path, output_name: str, folder: Path) -> dict[str, Any]:
        """As `Trainer.start`, with a configuration that lies in a file."""
        control = control_folder(folder)
        control.mkdir(parents=True, exist_ok=True)
        record = control / "training.json"
        try:
            record.open("x").close()
        except FileExistsError:
            return _known(record)
        log = control / "training.log"
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*self._command, "--config_file", str(config_file)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
            )
        training = {
            "pid": process.pid,
            "started": psutil.Process(process.pid).create_time(),
            "log": str(log),
            "last_checkpoint": str(folder / f"{output_name}.safetensors"),
        }
        write_whole(record, json.dumps(training).encode())
        return training

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        """As `Trainer.look`."""
        is_running = _process(training) is not None
        is_complete = not is_running and Path(training["last_checkpoint"]).is_file()
        last_line = _last_line(Path(training["log"]))
        ended_early = not is_running and not is_complete
        failure = (last_line or "its process ended without a word") if ended_early else None
        return TrainingState(is_running, is_complete, failure, last_line)

    def stop(self, training: Mapping[str, Any]) -> None:
        """As `Trainer.stop`: asks first, and kills what has not ended after a minute."""
        process = _process(training)
        if process is None:
            return
        family = [process, *process.children(recursive=True)]
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=_GRACE_SECONDS)
        for each in alive:
            each.kill()
        _, alive = psutil.wait_procs(alive, timeout=_GRACE_SECONDS)
        if alive:
            raise TrainerError(f"process {alive[0].pid} of a training does not end, not even when killed: look at it.")


def _known(record: Path) -> dict[str, Any]:
    content = record.read_text(encoding="utf-8")
    if not content:
        raise TrainerError(
            f"{record} says that a training was about to be started when its starter died: nobody knows whether it "
            "runs. End its process if there is one, and propose the experiment again."
        )
    training: dict[str, Any] = json.loads(content)
    return training


def _process(training: Mapping[str, Any]) -> psutil.Process | None:
    """The training's process while it runs."""
    try:
        process = psutil.Process(training["pid"])
        is_it = abs(process.create_time() - training["started"]) < _SAME_START_SECONDS
        return process if is_it and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.NoSuchProcess:
        return None


def _last_line(log: Path) -> str:
    """The last that was written; a progress bar writes over its own line."""
    if not log.is_file():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
        tail = file.read().decode("utf-8", errors="replace")
    lines = [line.strip() for line in re.split(r"[\r\n]+", tail)]
    return next((line for line in reversed(lines) if line), "")
