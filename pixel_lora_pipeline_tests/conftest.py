import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from pixel_lora_pipeline.store import Database, Store, embedded_postgres, migrate

if TYPE_CHECKING:
    from pixel_lora_pipeline_tests.train.runpod_server import RunPodServer

# Before torch is imported: the models are tiny, and threads that wait for busy cores cost more than they bring.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a real server that lives as long as the tests."""
    # Not pytest's temporary folder: as root it is closed to the account under which the server runs.
    home = Path(tempfile.mkdtemp(prefix="pixel-lora-tests-"))
    home.chmod(0o755)
    try:
        with embedded_postgres(home) as url:
            with psycopg.connect(url, autocommit=True) as connection:
                # Nothing here has to survive a power cut.
                connection.execute("ALTER SYSTEM SET fsync = off")
                connection.execute("SELECT pg_reload_conf()")
            yield url
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def migrated_template(postgres: str) -> Iterator[str]:
    """Name of a migrated database that is only ever copied."""
    with _fresh_database(postgres) as url:
        migrate(url)
        yield conninfo_to_dict(url)["dbname"]


@pytest.fixture(scope="session")
def history_template(postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Name of a database with the made-up history in it that is only ever copied: filling one takes seconds."""
    from pixel_lora_pipeline.backfilling import backfill
    from pixel_lora_pipeline.embedded.history import write_history

    folder = tmp_path_factory.mktemp("history")
    write_history(folder / "old_runs")
    with _fresh_database(postgres, migrated_template) as url:
        done = backfill(Store(url, folder / "images"), [folder / "old_runs"], [folder / "old_runs/observations.csv"])
        assert not done.problems
        yield conninfo_to_dict(url)["dbname"]


def pytest_configure(config: pytest.Config) -> None:
    """Names the markers of these tests."""
    config.addinivalue_line("markers", "made_up_history: the database holds the eight runs of embedded/history.py")


@pytest.fixture
def database(request: pytest.FixtureRequest, postgres: str) -> Iterator[Database]:
    """A migrated database of the test's own, empty but for what the test's marker asks for."""
    asked = request.node.get_closest_marker("made_up_history") is not None
    template = request.getfixturevalue("history_template" if asked else "migrated_template")
    with _fresh_database(postgres, template) as url:
        yield Database(url)


@pytest.fixture
def empty_database(postgres: str) -> Iterator[Database]:
    """A database of the test's own in which nothing is."""
    with _fresh_database(postgres) as url:
        yield Database(url)


@pytest.fixture
def store(database: Database, tmp_path: Path) -> Store:
    """A store of the test's own."""
    return Store(database.url, tmp_path / "images")


@pytest.fixture
def runpod_server() -> Iterator["RunPodServer"]:
    """RunPod's REST API v2 on this machine."""
    from pixel_lora_pipeline_tests.train.runpod_server import runpod_account

    with runpod_account() as account:
        yield account


@contextmanager
def _fresh_database(server: str, template: str = "template1") -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
