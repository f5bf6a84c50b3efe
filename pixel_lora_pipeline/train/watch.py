"""Which checkpoint files lie in the watched folders."""

import math
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pixel_lora_pipeline.train.checkpoint import Checkpoint

# Kohya's states (NAME-000001-state) and OneTrainer's backups hold the LoRA once more, in a file of the same
# type; they are for going on with the training.
_SKIPPED_FOLDER = re.compile(r".*-state|\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d-backup-.*", re.IGNORECASE)
_SUFFIX = ".safetensors"


@dataclass(frozen=True, slots=True)
class FileSighting:
    """A file as it stood in the folder listing; nothing of it has been read."""

    path: Path
    size: int
    mtime_ns: int
    inode: int

    @property
    def stat_key(self) -> tuple[str, int, int, int]:
        """Equal for two sightings between which the file was not written, replaced or moved."""
        return (str(self.path), self.size, self.mtime_ns, self.inode)


def find_checkpoints(folders: Iterable[Path]) -> list[FileSighting]:
    """All safetensors files in the folders and below, by path.

    Folders that end in `-state` and backups are skipped, folders behind symbolic links too: a link inside
    the watched folder would show a file twice, one that leaves it is not to be followed. Linked files are
    listed, and `read_checkpoint` says what it thinks of them. Folders and files that vanish, or that may not
    be read, while this looks are left out: the next look finds them.

    Parameters
    ----------
    folders
        The watched folders; one that is missing counts as empty, one inside another is listed once.
    """
    sightings: dict[str, FileSighting] = {}
    pending = [str(folder.absolute()) for folder in folders]
    while pending:
        try:
            with os.scandir(pending.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        if not is_skipped(entry.name):
                            pending.append(entry.path)
                    elif entry.name.lower().endswith(_SUFFIX) and (sighting := _sight(entry)) is not None:
                        sightings[entry.path] = sighting
        except OSError:
            continue
    return [sightings[path] for path in sorted(sightings)]


def is_skipped(folder_name: str) -> bool:
    """Whether a folder holds states or backups, and no checkpoints to evaluate."""
    return _SKIPPED_FOLDER.fullmatch(folder_name) is not None


def _sight(entry: os.DirEntry[str]) -> FileSighting | None:
    path = Path(entry.path)
    try:
        status = path.stat()  # not entry.stat(): on Windows that has no inode
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileSighting(path, status.st_size, status.st_mtime_ns, status.st_ino)


def training_order(checkpoint: Checkpoint) -> tuple[float, str, float, float, bool]:
    """Sort key: run by run as they were started, in a run by epoch and step, never by the file's time.

    Copying and unpacking change the times of files, and the last file of a run sorts before the first by
    name. Runs whose start is unknown come first.
    """
    run = checkpoint.run
    unnumbered = checkpoint.epoch is None and checkpoint.step is None
    return (
        run.started_at if run.started_at is not None else -math.inf,
        run.key,
        math.inf if unnumbered else checkpoint.epoch or 0,
        checkpoint.step or 0,
        checkpoint.is_final,
    )
