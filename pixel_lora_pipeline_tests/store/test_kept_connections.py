"""Connections that are used again, as safely as new ones."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from pixel_lora_pipeline.store import Database, DatabaseError
from pixel_lora_pipeline.store.kept_connections import KeptConnections

PID = "SELECT pg_backend_pid() AS pid"


@pytest.fixture
def kept(database: Database) -> Iterator[KeptConnections]:
    found = KeptConnections(database.url)
    yield found
    found.close()


def pid(database: KeptConnections) -> int:
    with database.connection() as connection:
        row = connection.execute(PID).fetchone()
    assert row is not None
    return int(row["pid"])


def test_who_asks_next_gets_the_same_connection(kept: KeptConnections) -> None:
    assert pid(kept) == pid(kept)


def test_a_connection_that_the_server_has_closed_is_not_used_again(kept: KeptConnections, database: Database) -> None:
    lost = pid(kept)
    with psycopg.connect(database.url, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", (lost,))
    assert pid(kept) != lost


def test_what_failed_is_rolled_back_and_not_left_to_the_next(kept: KeptConnections) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero), kept.connection() as connection:
        connection.execute("INSERT INTO training_runs (run_name) VALUES ('never')")
        connection.execute("SELECT 1 / 0")
    with kept.connection() as connection:
        row = connection.execute("SELECT count(*) AS runs FROM training_runs").fetchone()
    assert row == {"runs": 0}


def test_threads_do_not_share_one(kept: KeptConnections) -> None:
    def busy(_: int) -> int:
        with kept.connection() as connection:
            row = connection.execute("SELECT pg_backend_pid() AS pid, pg_sleep(0.2)").fetchone()
        assert row is not None
        return int(row["pid"])

    with ThreadPoolExecutor(3) as threads:
        assert len(set(threads.map(busy, range(3)))) == 3


def test_no_server_is_said_as_by_other_connections() -> None:
    with pytest.raises(DatabaseError, match="DATABASE_URL"), KeptConnections("postgresql://127.0.0.1:1/x").connection():
        pass
