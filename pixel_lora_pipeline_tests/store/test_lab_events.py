"""What pages are told of changes: nothing is lost, whatever is committed when."""

import psycopg
import pytest

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.store.lab_events import KEPT
from pixel_lora_pipeline_tests.store.test_images import an_image

A_RUN = "INSERT INTO training_runs (run_name) VALUES (%s) RETURNING id"


def test_a_new_run_and_its_epoch_are_told_once_each(store: Store) -> None:
    seen = store.lab_events.cursor()
    with store.database.connection() as connection:
        run = connection.execute(A_RUN, ("one",)).fetchone()
        assert run is not None
        for epoch in (1, 2, 3):
            connection.execute(
                "INSERT INTO epoch_results (training_run_id, epoch_number) VALUES (%s, %s)", (run["id"], epoch)
            )
    news = store.lab_events.since(seen)
    assert news.events == (("run", str(run["id"])), ("epoch", str(run["id"])))
    assert news.is_complete
    assert store.lab_events.since(news.cursor).events == ()


def test_a_transaction_that_commits_late_is_not_missed(store: Store) -> None:
    seen = store.lab_events.cursor()
    with psycopg.connect(store.database.url) as slow, psycopg.connect(store.database.url) as fast:
        slow_run = slow.execute(A_RUN, ("begun first",)).fetchone()
        fast_run = fast.execute(A_RUN, ("committed first",)).fetchone()
        assert slow_run is not None
        assert fast_run is not None
        fast.commit()
        first = store.lab_events.since(seen)
        assert first.events == (("run", str(fast_run[0])),)
        slow.commit()
    second = store.lab_events.since(first.cursor)
    assert second.events == (("run", str(slow_run[0])),), "an event that was committed late is lost"


def test_images_tell_of_the_run_that_they_are_of(store: Store) -> None:
    with store.database.connection() as connection:
        run = connection.execute(A_RUN, ("painted",)).fetchone()
        assert run is not None
        epoch = connection.execute(
            "INSERT INTO epoch_results (training_run_id, epoch_number) VALUES (%s, 1) RETURNING id", (run["id"],)
        ).fetchone()
        assert epoch is not None
    seen = store.lab_events.cursor()
    store.images.add(epoch["id"], [an_image(seed=1), an_image(seed=2)])
    assert store.lab_events.since(seen).events == (("images", str(run["id"])),)


def test_what_was_rolled_back_is_not_told(store: Store) -> None:
    seen = store.lab_events.cursor()
    with psycopg.connect(store.database.url) as connection:
        connection.execute(A_RUN, ("never",))
        connection.rollback()
    assert store.lab_events.since(seen).events == ()


def test_who_was_away_for_longer_than_events_are_kept_is_told_to_look_anew(store: Store) -> None:
    seen = store.lab_events.cursor()
    for name in ("old", "older than kept", "new"):
        with store.database.connection() as connection:
            connection.execute(A_RUN, (name,))
            if name != "new":
                connection.execute("UPDATE pixel_lora.lab_events SET at = now() - %s * 2", (KEPT,))
    assert store.lab_events.since(seen).is_complete
    recent = store.lab_events.cursor()
    assert store.lab_events.prune() > 0
    assert not store.lab_events.since(seen).is_complete
    assert store.lab_events.since(recent).is_complete


def test_events_from_a_dump_of_another_server_do_no_harm(store: Store) -> None:
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE pixel_lora.lab_events SET transaction_id = '9000000000000000000'::xid8 WHERE kind = 'start'"
        )
    seen = store.lab_events.cursor()
    assert store.lab_events.since(seen).events == ()
    store.lab_events.prune()
    assert store.lab_events.since(store.lab_events.cursor()).is_complete


def test_somebody_who_may_only_write_runs_causes_events(store: Store) -> None:
    seen = store.lab_events.cursor()
    with psycopg.connect(store.database.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE lab_writer")
        try:
            connection.execute("GRANT INSERT, SELECT ON training_runs TO lab_writer")
            connection.execute("CREATE POLICY writes ON training_runs TO lab_writer USING (true) WITH CHECK (true)")
            connection.execute("SET ROLE lab_writer")
            connection.execute(A_RUN, ("by another role",))
            connection.execute("RESET ROLE")
        finally:
            connection.execute("RESET ROLE; DROP OWNED BY lab_writer; DROP ROLE lab_writer")
    assert [kind for kind, _ in store.lab_events.since(seen).events] == ["run"]


@pytest.mark.parametrize("cursor", ["", "12", "1:2:'; DROP TABLE epoch_results", "5:1:", "9" * 5000, "1:2:3,\x00"])
def test_a_cursor_of_somebody_elses_is_refused(store: Store, cursor: str) -> None:
    with pytest.raises(ValueError, match="no cursor"):
        store.lab_events.since(cursor)
