"""The end of what a program prints."""

import re
from pathlib import Path


def last_lines(log: Path, most_bytes: int) -> list[str]:
    """The lines at the end of a log, without empty ones; a progress bar writes over its own line."""
    if not log.is_file():
        return []
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - most_bytes))
        tail = file.read().decode("utf-8", errors="replace")
    return [line.strip() for line in re.split(r"[\r\n]+", tail) if line.strip()]
