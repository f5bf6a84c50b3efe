import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text

from pixel_lora_pipeline.store import EmbeddedPostgresError, dagster_url, embedded_postgres, migrate
from pixel_lora_pipeline.store.embedded_postgres import (
    _copied,
    _folder_for_root,
    _locate,
    start,
    stop,
)

AS_ROOT = os.name == "posix" and os.geteuid() == 0


@pytest.fixture(scope="module")
def initialised() -> Iterator[Path]:
    """A home whose database was set up once, to be copied."""
    with _reachable_folder() as folder:
        start(folder)
        stop(folder)
        with (folder / "postgres" / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write("fsync = off\n")  # killing the server is tested, a power cut is not
        yield folder


@pytest.fixture
def home(initialised: Path) -> Iterator[Path]:
    with _reachable_folder() as folder:
        _copy_home(initialised, folder / "home")
        yield folder / "home"
        stop(folder / "home")


class _reachable_folder(tempfile.TemporaryDirectory[str]):  # noqa: N801 - used like a function
    """A temporary folder that the server's account can reach, which pytest's is not when root runs it."""

    def __enter__(self) -> Path:  # type: ignore[override]
        folder = Path(super().__enter__())
        folder.chmod(0o755)
        return folder


def _copy_home(initialised: Path, home: Path) -> None:
    shutil.copytree(initialised / "postgres", home / "postgres", ignore=shutil.ignore_patterns(".s.PGSQL*"))
    home.chmod(0o755)
    if AS_ROOT:
        owner = (initialised / "postgres").stat()
        for path in [home / "postgres", *(home / "postgres").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)


def _processes(folder: Path) -> list[psutil.Process]:
    """Servers with their data under a folder and their children, without ended ones that nobody waited for."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.name().startswith("postgres") and Path(process.cwd()).is_relative_to(folder):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for process in found if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]


def _execute(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_data_survive_a_stop_and_a_stop_leaves_no_process(home: Path) -> None:
    url = start(home)
    _execute(url, "CREATE TABLE kept AS SELECT 7 AS n")
    server = _processes(home)
    assert server
    stop(home)
    # The server is gone, but the last of its workers may still be ending.
    _, left = psutil.wait_procs(server, timeout=5)
    assert [process for process in left if process.status() != psutil.STATUS_ZOMBIE] == []
    with pytest.raises(psycopg.OperationalError):
        _execute(url, "SELECT 1")
    stop(home)

    assert _execute(start(home), "SELECT n FROM kept") == [(7,)]


def test_a_second_start_finds_the_running_server(home: Path) -> None:
    url = start(home)
    assert start(home) == url
    program = "import sys; from pathlib import Path; from pixel_lora_pipeline.store.embedded_postgres import start;"
    elsewhere = subprocess.run(
        [sys.executable, "-c", f"{program} print(start(Path(sys.argv[1])))", str(home)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert elsewhere.stdout.strip() == url
    assert _execute(url, "SELECT 1") == [(1,)], "the other process took the server with it"
    servers = [process for process in _processes(home) if "-D" in process.cmdline()]  # children have titles
    assert len(servers) == 1, servers


def test_a_killed_server_recovers_what_was_committed(home: Path) -> None:
    url = start(home)
    _execute(url, "CREATE TABLE kept AS SELECT 7 AS n")
    os.kill(_postmaster_pid(home), signal.SIGKILL)
    assert _execute(start(home), "SELECT n FROM kept") == [(7,)]


def test_a_stale_number_that_belongs_to_another_process_now_does_not_stop_the_start(home: Path) -> None:
    start(home)
    pid_file = home / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines(keepends=True)
    os.kill(int(lines[0]), signal.SIGKILL)
    # Run by the server's own account, as after a restart of the machine on which it always ran.
    account = pid_file.owner() if AS_ROOT else None
    sleeping = ["sleep", "300"] if AS_ROOT else [sys.executable, "-c", "input()"]
    stranger = subprocess.Popen(sleeping, stdin=subprocess.PIPE, user=account)
    try:
        pid_file.write_text(f"{stranger.pid}\n" + "".join(lines[1:]))
        assert _execute(start(home), "SELECT 1") == [(1,)]
        assert _postmaster_pid(home) != stranger.pid
        stop(home)
        assert stranger.poll() is None, "a process that is not the server was ended"
    finally:
        stranger.kill()
        stranger.communicate()


def test_the_last_process_to_leave_stops_the_server_even_if_the_first_was_killed(home: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from pixel_lora_pipeline.store import embedded_postgres\n"
        "with embedded_postgres(Path(sys.argv[1])) as url:\n"
        "    print(url, flush=True); input()"
    )

    def enter() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(home)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        return process

    first, second, third = enter(), enter(), enter()
    first.kill()
    first.communicate()
    assert _processes(home)
    second.communicate("leave\n", timeout=30)
    assert second.returncode == 0
    assert _processes(home), "stopped under a process that still uses it"
    third.communicate("leave\n", timeout=30)
    assert third.returncode == 0
    assert _processes(home) == []


@pytest.mark.parametrize(
    "name", ["my home's “ü” 100%", 'back\\slash "quoted", x', "long-" * 40], ids=["odd", "quotes", "long"]
)
def test_a_home_of_any_name_works(initialised: Path, name: str) -> None:
    with _reachable_folder() as folder:
        home = folder / name
        _copy_home(initialised, home)
        try:
            url = start(home)
            assert _execute(url, "SELECT current_database()::text") == [("pixel_lora",)]
            assert _processes(home)
        finally:
            stop(home)
        assert _processes(home) == []
        socket_folder = Path(conninfo_to_dict(url)["host"])
        assert socket_folder.parent == home or not socket_folder.exists(), "something was left elsewhere"


def test_a_home_that_was_moved_takes_its_data_along(initialised: Path) -> None:
    with _reachable_folder() as folder:
        home = folder / "before"
        _copy_home(initialised, home)
        _execute(start(home), "CREATE TABLE kept AS SELECT 7 AS n")
        stop(home)
        moved = home.rename(folder / "after")
        try:
            assert _execute(start(moved), "SELECT n FROM kept") == [(7,)]
        finally:
            stop(moved)


def test_data_of_another_version_are_left_alone(home: Path) -> None:
    version = home / "postgres" / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(EmbeddedPostgresError, match=r"written by PostgreSQL 17.*Dump it"):
        start(home)
    version.write_text("18\n")


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    (home / "postgres" / "data" / "postgresql.conf").open("a").write("max_connections = many\n")
    with pytest.raises(EmbeddedPostgresError, match=r'invalid value for parameter "max_connections": "many"'):
        start(home)


def test_nobody_else_can_enter_the_folder_of_the_socket(home: Path) -> None:
    start(home)
    assert (home / "postgres").stat().st_mode & 0o077 == 0
    stop(home)
    (home / "postgres").chmod(0o755)
    with pytest.raises(EmbeddedPostgresError, match=r"only user .* can enter"):
        start(home)
    (home / "postgres").chmod(0o700)


def test_over_tcp_as_on_windows_a_password_is_needed() -> None:
    with _reachable_folder() as home:
        server = replace(_locate(home), tcp=True)
        try:
            url = server.start()
            assert url.startswith("postgresql://postgres:") and "@127.0.0.1:" in url
            assert _execute(url, "SHOW listen_addresses") == [("127.0.0.1",)]
            assert server.start() == url
            password = url.partition("postgres:")[2].partition("@")[0]
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                _execute(url.replace(password, "guess"), "SELECT 1")
            migrate(url)
            with create_engine(dagster_url(url)).connect() as connection:
                assert connection.execute(text("SELECT current_schema()")).scalar() == "dagster"
            server.stop()
            assert _execute(server.start(), "SELECT 1") == [(1,)]
        finally:
            server.stop()
        assert _processes(home) == []


def test_no_folder_is_opened_to_others(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    home = closed / "project" / ".pixel_lora"
    home.mkdir(parents=True)
    closed.chmod(0o700)
    modes = {folder: folder.stat().st_mode for folder in (home, *home.parents)}
    folder = _locate(home).folder
    try:
        with embedded_postgres(home) as url:
            assert _execute(url, "SELECT 1") == [(1,)]
            assert {folder: folder.stat().st_mode for folder in modes} == modes
            inside = folder == home / "postgres"
            assert inside is not AS_ROOT, f"data in {folder}"
    finally:
        shutil.rmtree(folder)


def test_as_root_data_lie_in_the_home_if_the_account_can_get_there_and_stay_where_they_were(tmp_path: Path) -> None:
    with _reachable_folder() as parent:
        home, system = parent / "home", tmp_path / "system"
        home.mkdir()
        assert _folder_for_root(home, system) == home / "postgres"
        parent.chmod(0o700)
        outside = _folder_for_root(home, system)
        assert outside.parent == system
        (home / "postgres").mkdir()
        with pytest.raises(EmbeddedPostgresError, match=r"chmod o\+x"):
            _folder_for_root(home, system)
        outside.mkdir(parents=True)
        parent.chmod(0o755)
        assert _folder_for_root(home, system) == outside


def test_programs_that_the_account_cannot_reach_run_from_a_copy_and_a_set_up_cut_short_is_done_again() -> None:
    with _reachable_folder() as folder:
        home = folder / "home"
        home.mkdir()
        server = _locate(home)
        installed = server.programs.parent.parent
        package = _copied(installed, folder / "system" / "copy")
        assert _copied(installed, folder / "system" / "copy") == package
        assert [path.name for path in (folder / "system").iterdir()] == ["copy"]
        server = replace(server, programs=package / server.programs.relative_to(installed))
        # What a crash in the middle of the set-up leaves.
        server._make_folder(server.folder)
        (server.folder / "unfinished-0badcafe").mkdir()
        try:
            url = server.start()
            assert list(server.folder.glob("unfinished-*")) == []
            _execute(url, "DO $$ BEGIN PERFORM 1; END $$")  # needs a library beside the programs
            postmaster = psutil.Process(_postmaster_pid(home))
            assert Path(postmaster.exe()).is_relative_to(package)
        finally:
            server.stop()


def _postmaster_pid(home: Path) -> int:
    return int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
