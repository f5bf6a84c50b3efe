"""Many caption files are changed at once: all of them or none, and every change can be taken back to the byte.

The journal is written before the first file is touched, whole and flushed, with the bytes before and after. Its name
says how far the batch came: `prepared`, then by one rename `done`. A process that dies in between leaves `prepared`
behind, and whoever opens the journal next puts the files back as they were. Nothing is lost whenever that happens,
also while putting back: a file is replaced by a rename, and has either of its contents.
"""

import base64
import difflib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

from fasteners import InterProcessLock  # type: ignore[import-untyped]

from pixel_lora_pipeline.whole_file import write_whole

State = Literal["prepared", "done", "undone"]

_STATES: Final[tuple[State, ...]] = ("prepared", "done", "undone")


class BatchError(RuntimeError):
    """A batch that cannot be applied or taken back: says which file is in the way, and what to do."""


@dataclass(frozen=True)
class Change:
    """One file before and after.

    Attributes
    ----------
    path
        Absolute.
    reasons
        Ids of the checks that it puts right.
    mode
        The file's permissions.
    """

    path: Path
    before: bytes
    after: bytes
    reasons: tuple[str, ...] = ()
    mode: int = 0o644


@dataclass(frozen=True)
class Batch:
    """Changes that belong together.

    Attributes
    ----------
    batch_id
        Begins with the time, so that names sort by it.
    dataset
        Path of the dataset.
    undoes
        The batch that this one takes back.
    """

    batch_id: str
    dataset: str
    changes: tuple[Change, ...]
    created_at: datetime
    state: State = "done"
    undoes: str | None = None
    left_alone: tuple[Path, ...] = field(default=(), compare=False)


class Batches:
    """The journal of all batches: a folder with one file each.

    Parameters
    ----------
    folder
        Made when the first batch is applied.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def apply(self, dataset: Path, changes: Sequence[Change], undoes: str | None = None) -> Batch:
        """Change all the files, or none.

        Raises
        ------
        BatchError
            If a file is not as it was when the changes were made up, or is a link. Nothing was changed then.
        """
        with self._locked():
            self._put_back_unfinished()
            _refuse_what_differs(changes, {change.path: change.before for change in changes})
            now = datetime.now(UTC)
            batch = Batch(
                f"{now:%Y%m%dT%H%M%S.%f}-{secrets.token_hex(3)}",
                str(dataset),
                tuple(
                    Change(each.path, each.before, each.after, each.reasons, each.path.stat().st_mode & 0o7777)
                    for each in changes
                ),
                now,
                undoes=undoes,
            )
            self._write(batch)
            for change in batch.changes:
                _replace(change, change.after)
            self._mark(batch.batch_id, "done")
            return batch

    def roll_back(self, batch_id: str) -> Batch:
        """Take a batch back: every file gets the bytes that it had before.

        Returns
        -------
        Batch
            The one that took it back, which can itself be taken back.

        Raises
        ------
        BatchError
            If there is no such batch, it was taken back before, or a file was changed since. Nothing was changed then.
        """
        with self._locked():
            self._put_back_unfinished()
        known = {batch.batch_id: batch for batch in self.all()}
        batch = known.get(batch_id)
        if batch is None or batch.state != "done":
            done = ", ".join(each.batch_id for each in known.values() if each.state == "done") or "none"
            raise BatchError(f"There is no applied batch {batch_id}. Applied: {done}.")
        undone_by = self._taken_back_by(known).get(batch_id)
        if undone_by is not None:
            raise BatchError(f"{batch_id} was taken back by {undone_by}: roll that one back to have it again.")
        inverse = [
            Change(change.path, change.after, change.before, change.reasons, change.mode) for change in batch.changes
        ]
        return self.apply(Path(batch.dataset), inverse, undoes=batch_id)

    def all(self) -> list[Batch]:
        """Every batch, the oldest first."""
        return [_batch(self._document(path), state) for path, state in self._files()]

    def recover(self) -> list[Batch]:
        """Put back what a process that died has left half done; returns those batches, usually none.

        A file that has neither of its contents was changed by somebody since: it stays, and is in `left_alone`.
        """
        if not self._folder.is_dir():
            return []
        with self._locked():
            return self._put_back_unfinished()

    def _put_back_unfinished(self) -> list[Batch]:
        found = []
        for path, state in self._files():
            if state != "prepared":
                continue
            batch = _batch(self._document(path), "undone")
            left_alone = [change.path for change in batch.changes if not _put_back(change)]
            self._mark(batch.batch_id, "undone")
            found.append(Batch(**{**vars(batch), "left_alone": tuple(left_alone)}))
        return found

    @staticmethod
    def _taken_back_by(known: Mapping[str, Batch]) -> dict[str, str]:
        """By batch, the batch that took it back and still holds."""
        holds: dict[str, str] = {}
        for batch in reversed(list(known.values())):  # a batch is taken back by a later one
            if batch.undoes is not None and batch.state == "done" and batch.batch_id not in holds:
                holds[batch.undoes] = batch.batch_id
        return holds

    def _write(self, batch: Batch) -> None:
        document = {
            "batch_id": batch.batch_id,
            "dataset": batch.dataset,
            "created_at": batch.created_at.isoformat(),
            "undoes": batch.undoes,
            "changes": [
                {
                    "path": os.fspath(change.path),
                    "mode": change.mode,
                    "reasons": change.reasons,
                    "before": base64.b64encode(change.before).decode(),
                    "after": base64.b64encode(change.after).decode(),
                }
                for change in batch.changes
            ],
        }
        write_whole(self._path(batch.batch_id, "prepared"), json.dumps(document).encode())

    def _mark(self, batch_id: str, state: State) -> None:
        """The one step that decides: a rename is there wholly or not at all."""
        self._path(batch_id, "prepared").rename(self._path(batch_id, state))

    def _path(self, batch_id: str, state: State) -> Path:
        return self._folder / f"{batch_id}.{state}.json"

    def _files(self) -> Iterator[tuple[Path, State]]:
        for path in sorted(self._folder.glob("[0-9]*.json")):
            state = path.stem.rpartition(".")[2]
            yield from ((path, known) for known in _STATES if known == state)

    @staticmethod
    def _document(path: Path) -> dict[str, Any]:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return document

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """One process at a time; the lock goes with the process that holds it."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with InterProcessLock(self._folder / ".lock"):
            yield


