"""Reads the scalars of a TensorBoard event file without TensorBoard.

TensorBoard, and `tbparse` on top of it, would bring a web server and over 12 MB for two formats that have not changed
since 2015: records framed with checksums, and a protocol buffer in each. The framing is written out below; the
messages are read by `protobuf`, which Dagster needs anyway.

References
----------
.. [1] TensorFlow, `tensorflow/core/lib/io/record_writer.h` (framing) and `tensorflow/core/util/event.proto`,
       `tensorflow/core/framework/summary.proto` (messages).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory  # type: ignore[import-untyped]

MAX_RECORD: Final = 64 * 2**20  # bytes; a scalar takes 50, an image of a sample a few million

_LENGTH = struct.Struct("<Q")
_CHECKSUM = struct.Struct("<I")
_HEADER_SIZE: Final = _LENGTH.size + _CHECKSUM.size


class EventFileError(Exception):
    """A file that is no event file, or a damaged one: which, where, and what to do."""

    def __init__(self, path: Path, offset: int, fault: str) -> None:
        super().__init__(path, offset, fault)  # all three, so that the error survives pickling
        self.path = path
        self.offset = offset
        self.fault = fault

    def __str__(self) -> str:
        return (
            f"{self.path.name} {self.fault} at byte {self.offset}.\n"
            "It is no TensorBoard event file, or was damaged on its way: copy it again, or do without it."
        )


@dataclass(frozen=True)
class Scalar:
    """One number that a training logged.

    Attributes
    ----------
    tag
        What it is: "loss/current", "lr/unet".
    step
        As the trainer counts.
    value
        May be NaN or infinite: that is what a diverged training logs.
    wall_time
        Unix seconds.
    """

    tag: str
    step: int
    value: float
    wall_time: float


def read_scalars(path: Path) -> Iterator[Scalar]:
    """The scalars of an event file in the order in which they were logged.

    A record that is not complete yet ends the reading: the training is still writing. Scalars that are stored
    as tensors (TensorFlow 2's own writer; not PyTorch's, which Kohya uses) are left out.

    Raises
    ------
    EventFileError
        If a checksum is wrong or a record cannot be read.
    OSError
        If the file cannot be read.
    """
    return GrowingEventFile(path).new_scalars()


class GrowingEventFile:
    """An event file that a training still writes: each of its scalars is read once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_to = 0

    def new_scalars(self) -> Iterator[Scalar]:
        """What was logged since the last call, as `read_scalars`."""
        with self._path.open("rb") as file:
            file.seek(self._read_to)
            for offset, record in _records(self._path, file):
                event = _EVENT()
                try:
                    event.ParseFromString(record)
                except message.DecodeError:
                    raise EventFileError(self._path, offset, "holds a record that is no event") from None
                self._read_to = file.tell()
                for value in event.summary.value:
                    if value.HasField("simple_value"):
                        tag = value.tag.decode("utf-8", "replace")
                        yield Scalar(tag, event.step, value.simple_value, event.wall_time)


def _records(path: Path, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Offset and content of each complete record: length, its checksum, content, its checksum."""
    offset = file.tell()
    while len(header := file.read(_HEADER_SIZE)) == _HEADER_SIZE:
        if _masked_checksum(header[: _LENGTH.size]) != _CHECKSUM.unpack(header[_LENGTH.size :])[0]:
            raise EventFileError(path, offset, "has a wrong checksum of a length")
        (length,) = _LENGTH.unpack(header[: _LENGTH.size])
        if length > MAX_RECORD:
            raise EventFileError(path, offset, f"claims a record of {length} bytes")
        content = file.read(length + _CHECKSUM.size)
        if len(content) < length + _CHECKSUM.size:
            return
        record, checksum = content[:length], content[length:]
        if _masked_checksum(record) != _CHECKSUM.unpack(checksum)[0]:
            raise EventFileError(path, offset, "has a wrong checksum of a record")
        yield offset, record
        offset += _HEADER_SIZE + len(content)


def _checksum_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)  # Castagnoli's polynomial, reflected
        table.append(byte)
    return tuple(table)


_TABLE: Final = _checksum_table()


def _masked_checksum(content: bytes) -> int:
    """CRC-32C, rotated and shifted by a constant, because checksums of checksums are weak."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _event_message() -> Any:
    """The class of `Event`, with the fields that scalars need; the others are skipped in reading."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="pixel_lora/event.proto", package="pixel_lora", syntax="proto2")
    for name, fields in {
        "Value": [("tag", 1, field.TYPE_BYTES), ("simple_value", 2, field.TYPE_FLOAT)],
        "Summary": [("value", 1, "Value")],
        "Event": [("wall_time", 1, field.TYPE_DOUBLE), ("step", 2, field.TYPE_INT64), ("summary", 5, "Summary")],
    }.items():
        described = file.message_type.add(name=name)
        for field_name, number, kind in fields:
            label = field.LABEL_REPEATED if field_name == "value" else field.LABEL_OPTIONAL
            added = described.field.add(name=field_name, number=number, label=label)
            if isinstance(kind, str):
                added.type, added.type_name = field.TYPE_MESSAGE, f".pixel_lora.{kind}"
            else:
                added.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("pixel_lora.Event"))


_EVENT: Final = _event_message()
