"""The header of a safetensors file, read under limits and without loading a tensor.

The safetensors library is strict about the layout, but lets through what only costs: headers of 100 MB,
200,000 tensors, empty tensors with a trillion dimensions. It also does not say whether a file that it refuses
is broken or merely not finished, and the difference decides between quarantine and another look.
"""

import hashlib
import json
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import NamedTuple, NoReturn

from pixel_lora_pipeline.train.errors import CheckpointError, printable

MIN_FILE_BYTES = 1_000
MAX_FILE_BYTES = 2 * 1024**3
MAX_HEADER_BYTES = 16 * 1024**2
MAX_TENSORS = 20_000
MAX_METADATA_VALUE_BYTES = 1024**2
MAX_DIMENSIONS = 8

# A header may be small in bytes and still unfold to hundreds of megabytes of Python lists. Real ones have two
# lists and one object a tensor; what stands inside metadata texts is counted too, hence the room.
MAX_BRACKETS = 300_000
MAX_COMMAS = 2_000_000

# Small files are hashed whole; of large ones a megabyte in evenly spread blocks. A training step moves every
# weight, so that other content shows in any block.
SIGNATURE_BLOCKS = 64
SIGNATURE_BLOCK_BYTES = 16 * 1024

DTYPE_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}  # fmt: skip
_SCALAR_FORMATS = {"F64": "<d", "F32": "<f", "F16": "<e", "I64": "<q", "I32": "<i", "I16": "<h", "I8": "<b"}

_ZIP_OR_PICKLE = (
    "is a pickle or zip file (.pt, .ckpt, .bin) under another name",
    "Loading such a file can run code, so it is never opened. Save it as safetensors "
    '(save_model_as = "safetensors") or convert it on the machine that made it.',
)
_FOREIGN_BEGINNINGS = {
    b"PK\x03\x04": _ZIP_OR_PICKLE,
    b"\x80\x02": _ZIP_OR_PICKLE,
    b"\x80\x03": _ZIP_OR_PICKLE,
    b"\x80\x04": _ZIP_OR_PICKLE,
    b"\x80\x05": _ZIP_OR_PICKLE,
    b"version ": (
        "is a Git LFS pointer, not the file itself",
        "Fetch the content with `git lfs pull`.",
    ),
    b"<!DOCTYP": (
        "is a web page, not a checkpoint",
        "The download went wrong: an error page was saved under the file's name. Download it again.",
    ),
}
_STILL_WRITTEN = "It is looked at again by itself. If it stays like this, the copy was cut short: copy it again."
_NOT_WELL_FORMED = "The file is damaged or was made by something else than safetensors. Save or copy it again."


class TensorEntry(NamedTuple):
    """One tensor as the header describes it; `start` and `end` are byte offsets in the file."""

    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


@dataclass(frozen=True)
class SafetensorsFile:
    """An open file whose header has been read and found consistent; made by `open_safetensors`.

    `data_start` is where the tensors begin, `inode` and `mtime_ns` are those of the open file, not of
    whatever has that name by now.
    """

    path: Path
    size: int
    mtime_ns: int
    inode: int
    data_start: int
    metadata: dict[str, str]
    tensors: dict[str, TensorEntry]
    header_digest: bytes = field(repr=False)
    _handle: BufferedReader = field(repr=False, compare=False)

    def read(self, start: int, count: int) -> bytes:
        """`count` bytes from byte `start` of the file."""
        try:
            self._handle.seek(start)
            data = self._handle.read(count)
        except OSError as error:
            raise _reading_error(self.path, error) from error
        if len(data) != count:
            raise CheckpointError(self.path, "became shorter while it was read", _STILL_WRITTEN, retry=True)
        return data

    def scalar(self, name: str) -> float:
        """The value of a tensor with one element.

        Raises
        ------
        ValueError
            If the tensor has more elements, or a type that holds no plain number.
        """
        entry = self.tensors[name]
        data = self.read(entry.start, entry.end - entry.start) if entry.end - entry.start <= 8 else b""
        if entry.dtype == "BF16" and len(data) == 2:  # the upper half of a float32
            return float(struct.unpack("<f", b"\0\0" + data)[0])
        if len(data) != DTYPE_BYTES[entry.dtype] or entry.dtype not in _SCALAR_FORMATS:
            raise ValueError(f"{entry.dtype} of shape {entry.shape} is not one number")
        return float(struct.unpack(_SCALAR_FORMATS[entry.dtype], data)[0])

    def sha256(self) -> str:
        """Hash of the whole file (64 hexadecimal digits); reads all of it, a block at a time."""
        with _reading(self.path):
            self._handle.seek(0)
            return hashlib.file_digest(self._handle, "sha256").hexdigest()

    def signature(self) -> str:
        """A fingerprint of the content that reads at most a megabyte (64 hexadecimal digits).

        It covers the size, the whole header (with Kohya's own hash of the weights, where there is one) and
        the tensor bytes: all of them up to 1 MiB, evenly spread blocks of a larger file. The name and the
        times of the file do not count.
        """
        digest = hashlib.sha256(self.header_digest)
        digest.update(self.size.to_bytes(8, "little"))
        length = self.size - self.data_start
        if length <= SIGNATURE_BLOCKS * SIGNATURE_BLOCK_BYTES:
            digest.update(self.read(self.data_start, length))
        else:
            last = length - SIGNATURE_BLOCK_BYTES
            for block in range(SIGNATURE_BLOCKS):
                offset = last * block // (SIGNATURE_BLOCKS - 1)
                digest.update(self.read(self.data_start + offset, SIGNATURE_BLOCK_BYTES))
        return digest.hexdigest()


