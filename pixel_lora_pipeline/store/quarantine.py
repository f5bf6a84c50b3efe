"""Files that were refused, so that each is looked at once: table `refused_checkpoints`."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.notifications import Message, Notifications
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

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    def add(self, path: Path, signature: str, fault: str, remedy: str, news: Message | None = None) -> None:
        """Record a refusal; once more for the same file and content says the same again.

        Parameters
        ----------
        fault
            What is wrong with the file, as the rest of a sentence that begins with its name.
        remedy
            What a person can do, in full sentences.
        news
            What people are told of it; committed together with the refusal.
        """
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
            if news is not None:
                self._notifications.add(connection, news)

    def list(self) -> list[RefusedCheckpoint]:
        """All refusals, the newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT path, signature, fault, remedy, refused_at FROM refused_checkpoints "
                "ORDER BY refused_at DESC, id DESC"
            )
            return [RefusedCheckpoint(**row) for row in rows]
