"""A training on this machine is started once, found again by any process, and stopped with all that it started."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pixel_lora_pipeline.train.trainers import LocalProcess, TrainerError, control_folder

# Follows the same command line as Kohya's script: waits for leave to end, then saves or fails as it was told.
PROGRAM = """
import json, pathlib, sys, time
told = json.loads(pathlib.Path(sys.argv[sys.argv.index("--config_file") + 1]).read_text())
folder = pathlib.Path(told["folder"])
print("steps:  10%", flush=True)
while told["waits"] and not (folder / "end").exists():
    time.sleep(0.02)
if told["fails"]:
    sys.exit("CUDA out of memory")
(folder / "portraits.safetensors").write_bytes(b"weights")
"""


@pytest.fixture
def processes(tmp_path: Path) -> LocalProcess:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    return LocalProcess([sys.executable, str(program)])


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "training"
    folder.mkdir()
    yield folder
    (folder / "end").touch()


def config(folder: Path, *, waits: bool = True, fails: bool = False) -> Path:
    file = folder.with_suffix(".json")
    file.write_text(json.dumps({"folder": str(folder), "waits": waits, "fails": fails}), encoding="utf-8")
    return file


def ended(processes: LocalProcess, training: dict[str, object]) -> None:
    deadline = time.monotonic() + 30
    while processes.look(training).is_running:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_training_is_found_again_and_known_to_be_complete(processes: LocalProcess, folder: Path) -> None:
    training = processes.start(config(folder), "portraits", folder)
    assert processes.look(training).is_running
    assert not processes.look(training).is_complete
    again = LocalProcess(["another-program-that-must-not-start"]).start(config(folder), "portraits", folder)
    assert again == training, "it was started twice"
    (folder / "end").touch()
    ended(processes, training)
    state = processes.look(training)
    assert (state.is_complete, state.failure, state.progress) == (True, None, "steps:  10%")


def test_a_training_that_fails_says_why_in_its_own_words(processes: LocalProcess, folder: Path) -> None:
    training = processes.start(config(folder, waits=False, fails=True), "portraits", folder)
    ended(processes, training)
    assert processes.look(training).failure == "CUDA out of memory"


def test_a_stopped_training_has_ended_when_stop_returns(processes: LocalProcess, folder: Path) -> None:
    training = processes.start(config(folder), "portraits", folder)
    processes.stop(training)
    assert not processes.look(training).is_running
    processes.stop(training)


def test_a_process_with_the_same_number_that_started_later_is_somebody_else(
    processes: LocalProcess, folder: Path
) -> None:
    me = psutil.Process()
    stranger = {
        "pid": me.pid,
        "started": me.create_time() - 60,
        "log": str(folder / "log"),
        "last_checkpoint": str(folder / "portraits.safetensors"),
    }
    assert not processes.look(stranger).is_running
    processes.stop(stranger)
    assert me.is_running(), "a process that is not ours was ended"


def test_where_nobody_knows_whether_a_training_was_started_none_is(processes: LocalProcess, folder: Path) -> None:
    record = control_folder(folder) / "training.json"
    record.parent.mkdir()
    record.touch()  # what a starter leaves that dies before it has written the process's number
    with pytest.raises(TrainerError, match="nobody knows whether it runs"):
        processes.start(config(folder), "portraits", folder)
