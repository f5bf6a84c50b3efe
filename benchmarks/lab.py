"""How fast the lab is: `python -m benchmarks.lab`, with a database of its own.

Prints, for a database of 1,000 runs × 20 epochs × 15 prompts: the server's time for the first page and others, how
long after its commit an epoch is in the page, what 50 idle open pages cost, and how the grid of 10,000 images scrolls.
"""

import io
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

import httpx
import psutil
import uvicorn
from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from websockets.sync.client import connect

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.lab import create_app
from pixel_lora_pipeline.store import Store, embedded_postgres, migrate

RUNS: Final = 1_000
EPOCHS: Final = 20
PROMPTS: Final = 15
OPEN_PAGES: Final = 50
IDLE_SECONDS: Final = 20.0
NEW_EPOCHS: Final = 20
PAGE_LOADS: Final = 20
GRID_SIDE: Final = 100

FILL: Final = f"""
    SET session_replication_role = replica;
    INSERT INTO training_runs (run_name, status, run_date, planned_epochs, last_checkpoint_at, convergence_status,
                               best_epoch, gpu_seconds, cost_usd, convergence)
    SELECT 'run_' || run, 'completed', now(), {EPOCHS}, now() - make_interval(hours => run), 'plateau', 8, 7200, 1.5,
           jsonb_build_object(
               'status', 'plateau', 'best_epoch', 8, 'best_epoch_interval', '[6, 9]'::jsonb, 'probability_of_gain', 0.1,
               'expected_gain', 0.2, 'should_stop', true, 'reason', 'The score has levelled off.', 'trend', 'stable',
               'noise', 1.0, 'curve', (
                   SELECT jsonb_agg(jsonb_build_object('epoch', epoch, 'score', 80 - 20.0 / epoch, 'n_images', 15,
                                                       'rolling_average', null, 'fitted', 80 - 20.0 / epoch,
                                                       'low', 78 - 20.0 / epoch, 'high', 82 - 20.0 / epoch))
                   FROM generate_series(1, {EPOCHS}) epoch))
    FROM generate_series(1, {RUNS}) run;
    INSERT INTO epoch_results (training_run_id, epoch_number, step, registered_at, measured_at, evaluation_status,
                               partition_key, quantitative_metrics)
    SELECT run.id, epoch, 100 * epoch, run.last_checkpoint_at, run.last_checkpoint_at, 'evaluated',
           run.run_name || '-' || epoch, jsonb_build_object(
               'n_images', {PROMPTS}, 'overall_score', 80 - 20.0 / epoch + (run.id * 7919 % 10),
               'color_accuracy', '{{"overall": 85.5, "background_accuracy": 99.1, "hair_accuracy": 88.0,
                                   "accessory_accuracy": 71.2}}'::jsonb,
               'style_quality', '{{"overall": 72.5, "pixel_art_purity": 64.1}}'::jsonb,
               'intervals', '{{"overall_score": [75.0, 85.0], "color_accuracy": [80.0, 90.0]}}'::jsonb,
               'prompts', (
                   SELECT jsonb_object_agg('prompt_' || prompt, jsonb_build_object(
                       'n_images', 2, 'overall_score', 70 + prompt, 'color_accuracy', 80.1, 'style_quality', 71.9,
                       'hair_accuracy', 88.4, 'pixel_art_purity', 63.3, 'background_accuracy', 99.0))
                   FROM generate_series(1, {PROMPTS}) prompt))
    FROM training_runs run, generate_series(1, {EPOCHS}) epoch;
    INSERT INTO prompt_test_results (epoch_result_id, suite_name, suite_version, prompt_id, prompt, negative_prompt,
                                     seed, fingerprint, fingerprint_hash, image_sha256, width, height, warnings,
                                     metrics)
    SELECT epoch.id, 'portraits', '1', 'prompt_' || prompt, 'pixel art portrait ' || prompt, '', 11,
           '{{"base": "ab12"}}', epoch.id || '-' || prompt, %(sha256)s, 64, 64, '{{}}',
           '{{"overall_score": 80.0, "color_accuracy": {{}}, "style_quality": {{}}}}'
    FROM epoch_results epoch, generate_series(1, {PROMPTS}) prompt;
"""  # noqa: S608 - put together from the numbers above

