"""Writes files of which nobody ever sees a part."""

import os
from pathlib import Path


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name beside it, flushes and renames it; a failure leaves nothing.

    The temporary name does not end as the file's does, so that nobody who looks for such files finds it.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