def unified_diff(change: Change, name: str) -> str:
    """The change as `diff -u` shows it."""
    before, after = (side.decode("utf-8", "replace").splitlines() for side in (change.before, change.after))
    return "\n".join(difflib.unified_diff(before, after, f"a/{name}", f"b/{name}", lineterm=""))


def _batch(document: Mapping[str, Any], state: State) -> Batch:
    return Batch(
        batch_id=document["batch_id"],
        dataset=document["dataset"],
        changes=tuple(
            Change(
                Path(each["path"]),
                base64.b64decode(each["before"]),
                base64.b64decode(each["after"]),
                tuple(each["reasons"]),
                each["mode"],
            )
            for each in document["changes"]
        ),
        created_at=datetime.fromisoformat(document["created_at"]),
        state=state,
        undoes=document["undoes"],
    )


def _refuse_what_differs(changes: Sequence[Change], expected: Mapping[Path, bytes]) -> None:
    faults = []
    for change in changes:
        if change.path.is_symlink():
            faults.append(f"{change.path} is a link, and what it points to may belong to something else")
        elif not change.path.is_file():
            faults.append(f"{change.path} is not there any more")
        elif hashlib.sha256(change.path.read_bytes()).digest() != hashlib.sha256(expected[change.path]).digest():
            faults.append(f"{change.path} was changed since")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise BatchError(f"{'; '.join(faults[:3])}{more}. Nothing was changed: look at the files and try again.")


def _replace(change: Change, content: bytes) -> None:
    write_whole(change.path, content)
    change.path.chmod(change.mode)


def _put_back(change: Change) -> bool:
    """Restores the file if it has one of the two contents; False if somebody else wrote it."""
    for part in change.path.parent.glob(f".{_escaped(change.path.name)}.*.part"):
        part.unlink(missing_ok=True)
    try:
        present = change.path.read_bytes()
    except FileNotFoundError:
        return False
    if present not in (change.before, change.after):
        return False
    _replace(change, change.before)
    return True


def _escaped(name: str) -> str:
    return "".join(f"[{character}]" if character in "*?[" else character for character in name)