LARGE_RUN: Final = f"""
    WITH run AS (
        INSERT INTO training_runs (run_name, planned_epochs) VALUES ('large', {GRID_SIDE}) RETURNING id),
    epoch AS (
        INSERT INTO epoch_results (training_run_id, epoch_number, evaluation_status, quantitative_metrics)
        SELECT run.id, number, 'evaluated', '{{"overall_score": 70}}' FROM run, generate_series(1, {GRID_SIDE}) number
        RETURNING id, training_run_id)
    INSERT INTO prompt_test_results (epoch_result_id, suite_name, suite_version, prompt_id, prompt, negative_prompt,
                                     seed, fingerprint, fingerprint_hash, image_sha256, width, height, warnings)
    SELECT epoch.id, 'portraits', '1', 'prompt_' || prompt, 'pixel art ' || prompt, '', 11, '{{"base": "ab12"}}',
           epoch.id || '-' || prompt, %(sha256)s, 64, 64, '{{}}'
    FROM epoch, generate_series(1, {GRID_SIDE}) prompt
    RETURNING (SELECT training_run_id FROM epoch LIMIT 1) AS run_id
"""  # noqa: S608

# Scrolls through the whole grid and measures the time between the frames that the browser drew.
SCROLL: Final = """() => new Promise((done) => {
  const box = document.getElementById("grid");
  const times = [];
  let before = performance.now();
  let step = 0;
  const next = (now) => {
    times.push(now - before);
    before = now;
    if (++step > 240) return done(times.slice(2));
    box.scrollTo(box.scrollLeft + 25, box.scrollTop + 40);
    requestAnimationFrame(next);
  };
  requestAnimationFrame(next);
})"""


# Remembers when the table has so many rows.
AWAIT_ROWS: Final = """(rows) => {
  window.seen = new Promise((done) => {
    const look = () =>
      document.querySelectorAll("tbody tr").length >= rows ? done(Date.now()) : setTimeout(look, 5);
    look();
  });
}"""


def main() -> None:
    """Fills a database, serves it, and measures."""
    if len(sys.argv) == 3:
        serve(Path(sys.argv[1]), int(sys.argv[2]))
        return
    home = Path(tempfile.mkdtemp(prefix="pixel-lora-lab-"))
    home.chmod(0o755)
    try:
        with ExitStack() as stack:
            url = stack.enter_context(embedded_postgres(home))
            migrate(url)
            store = Store(url, home / "images")
            large = fill(store)
            address, server = stack.enter_context(served(home))
            for path in (
                "/lab/",
                "/lab/runs/500",
                "/lab/compare?run=1&run=2&run=3&run=4",
                f"/lab/api/runs/{large}/grid",
            ):
                measure_page(address, path)
            browser = stack.enter_context(browsing())
            measure_new_epochs(store, browser, address)
            measure_idle_pages(address, server)
            measure_grid(browser, address, large)
    finally:
        shutil.rmtree(home, ignore_errors=True)


def fill(store: Store) -> object:
    """The database, and the id of the run of 10,000 images."""
    picture = io.BytesIO()
    Image.effect_noise((64, 64), 40).convert("RGB").save(picture, "PNG")
    sha256 = store.image_files.put(picture.getvalue())
    started = time.perf_counter()
    with store.database.connection() as connection:
        for statement in FILL.split(";\n"):
            if statement.strip():
                connection.execute(statement.encode(), {"sha256": sha256} if "%(sha256)s" in statement else None)
        row = connection.execute(LARGE_RUN.encode(), {"sha256": sha256}).fetchone()
        connection.execute("RESET session_replication_role")
    with store.database.connection() as connection:
        connection.autocommit = True
        connection.execute("VACUUM ANALYZE")
    assert row is not None
    print(f"{RUNS} runs × {EPOCHS} epochs × {PROMPTS} prompts filled in {time.perf_counter() - started:.0f} s")
    return row["run_id"]


