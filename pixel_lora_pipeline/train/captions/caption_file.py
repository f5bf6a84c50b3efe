"""One caption file, byte for byte."""

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CaptionFile:
    """What lies beside a picture, or would.

    Attributes
    ----------
    name
        Of the file within its dataset, with `/`.
    path
        Where it lies.
    content
        Its bytes.
    """

    name: str
    path: Path
    content: bytes

    @property
    def text(self) -> str | None:
        """The whole text with its line ends and a byte order mark, if there is one; None if it is not UTF-8."""
        try:
            return self.content.decode("utf-8")
        except UnicodeDecodeError:  # Kohya's trainer stops at such a file
            return None

    @property
    def sha256(self) -> str:
        """Of the bytes, in hexadecimal."""
        return hashlib.sha256(self.content).hexdigest()
