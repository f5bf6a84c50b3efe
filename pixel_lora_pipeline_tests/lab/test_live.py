"""Pages that stay up to date: with the database, through its restarts and the server's, and not while one zooms."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import psycopg
import pytest
from playwright.sync_api import Browser, expect
from websockets.sync.client import connect

from pixel_lora_pipeline.store import Store, migrate
from pixel_lora_pipeline.store.embedded_postgres import start, stop
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.example_run import add_epoch, add_run
from pixel_lora_pipeline_tests.lab.server import free_port, served

SOON = 15_000  # milliseconds; how soon it is as a rule is measured in benchmarks/lab.py


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as found:
        yield found


def test_a_new_epoch_appears_by_itself(store: Store, tmp_path: Path, browser: Browser) -> None:
    run_id = add_run(store, "shown")
    with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/runs/{run_id}") as (page, incidents):
        expect(page.get_by_text("No epoch is measured yet.")).to_be_visible()
        add_epoch(store, run_id, 1, 61.5)
        expect(page.get_by_role("cell", name="61.5").first).to_be_visible(timeout=SOON)
        expect(page.locator(".strip img").first).to_be_visible()
        assert incidents.messages == []


def test_other_runs_are_not_fetched_again(store: Store, tmp_path: Path, browser: Browser) -> None:
    shown, other = add_run(store, "shown"), add_run(store, "other")
    with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/runs/{shown}") as (page, incidents):
        page.wait_for_load_state("networkidle")
        add_epoch(store, other, 1, 50.0)
        add_epoch(store, shown, 1, 61.5)
        expect(page.get_by_role("cell", name="61.5").first).to_be_visible(timeout=SOON)
    assert all(f"/runs/{other}" not in url for url in incidents.requests)


def test_a_lost_database_connection_loses_no_event(store: Store, tmp_path: Path, browser: Browser) -> None:
    run_id = add_run(store, "shown")
    with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/runs/{run_id}") as (page, _):
        page.wait_for_load_state("networkidle")
        with psycopg.connect(store.database.url, autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        add_epoch(store, run_id, 1, 61.5)
        expect(page.get_by_role("cell", name="61.5").first).to_be_visible(timeout=SOON)
        expect(page.locator("#connection")).to_have_text("")


def test_a_restarted_database_loses_no_event_and_is_said_to_be_away(tmp_path: Path, browser: Browser) -> None:
    # Not pytest's temporary folder: as root it is closed to the account under which the server runs.
    home = Path(tempfile.mkdtemp(prefix="pixel-lora-tests-"))
    home.chmod(0o755)
    url = start(home)
    try:
        migrate(url)
        store = Store(url, tmp_path / "images", keep_connections=True)
        run_id = add_run(store, "shown")
        with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/runs/{run_id}") as (page, _):
            page.wait_for_load_state("networkidle")
            stop(home)
            expect(page.locator("#connection")).to_have_text("The database is away", timeout=SOON)
            with page.context.new_page() as other:
                answer = other.goto(f"{address}/lab/")
                assert answer is not None
                assert answer.status == 503
                expect(other.get_by_text("The database does not answer.")).to_be_visible()
            start(home)
            add_epoch(store, run_id, 1, 61.5)
            expect(page.get_by_role("cell", name="61.5").first).to_be_visible(timeout=SOON)
            expect(page.locator("#connection")).to_have_text("")
    finally:
        stop(home)
        shutil.rmtree(home)


def test_a_restarted_server_loses_no_event(store: Store, tmp_path: Path, browser: Browser) -> None:
    run_id, port = add_run(store, "shown"), free_port()
    with served(store, tmp_path, port) as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{address}/lab/runs/{run_id}")
        page.wait_for_load_state("networkidle")
    expect(page.locator("#connection")).to_have_text("Not connected; trying again", timeout=SOON)
    add_epoch(store, run_id, 1, 61.5)
    with served(store, tmp_path, port):
        expect(page.get_by_role("cell", name="61.5").first).to_be_visible(timeout=SOON)
        expect(page.locator("#connection")).to_have_text("")
    context.close()


def test_nothing_is_refreshed_while_somebody_zooms(store: Store, tmp_path: Path, browser: Browser) -> None:
    run_id = add_run(store, "shown")
    add_epoch(store, run_id, 1, 60.0)
    with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/runs/{run_id}/grid") as (page, _):
        expect(page.locator(".cell img").first).to_be_visible()
        page.locator("#grid").focus()
        page.keyboard.press("Enter")
        expect(page.locator("#viewer")).to_be_visible()
        add_epoch(store, run_id, 2, 61.5)
        expect(page.locator("#connection")).to_have_text("Paused; there is news", timeout=SOON)
        assert page.locator(".grid .row").count() == 1
        page.keyboard.press("Escape")
        expect(page.locator(".grid .row")).to_have_count(2)


def test_what_the_reader_does_stays_when_the_list_is_refreshed(store: Store, tmp_path: Path, browser: Browser) -> None:
    first, second = add_run(store, "first"), add_run(store, "second")
    with served(store, tmp_path) as address, page_of(browser, f"{address}/lab/") as (page, _):
        page.locator(f"#compare-{first}").check()
        page.locator("#q").fill("half written")
        add_epoch(store, second, 1, 61.5)
        expect(page.get_by_role("cell", name="61.5")).to_be_visible(timeout=SOON)
        expect(page.locator(f"#compare-{first}")).to_be_checked()
        expect(page.locator("#q")).to_have_value("half written")
        expect(page.locator("#q")).to_be_focused()


@pytest.mark.parametrize("seen", ["", "9:9:", "1:2:'; DROP TABLE", "x" * 5000])
def test_who_comes_with_a_cursor_of_somebody_elses_is_told_to_look_at_everything(
    store: Store, tmp_path: Path, seen: str
) -> None:
    with (
        served(store, tmp_path) as address,
        connect(f"{address.replace('http', 'ws')}/lab/live?{urlencode({'seen': seen})}") as socket,
    ):
        told = json.loads(socket.recv(timeout=SOON / 1000))
    assert told["all"]
    assert store.lab_events.since(told["cursor"]).is_complete