def serve(home: Path, port: int) -> None:
    """The lab in a process of its own, as it is in `pixel-lora up`."""
    with embedded_postgres(home) as url:
        store = Store(url, home / "images", keep_connections=True)
        uvicorn.run(create_app(store, Settings(home=home, port=port)), port=port, log_level="warning")


@contextmanager
def served(home: Path) -> Iterator[tuple[str, psutil.Process]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.lab", str(home), str(port)])
    try:
        address = f"http://127.0.0.1:{port}"
        while True:
            try:
                httpx.get(f"{address}/lab/", timeout=30)
                break
            except httpx.ConnectError:
                time.sleep(0.2)
        yield address, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait()


@contextmanager
def browsing() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


def measure_page(address: str, path: str) -> None:
    with httpx.Client() as client:
        times, size = [], 0
        for _ in range(PAGE_LOADS):
            started = time.perf_counter()
            size = len(client.get(address + path, timeout=30).content)
            times.append(1000 * (time.perf_counter() - started))
    print(f"{path}: median {statistics.median(times):.0f} ms, worst {max(times):.0f} ms, {size / 1000:.0f} kB")


def measure_new_epochs(store: Store, browser: Browser, address: str) -> None:
    """From the return of the commit to the row in the page, as a script of the page sees it."""
    with store.database.connection() as connection:
        row = connection.execute("INSERT INTO training_runs (run_name) VALUES ('live') RETURNING id").fetchone()
    assert row is not None
    page = browser.new_page()
    page.goto(f"{address}/lab/runs/{row['id']}")
    page.wait_for_load_state("networkidle")
    delays = []
    for epoch in range(1, NEW_EPOCHS + 1):
        page.evaluate(AWAIT_ROWS, epoch)
        with store.database.connection() as connection:
            connection.execute(
                "INSERT INTO epoch_results (training_run_id, epoch_number, evaluation_status, quantitative_metrics) "
                "VALUES (%s, %s, 'evaluated', '{\"overall_score\": 70}')",
                (row["id"], epoch),
            )
        committed = 1000 * time.time()
        delays.append(page.evaluate("window.seen") - committed)
        page.wait_for_timeout(300)
    page.close()
    print(f"a new epoch is in the page after: median {statistics.median(delays):.0f} ms, worst {max(delays):.0f} ms")


def measure_idle_pages(address: str, server: psutil.Process) -> None:
    """As many pages as 50 browsers would hold open: each is a websocket, and asks for nothing while nothing changes."""
    cursor = httpx.get(f"{address}/lab/").text.split('data-live="')[1].split('"')[0]
    with ExitStack() as stack:
        for _ in range(OPEN_PAGES):
            stack.enter_context(connect(f"{address.replace('http', 'ws')}/lab/live?seen={cursor}"))
        time.sleep(2)
        before = sum(server.cpu_times()[:2])
        time.sleep(IDLE_SECONDS)
        used = sum(server.cpu_times()[:2]) - before
    print(f"{OPEN_PAGES} idle pages: {100 * used / IDLE_SECONDS:.2f} % of a core over {IDLE_SECONDS:.0f} s")


def measure_grid(browser: Browser, address: str, run_id: object) -> None:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    started = time.perf_counter()
    page.goto(f"{address}/lab/runs/{run_id}/grid")
    page.locator(".cell img").first.wait_for()
    shown = time.perf_counter() - started
    frames = page.evaluate(SCROLL)
    cells = page.locator(".cell").count()
    late = sum(frame > 100 for frame in frames)
    within = sorted(frames)[int(0.95 * len(frames))]
    print(
        f"grid of {GRID_SIDE * GRID_SIDE} images: shown after {shown:.2f} s, {cells} cells in the page; scrolling: "
        f"median {statistics.median(frames):.0f} ms a frame, 95 % within {within:.0f} ms, "
        f"{late} of {len(frames)} above 100 ms"
    )
    page.close()


if __name__ == "__main__":
    main()
