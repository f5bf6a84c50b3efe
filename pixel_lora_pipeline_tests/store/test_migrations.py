import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from pixel_lora_pipeline.store import Database, MigrationError, check, migrate
from pixel_lora_pipeline.store.migrations import SQL_FOLDER

FIRST = "CREATE TABLE first (id integer);"
SECOND = "CREATE TABLE second (id integer);"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "sql"
    folder.mkdir()
    (folder / "0001_first.sql").write_text(FIRST)
    (folder / "0002_second.sql").write_text(SECOND)
    return folder


def tables(database: Database) -> set[str]:
    with database.connection() as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        return {row["tablename"] for row in rows}


def test_the_projects_files_bring_an_empty_database_to_the_head_and_then_nothing_is_left_to_do(
    empty_database: Database,
) -> None:
    names = sorted(path.name for path in SQL_FOLDER.glob("*.sql"))
    assert migrate(empty_database.url) == names
    assert migrate(empty_database.url) == []
    assert check(empty_database.url).applied == tuple(names)
    assert {"training_runs", "epoch_results", "prompt_test_results", "refused_checkpoints"} <= tables(empty_database)


def test_check_says_what_is_pending_and_changes_nothing(empty_database: Database, folder: Path) -> None:
    assert check(empty_database.url, folder).pending == ("0001_first.sql", "0002_second.sql")
    assert tables(empty_database) == set()
    with empty_database.connection() as connection:
        assert connection.execute("SELECT to_regnamespace('pixel_lora') AS ledger").fetchone() == {"ledger": None}

    migrate(empty_database.url, folder)
    (folder / "0003_third.sql").write_text("CREATE TABLE third ();")
    state = check(empty_database.url, folder)
    assert (state.applied, state.pending) == (("0001_first.sql", "0002_second.sql"), ("0003_third.sql",))
    assert tables(empty_database) == {"first", "second"}


def test_a_new_file_is_applied_to_a_database_with_data(empty_database: Database, folder: Path) -> None:
    migrate(empty_database.url, folder)
    with empty_database.connection() as connection:
        connection.execute("INSERT INTO first VALUES (7)")
    (folder / "0003_name.sql").write_text("ALTER TABLE first ADD COLUMN name text DEFAULT 'x';")
    assert migrate(empty_database.url, folder) == ["0003_name.sql"]
    with empty_database.connection() as connection:
        assert connection.execute("SELECT * FROM first").fetchall() == [{"id": 7, "name": "x"}]


def test_an_edited_file_is_refused(empty_database: Database, folder: Path) -> None:
    migrate(empty_database.url, folder)
    (folder / "0001_first.sql").write_text(FIRST + "-- harmless?")
    (folder / "0003_third.sql").write_text("CREATE TABLE third ();")
    for refused in (migrate, check):
        with pytest.raises(MigrationError, match=r"0001_first\.sql was edited.*new file"):
            refused(empty_database.url, folder)
    assert "third" not in tables(empty_database)


def test_line_ends_of_another_checkout_are_no_edit(empty_database: Database, folder: Path) -> None:
    (folder / "0001_first.sql").write_bytes(b"CREATE TABLE first (\n  id integer\n);\n")
    migrate(empty_database.url, folder)
    (folder / "0001_first.sql").write_bytes(b"CREATE TABLE first (\r\n  id integer\r\n);\r\n")
    assert migrate(empty_database.url, folder) == []


def test_a_database_that_is_newer_than_the_code_is_refused(empty_database: Database, folder: Path) -> None:
    migrate(empty_database.url, folder)
    (folder / "0002_second.sql").unlink()
    for refused in (migrate, check):
        with pytest.raises(MigrationError, match=r"newer than this code.*0002_second\.sql"):
            refused(empty_database.url, folder)