@contextmanager
def open_safetensors(path: Path, root: Path | None = None) -> Iterator[SafetensorsFile]:
    """Open a safetensors file, check it and read its header; the tensors stay on disk.

    Memory and time depend on the header (at most 16 MiB), not on the file. One handle serves all reads, so
    that a file which is replaced meanwhile is either read whole or reported.

    Parameters
    ----------
    path
        The file. A symbolic link is followed if it stays inside `root`.
    root
        The watched folder; the file's own folder by default.

    Raises
    ------
    CheckpointError
        With `retry` for a file that is still growing, was replaced or deleted while it was read, or may not
        be read yet; without for everything that waiting does not mend.
    """
    with _reading(path):
        _check_is_regular(path, root)
        handle = path.open("rb")
    with handle:
        with _reading(path):
            opened = _read_header(path, handle)
        yield opened
        with _reading(path):
            after = path.stat()
    if (after.st_size, after.st_mtime_ns, after.st_ino) != (opened.size, opened.mtime_ns, opened.inode):
        raise CheckpointError(path, "was replaced while it was read", _STILL_WRITTEN, retry=True)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _reading_error(path, error) from error


def _reading_error(path: Path, error: OSError) -> CheckpointError:
    if isinstance(error, FileNotFoundError):
        fault = "is not there (any more)"
        remedy = "Trainers delete old epochs (save_last_n_epochs); if it should be there, check the path."
    else:
        fault = f"cannot be read ({error.strerror or error})"
        remedy = "It is looked at again by itself. Files saved on another account may need `chmod a+r`."
    return CheckpointError(path, fault, remedy, retry=True)


def _check_is_regular(path: Path, root: Path | None) -> None:
    # Before opening: opening a named pipe would wait for ever.
    if not stat.S_ISREG(path.stat().st_mode):
        raise CheckpointError(path, "is not a regular file", "Only files are read, no folders, pipes or devices.")
    allowed = (root or path.parent).resolve()
    if not path.resolve().is_relative_to(allowed):
        raise CheckpointError(
            path,
            f"is a link that leaves the folder {printable(str(allowed))}",
            "Put the file itself into the folder, or watch the folder that it really lies in.",
        )


