"""Trainings on this machine: each a process group of its own, which outlives whoever has started it."""

import json
import os
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psutil

from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.safetensors_file import open_safetensors
from pixel_lora_pipeline.train.trainers.log_tail import last_lines
from pixel_lora_pipeline.train.trainers.trainer import TrainerError, TrainingState
from pixel_lora_pipeline.whole_file import write_whole

# A step of a large model and the saving of an epoch both fit.
_GRACE_SECONDS: Final = 60
# A LoRA is written in a second; what is not complete by then will not be. A trainer never pauses while it saves.
_LONGEST_SAVE_SECONDS: Final = 60
_LONGEST_PAUSE_SECONDS: Final = 5
_TAIL_BYTES: Final = 4096
_NEXT_TRY_SECONDS: Final = 0.1
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
    folder
        In which the program works; by default where we do.
    environment
        Of the program; by default ours.
    """

    def __init__(
        self, command: Sequence[str], folder: Path | None = None, environment: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._folder = folder
        self._environment = environment

    @staticmethod
    def known(folder: Path) -> dict[str, Any] | None:
        """What was written of the training that was started in a folder; None if none was.

        Raises
        ------
        TrainerError
            If nobody knows whether one was started.
        """
        record = _record(folder)
        return _read(record) if record.is_file() else None

    def start(self, config_file: Path, output_name: str, folder: Path) -> dict[str, Any]:
        """As `Trainer.start`, with a configuration that lies in a file."""
        control = control_folder(folder)
        control.mkdir(parents=True, exist_ok=True)
        record = _record(folder)
        try:
            record.open("x").close()
        except FileExistsError:
            return _read(record)
        log = control / "training.log"
        with log.open("ab") as output:
            try:
                process = subprocess.Popen(
                    [*self._command, "--config_file", str(config_file)],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=os.name != "nt",
                    cwd=self._folder,
                    env=self._environment,
                )
            except OSError as error:
                record.unlink()
                raise TrainerError(f"{self._command[0]} cannot be started: {error}") from error
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
        is_running = bool(_processes(training))
        is_complete = not is_running and Path(training["last_checkpoint"]).is_file()
        last_line = (last_lines(Path(training["log"]), _TAIL_BYTES) or [""])[-1]
        ended_early = not is_running and not is_complete
        failure = (last_line or "its process ended without a word") if ended_early else None
        return TrainingState(is_running, is_complete, failure, last_line)

    def stop(self, training: Mapping[str, Any]) -> None:
        """As `Trainer.stop`: asks while no checkpoint is being written, and kills what goes on after a minute."""
        alive = _still_alive(_ask_to_end(training))
        for each in alive:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        alive = _still_alive(alive)
        if alive:
            raise TrainerError(f"process {alive[0].pid} of a training does not end, not even when killed: look at it.")


def _record(folder: Path) -> Path:
    return control_folder(folder) / "training.json"


def _read(record: Path) -> dict[str, Any]:
    content = record.read_text(encoding="utf-8")
    if not content:
        raise TrainerError(
            f"{record} says that a training was about to be started when its starter died: nobody knows whether it "
            "runs. End its process if there is one, and propose the experiment again."
        )
    training: dict[str, Any] = json.loads(content)
    return training


def _processes(training: Mapping[str, Any]) -> list[psutil.Process]:
    """The processes of a training that run: what was started, and what that has started in its turn.

    Launchers may die before what they have launched. That is found by its session, which has the number of the
    process that was started; the number is not given to another process while the session lives.
    """
    number = training["pid"]
    family: list[psutil.Process] = []
    with suppress(psutil.NoSuchProcess):
        first = psutil.Process(number)
        if abs(first.create_time() - training["started"]) >= _SAME_START_SECONDS:
            return []
        family = [first, *first.children(recursive=True)]
    known = {process.pid for process in family}
    return [process for process in (*family, *_session(number, known)) if _is_alive(process)]


def _session(number: int, known: Collection[int]) -> Iterator[psutil.Process]:
    """The processes of a session that are not known yet."""
    if os.name == "nt":
        return
    for pid in psutil.pids():
        with suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if pid not in known and os.getsid(pid) == number:
                yield psutil.Process(pid)


def _ask_to_end(training: Mapping[str, Any]) -> list[psutil.Process]:
    """Ask a training's processes to end, at a moment at which none of its checkpoints is half written; return them."""
    last_checkpoint = training.get("last_checkpoint")
    deadline = time.monotonic() + _LONGEST_SAVE_SECONDS
    while family := _processes(training):
        with _held(family):
            is_saving = last_checkpoint is not None and _is_half_written(Path(last_checkpoint).parent)
            if not is_saving or time.monotonic() > deadline:
                for each in family:
                    with suppress(psutil.NoSuchProcess):
                        each.terminate()
                return family
        time.sleep(_NEXT_TRY_SECONDS)
    return []


def _still_alive(family: Sequence[psutil.Process]) -> list[psutil.Process]:
    """The processes that go on after the grace time. One that has ended may wait for a parent that never asks."""
    deadline = time.monotonic() + _GRACE_SECONDS
    while alive := [each for each in family if _is_alive(each)]:
        if time.monotonic() > deadline:
            break
        time.sleep(_NEXT_TRY_SECONDS)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@contextmanager
def _held(family: Sequence[psutil.Process]) -> Iterator[None]:
    """Processes that do nothing meanwhile, so that what is seen of their files still holds when they are asked."""
    for each in family:
        with suppress(psutil.NoSuchProcess):
            each.suspend()
    try:
        yield
    finally:
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.resume()


def _is_half_written(folder: Path) -> bool:
    """Whether a checkpoint was begun just now and is not complete: shorter than its header says."""
    for path in folder.glob("*.safetensors"):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime < _LONGEST_PAUSE_SECONDS and not _is_complete(path):
                return True
    return False


def _is_complete(path: Path) -> bool:
    try:
        with open_safetensors(path):
            return True
    except CheckpointError as error:
        return not error.retry
