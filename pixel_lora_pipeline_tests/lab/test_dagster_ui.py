"""Dagster's own UI behind the guard, as `pixel-lora up` serves it, in a real browser."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

import psycopg
import pytest
from playwright.sync_api import WebSocket, expect

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.defs.lab.webserver import DagsterMovedError, dagster_app
from pixel_lora_pipeline.store import dagster_url, migrate
from pixel_lora_pipeline_tests.conftest import _fresh_database
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.server import free_port

START_SECONDS = 120


@pytest.fixture(scope="module")
def database_url(postgres: str) -> Iterator[str]:
    with _fresh_database(postgres) as url:
        migrate(url)
        yield url


@pytest.fixture(scope="module")
def address(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the whole is served, by the process that `pixel-lora up` starts."""
    with serving(["-m", "pixel_lora_pipeline.serve"], database_url, tmp_path_factory.mktemp("home")) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def serving(program: list[str], database_url: str, home: Path) -> Iterator[int]:
    """Port on which a Python program serves the lab."""
    port, log = free_port(), home / "log"
    environment = {
        **os.environ,
        "DATABASE_URL": database_url,
        "DAGSTER_PG_URL": dagster_url(database_url),
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "PIXEL_LORA_HOME": str(home),
        "PIXEL_LORA_DAGSTER_FILES": str(home / "dagster"),
        "PIXEL_LORA_PORT": str(port),
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *program],
            cwd=PROJECT_ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_served(f"http://127.0.0.1:{port}/lab/", process, log)
        yield port
    finally:
        process.terminate()
        process.wait(30)


def wait_until_served(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        with suppress(URLError, ConnectionError), urlopen(url, timeout=5) as answer:  # noqa: S310 - our own address
            if answer.status == 200:
                return
        time.sleep(0.2)
    raise AssertionError(f"nothing is served at {url} after {START_SECONDS} s: {log.read_text()}")


def test_assets_are_shown_and_materialised_from_the_ui_and_subscriptions_are_open(
    address: str, database_url: str
) -> None:
    frames: list[str] = []

    def listen(socket: WebSocket) -> None:
        socket.on("framereceived", lambda frame: frames.append(str(frame)))

    with browsing() as browser, page_of(browser, "about:blank") as (page, incidents):
        page.on("websocket", listen)
        page.goto(f"{address}/locations/pixel_lora_pipeline/asset-groups/improve/list")
        expect(page.get_by_text("experiment_queue").first).to_be_visible(timeout=30_000)
        assert frames, "Dagster's subscriptions got no frame through the guard"
        page.goto(f"{address}/assets/experiment_queue")
        page.get_by_role("button", name="Materialize").first.click()
        page.get_by_role("button", name="Confirm").click()  # what is upstream was never materialised
        with psycopg.connect(database_url, autocommit=True) as connection:
            deadline, found = time.monotonic() + 20, None
            while found is None and time.monotonic() < deadline:
                page.wait_for_timeout(200)
                found = connection.execute("SELECT status FROM dagster.runs").fetchone()
    assert found is not None, "the run that was asked for in the UI is not there"
    assert all(url.startswith((address, "data:", "blob:", "about:")) for url in incidents.requests), incidents.requests
    refused = [message for message in incidents.messages if "403" in message]
    assert refused == []


def test_the_lab_links_to_it_and_is_shown_beside_it(address: str) -> None:
    with browsing() as browser, page_of(browser, f"{address}/lab") as (page, incidents):
        expect(page.get_by_role("heading", name="Runs")).to_be_visible()
        page.get_by_role("link", name="Dagster").click()
        page.wait_for_url(lambda url: "/lab" not in url)
    assert incidents.dialogs == []


def test_a_dagster_that_was_built_otherwise_is_noticed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "dagster_webserver.app", None)
    with pytest.raises(DagsterMovedError, match="not where it was"), dagster_app(tmp_path / "workspace.yaml"):
        pass


MOVED = """
import sys
sys.modules["dagster_webserver.app"] = None
from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.serve import serve
serve(Settings())
"""


def test_beside_a_dagster_that_has_moved_the_lab_links_to_its_own_webserver_which_starts_nothing(
    database_url: str, tmp_path: Path
) -> None:
    with serving(["-c", MOVED], database_url, tmp_path) as port:
        beside = f"http://127.0.0.1:{port + 1}"
        with urlopen(f"http://127.0.0.1:{port}/lab/") as answer:
            assert f'href="{beside}/"' in answer.read().decode()
        answered = wait_for_answer(
            f"{beside}/graphql", {"query": "mutation { wipeAssets(assetPartitionRanges: []) { __typename } }"}
        )
        assert answered["data"]["wipeAssets"]["__typename"] == "UnauthorizedError"
    with pytest.raises(URLError, match="refused"):
        urlopen(f"{beside}/server_info", timeout=5)  # noqa: S310 - it has ended with the lab


def wait_for_answer(url: str, question: dict[str, str]) -> dict[str, Any]:
    asked = Request(url, json.dumps(question).encode(), {"content-type": "application/json"})  # noqa: S310
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(URLError, ConnectionError), urlopen(asked, timeout=5) as answer:  # noqa: S310
            answered: dict[str, Any] = json.load(answer)
            return answered
        time.sleep(0.2)
    raise AssertionError(f"nothing answers at {url} after {START_SECONDS} s")


def test_dagster_is_still_built_from_what_we_know() -> None:
    """If this fails after an upgrade, the lab goes on beside Dagster's webserver until `dagster_app` is put right."""
    from inspect import signature

    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import WorkspaceFileTarget
    from dagster_webserver.app import create_app_from_workspace_process_context

    assert next(iter(signature(create_app_from_workspace_process_context).parameters)) == "workspace_process_context"
    assert list(signature(WorkspaceProcessContext).parameters)[:2] == ["instance", "workspace_load_target"]
    assert WorkspaceFileTarget(["workspace.yaml"]).paths == ["workspace.yaml"]
