"""Which files of the watched folders were read: table `landed_files`."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.values import clean_text

if TYPE_CHECKING:
    from pixel_lora_pipeline.train import Landings


class UnknownFileError(LookupError):
    """No file has landed under that partition key."""


@dataclass(frozen=True)
class LandedFile:
    """Where the checkpoint of a partition lies."""

    path: Path
    signature: str


class LandedFiles:
    """One row a path: how the file stood when it was read, and what it was found to be."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, landings: "Landings") -> None:
        """Remember complete and refused files as they stood; what was known of a path is replaced."""
        rows: list[tuple[str, int, int, int, str, str | None]] = [
            (
                *_stat(landing.sighting.stat_key),
                landing.checkpoint.signature,
                landing.checkpoint.partition_key,
            )
            for landing in landings.complete
        ]
        rows += [(*_stat(refusal.sighting.stat_key), refusal.signature, None) for refusal in landings.refused]
        self._write(rows)

    def settled(self) -> set[tuple[str, int, int, int]]:
        """`stat_key` of every file whose content is registered or refused."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT path, size, mtime_ns, inode FROM landed_files file
                WHERE EXISTS (SELECT FROM epoch_results WHERE checkpoint_signature = file.signature)
                   OR EXISTS (SELECT FROM refused_checkpoints WHERE signature = file.signature)
                """
            )
            return {(row["path"], row["size"], row["mtime_ns"], int(row["inode"])) for row in rows}

    def evaluated(self) -> tuple[int, int]:
        """How many of the complete files are evaluated, and how many there are."""
        with self._database.connection() as connection:
            row = connection.execute(
                """
                SELECT count(*) AS landed,
                       count(*) FILTER (WHERE EXISTS (
                           SELECT FROM epoch_results
                           WHERE checkpoint_signature = file.signature AND evaluation_status = 'evaluated'
                       )) AS evaluated
                FROM landed_files file WHERE partition_key IS NOT NULL
                """
            ).fetchone()
        assert row is not None  # noqa: S101 - a count is always one row
        return row["evaluated"], row["landed"]

    def newest(self, partition_key: str) -> LandedFile:
        """The file that landed last under a partition key.

        Raises
        ------
        UnknownFileError
            If none did.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT path, signature FROM landed_files WHERE partition_key = %s ORDER BY landed_at DESC LIMIT 1",
                (partition_key,),
            ).fetchone()
        if row is None:
            raise UnknownFileError(
                f"no file has landed as {partition_key}: put the checkpoint into a watched folder, and the sensor "
                "checkpoint_files asks for its evaluation."
            )
        return LandedFile(Path(row["path"]), row["signature"])

    def _write(self, rows: Iterable[tuple[str, int, int, int, str, str | None]]) -> None:
        with self._database.connection() as connection:
            connection.cursor().executemany(
                """
                INSERT INTO landed_files (path, size, mtime_ns, inode, signature, partition_key)
                VALUES (%s, %s, %s, %s, %s, %s)
                ON CONFLICT (md5(path)) DO UPDATE
                SET size = excluded.size, mtime_ns = excluded.mtime_ns, inode = excluded.inode,
                    signature = excluded.signature, partition_key = excluded.partition_key, landed_at = now()
                WHERE (landed_files.size, landed_files.mtime_ns, landed_files.inode, landed_files.signature)
                      IS DISTINCT FROM (excluded.size, excluded.mtime_ns, excluded.inode, excluded.signature)
                """,
                list(rows),
            )


def _stat(key: tuple[str, int, int, int]) -> tuple[str, int, int, int]:
    path, size, mtime_ns, inode = key
    return clean_text(path), size, mtime_ns, inode
