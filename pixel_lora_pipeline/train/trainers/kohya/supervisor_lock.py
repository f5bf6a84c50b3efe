"""Who follows a training: the process that holds its lock, for as long as it lives."""

from pathlib import Path

from fasteners import InterProcessLock  # type: ignore[import-untyped]

from pixel_lora_pipeline.train.trainers.local_process import control_folder


def supervisor_lock(folder: Path) -> InterProcessLock:
    """The lock of the training that was started in a folder."""
    return InterProcessLock(control_folder(folder) / "supervisor.lock")


def is_followed(folder: Path) -> bool:
    """Whether some process follows the training now."""
    lock = supervisor_lock(folder)
    if not lock.acquire(blocking=False):
        return True
    lock.release()
    return False
