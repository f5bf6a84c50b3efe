from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier

import psycopg
import pytest

from pixel_lora_pipeline.store import Database, Message, Notification, Notifications, Store, migrate

CHANNELS = ("mailto-1", "slack-2")
REFUSED = (Path("/watched/a.safetensors"), "sig", "is a pickle", "Save it as safetensors.")


def news(key: str = "fact") -> Message:
    return Message("converged", key, f"about {key}", "Epoch 6 is best.", {"best_epoch": 6})


@pytest.fixture
def outbox(database: Database) -> Notifications:
    return Notifications(database, CHANNELS)


def make_due(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("UPDATE notifications SET next_attempt_at = now() - interval '1 second'")


def test_fact_and_message_are_stored_together_or_not_at_all(database: Database, tmp_path: Path) -> None:
    store = Store(database.url, tmp_path, CHANNELS)
    with pytest.raises(ZeroDivisionError), database.connection() as connection:
        store.notifications.add(connection, news())
        raise ZeroDivisionError
    assert store.notifications.find() == []

    store.quarantine.add(*REFUSED, news("refusal"))
    assert len(store.quarantine.list()) == 1
    assert [row.subject for row in store.notifications.find()] == ["about refusal"] * 2

    with database.connection() as connection:
        connection.execute("ALTER TABLE notifications RENAME TO taken_away")
    with pytest.raises(psycopg.Error):
        store.quarantine.add(Path("/watched/b.safetensors"), "sig-b", "is cut short", "Copy it.", news("other"))
    assert len(store.quarantine.list()) == 1, "the fact was stored without its message"


def test_a_fact_is_told_once_to_each_channel(outbox: Notifications, database: Database) -> None:
    assert [outbox.announce(news()), outbox.announce(news())] == [2, 0]
    later = Notifications(database, (*CHANNELS, "json-3"))
    assert later.announce(news()) == 1, "a channel that is new did not hear of it"
    assert sorted(row.channel for row in outbox.find()) == ["json-3", *CHANNELS]


def test_a_fact_that_two_processes_notice_at_once_is_told_once(outbox: Notifications) -> None:
    together = Barrier(4)

    def announce(_: int) -> int:
        together.wait()
        return outbox.announce(news())

    with ThreadPoolExecutor(4) as threads:
        assert sorted(threads.map(announce, range(4))) == [0, 0, 0, 2]


def test_without_a_channel_nothing_is_kept(database: Database) -> None:
    silent = Notifications(database)
    assert silent.announce(news()) == 0
    assert silent.find(("pending", "sent", "dead")) == []


def test_keys_and_texts_that_no_database_likes_are_kept(outbox: Notifications) -> None:
    odd = Message("checkpoint_refused", "caf\udce9\x00" + "/very-long" * 500, "ok", "says \x00 \udce9")
    assert [outbox.announce(odd), outbox.announce(odd)] == [2, 0]
    assert outbox.find()[0].body == "says \N{REPLACEMENT CHARACTER} ?"


def test_senders_that_work_at_once_never_get_the_same_message(outbox: Notifications) -> None:
    for number in range(20):
        outbox.announce(news(str(number)))
    together = Barrier(4)

    def claim(_: int) -> list[Notification]:
        together.wait()
        found: list[Notification] = []
        while batch := outbox.claim("slack-2", 3):
            found += batch
        return found

    with ThreadPoolExecutor(4) as threads:
        claimed = [row.id for batch in threads.map(claim, range(4)) for row in batch]
    assert len(claimed) == 20, f"{len(claimed)} claims of 20 messages"
    assert len(set(claimed)) == 20
    assert outbox.due("mailto-1") == 20, "another channel's messages were taken"


def test_a_message_whose_sender_died_is_due_again_and_the_attempt_counts(
    outbox: Notifications, database: Database
) -> None:
    outbox.announce(news())
    (first,) = outbox.claim("slack-2", 1)
    assert outbox.claim("slack-2", 1) == []
    wait = (first.next_attempt_at - datetime.now(UTC)).total_seconds()
    assert 60 < wait < 600, f"a dead sender holds its message for {wait:.0f} s"
    make_due(database)
    (second,) = outbox.claim("slack-2", 1)
    assert (first.attempts, second.attempts) == (1, 2)


def test_a_sender_that_comes_too_late_changes_nothing_that_another_has_done(
    outbox: Notifications, database: Database
) -> None:
    outbox.announce(news())
    (slow,) = outbox.claim("slack-2", 1)
    make_due(database)
    (other,) = outbox.claim("slack-2", 1)
    outbox.mark_failed(slow, "too slow", None)
    outbox.mark_sent(other)
    outbox.mark_failed(slow, "too slow", None)
    (row,) = outbox.find(("sent",))
    assert (row.attempts, row.last_error) == (2, None)
    assert row.sent_at is not None


def test_a_message_that_is_given_up_stays_visible_and_can_be_sent_again(outbox: Notifications) -> None:
    outbox.announce(news("one"))
    outbox.announce(news("two"))
    for row in outbox.claim("slack-2", 2):
        outbox.mark_failed(row, "the server said no", None)
    dead = outbox.find(("dead",))
    assert [row.last_error for row in dead] == ["the server said no"] * 2
    assert outbox.count("dead") == 2
    assert outbox.claim("slack-2", 2) == []

    assert outbox.requeue([str(dead[0].id)]) == [dead[0].id]
    (again,) = outbox.claim("slack-2", 2)
    assert (again.id, again.attempts) == (dead[0].id, 1)
    assert outbox.requeue() == [dead[1].id], "more was sent again than what had been given up"


def test_a_subject_is_one_line() -> None:
    for subject in ("two\nlines", "carriage\rreturn", "Subject: x\r\nBcc: all@example.com", "\u202egnp.exe", "", " "):
        with pytest.raises(ValueError, match="one line"):
            Message("test", "key", subject, "body")


def test_a_table_of_that_name_that_was_there_before_keeps_its_rows_and_sends_none(empty_database: Database) -> None:
    with empty_database.connection() as connection:
        connection.execute(
            "CREATE TABLE notifications (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid NOT NULL, "
            "body text NOT NULL, created_at timestamptz NOT NULL DEFAULT now())"
        )
        connection.execute("INSERT INTO notifications (user_id, body) VALUES (gen_random_uuid(), 'your invoice')")
    migrate(empty_database.url)
    outbox = Notifications(empty_database, CHANNELS)
    outbox.announce(news())
    assert [row.body for row in outbox.claim("slack-2", 9)] == ["Epoch 6 is best."]
    (dead,) = outbox.claim("mailto-1", 9)
    outbox.mark_failed(dead, "no", None)
    assert outbox.requeue([dead.id]) == [dead.id]
    with empty_database.connection() as connection:
        rows = connection.execute("SELECT body FROM notifications WHERE user_id IS NOT NULL").fetchall()
    assert [row["body"] for row in rows] == ["your invoice"]