def test_a_file_that_fails_leaves_nothing_of_itself_and_the_files_before_it(
    empty_database: Database, folder: Path
) -> None:
    (folder / "0002_second.sql").write_text(f"{SECOND} INSERT INTO first VALUES (1); SELECT 1 / 0;")
    (folder / "0003_third.sql").write_text("CREATE TABLE third ();")
    with pytest.raises(MigrationError, match=r"0002_second\.sql could not be applied: division by zero"):
        migrate(empty_database.url, folder)
    assert tables(empty_database) == {"first"}
    with empty_database.connection() as connection:
        assert connection.execute("SELECT * FROM first").fetchall() == []

    (folder / "0002_second.sql").write_text(SECOND)
    assert migrate(empty_database.url, folder) == ["0002_second.sql", "0003_third.sql"]


def test_a_migration_that_is_killed_is_taken_up_again(empty_database: Database, folder: Path) -> None:
    (folder / "0002_second.sql").write_text(f"{SECOND} SELECT pg_sleep(3600);")
    program = (
        "import sys; from pathlib import Path; from pixel_lora_pipeline.store import migrate;"
        "migrate(sys.argv[1], Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, empty_database.url, str(folder)])
    try:
        with psycopg.connect(empty_database.url, autocommit=True) as connection:
            sleeping = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()"
            while (row := connection.execute(sleeping).fetchone()) is None:
                assert process.poll() is None, "it ended before it could be killed"
            process.kill()
            process.wait()
            # The server notices a vanished client only when it next talks to it.
            connection.execute("SELECT pg_terminate_backend(%s, 10000)", row)
    finally:
        process.kill()
        process.wait()
    assert tables(empty_database) == {"first"}
    (folder / "0002_second.sql").write_text(SECOND)
    assert migrate(empty_database.url, folder) == ["0002_second.sql"]


def test_several_processes_at_once_apply_each_file_once(empty_database: Database) -> None:
    with ThreadPoolExecutor(4) as pool:
        applied = list(pool.map(migrate, [empty_database.url] * 4))
    assert sorted(len(names) for names in applied) == [0, 0, 0, len(list(SQL_FOLDER.glob("*.sql")))]


def test_files_that_do_not_form_one_row_are_refused(empty_database: Database, folder: Path) -> None:
    (folder / "0002_again.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match="same number"):
        migrate(empty_database.url, folder)
    (folder / "0002_again.sql").rename(folder / "add_parameter_tracking.sql")
    with pytest.raises(MigrationError, match="not named NNNN"):
        migrate(empty_database.url, folder)
    (folder / "add_parameter_tracking.sql").unlink()
    (folder / "0002_second.sql").rename(folder / "0004_second.sql")
    migrate(empty_database.url, folder)
    (folder / "0003_late.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=r"0003_late\.sql comes before.*above 0004"):
        migrate(empty_database.url, folder)
    with pytest.raises(MigrationError, match=r"missing.*pip install -e"):
        migrate(empty_database.url, folder / "nowhere")


def test_tables_that_we_create_are_closed_to_everybody_but_their_owner(database: Database) -> None:
    with database.connection() as connection:
        open_tables = connection.execute(
            """
            SELECT relname FROM pg_class
            WHERE relkind = 'r' AND NOT relrowsecurity AND relnamespace::regnamespace::text IN ('public', 'pixel_lora')
            """
        ).fetchall()
        assert open_tables == []
        assert connection.execute("SELECT * FROM pg_policies").fetchall() == []

        # As on Supabase, where everybody may read the schema public through the Data API.
        connection.execute("INSERT INTO training_runs (run_name) VALUES ('secret')")
        connection.execute("CREATE ROLE visitor_of_the_data_api")
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO visitor_of_the_data_api")
        connection.execute("SET ROLE visitor_of_the_data_api")
        for relation in ("training_runs", "v_training_comparison", "v_epoch_progress"):
            seen = connection.execute(f"SELECT * FROM {relation}".encode()).fetchall()
            assert seen == [], f"{relation} shows rows to strangers"
        connection.rollback()
