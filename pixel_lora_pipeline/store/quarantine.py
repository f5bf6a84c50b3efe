"""Files that were refused, so that each is looked at once: table `refused_checkpoints`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.values import clean_text


@dataclass(frozen=True)
class RefusedCheckpoint:
    """A refused file: what is wrong with it and what a person can do."""

    path: str
    signature: str
    fault: str
    remedy: str
    refused_at: datetime


class Quarantine:
    """What was refused and why. The files themselves stay where they are."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, path: Path, signature: str, fault: str, remedy: str) -> None:
        """Record a refusal; once more for the same file and content says the same again."""
        with self._database.connection() as connection:
            connection.execute(
                """
                INSERT INTO refused_checkpoints (path, signature, fault, remedy, refused_at)
                VALUES (%s, %s, %s, %s, now())
                ON CONFLICT (signature, md5(path)) DO UPDATE
                SET fault = excluded.fault, remedy = excluded.remedy, refused_at = excluded.refused_at
                """,
                (clean_text(str(path)), signature, clean_text(fault), clean_text(remedy)),
            )

    def signatures(self) -> set[str]:
        """Content signatures of all refused files."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT signature FROM refused_checkpoints")
            return {row["signature"] for row in rows}

    def list(self) -> list[RefusedCheckpoint]:
        """All refusals, the newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT path, signature, fault, remedy, refused_at FROM refused_checkpoints "
                "ORDER BY refused_at DESC, id DESC"
            )
            return [RefusedCheckpoint(**row) for row in rows]