def _read_header(path: Path, handle: BufferedReader) -> SafetensorsFile:
    status = os.fstat(handle.fileno())
    size = status.st_size
    if size > MAX_FILE_BYTES:
        raise CheckpointError(
            path,
            f"is {size / 1024**3:.1f} GiB large",
            f"LoRA files are far smaller than the limit of {MAX_FILE_BYTES // 1024**3} GiB; this may be a "
            "whole model. Move it out of the watched folder.",
        )
    beginning, first_of_header = handle.read(8), handle.read(1)
    # A header of 640 bytes, for example, has a length that begins like a pickle; a pickle has no { after it.
    if first_of_header != b"{":
        for magic, (fault, remedy) in _FOREIGN_BEGINNINGS.items():
            if beginning.startswith(magic):
                raise CheckpointError(path, fault, remedy)
    handle.seek(8)
    if size < MIN_FILE_BYTES or len(beginning) < 8:
        raise CheckpointError(path, f"is still being written ({size} bytes so far)", _STILL_WRITTEN, retry=True)

    length = int.from_bytes(beginning, "little")
    if length == 0:  # some copying programs reserve the full size first, filled with zeros
        raise CheckpointError(path, "is still being written (it begins with zeros)", _STILL_WRITTEN, retry=True)
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(
            path,
            f"claims a header of {length:,} bytes (at most {MAX_HEADER_BYTES:,} are read)",
            "It is no safetensors file, or one with far too much metadata. Save it again without.",
        )
    if size < 8 + length:
        raise CheckpointError(
            path, f"is still being written ({size:,} bytes, its header alone needs {8 + length:,})",
            _STILL_WRITTEN, retry=True,
        )  # fmt: skip
    header = handle.read(length)
    if len(header) != length or b"\0" in header:
        raise CheckpointError(path, "is still being written (its header is not complete)", _STILL_WRITTEN, retry=True)

    metadata, tensors = _parse_header(path, header)
    end = max((entry.end for entry in tensors.values()), default=8 + length)
    if size != end:
        relation = "still being written" if size < end else "longer than its header says, or still being written"
        raise CheckpointError(
            path, f"is {relation} ({size:,} bytes, the header describes {end:,})", _STILL_WRITTEN, retry=True
        )
    return SafetensorsFile(
        path=path,
        size=size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        data_start=8 + length,
        metadata=metadata,
        tensors=tensors,
        header_digest=hashlib.sha256(header).digest(),
        _handle=handle,
    )


def _parse_header(path: Path, header: bytes) -> tuple[dict[str, str], dict[str, TensorEntry]]:
    if header.count(b"[") + header.count(b"{") > MAX_BRACKETS or header.count(b",") > MAX_COMMAS:
        _refuse(path, "it lists more than any LoRA has")
    try:
        content = json.loads(header.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:  # not UTF-8 and not JSON are both ValueErrors
        _refuse(path, "it is nested too deeply" if isinstance(error, RecursionError) else str(error))
    if not isinstance(content, dict):
        _refuse(path, "it is no JSON object")

    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        _refuse(path, "its metadata are not all texts")
    for key, value in metadata.items():
        if len(value) > MAX_METADATA_VALUE_BYTES:
            raise CheckpointError(
                path,
                f"has a metadata value of {len(value):,} characters ({printable(key)})",
                f"At most {MAX_METADATA_VALUE_BYTES:,} are read. Remove it from the file's metadata.",
            )
    if len(content) > MAX_TENSORS:
        raise CheckpointError(
            path,
            f"holds {len(content):,} tensors",
            f"LoRA files hold a few thousand, and at most {MAX_TENSORS:,} are read. Move it elsewhere.",
        )
    if not content:
        raise CheckpointError(path, "holds no tensors", "There is nothing to evaluate. Save the training again.")
    tensors = {name: _tensor_entry(path, name, entry, 8 + len(header)) for name, entry in content.items()}

    position = 8 + len(header)
    for start, end in sorted((tensor.start, tensor.end) for tensor in tensors.values()):
        if start != position:
            _refuse(path, f"its tensors overlap or leave a hole at byte {min(start, position):,}")
        position = end
    return metadata, tensors


def _tensor_entry(path: Path, name: str, entry: object, data_start: int) -> TensorEntry:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(path, f"the tensor {printable(name)} is not described by type, shape and offsets")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPE_BYTES:
        _refuse(path, f"the tensor {printable(name)} has the unknown type {printable(str(dtype))}")
    if not isinstance(shape, list) or not isinstance(offsets, list) or len(offsets) != 2:
        _refuse(path, f"the tensor {printable(name)} is not described by type, shape and offsets")
    start, end = offsets
    # By type, not by isinstance: True is an int as well.
    if type(start) is not int or type(end) is not int or len(shape) > MAX_DIMENSIONS:
        _refuse(path, f"the tensor {printable(name)} has impossible offsets or dimensions")
    size = DTYPE_BYTES[dtype]
    for length in shape:
        if type(length) is not int or length < 1:
            _refuse(path, f"the tensor {printable(name)} is empty or has impossible dimensions")
        size *= length
    if start < 0 or end - start != size:
        _refuse(path, f"the size of the tensor {printable(name)} does not fit its shape")
    return TensorEntry(dtype, tuple(shape), data_start + start, data_start + end)


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    unique = dict(pairs)
    if len(unique) != len(pairs):
        raise ValueError("it names the same thing twice")
    return unique


def _no_constant(constant: str) -> NoReturn:
    raise ValueError(f"it holds the number {constant}")


def _refuse(path: Path, why: str) -> NoReturn:
    raise CheckpointError(path, f"has a header that cannot be used: {why}", _NOT_WELL_FORMED)
