"""Every page, with nothing in the database, with hostile texts, and with addresses that name nothing."""

from pathlib import Path

import httpx
import pytest

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.conftest import _fresh_database
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.example_run import add_epoch, add_run
from pixel_lora_pipeline_tests.lab.server import served
from pixel_lora_pipeline_tests.store.test_images import a_png

HOSTILE = "<script>alert(1)</script>'\"><img src=x onerror=alert(2)> {{ 7*7 }} \u202e ${7*7}"


def test_the_first_page_is_shown_when_there_is_no_run(store: Store, tmp_path: Path) -> None:
    with served(store, tmp_path) as address:
        answer = httpx.get(f"{address}/lab/")
        assert httpx.get(f"{address}/lab").headers["location"] == "/lab/"
    assert answer.status_code == 200
    assert "No run yet" in answer.text
    assert "unsafe-inline" not in answer.headers["content-security-policy"]


def test_a_backlog_is_summed_up_and_what_nobody_watches_does_not_wait(store: Store, tmp_path: Path) -> None:
    run_id = add_run(store, "finished", planned_epochs=12)
    with store.database.connection() as connection:
        for epoch in range(1, 13):
            connection.execute(
                "INSERT INTO epoch_results (training_run_id, epoch_number, registered_at, evaluation_status, "
                "checkpoint_signature) VALUES (%s, %s, now(), 'registered', %s)",
                (run_id, epoch, f"signature {epoch}"),
            )
        connection.execute(
            "INSERT INTO landed_files (path, size, mtime_ns, inode, signature, partition_key) "
            "SELECT 'watched/' || n, 1, 1, n, 'signature ' || n, 'finished-' || n FROM generate_series(1, 11) n"
        )
    with served(store, tmp_path) as address:
        page = httpx.get(f"{address}/lab/").text
    assert page.count("waiting to be painted") == 8
    assert "3 more wait" in page


@pytest.mark.parametrize(
    "path",
    [
        "/runs/4711",
        "/runs/no-number",
        "/runs/4711/grid",
        "/api/runs/4711/grid",
        "/api/images/4711",
        "/api/images/x",
        "/api/images/4711/overlay.png",
        f"/images/{'0' * 64}.png",
        "/images/x.png",
        "/api/change?before=x&after=y",
        "/reports/run/4711",
        "/reports/epoch/x",
        "/reports/other/1",
        "/nothing",
    ],
)
def test_what_is_not_there_is_said_to_be_missing(address: str, path: str) -> None:
    assert httpx.get(f"{address}/lab{path}").status_code == 404


@pytest.mark.parametrize(
    "query", ["q=%25", "q=_", "q=\\", "q=%00", "page=0", "page=-1", "page=99999999999999", "page=²"]
)
def test_odd_searches_are_answered(address: str, query: str) -> None:
    assert httpx.get(f"{address}/lab/?{query}").status_code == 200


@pytest.fixture(scope="module")
def address(postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> object:
    """A lab without any run, for all tests of this file."""
    folder = tmp_path_factory.mktemp("lab")
    with _fresh_database(postgres, migrated_template) as url, served(Store(url, folder / "images"), folder) as found:
        yield found


def test_hostile_names_captions_and_notes_are_shown_as_text(store: Store, tmp_path: Path) -> None:
    run_id = add_run(store, HOSTILE)
    epoch_id = add_epoch(store, run_id, 1, 61.0, (HOSTILE,), prompt=HOSTILE)
    with store.database.connection() as connection:
        connection.execute("UPDATE epoch_results SET notes = %s WHERE id = %s", (HOSTILE, epoch_id))
        connection.execute(
            "INSERT INTO refused_checkpoints (path, signature, fault, remedy) VALUES (%s, 's', %s, 'r')",
            (f"/runs/{HOSTILE}", HOSTILE),
        )
        connection.execute(
            "UPDATE training_runs SET status = %s, base_model = %s WHERE id = %s", (HOSTILE, HOSTILE, run_id)
        )
    with served(store, tmp_path) as address, browsing() as browser:
        for path in ("/", f"/runs/{run_id}", f"/runs/{run_id}/grid", f"/compare?run={run_id}"):
            with page_of(browser, f"{address}/lab{path}") as (page, incidents):
                page.wait_for_load_state("networkidle")
                assert HOSTILE in page.inner_text("main"), path
                assert page.locator("main script, main img[src=x]").count() == 0, path
            assert incidents.dialogs == [], path
            assert incidents.messages == [], path
            assert all(url.startswith(address) for url in incidents.requests), "a request left the machine"


def test_an_image_is_kept_forever_and_is_what_its_name_says(store: Store, tmp_path: Path) -> None:
    png = a_png("#336699")
    sha256 = store.image_files.put(png)
    with served(store, tmp_path) as address:
        answer = httpx.get(f"{address}/lab/images/{sha256}.png")
        assert answer.content == png
        assert answer.headers["content-type"] == "image/png"
        assert "immutable" in answer.headers["cache-control"]
        store.image_files.path(sha256).write_bytes(a_png("#ff0000"))
        assert httpx.get(f"{address}/lab/images/{sha256}.png").status_code == 404


def test_pages_fit_every_width_and_can_be_read(store: Store, tmp_path: Path) -> None:
    run_id = add_run(store, "a_run_with_a_name_that_is_longer_than_what_fits_on_a_telephone_2026-11-24")
    for epoch in (1, 2, 3):
        add_epoch(store, run_id, epoch, 60.0 + epoch)
    paths = ("/", f"/runs/{run_id}", f"/runs/{run_id}/grid", f"/compare?run={run_id}")
    with served(store, tmp_path) as address, browsing() as browser, page_of(browser, "about:blank") as (page, _):
        for path in paths:
            page.goto(f"{address}/lab{path}")
            for width in (360, 1280, 3840):
                page.set_viewport_size({"width": width, "height": 900})
                beyond = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert beyond <= 0, f"{path} is {beyond} pixels wider than {width}"
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                assert page.evaluate(LEAST_CONTRAST) >= 4.5, f"{path}, {scheme}"


# The least contrast of any text with the nearest painted ground behind it (WCAG 2.2, relative luminance).
LEAST_CONTRAST = """() => {
  const channel = (c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map(channel);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (numbers(color).length === 3 || numbers(color)[3] === 1) return color;
    }
    return "rgb(255, 255, 255)";
  };
  let least = 21;
  for (const element of document.querySelectorAll("body *")) {
    const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!says || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const [a, b] = [light(element.ownerSVGElement ? style.fill : style.color), light(ground(element))];
    least = Math.min(least, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05));
  }
  return least;
}"""
