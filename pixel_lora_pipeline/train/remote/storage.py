"""Folders in object stores and on other machines, through fsspec.

What a store asks for (keys, endpoints) is fsspec's own matter and that of its environment variables: we neither take
it nor see it.
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Final

import fsspec

from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.remote.errors import RemoteError

_BLOCK_BYTES: Final = 4 * 1024**2
# A tree of more is no folder of trainings, and listing it would cost more than it is worth.
_MOST_FILES: Final = 20_000
# An object store has none, and might make a bucket instead.
_NEEDS_FOLDERS: Final = ("file", "sftp", "ftp", "smb")
_OWN_DISK: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# By what the stores tell one content from the next; each knows some of them.
_VERSION_KEYS: Final = (
    "ETag",
    "etag",
    "Content-MD5",
    "md5Hash",
    "contentHash",
    "generation",
    "LastModified",
    "Last-Modified",
    "last_modified",
    "updated",
    "mtime",
    "created",
    "ino",
)


class ChangedError(Exception):
    """A file was written again, or vanished, while it was copied."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as it stood in the listing.

    Attributes
    ----------
    path
        As its filesystem calls it.
    relative
        Where it lies below the place that was listed.
    size
        In bytes; None where the store does not list it.
    version
        Another for another content.
    """

    path: str
    relative: PurePosixPath
    size: int | None
    version: str


class Storage:
    """A folder elsewhere.

    Parameters
    ----------
    url
        fsspec's address of it, without a password.

    Raises
    ------
    RemoteError
        From every method, if the store cannot be used, does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        with self._asking("open it"):
            # One a thread otherwise, kept for ever.
            self._files, self._root = fsspec.url_to_fs(url, skip_instance_cache=True)

    def holds_anything(self) -> bool:
        """Whether there is anything in the folder; a bucket that does not exist is as empty as one that is new."""
        with self._asking("list it"):
            return bool(self._entries(self._root))

    def files(self, skips_folder: Callable[[str], bool] = lambda _: False) -> list[RemoteFile]:
        """Every file below the folder, by name; none if it does not exist. Links to folders are not followed.

        Not fsspec's `find`: that takes a store that cannot be reached for an empty one.
        """
        with self._asking("list it"):
            self._files.invalidate_cache()
            found: dict[str, RemoteFile] = {}
            pending, seen = [self._root], set[str]()
            while pending:
                folder = pending.pop()
                seen.add(folder.rstrip("/"))
                for entry in self._entries(folder):
                    path, name = str(entry["name"]), str(entry["name"]).rstrip("/").rpartition("/")[2]
                    relative = path.removeprefix(self._root).strip("/")
                    if entry["type"] == "directory":
                        if path.rstrip("/") not in seen and not entry.get("islink") and not skips_folder(name):
                            pending.append(path)
                    elif relative and not path.endswith("/"):
                        found[path] = RemoteFile(path, PurePosixPath(relative), entry["size"], _version(entry))
                if len(found) + len(pending) > _MOST_FILES:
                    raise RemoteError(self._url, f"holds more than {_MOST_FILES} files", "Name a folder further in.")
        return [found[path] for path in sorted(found)]

    def described(self, file: RemoteFile) -> RemoteFile:
        """The file with its size and version, where the listing had none: web servers list names only."""
        if file.size is not None and file.version:
            return file
        with self._asking(f"look at {printable(str(file.relative))}"):
            size, version = self._info(file)
        return replace(file, size=size, version=version)

    def copy(self, file: RemoteFile, target: Path, most_bytes: int) -> None:
        """Copy a file to one that does not exist yet.

        Raises
        ------
        ChangedError
            If it is not the same before and after, or not as long as the store says.
        """
        with self._asking(f"read {printable(str(file.relative))}"):
            try:
                before = self._info(file)
                with self._files.open(file.path, "rb", block_size=_BLOCK_BYTES) as source, target.open("xb") as copy:
                    while block := source.read(_BLOCK_BYTES):
                        copy.write(block)
                        if copy.tell() > most_bytes:
                            raise ChangedError(f"it is larger than {most_bytes} bytes")
                after = self._info(file)
            except FileNotFoundError as error:
                raise ChangedError("it is gone") from error
        size = target.stat().st_size
        if after != before or after[0] not in (None, size):
            raise ChangedError("it was written while it was copied")

    def put(self, relative: str, content: bytes) -> None:
        """Write a small file whole."""
        with self._asking(f"write {relative}"):
            if _protocol(self._files) in _NEEDS_FOLDERS:
                self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root.rstrip('/')}/{relative}", content)

    def _entries(self, folder: str) -> list[dict[str, Any]]:
        try:
            entries: list[dict[str, Any]] = self._files.ls(folder, detail=True)
        except FileNotFoundError:  # nothing was saved there yet; a store has no empty folders
            return []
        return entries

    def _info(self, file: RemoteFile) -> tuple[int | None, str]:
        self._files.invalidate_cache()
        info = self._files.info(file.path)
        return info["size"], _version(info)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        try:
            yield
        except (RemoteError, ChangedError):
            raise
        except ImportError as error:
            remedy = "For s3:// it is s3fs: pip install 'pixel-lora-pipeline[s3]'."
            raise RemoteError(self._url, f"needs a package that is not installed ({error})", remedy) from error
        except Exception as error:  # every filesystem raises its own
            if isinstance(error, OSError) and error.errno in _OWN_DISK:
                raise
            fault = f"does not let us {what} ({type(error).__name__}: {printable(str(error), 300)})"
            raise RemoteError(self._url, fault, "Check the address, the keys and the network.") from error


def put_file(url: str, relative: str, content: bytes) -> None:
    """Write a small file into a folder elsewhere, whole; as `Storage.put`."""
    Storage(url).put(relative, content)


def _version(info: dict[str, Any]) -> str:
    return " ".join(f"{key}={info[key]}" for key in _VERSION_KEYS if info.get(key))


def _protocol(files: fsspec.AbstractFileSystem) -> str:
    return files.protocol if isinstance(files.protocol, str) else str(files.protocol[0])
