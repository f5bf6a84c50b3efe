"""Applies the numbered files of `sql/`, forward only.

A file is applied once, in one transaction together with its row in `pixel_lora.schema_version`. Files that
were applied are never edited: the ledger knows their checksums. What has to change comes in a new file.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.store.database import Database

SQL_FOLDER = PROJECT_ROOT / "sql"

_FILE_NAME = re.compile(r"(?P<number>\d{4})_\w+\.sql")
_LOCK = 7_315_041_902  # any number that nobody else takes an advisory lock on
_LOCK_TIMEOUT = "60s"
_OLDEST_SERVER = 15  # NULLS NOT DISTINCT, security_invoker views

_LEDGER = """
CREATE SCHEMA IF NOT EXISTS pixel_lora;
CREATE TABLE IF NOT EXISTS pixel_lora.schema_version (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
ALTER TABLE pixel_lora.schema_version ENABLE ROW LEVEL SECURITY;
"""

logger = logging.getLogger(__name__)


class MigrationError(RuntimeError):
    """The database was not brought to this version: says which file, why, and what to do."""


@dataclass(frozen=True)
class Migration:
    """One numbered file. The checksum is that of its text, whatever line ends the checkout has."""

    number: int
    name: str
    sql: bytes

    @property
    def checksum(self) -> str:
        """SHA-256 in hexadecimal."""
        return hashlib.sha256(self.sql).hexdigest()


@dataclass(frozen=True)
class SchemaState:
    """Where a database stands: names of the files applied to it, and of those still to come, in order."""

    applied: tuple[str, ...]
    pending: tuple[str, ...]


def migrate(url: str, folder: Path = SQL_FOLDER) -> list[str]:
    """Apply every pending file and return their names; a database that is up to date is left alone.

    Safe to call from several processes at once: the others wait and then find nothing to do.

    Raises
    ------
    MigrationError
        If an applied file was edited, the database is newer than the files, or a file fails. Of a file that
        fails nothing stays; the files before it do.
    """
    migrations = _read(folder)
    with _locked(Database(url)) as connection:
        with _explained(connection, "the ledger pixel_lora.schema_version"):
            connection.execute(_LEDGER.encode())
        pending = _pending(migrations, _applied(connection))
        for migration in pending:
            with _explained(connection, migration.name):
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO pixel_lora.schema_version (version, name, checksum) VALUES (%s, %s, %s)",
                    (migration.number, migration.name, migration.checksum),
                )
    return [migration.name for migration in pending]


def check(url: str, folder: Path = SQL_FOLDER) -> SchemaState:
    """Say which files are applied and which are pending, changing nothing.

    Raises
    ------
    MigrationError
        If an applied file was edited or the database is newer than the files.
    """
    migrations = _read(folder)
    with Database(url).connection() as connection:
        connection.read_only = True
        applied = _applied(connection)
    pending = _pending(migrations, applied)
    return SchemaState(
        applied=tuple(row["name"] for row in applied), pending=tuple(migration.name for migration in pending)
    )


def _read(folder: Path) -> list[Migration]:
    if not folder.is_dir():
        raise MigrationError(
            f"the folder of the migrations is missing: {folder}. The project runs from its own folder: "
            "install it there with `pip install -e .`"
        )
    migrations: list[Migration] = []
    for path in sorted(folder.glob("*.sql")):
        match = _FILE_NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path} is not named NNNN_what_it_does.sql: rename it or move it elsewhere.")
        number = int(match["number"])
        if migrations and migrations[-1].number == number:
            raise MigrationError(f"{path} has the same number as {migrations[-1].name}: give it the next free one.")
        migrations.append(Migration(number, path.name, path.read_bytes().replace(b"\r\n", b"\n")))
    return migrations


@contextmanager
def _locked(database: Database) -> Iterator[psycopg.Connection[DictRow]]:
    """Open the connection that holds the migrations' advisory lock for as long as it lives."""
    with database.connection() as connection:
        connection.autocommit = True
        connection.add_notice_handler(lambda notice: logger.warning("%s", notice.message_primary))
        connection.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
        connection.execute("SET client_min_messages = warning")
        if connection.info.server_version < _OLDEST_SERVER * 10_000:
            raise MigrationError(
                f"the server is PostgreSQL {connection.info.server_version // 10_000}; {_OLDEST_SERVER} or "
                "newer is needed. Supabase upgrades a project under Settings → Infrastructure."
            )
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        except psycopg.errors.LockNotAvailable as fault:
            raise MigrationError(
                f"another process has been migrating this database for more than {_LOCK_TIMEOUT}: wait for "
                "it, then try again. Nothing was changed."
            ) from fault
        yield connection


@contextmanager
def _explained(connection: psycopg.Connection[DictRow], name: str) -> Iterator[None]:
    """Run one transaction, and turn what Postgres says against it into an error for people."""
    try:
        with connection.transaction():
            yield
    except psycopg.Error as fault:
        said = fault.diag.message_primary or str(fault)
        more = "".join(f" {part}" for part in (fault.diag.message_detail, fault.diag.message_hint) if part)
        raise MigrationError(
            f"{name} could not be applied: {said}.{more} Nothing of it was kept; files before it stay "
            "applied. Put right what it says, then run `pixel-lora migrate` again."
        ) from fault


def _applied(connection: psycopg.Connection[DictRow]) -> list[DictRow]:
    ledger = connection.execute("SELECT to_regclass('pixel_lora.schema_version') AS ledger").fetchone()
    if ledger is None or ledger["ledger"] is None:
        return []
    return connection.execute(
        "SELECT version, name, checksum FROM pixel_lora.schema_version ORDER BY version"
    ).fetchall()


def _pending(migrations: Sequence[Migration], applied: Sequence[DictRow]) -> list[Migration]:
    known = {migration.number: migration for migration in migrations}
    for row in applied:
        migration = known.get(row["version"])
        if migration is None:
            raise MigrationError(
                f"the database is newer than this code: it has {row['name']}, which is not in the sql "
                "folder. Update the code; nothing was changed."
            )
        if migration.checksum != row["checksum"]:
            raise MigrationError(
                f"{migration.name} was edited after it had been applied to this database. Restore the file "
                "(git checkout) and put the change into a new file with the next number; nothing was changed."
            )
    newest = max((row["version"] for row in applied), default=0)
    pending = [migration for migration in migrations if migration.number not in {row["version"] for row in applied}]
    if pending and pending[0].number < newest:
        raise MigrationError(
            f"{pending[0].name} comes before files that were already applied to this database: give it a "
            f"number above {newest:04d}; nothing was changed."
        )
    return pending
