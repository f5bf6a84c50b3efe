"""Two images that are sent so that nothing but what they show tells them apart."""

import io
import secrets
import struct
import threading
import zlib
from collections import OrderedDict
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.measurement import decode_png

_END: Final = 12  # bytes of the chunk that ends every PNG
_CHUNK: Final = 12  # bytes of a chunk without content: length, name and checksum
_PADDING: Final = b"paDd"  # ancillary and private: every reader skips it (PNG specification, 5.4)
_FAST: Final = 1  # of nine: a judge waits for it
_TOKEN_BYTES: Final = 24
_MOST_WAITING: Final = 64  # images of 32 judges who were shown a pair at the same moment


def alike(left: bytes, right: bytes) -> tuple[bytes, bytes]:
    """Two PNG files with the pixels of the given ones, of equal length, in one colour mode and without metadata."""
    pixels = [decode_png(png) for png in (left, right)]
    has_alpha = any(image.shape[2] == 4 for image in pixels)
    files = [_encoded(image, has_alpha) for image in pixels]
    length = max(map(len, files)) + _CHUNK
    first, second = (_padded(file, length) for file in files)
    return first, second


class WaitingImages:
    """Images that wait to be fetched, each once, by whoever knows its token; the oldest give way to new ones."""

    def __init__(self) -> None:
        self._images: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, png: bytes) -> str:
        """Keep an image and return its token."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._lock:
            self._images[token] = png
            while len(self._images) > _MOST_WAITING:
                self._images.popitem(last=False)
        return token

    def take(self, token: str) -> bytes | None:
        """The image of a token, for the first who asks; None for everybody else."""
        with self._lock:
            return self._images.pop(token, None)


def _encoded(pixels: NDArray[np.uint8], has_alpha: bool) -> bytes:
    encoded = io.BytesIO()
    Image.fromarray(pixels).convert("RGBA" if has_alpha else "RGB").save(encoded, "PNG", compress_level=_FAST)
    return encoded.getvalue()


def _padded(png: bytes, length: int) -> bytes:
    content = bytes(length - len(png) - _CHUNK)
    chunk = struct.pack(">I", len(content)) + _PADDING + content
    return png[:-_END] + chunk + struct.pack(">I", zlib.crc32(chunk[4:])) + png[-_END:]
