"""The grid of epochs in a real browser: keys, zoom, flicker, what has changed, and ten thousand images."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.conftest import _fresh_database
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.example_run import PROMPTS, add_epoch, add_run, painted
from pixel_lora_pipeline_tests.lab.server import served

EPOCHS = 3


@pytest.fixture(scope="module")
def page(postgres: str, migrated_template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """The grid of a run of three epochs, below the base model and a baseline of another run."""
    folder = tmp_path_factory.mktemp("lab")
    with _fresh_database(postgres, migrated_template) as url:
        store = Store(url, folder / "images", keep_connections=True)
        other = add_epoch(store, add_run(store, "in_production"), 7, 80.0)
        store.baselines.promote(other, folder, "x.safetensors", "ab", "anna")
        run_id = add_run(store, "shown")
        for epoch in range(1, EPOCHS + 1):
            # A quick look at the first: one prompt.
            add_epoch(store, run_id, epoch, 60.0 + epoch, PROMPTS[1:2] if epoch == 1 else PROMPTS)
        store.images.add(None, [painted(prompt, 99) for prompt in PROMPTS])
        with (
            served(store, folder) as address,
            browsing() as browser,
            page_of(browser, f"{address}/lab/runs/{run_id}/grid") as (shown, incidents),
        ):
            expect(shown.locator(".cell img").first).to_be_visible()
            yield shown
            assert incidents.messages == []
            assert all(url.startswith(address) for url in incidents.requests)


@pytest.fixture(autouse=True)
def start(page: Page) -> None:
    page.goto("about:blank")
    page.go_back()
    expect(page.locator(".cell img").first).to_be_visible()
    page.locator("#grid").focus()


def title(page: Page) -> str:
    return page.locator("#viewer-title").inner_text()


def test_rows_of_what_is_compared_with_stand_above_the_epochs(page: Page) -> None:
    labels = page.locator(".grid .row").all_inner_texts()
    assert labels == ["no LoRA", "the baseline: in_production, epoch 7", "epoch 1", "epoch 2", "epoch 3"]
    # What was asked of every epoch stands first, and each column holds one question.
    assert page.locator(".grid .column").first.inner_text() == PROMPTS[1]


def test_keys_go_to_the_next_prompt_and_to_the_neighbouring_epoch(page: Page) -> None:
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    assert title(page) == f"{PROMPTS[1]} · seed 1 · epoch 2"
    page.keyboard.press("ArrowRight")
    assert title(page) == f"{PROMPTS[0]} · seed 1 · epoch 2"
    page.keyboard.press("ArrowDown")
    assert title(page) == f"{PROMPTS[0]} · seed 1 · epoch 3"
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")  # epoch 1 was not asked this
    assert title(page) == f"{PROMPTS[0]} · seed 1 · the baseline: in_production, epoch 7"
    page.keyboard.press("ArrowLeft")
    assert title(page).startswith(PROMPTS[1])
    page.keyboard.press("Escape")
    expect(page.locator("#viewer")).to_be_hidden()
    expect(page.locator("#grid")).to_be_focused()


def test_zoom_is_by_whole_factors_and_crisp(page: Page) -> None:
    page.keyboard.press("Enter")
    picture = page.locator("#picture")
    for factor in (1, 2, 4, 8, 16):
        page.locator(f"[data-zoom='{factor}']").click()
        box = picture.bounding_box()
        assert box is not None
        assert box["width"] == 8 * factor
        assert picture.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
    page.keyboard.press("-")
    assert page.locator("[data-zoom='8']").get_attribute("aria-pressed") == "true"


def test_space_flickers_against_the_baseline(page: Page) -> None:
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    own = page.locator("#picture").get_attribute("src")
    page.keyboard.press("Space")
    expect(page.locator("#viewer-note")).to_contain_text("the baseline")
    assert page.locator("#picture").get_attribute("src") != own
    expect(page.locator("#viewer-note")).to_have_text("Showing this image")
    page.keyboard.press("Space")
    expect(page.locator("#picture")).to_have_attribute("src", own or "")


def test_changed_cells_scores_and_the_overlay_come_on_demand(page: Page) -> None:
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter", "c"):
        page.keyboard.press(key)
    expect(page.locator("#viewer-note")).to_contain_text("cells (")
    expect(page.locator("#outline")).to_be_visible()
    assert (page.locator("#outline path").get_attribute("d") or "").startswith("M")
    assert page.locator("#viewer-scores").is_hidden()
    page.keyboard.press("s")
    expect(page.locator("#viewer-scores")).to_be_visible()


def test_ten_thousand_images_are_a_few_hundred_elements(page: Page, store: Store, tmp_path: Path) -> None:
    browser = page.context.browser
    assert browser is not None
    run_id = add_run(store, "large")
    first = add_epoch(store, run_id, 1, 60.0, PROMPTS[:1])
    with store.database.connection() as connection:
        connection.execute(
            """
            INSERT INTO epoch_results (training_run_id, epoch_number, evaluation_status, quantitative_metrics)
            SELECT training_run_id, epoch, 'evaluated', quantitative_metrics
            FROM epoch_results, generate_series(2, 100) epoch WHERE id = %s
            """,
            (first,),
        )
        connection.execute(
            """
            INSERT INTO prompt_test_results (epoch_result_id, fingerprint_hash, suite_name, suite_version, prompt_id,
                prompt, negative_prompt, seed, fingerprint, image_sha256, width, height, warnings)
            SELECT epoch.id, epoch.id || ' ' || number, suite_name, suite_version, 'prompt_' || number, prompt,
                negative_prompt, seed, fingerprint, image_sha256, width, height, warnings
            FROM prompt_test_results, epoch_results epoch, generate_series(1, 100) number
            WHERE epoch_result_id = %s
            """,
            (first,),
        )
    with (
        served(store, tmp_path) as address,
        page_of(browser, f"{address}/lab/runs/{run_id}/grid") as (large, _),
    ):
        expect(large.locator(".cell").first).to_be_visible()
        assert large.locator("#grid").get_attribute("aria-rowcount") == "100"
        assert large.locator(".cell").count() < 500
        large.locator("#grid").evaluate("box => box.scrollTo(box.scrollWidth, box.scrollHeight)")
        expect(large.get_by_role("button", name="prompt_99, seed 1, epoch 100")).to_be_visible()
        assert large.locator(".cell").count() < 500
