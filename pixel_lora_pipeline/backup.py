"""Everything that cannot be made again, as one file, and back: the database, images, reports and released models.

The file is a ZIP archive that any tool opens. Checkpoints are not in it: those of watched folders are the trainer's,
and those of our own trainings are as large; promoted ones are, as releases.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pixel_lora_pipeline.caption_quality import JOURNAL
from pixel_lora_pipeline.store import check, dump_database, migrate, restore_database
from pixel_lora_pipeline.store.migrations import SQL_FOLDER
from pixel_lora_pipeline.whole_file import finish_whole

FOLDERS: Final = ("images", "reports", "releases", JOURNAL)
"""Of the home, with all that is in them."""

_FORMAT: Final = 1
_DATABASE: Final = "database.dump"
_MANIFEST: Final = "manifest.json"
_MIGRATION: Final = "newest_migration"


class BackupError(RuntimeError):
    """A backup cannot be made or restored: says why, and what to do."""


@dataclass(frozen=True)
class Backup:
    """What a backup holds.

    Attributes
    ----------
    created
        When, in UTC.
    newest_migration
        Name of the last file of `sql/` that the database had seen.
    rows
        How many rows each table had.
    files
        How many files of the home are in it.
    """

    created: datetime
    newest_migration: str
    rows: dict[str, int]
    files: int


def back_up(url: str, home: Path, target: Path, tell: Callable[[str], None] = lambda _: None) -> Backup:
    """Write a backup. The pipeline may go on: the database is as it was at one moment, and images never change.

    Raises
    ------
    BackupError
        If the target exists already.
    DumpError
        If the database cannot be read.
    """
    if target.exists():
        raise BackupError(f"{target} exists already: choose another name.")
    applied = check(url).applied
    if not applied:
        raise BackupError("there is nothing to back up: this database was never used.")
    created = datetime.now(UTC)
    part = target.with_name(f".{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".pixel-lora-") as folder:
            dump = Path(folder) / _DATABASE
            rows = dump_database(url, dump)
            tell(f"{sum(rows.values())} rows in {len(rows)} tables")
            with zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
                archive.write(dump, _DATABASE)
                files = 0
                for path in _files(home):
                    archive.write(path, path.relative_to(home).as_posix())
                    files += 1
                backup = Backup(created, applied[-1], rows, files)
                told = {"format": _FORMAT, **asdict(backup), "created": created.isoformat()}
                archive.writestr(_MANIFEST, json.dumps(told, indent=2))
        tell(f"{files} files")
        finish_whole(part, target)
    finally:
        part.unlink(missing_ok=True)
    return backup


def _files(home: Path) -> Iterator[Path]:
    """What belongs in a backup; unfinished files are left out, and so is what links point to."""
    for name in FOLDERS:
        for path in sorted((home / name).rglob("*")):
            if path.is_file() and not path.is_symlink() and path.suffix != ".part":
                yield path


def restore(url: str, home: Path, source: Path, tell: Callable[[str], None] = lambda _: None) -> Backup:
    """Fill an empty database and a home from a backup, and bring the database to the newest state.

    The archive is verified before anything is written; files that are there already and differ are not overwritten;
    the database comes last, whole or not at all. What was interrupted can be begun again.

    Raises
    ------
    BackupError
        If the archive is damaged, no backup, or of a newer version, or a file is in the way.
    DumpError
        If the database is not empty or in use, or cannot be filled.
    """
    try:
        with zipfile.ZipFile(source) as archive:
            backup, names = _verified(archive, source)
            tell(f"{source}: of {backup.created:%Y-%m-%d %H:%M} UTC, undamaged")
            _refuse_conflicts(archive, names, home)
            for name in names:
                _extract(archive, name, home / name)
            tell(f"{len(names)} files")
            with tempfile.TemporaryDirectory(prefix="pixel-lora-") as folder:
                rows = restore_database(url, Path(archive.extract(_DATABASE, folder)))
    except (zipfile.BadZipFile, EOFError) as fault:
        raise BackupError(f"{source} is no whole backup: {fault}. Nothing was changed.") from fault
    if rows != backup.rows:
        differing = sorted(name for name in rows | backup.rows if rows.get(name) != backup.rows.get(name))
        raise BackupError(f"after restoring, these tables have not as many rows as before: {', '.join(differing)}.")
    tell(f"{sum(rows.values())} rows in {len(rows)} tables")
    migrate(url)
    return backup


def _verified(archive: zipfile.ZipFile, source: Path) -> tuple[Backup, list[str]]:
    """What an archive says of itself and the names of its files, after all of it was read once."""
    if not {_DATABASE, _MANIFEST} <= set(archive.namelist()):
        raise BackupError(f"{source} is no backup of this program: it has no {_DATABASE} or no {_MANIFEST}.")
    damaged = archive.testzip()
    if damaged is not None:
        raise BackupError(f"{source} is damaged: {damaged} is not what was written. Nothing was changed.")
    told = _manifest(archive, source)
    known = sorted(path.name for path in SQL_FOLDER.glob("*.sql"))
    if told[_MIGRATION] not in known:
        raise BackupError(
            f"{source} was written by a newer version of this program (its database has {told[_MIGRATION]}, and this "
            f"one knows up to {known[-1]}): update the code, then restore. Nothing was changed."
        )
    names = [name for name in archive.namelist() if name not in (_DATABASE, _MANIFEST)]
    for name in names:
        parts = PurePosixPath(name).parts
        if parts[0] not in FOLDERS or ".." in parts or "\\" in name or name.endswith("/"):
            raise BackupError(f"{source} holds {name!r}, which no backup of ours does. Nothing was changed.")
    return Backup(datetime.fromisoformat(told["created"]), told[_MIGRATION], told["rows"], told["files"]), names


def _manifest(archive: zipfile.ZipFile, source: Path) -> Mapping[str, Any]:
    try:
        told: dict[str, Any] = json.loads(archive.read(_MANIFEST))
        if told["format"] == _FORMAT and {"created", _MIGRATION, "rows", "files"} <= told.keys():
            return told
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise BackupError(f"{source} is no backup of this program: its {_MANIFEST} cannot be read.") from fault
    raise BackupError(f"{source} has another format than this version reads: update the code. Nothing was changed.")


def _refuse_conflicts(archive: zipfile.ZipFile, names: list[str], home: Path) -> None:
    for name in names:
        path = home / name
        if path.is_symlink() or (path.exists() and path.stat().st_size != archive.getinfo(name).file_size):
            raise BackupError(f"{path} is there already and is another file: restore into a new home.")


def _extract(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    try:
        with archive.open(name) as source, part.open("wb") as written:
            shutil.copyfileobj(source, written)
        finish_whole(part, path)
    finally:
        part.unlink(missing_ok=True)
