"""Writes files of which nobody ever sees a part."""

import os
import secrets
import sys
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, flushes and renames it; a failure leaves nothing.

    The temporary name does not end as the file's does, so that nobody who looks for such files finds it, and several
    may write the same file at once: the last one's content stays.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        finish_whole(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def finish_whole(temporary: Path, path: Path) -> None:
    """Flushes a file that was written under a temporary name in the same folder, and gives it its own name."""
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)
    if sys.platform != "win32":  # there, a folder cannot be opened, and the rename is on the disk
        _flush_folder(path.parent)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
