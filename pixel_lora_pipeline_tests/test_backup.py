"""Backups: what was written comes back, byte for byte and row for row; what cannot come back changes nothing."""

import json
import shutil
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql

from pixel_lora_pipeline.backup import BackupError, back_up, restore
from pixel_lora_pipeline.store import Database, DumpError, Store, check
from pixel_lora_pipeline.store import dump as dumps
from pixel_lora_pipeline_tests.lab.example_run import add_epoch, add_run

pytestmark = pytest.mark.made_up_history


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    (folder / "reports" / "run").mkdir(parents=True)
    (folder / "reports" / "run" / "epoch_1_report.html").write_text("<p>ok", encoding="utf-8")
    return folder


@pytest.fixture
def used(database: Database, home: Path) -> Store:
    """A store in which there is a bit of everything."""
    store = Store(database.url, home / "images")
    add_epoch(store, add_run(store, "evaluated"), 1, 61.5)
    return store


@pytest.fixture
def archive(used: Store, home: Path, tmp_path: Path) -> Path:
    target = tmp_path / "backup.zip"
    back_up(used.database.url, home, target)
    return target


def test_everything_comes_back(
    used: Store, home: Path, archive: Path, empty_database: Database, tmp_path: Path
) -> None:
    before = content(used.database)
    made = restore(empty_database.url, tmp_path / "new", archive)
    assert content(empty_database) == before
    assert sum(made.rows.values()) == sum(len(rows) for rows in before.values()) > 100
    assert files(tmp_path / "new") == files(home) != {}
    restored = Store(empty_database.url, tmp_path / "new" / "images")
    run = restored.conclusions.run("evaluated")
    add_epoch(restored, run.run_id, 2, 70.0)
    assert restored.lab_events.since(restored.lab_events.cursor()).is_complete
    assert not check(empty_database.url).pending


def test_it_is_restored_into_a_database_that_was_only_migrated(
    archive: Path, migrated: Database, tmp_path: Path
) -> None:
    restore(migrated.url, tmp_path / "new", archive)
    assert content(migrated)["public.training_runs"]


@pytest.fixture
def migrated(empty_database: Database) -> Database:
    from pixel_lora_pipeline.store import migrate

    migrate(empty_database.url)
    return empty_database


def test_a_restoring_that_was_interrupted_can_be_begun_again(
    archive: Path, home: Path, empty_database: Database, tmp_path: Path
) -> None:
    shutil.copytree(home, tmp_path / "new")
    restore(empty_database.url, tmp_path / "new", archive)
    assert content(empty_database)["public.training_runs"]


def test_what_has_been_worked_with_is_not_written_over(used: Store, archive: Path, tmp_path: Path) -> None:
    before = content(used.database)
    with pytest.raises(DumpError, match=r"not empty \(\d+ rows in public.training_runs"):
        restore(used.database.url, tmp_path / "new", archive)
    assert content(used.database) == before


def test_a_database_that_others_use_is_left_alone(archive: Path, empty_database: Database, tmp_path: Path) -> None:
    with psycopg.connect(empty_database.url), pytest.raises(DumpError, match="1 other connections"):
        restore(empty_database.url, tmp_path / "new", archive)


def test_another_file_of_that_name_is_left_alone(archive: Path, empty_database: Database, tmp_path: Path) -> None:
    own = tmp_path / "new" / "reports" / "run" / "epoch_1_report.html"
    own.parent.mkdir(parents=True)
    own.write_text("mine")
    with pytest.raises(BackupError, match="restore into a new home"):
        restore(empty_database.url, tmp_path / "new", archive)
    assert own.read_text() == "mine"
    assert files(tmp_path / "new").keys() == {"reports/run/epoch_1_report.html"}


def test_a_damaged_backup_changes_nothing(archive: Path, empty_database: Database, tmp_path: Path) -> None:
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 3] ^= 0xFF
    archive.write_bytes(damaged)
    refused(archive, empty_database, tmp_path, "is damaged")
    archive.write_bytes(bytes(damaged[: len(damaged) // 2]))
    refused(archive, empty_database, tmp_path, "no whole backup")


def test_a_backup_of_a_newer_version_is_refused_with_what_to_do(
    archive: Path, empty_database: Database, tmp_path: Path
) -> None:
    rewrite(archive, newest_migration="9999_from_the_future.sql")
    refused(archive, empty_database, tmp_path, "update the code, then restore")


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "images/../../evil", "images\\..\\evil", "sql/0001.sql"])
def test_files_go_nowhere_else(archive: Path, empty_database: Database, tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr(name, "evil")
    refused(archive, empty_database, tmp_path, "which no backup of ours does")


def test_any_other_archive_is_refused(empty_database: Database, tmp_path: Path) -> None:
    other = tmp_path / "other.zip"
    with zipfile.ZipFile(other, "w") as opened:
        opened.writestr("readme.txt", "hello")
    refused(other, empty_database, tmp_path, "is no backup of this program")


def test_a_backup_is_not_written_over_and_a_failed_one_leaves_nothing(
    used: Store, home: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(BackupError, match="exists already"):
        back_up(used.database.url, home, archive)
    (tmp_path / "pg_dump").touch()  # as if it were not executable
    monkeypatch.setattr(dumps, "programs", lambda: tmp_path)
    before = set(tmp_path.iterdir())
    with pytest.raises(OSError, match="pg_dump"):
        back_up(used.database.url, home, tmp_path / "second.zip")
    assert set(tmp_path.iterdir()) == before


def test_the_password_is_not_among_the_arguments_that_everybody_sees(
    used: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []

    def run(command: list[Any], env: dict[str, str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.extend([*map(str, command), *env.values()])
        service = Path(env["PGSERVICEFILE"])
        assert "password=canary-7" in service.read_text()
        assert service.stat().st_mode & 0o077 == 0
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    dumps.dump_database(f"{used.database.url}&password=canary-7", tmp_path / "dump")
    assert not any("canary-7" in text for text in seen)


def refused(archive: Path, database: Database, folder: Path, why: str) -> None:
    with pytest.raises(BackupError, match=why):
        restore(database.url, folder / "new", archive)
    assert not (folder / "new").exists()
    assert content(database) == {}


def rewrite(archive: Path, **told: object) -> None:
    with zipfile.ZipFile(archive) as opened:
        entries = {name: opened.read(name) for name in opened.namelist()}
    entries["manifest.json"] = json.dumps({**json.loads(entries["manifest.json"]), **told}).encode()
    with zipfile.ZipFile(archive, "w") as opened:
        for name, written in entries.items():
            opened.writestr(name, written)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def content(database: Database) -> dict[str, list[str]]:
    """Every row of every table as text, but for the news of open pages."""
    return dict(_content(database))


def _content(database: Database) -> Iterator[tuple[str, list[str]]]:
    with database.connection() as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema') "
            "AND tablename <> 'lab_events'"
        ).fetchall()
        for table in tables:
            name = sql.Identifier(table["schemaname"], table["tablename"])
            rows = connection.execute(sql.SQL("SELECT t::text AS row FROM {} t ORDER BY 1").format(name)).fetchall()
            yield f"{table['schemaname']}.{table['tablename']}", [row["row"] for row in rows]
