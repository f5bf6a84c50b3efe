import socket

import pytest

from pixel_lora_pipeline.store import Database, DatabaseError


def test_a_failed_block_leaves_nothing_and_a_finished_one_is_there_for_the_next(database: Database) -> None:
    with database.connection() as connection:
        connection.execute("INSERT INTO training_runs (run_name) VALUES ('kept')")
    with pytest.raises(ZeroDivisionError), database.connection() as connection:
        connection.execute("INSERT INTO training_runs (run_name) VALUES ('lost')")
        raise ZeroDivisionError
    with database.connection() as connection:
        rows = connection.execute("SELECT run_name FROM training_runs").fetchall()
    assert [row["run_name"] for row in rows] == ["kept"]


def test_an_unreachable_server_is_named_without_its_password() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        database = Database(f"postgresql://someone:Geheim@127.0.0.1:{port}/runs")
        with pytest.raises(DatabaseError) as failure, database.connection():
            pass
    said = f"{failure.value} {failure.value.__cause__!r}"
    assert f"127.0.0.1:{port}/runs" in said and "DATABASE_URL" in said
    assert "Geheim" not in said
