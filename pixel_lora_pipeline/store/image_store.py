"""Generated images as files that are named by their content."""

import hashlib
import re
from pathlib import Path

from pixel_lora_pipeline.whole_file import write_whole

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SHA256 = re.compile(r"[0-9a-f]{64}")


class ImageStoreError(OSError):
    """An image is missing or damaged: says which file and how to get it back."""


class ImageStore:
    """A folder of PNG files, `ab/abcdef….png`, each named by the SHA-256 of its bytes.

    The same image is stored once, however often it is put. A file appears complete or not at all, so several
    processes may put and read at once, and a crash leaves nothing half there under an image's name.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, png: bytes) -> str:
        """Store an image and return its name, the SHA-256 of the bytes in hexadecimal.

        Raises
        ------
        ValueError
            If the bytes are no PNG.
        """
        if not png.startswith(_PNG_SIGNATURE):
            raise ValueError(f"these {len(png)} bytes are no PNG image: they begin with {png[:8]!r}.")
        sha256 = hashlib.sha256(png).hexdigest()
        target = self.path(sha256)
        if _holds(target, png):
            return sha256
        target.parent.mkdir(parents=True, exist_ok=True)
        write_whole(target, png)
        return sha256

    def path(self, sha256: str) -> Path:
        """Where the image of this name is or would be.

        Raises
        ------
        ValueError
            If the name is not that of an image: 64 hexadecimal digits, in lower case.
        """
        if not _SHA256.fullmatch(sha256):
            raise ValueError(f"{sha256!r} is not the name of an image: 64 hexadecimal digits are.")
        return self._folder / sha256[:2] / f"{sha256}.png"

    def has(self, sha256: str) -> bool:
        """Whether there is a file of this name; its content is checked when it is read."""
        return self.path(sha256).is_file()

    def read(self, sha256: str) -> bytes:
        """The image's bytes, verified against its name.

        Raises
        ------
        ImageStoreError
            If the file is missing or its content is not what its name says.
        """
        path = self.path(sha256)
        try:
            png = path.read_bytes()
        except FileNotFoundError:
            raise ImageStoreError(
                f"image {path} is missing. Materialise test_images again for its checkpoint: what is missing "
                "is generated anew."
            ) from None
        if hashlib.sha256(png).hexdigest() != sha256:
            raise ImageStoreError(
                f"image {path} is damaged: its content is not what its name says. Delete it and materialise "
                "test_images again for its checkpoint; check the disk if this happens more than once."
            )
        return png


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except FileNotFoundError:
        return False
