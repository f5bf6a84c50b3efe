"""What is wrong with a checkpoint file, and what a person can do about it."""

from pathlib import Path


class CheckpointError(Exception):
    """A file that cannot be evaluated: which, why, and what to do.

    Parameters
    ----------
    path
        The file.
    fault
        What is wrong with it, as the rest of a sentence that begins with the file's name.
    remedy
        What a person can do, in full sentences.
    retry
        True if the same file may be fine a moment later: it is still being written, was replaced while it
        was read, or is not readable yet. False if only other content would help.
    """

    def __init__(self, path: Path, fault: str, remedy: str, retry: bool = False) -> None:
        # All four are passed on, so that the error survives pickling between worker processes.
        super().__init__(path, fault, remedy, retry)
        self.path = path
        self.fault = fault
        self.remedy = remedy
        self.retry = retry

    def __str__(self) -> str:
        return f"{printable(self.path.name)} {self.fault}.\n{self.remedy}"


def printable(text: str, limit: int = 120) -> str:
    """Text from a file that nobody vouches for, on one line and without control characters."""
    line = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    return line if len(line) <= limit else line[: limit - 1] + "…"
