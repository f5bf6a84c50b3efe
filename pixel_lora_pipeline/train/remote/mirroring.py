"""A folder elsewhere, as far as its trainings go, on this machine.

Checkpoints and the small files beside them are copied: configurations, and logs with the loss. A file appears under
its name when it is complete, and is copied again when it has changed. What is deleted there stays here.
"""

import hashlib
import json
import re
import secrets
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.remote.errors import RemoteError
from pixel_lora_pipeline.train.remote.storage import ChangedError, RemoteFile, Storage
from pixel_lora_pipeline.train.safetensors_file import MAX_FILE_BYTES, SafetensorsFile, open_safetensors
from pixel_lora_pipeline.train.watch import is_skipped
from pixel_lora_pipeline.whole_file import finish_whole, write_whole

RECORD: Final = ".fetched.json"
"""Says what was copied, beside the copies: without it everything is copied once more."""

_CHECKPOINT: Final = ".safetensors"
_SMALL_BYTES: Final = {".toml": 1024**2, ".json": 1024**2, ".log": 1024**2}
_EVENT_LOG_BYTES: Final = 16 * 1024**2
_READ_BYTES: Final = 4 * 1024**2
_ABANDONED_SECONDS: Final = 24 * 3600
# One file may not be ours to read. When so many are not, it is the store, and each would cost a timeout.
_MOST_FAILURES: Final = 3
# Letters of any script, but nothing that Windows, a shell or a terminal reads otherwise.
_SAFE_PART: Final = re.compile(r"[^\x00-\x1f\x7f<>:\"|?*\\/]{1,200}")


@dataclass(frozen=True)
class Mirrored:
    """What one look at a place has brought.

    Attributes
    ----------
    fetched
        Files that are new here, or newer.
    waiting
        By name, why a file was not taken: it is not complete there, or was just being written.
    n_here
        How many of the place's files are here.
    """

    fetched: tuple[Path, ...]
    waiting: dict[str, str]
    n_here: int


@dataclass(frozen=True)
class _Copied:
    """What was copied last of a file: how it stood there, and what came of it.

    Attributes
    ----------
    fault
        Why the copy was not kept; empty if it was.
    digest
        SHA-256 of a copy that does not agree with its own header.
    """

    size: int | None
    version: str
    fault: str = ""
    digest: str = ""

    def is_settled(self, file: RemoteFile, target: Path) -> bool:
        """Whether copying the file again would bring nothing new."""
        is_same = (self.size, self.version) == (file.size, file.version)
        return is_same and not self.digest and (bool(self.fault) or target.is_file())


def mirror(url: str, folder: Path) -> Mirrored:
    """Copy what is new at a place, small files first: a checkpoint's configuration is read along with it.

    Nothing is copied twice, unless it has changed or is missing here. One caller at a time may copy into a folder.

    Raises
    ------
    RemoteError
        If the place cannot be used, or the disk here not be written. What was copied before that stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _clear_abandoned(folder)
        return _mirror(Storage(url), folder)
    except OSError as error:
        remedy = "Free some space, or set PIXEL_LORA_HOME to a disk that can be written."
        raise RemoteError(url, f"cannot be copied to {folder} ({error.strerror or error})", remedy) from error


def _mirror(storage: Storage, folder: Path) -> Mirrored:
    known = _read_record(folder)
    fetched: list[Path] = []
    waiting: dict[str, str] = {}
    n_here, n_failed = 0, 0
    wanted = [file for file in storage.files(is_skipped) if _most_bytes(file) > 0]
    for listed in sorted(wanted, key=_is_checkpoint):
        name, target = str(listed.relative), folder.joinpath(*listed.relative.parts)
        try:
            file = storage.described(listed)
            if (refusal := _refusal(file)) is not None:
                waiting[name] = refusal
                continue
            last = known.get(name)
            if last is None or not last.is_settled(file, target):
                known[name] = last = _fetch(storage, file, target, last)
                write_whole(folder / RECORD, json.dumps({key: asdict(each) for key, each in known.items()}).encode())
                fetched += [] if last.fault else [target]
        except ChangedError as error:
            waiting[name] = str(error)
        except RemoteError as error:
            n_failed += 1
            if n_failed >= _MOST_FAILURES:
                raise
            waiting[name] = error.fault
        else:
            n_here += not last.fault
            if last.fault:
                waiting[name] = last.fault
    return Mirrored(tuple(fetched), waiting, n_here)


def _is_checkpoint(file: RemoteFile) -> bool:
    return file.relative.suffix.lower() == _CHECKPOINT


def _most_bytes(file: RemoteFile) -> int:
    """How large a file may be to be copied; 0 for one that is none of ours."""
    if _is_checkpoint(file):
        return MAX_FILE_BYTES
    if file.relative.name.startswith("events.out.tfevents."):
        return _EVENT_LOG_BYTES
    return _SMALL_BYTES.get(file.relative.suffix.lower(), 0)


def _refusal(file: RemoteFile) -> str | None:
    """Why a file can have no copy here."""
    if not all(_SAFE_PART.fullmatch(part) and not part.startswith(".") for part in file.relative.parts):
        return "it has a name that no file here can have"
    if file.size is not None and file.size > _most_bytes(file):
        return f"it is larger than {_most_bytes(file) // 1024**2} MiB"
    return None


def _fetch(storage: Storage, file: RemoteFile, target: Path, last: _Copied | None) -> _Copied:
    """Copy one file, check it, and give it its name if it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{secrets.token_hex(4)}.part")
    try:
        storage.copy(file, temporary, _most_bytes(file))
        copied = _judge(temporary, file, last)
        if not copied.fault:
            finish_whole(temporary, target)
        return copied
    finally:
        temporary.unlink(missing_ok=True)


def _judge(copy: Path, file: RemoteFile, last: _Copied | None) -> _Copied:
    if not _is_checkpoint(file):
        return _Copied(file.size, file.version)
    try:
        with open_safetensors(copy) as opened:
            agrees = _agrees_with_itself(opened)
            digest = "" if agrees else opened.sha256()
    except CheckpointError as error:
        # What no waiting mends is taken as it is: the watch over the folder tells what is wrong with it.
        return _Copied(file.size, file.version, error.fault if error.retry else "")
    # Tools that change the weights may leave the old hash in the header. Two copies that are the same are what lies
    # there; of one alone, nobody knows whether it was damaged on its way.
    if agrees or (last is not None and last.digest == digest):
        return _Copied(file.size, file.version)
    return _Copied(file.size, file.version, "its weights do not agree with its header: it is copied again", digest)


def _agrees_with_itself(opened: SafetensorsFile) -> bool:
    """Whether the weights have the hash that Kohya's trainer wrote into the header, where it is one of them all.

    Other networks than Kohya's own write a hash of something else.
    """
    stated = opened.metadata.get("sshs_model_hash")
    if stated is None or not opened.metadata.get("ss_network_module", "").startswith("networks.lora"):
        return True
    digest = hashlib.sha256()
    for start in range(opened.data_start, opened.size, _READ_BYTES):
        digest.update(opened.read(start, min(_READ_BYTES, opened.size - start)))
    return digest.hexdigest() == stated


def _read_record(folder: Path) -> dict[str, _Copied]:
    try:
        content = json.loads((folder / RECORD).read_bytes())
        return {name: _Copied(**values) for name, values in content.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _clear_abandoned(folder: Path) -> None:
    """Remove what copies left that were killed."""
    for part in folder.rglob(".*.part"):
        if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
            part.unlink(missing_ok=True)
