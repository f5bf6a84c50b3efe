"""What has changed, for pages that show it: table `pixel_lora.lab_events`, filled by triggers."""

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg

from pixel_lora_pipeline.store.database import Database

CHANNEL: Final = "pixel_lora_lab"
"""What to LISTEN to for new events: a wake-up without content."""

KEPT: Final = timedelta(days=7)
"""How long events are kept. Who was away for longer has to look at everything anew."""

_MOST: Final = 500  # who has missed more is faster looking at everything anew
_CURSOR: Final = re.compile(r"\d{1,20}:\d{1,20}:(\d{1,20}(,\d{1,20})*)?")
_LONGEST_CURSOR: Final = 4096

_NEWS: Final = """
    WITH moment AS MATERIALIZED (SELECT pg_current_snapshot() AS snapshot),
    news AS (
        SELECT kind, subject, at FROM pixel_lora.lab_events, moment
        WHERE transaction_id >= pg_snapshot_xmin(%(seen)s::pg_snapshot)
          AND NOT pg_visible_in_snapshot(transaction_id, %(seen)s::pg_snapshot)
          AND pg_visible_in_snapshot(transaction_id, moment.snapshot)  -- else it comes from another server's dump
        ORDER BY transaction_id LIMIT %(most)s + 1
    )
    SELECT moment.snapshot::text AS cursor,
           EXISTS (SELECT FROM pixel_lora.lab_events
                   WHERE transaction_id < pg_snapshot_xmin(%(seen)s::pg_snapshot)) AS reaches_back,
           (SELECT count(*) FROM news) AS found,
           (SELECT coalesce(jsonb_agg(jsonb_build_array(kind, subject) ORDER BY first_at), '[]')
            FROM (SELECT kind, subject, min(at) AS first_at FROM news GROUP BY kind, subject) distinct_news) AS events
    FROM moment
"""


@dataclass(frozen=True)
class News:
    """What has happened since a cursor.

    Attributes
    ----------
    cursor
        To ask with the next time.
    events
        Kind and subject, each once, the oldest first.
    is_complete
        Whether these are all. If not, everything has to be looked at anew.
    """

    cursor: str
    events: tuple[tuple[str, str], ...]
    is_complete: bool


class LabEvents:
    """The events, read by a cursor that loses none: see `sql/0016_lab_events.sql`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def cursor(self) -> str:
        """Of now. Take it before reading what is shown, so that nothing falls between."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT pg_current_snapshot()::text AS cursor").fetchone()
        assert row is not None  # noqa: S101 - there is always a snapshot
        cursor: str = row["cursor"]
        return cursor

    def since(self, cursor: str) -> News:
        """The events that were not visible when the cursor was taken.

        Raises
        ------
        ValueError
            If it is no cursor of ours.
        """
        if len(cursor) > _LONGEST_CURSOR or not _CURSOR.fullmatch(cursor):
            raise ValueError(f"{cursor[:40]!r} is no cursor of the lab's events.")
        with self._database.connection() as connection:
            try:
                row = connection.execute(_NEWS, {"seen": cursor, "most": _MOST}).fetchone()
            except psycopg.DataError:
                raise ValueError(f"{cursor[:40]!r} is no cursor of the lab's events.") from None
        assert row is not None  # noqa: S101 - there is always a snapshot
        return News(
            row["cursor"],
            tuple((kind, subject) for kind, subject in row["events"]),
            row["reaches_back"] and row["found"] <= _MOST,
        )

    def prune(self) -> int:
        """Delete events that are older than `KEPT`, or of another server's dump, and return how many those were.

        There is always one left that is older than what pages can ask for: it tells that the rest is complete.
        """
        with self._database.connection() as connection:
            deleted = connection.execute(
                """
                DELETE FROM pixel_lora.lab_events
                WHERE transaction_id >= pg_snapshot_xmax(pg_current_snapshot()) OR transaction_id < (
                    SELECT transaction_id FROM pixel_lora.lab_events
                    WHERE at < now() - %s ORDER BY transaction_id DESC LIMIT 1)
                """,
                (KEPT,),
            ).rowcount
            connection.execute(
                "INSERT INTO pixel_lora.lab_events (kind, subject) "
                "SELECT 'start', '' WHERE NOT EXISTS (SELECT FROM pixel_lora.lab_events)"
            )
        return deleted
