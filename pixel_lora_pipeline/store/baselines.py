"""Which checkpoint is in production, and which were: table `baselines`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text

_LOCK: Final = 7_315_041_910  # beside the migrations' and the runs' locks

_ROWS: Final = """
    SELECT baseline.id, baseline.epoch_result_id AS epoch_id, run.run_name, epoch.epoch_number AS epoch,
           baseline.promoted_at, baseline.promoted_by, baseline.undone_at, baseline.undone_by,
           baseline.release_folder, baseline.checkpoint_file, baseline.checkpoint_sha256 AS sha256
    FROM baselines baseline
    JOIN epoch_results epoch ON epoch.id = baseline.epoch_result_id
    JOIN training_runs run ON run.id = epoch.training_run_id
"""


class NoBaselineError(LookupError):
    """No checkpoint is promoted."""


@dataclass(frozen=True)
class Baseline:
    """A checkpoint that was put into production.

    Attributes
    ----------
    undone_at
        When it was taken back; None if it was not.
    release_folder
        Folder with the copy, `checkpoint_file`, and its model card.
    """

    id: RowId
    epoch_id: RowId
    run_name: str
    epoch: int | None
    promoted_at: datetime
    promoted_by: str
    undone_at: datetime | None
    undone_by: str | None
    release_folder: str
    checkpoint_file: str
    sha256: str

    @property
    def name(self) -> str:
        """Run and epoch, for people."""
        return self.run_name if self.epoch is None else f"{self.run_name}, epoch {self.epoch}"

    @property
    def checkpoint(self) -> Path:
        """Path of the copy."""
        return Path(self.release_folder) / self.checkpoint_file


class Baselines:
    """The history of promotions. Nothing is ever deleted from it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def promote(self, epoch_id: RowId, release_folder: Path, checkpoint_file: str, sha256: str, by: str) -> Baseline:
        """Make an epoch's checkpoint the baseline; if it is already, nothing changes."""
        with self._database.connection() as connection:
            _lock(connection)
            current = _current(connection)
            if current is not None and (current.epoch_id, current.sha256) == (epoch_id, sha256):
                return current
            connection.execute(
                """
                INSERT INTO baselines (
                    epoch_result_id, promoted_at, promoted_by, release_folder, checkpoint_file, checkpoint_sha256)
                VALUES (%s, clock_timestamp(), %s, %s, %s, %s)
                """,
                (epoch_id, clean_text(by), clean_text(str(release_folder)), clean_text(checkpoint_file), sha256),
            )
            promoted = _current(connection)
        assert promoted is not None  # noqa: S101 - it was added above
        return promoted

    def current(self) -> Baseline | None:
        """The checkpoint in production; None if none was promoted, or all were taken back."""
        with self._database.connection() as connection:
            return _current(connection)

    def undo(self, by: str) -> Baseline:
        """Take back the last promotion and return it; the one before it is the baseline again.

        Raises
        ------
        NoBaselineError
            If there is nothing to take back.
        """
        with self._database.connection() as connection:
            _lock(connection)
            current = _current(connection)
            if current is None:
                raise NoBaselineError(
                    "no checkpoint is promoted, so there is nothing to take back: promote one with "
                    "`pixel-lora promote RUN EPOCH`."
                )
            connection.execute(
                "UPDATE baselines SET undone_at = clock_timestamp(), undone_by = %s WHERE id = %s",
                (clean_text(by), current.id),
            )
        return current

    def history(self) -> list[Baseline]:
        """All promotions, the newest first, with those that were taken back."""
        with self._database.connection() as connection:
            rows = connection.execute(f"{_ROWS} ORDER BY baseline.promoted_at DESC, baseline.id DESC")
            return [Baseline(**row) for row in rows]


def _lock(connection: psycopg.Connection[DictRow]) -> None:
    """Let nobody else promote or take back until the end of the transaction."""
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))


def _current(connection: psycopg.Connection[DictRow]) -> Baseline | None:
    row = connection.execute(
        f"{_ROWS} WHERE baseline.undone_at IS NULL ORDER BY baseline.promoted_at DESC, baseline.id DESC LIMIT 1"
    ).fetchone()
    return None if row is None else Baseline(**row)
