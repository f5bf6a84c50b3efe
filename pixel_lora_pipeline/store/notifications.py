"""Messages to people, kept until they are sent: table `notifications`, an outbox.

A message is added in the transaction of the fact that it tells of, so there is never one without the other. A
sender claims it for a while, sends it, and says how that went. A sender that dies in between has perhaps sent it:
its claim runs out and the message is sent again. So each message arrives at least once, and once only unless a
sender died.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import DictRow, class_row

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb

Event = Literal[
    "converged",
    "degrading",
    "best_epoch",
    "checkpoint_refused",
    "run_failed",
    "budget",
    "machine_news",
    "machine_alarm",
    "weekly_report",
    "test",
]
State = Literal["pending", "sent", "dead"]

CLAIM_SECONDS: Final = 180
"""How long a claimed message is left to its sender: several times what sending may take."""

_COLUMNS: Final = "id, event, channel, subject, body, state, attempts, created_at, next_attempt_at, sent_at, last_error"


@dataclass(frozen=True)
class Message:
    """News for people.

    Attributes
    ----------
    dedup_key
        Names the fact. Another message with the same key is not news and is not sent.
    subject
        One line.
    body
        Plain text; what services make of it is for them to escape.
    payload
        The figures of the message, for programs.

    Raises
    ------
    ValueError
        If the subject is empty or more than one line: it becomes the header of a mail.
    """

    event: Event
    dedup_key: str
    subject: str
    body: str
    payload: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.subject.strip() or not self.subject.isprintable():
            raise ValueError(f"a subject is one line of printable characters, not {self.subject!r}.")


@dataclass(frozen=True)
class Notification:
    """One message as it stands with one channel.

    Attributes
    ----------
    attempts
        How often it was claimed for sending.
    next_attempt_at
        When it is due; for a claimed one, when its claim runs out.
    last_error
        Why the last attempt failed; None if none has.
    """

    id: RowId
    event: Event
    channel: str
    subject: str
    body: str
    state: State
    attempts: int
    created_at: datetime
    next_attempt_at: datetime
    sent_at: datetime | None
    last_error: str | None


class Notifications:
    """The outbox.

    Parameters
    ----------
    database
        Where it is kept.
    channels
        Ids of those who want to hear of news. Without any, nothing is added.
    """

    def __init__(self, database: Database, channels: Sequence[str] = ()) -> None:
        self._database = database
        self.channels = tuple(dict.fromkeys(channels))

    def add(self, connection: psycopg.Connection[DictRow], message: Message) -> int:
        """Put a message into the outbox, once for each channel, and return for how many it was news.

        Parameters
        ----------
        connection
            That on which the fact itself is written: both are committed together, or neither.
        """
        document = jsonb(message.payload)
        added = 0
        for channel in self.channels:
            added += connection.execute(
                """
                INSERT INTO notifications (event, channel, dedup_key, subject, body, payload, state, next_attempt_at)
                VALUES (%s, %s, %s, %s, %s, %s, 'pending', now())
                ON CONFLICT (channel, md5(dedup_key)) DO NOTHING
                """,
                (
                    message.event,
                    channel,
                    clean_text(message.dedup_key),
                    clean_text(message.subject),
                    clean_text(message.body),
                    document,
                ),
            ).rowcount
        return added

    def announce(self, message: Message) -> int:
        """Put a message into the outbox whose fact is written elsewhere, see `add`."""
        with self._database.connection() as connection:
            return self.add(connection, message)

    def due(self, channel: str) -> int:
        """How many messages wait to be sent now."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT count(*) AS messages FROM notifications "
                "WHERE state = 'pending' AND next_attempt_at <= now() AND channel = %s",
                (channel,),
            ).fetchone()
        return 0 if row is None else int(row["messages"])

    def claim(self, channel: str, at_most: int) -> list[Notification]:
        """Take the messages that are due for a channel, the one that waits for longest first.

        No other sender gets them for `CLAIM_SECONDS`, within which `mark_sent` or `mark_failed` is expected. The
        attempt counts from here, so that a message that kills its sender counts as well.
        """
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Notification)) as rows:
            claimed = rows.execute(
                f"""
                UPDATE notifications
                SET attempts = attempts + 1, next_attempt_at = now() + make_interval(secs => %s)
                WHERE id = ANY (ARRAY(
                    SELECT id FROM notifications
                    WHERE state = 'pending' AND next_attempt_at <= now() AND channel = %s
                    ORDER BY next_attempt_at, id LIMIT %s
                    FOR UPDATE SKIP LOCKED
                ))
                RETURNING {_COLUMNS}
                """,  # noqa: S608 - the columns are ours
                (CLAIM_SECONDS, channel, at_most),
            ).fetchall()
        return sorted(claimed, key=lambda notification: (notification.created_at, str(notification.id)))

    def mark_sent(self, notification: Notification) -> None:
        """Record that a claimed message has arrived."""
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE notifications SET state = 'sent', sent_at = now(), last_error = NULL WHERE id = %s",
                (notification.id,),
            )

    def mark_failed(self, notification: Notification, error: str, retry_after: float | None) -> None:
        """Record why a claimed message did not arrive.

        Parameters
        ----------
        error
            For people, without secrets.
        retry_after
            Seconds until it is due again; None if it is given up.
        """
        with self._database.connection() as connection:
            # Not if the claim ran out and somebody else has it now.
            connection.execute(
                """
                UPDATE notifications
                SET last_error = %(error)s, state = CASE WHEN %(seconds)s::float8 IS NULL THEN 'dead' ELSE state END,
                    next_attempt_at = now() + make_interval(secs => coalesce(%(seconds)s::float8, 0))
                WHERE id = %(id)s AND state = 'pending' AND attempts = %(attempts)s
                """,
                {
                    "error": clean_text(error),
                    "seconds": retry_after,
                    "id": notification.id,
                    "attempts": notification.attempts,
                },
            )

    def requeue(self, ids: Sequence[RowId | str] = ()) -> list[RowId]:
        """Make messages that were given up due again, from the first attempt on, and return their ids.

        Parameters
        ----------
        ids
            Which; all that were given up if none is named. Those that wait or were sent are left alone.
        """
        named = [str(row_id) for row_id in ids]
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                UPDATE notifications SET state = 'pending', attempts = 0, next_attempt_at = now()
                WHERE state = 'dead' AND (cardinality(%(ids)s::text[]) = 0 OR id::text = ANY (%(ids)s::text[]))
                RETURNING id
                """,
                {"ids": named},
            ).fetchall()
        return [row["id"] for row in rows]

    def find(self, states: Sequence[State] = ("pending", "dead"), limit: int = 200) -> list[Notification]:
        """Messages in these states, the newest first; by default those that have not arrived."""
        with self._database.connection() as connection, connection.cursor(row_factory=class_row(Notification)) as rows:
            return rows.execute(
                f"""
                SELECT {_COLUMNS} FROM notifications WHERE state = ANY (%s)
                ORDER BY created_at DESC, id DESC LIMIT %s
                """,  # noqa: S608
                (list(states), limit),
            ).fetchall()

    def count(self, state: State) -> int:
        """How many messages are in a state."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT count(*) AS messages FROM notifications WHERE state = %s", (state,)
            ).fetchone()
        return 0 if row is None else int(row["messages"])
