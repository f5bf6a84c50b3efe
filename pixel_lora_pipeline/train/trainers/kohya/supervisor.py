"""Reports a training's progress as messages of Dagster Pipes, and stops it when its loss is no number any more.

`python -m pixel_lora_pipeline.train.trainers.kohya.supervisor FOLDER` follows the training that was started in a
folder until it has ended. It is a process of its own, so that the training is watched while no Dagster run is, and
not the training's parent, so that the training goes on when it dies: another one may be started at any time, and of
two the second ends at once. The file of messages grows, whoever reads it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Final

from dagster_pipes import PipesContext, open_dagster_pipes

from pixel_lora_pipeline.train.trainers.kohya.divergence import arguments_of, reason_to_give_up, write_reason
from pixel_lora_pipeline.train.trainers.kohya.progress import LOGGING_DIR, MESSAGES, Progress, TrainingRecords
from pixel_lora_pipeline.train.trainers.kohya.supervisor_lock import supervisor_lock
from pixel_lora_pipeline.train.trainers.local_process import LocalProcess, control_folder

_LOOK_SECONDS: Final = 0.5
# A line for people and a point in Dagster's plots; an epoch that is over is told at once.
_REPORT_SECONDS: Final = 30.0


def supervise(folder: Path, pipes: PipesContext) -> None:
    """Follow the training of a folder to its end."""
    training = LocalProcess.known(folder)
    if training is None:
        return
    processes = LocalProcess([])
    records = TrainingRecords(Path(training["log"]), control_folder(folder) / LOGGING_DIR)
    told, told_at = Progress(), -_REPORT_SECONDS
    is_running = True
    while is_running:
        # Asked first: what is written before the end is read after it.
        is_running = processes.look(training).is_running
        progress = records.read()
        is_due = time.monotonic() - told_at >= _REPORT_SECONDS or not is_running
        if progress.epoch != told.epoch or (is_due and progress.step != told.step):
            pipes.log.info(progress.sentence())
            pipes.report_custom_message(progress.to_dict())
            records.told()
            told, told_at = progress, time.monotonic()
        if is_running and (divergence := records.divergence()) is not None:
            reason = reason_to_give_up(divergence, progress, arguments_of(folder))
            pipes.log.error(f"{folder.name}: {reason}")
            write_reason(folder, reason)
            processes.stop(training)
            continue
        if is_running:
            time.sleep(_LOOK_SECONDS)


def _said_before(messages: Path) -> list[bytes]:
    """What others have said of the training. Half a line, of one that was killed while it wrote, is taken off."""
    if not messages.is_file():
        return []
    with messages.open("rb+") as file:
        content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        file.truncate(len(whole))
    return whole.splitlines()


def _is_goodbye(message: bytes) -> bool:
    """Whether somebody has followed the training to its end, and not died of an error."""
    said = json.loads(message)
    return bool(said["method"] == "closed" and not said["params"])


def main() -> None:
    """Follow one training, unless somebody does or did."""
    folder = Path(sys.argv[1])
    lock = supervisor_lock(folder)
    if not lock.acquire(blocking=False):
        return
    try:
        said = _said_before(control_folder(folder) / MESSAGES)
        if said and _is_goodbye(said[-1]):
            return
        with open_dagster_pipes() as pipes:
            supervise(folder, pipes)
    finally:
        lock.release()


if __name__ == "__main__":
    main()
