"""Judges in a real browser."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from pixel_lora_pipeline.blind_tests import create_test, result_of
from pixel_lora_pipeline.store import RowId, Store
from pixel_lora_pipeline_tests.blind_epochs import two_epochs
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.server import served

PLANNED = 20  # sixteen prompts, two repeats, two pairs of equals


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def test_id(store: Store, tmp_path: Path) -> RowId:
    two_epochs(store, tmp_path / "checkpoints")
    return create_test(store, ["portrait:1", "portrait:2"], "somebody")


@pytest.fixture
def address(store: Store, test_id: RowId, tmp_path: Path) -> Iterator[str]:
    with served(store, tmp_path) as address:
        yield f"{address}/lab/ab/{test_id}"


def join(page: Page, name: str) -> None:
    page.get_by_label("Your name").fill(name)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#count")).to_have_text(f"Pair 1 of {PLANNED}")


def more_colors(page: Page) -> str:
    """The side whose image has more colours: the second epoch's; a tie where one image is shown twice."""
    counted: list[int] = page.evaluate(
        """() => ["left", "right"].map((id) => {
            const image = document.getElementById(id);
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            const context = canvas.getContext("2d");
            context.drawImage(image, 0, 0);
            const data = new Uint32Array(context.getImageData(0, 0, canvas.width, canvas.height).data.buffer);
            return new Set(data).size;
        })"""
    )
    return "ArrowDown" if counted[0] == counted[1] else "ArrowLeft" if counted[0] > counted[1] else "ArrowRight"


def test_a_judge_votes_by_keyboard_and_the_better_model_is_found(
    browser: Browser, store: Store, test_id: RowId, address: str
) -> None:
    with page_of(browser, f"{address}/vote") as (page, incidents):
        said: list[str] = []
        page.on("response", lambda answer: said.append(str(answer.headers) + answer.text().lower())
                if "image" not in answer.headers.get("content-type", "") else None)  # fmt: skip
        join(page, "Ann")
        assert "<b>pink</b> hair" in page.locator("#prompt").inner_text()
        page.keyboard.press(more_colors(page))
        expect(page.locator("#count")).to_have_text(f"Pair 2 of {PLANNED}")
        page.keyboard.press("z")
        expect(page.locator("#count")).to_have_text(f"Pair 1 of {PLANNED}")
        page.keyboard.press("z")  # nothing more to take back
        for number in range(1, PLANNED + 1):
            expect(page.locator("#count")).to_have_text(f"Pair {number} of {PLANNED}")
            if number == 5:
                page.reload()  # goes on where it was
                expect(page.locator("#count")).to_have_text(f"Pair 5 of {PLANNED}")
            page.keyboard.press(more_colors(page))
        expect(page.locator("#finished")).to_be_visible()
        page.keyboard.press("ArrowLeft")
        assert incidents.dialogs == [] and incidents.messages == []
        foreign = [url for url in incidents.requests if not url.startswith(address.split("/lab/")[0])]
        assert foreign == []
        everything = " ".join([*said, *incidents.requests, page.content().lower()])
        for told in ("portrait, epoch", "portrait:", "safetensors", *store.ab_tests.get(test_id).cases[0].images):
            assert told not in everything, told
        page.get_by_role("link", name="See what the votes say").click()
        expect(page.locator(".headline")).to_have_text("Use Model B (99% confidence)")
        expect(page.locator(".models")).to_contain_text("Model B is portrait, epoch 2")
    result = result_of(store, test_id).result
    assert (result.duels[0].wins_first, result.duels[0].wins_second, result.winner) == (0, 16, 1)
    (ann,) = result.judges
    assert (ann.judge, ann.repeats, ann.consistency, ann.sides_of_equals.ties) == ("Ann", 2, 1.0, 2)


def test_two_judges_at_once_and_a_key_that_is_held_down(
    browser: Browser, store: Store, test_id: RowId, address: str
) -> None:
    with page_of(browser, f"{address}/vote") as (ann, _), page_of(browser, f"{address}/vote") as (bob, _):
        join(ann, "Ann")
        bob.get_by_label("Your name").fill("ann")
        bob.get_by_role("button", name="Start").click()
        expect(bob.locator("#trouble")).to_contain_text("judges this test already")
        join(bob, "Bob")
        for number in range(2, 5):
            for page in (ann, bob):
                page.keyboard.down("ArrowLeft")
                page.keyboard.down("ArrowLeft")  # repeats while it is held
                page.keyboard.up("ArrowLeft")
            for page in (ann, bob):
                expect(page.locator("#count")).to_have_text(f"Pair {number} of {PLANNED}")
        # Several votes in one go, as from a bouncing key or an impatient finger.
        ann.evaluate("() => { for (let n = 0; n < 5; n++) document.querySelector('[data-choice=tie]').click(); }")
        expect(ann.locator("#count")).to_have_text(f"Pair 5 of {PLANNED}")
    assert sorted((judge.judge, judge.votes) for judge in store.ab_tests.judges(test_id)) == [("Ann", 4), ("Bob", 3)]


@pytest.mark.parametrize("width", [360, 3840])
def test_the_page_fits_and_pixels_stay_whole(browser: Browser, address: str, width: int) -> None:
    options = {"viewport": {"width": width, "height": 740 if width < 1000 else 2160}, "has_touch": width < 1000}
    with page_of(browser, f"{address}/vote", **options) as (page, incidents):
        join(page, "Ann")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        left, right = (page.locator(f"#{side}").bounding_box() for side in ("left", "right"))
        assert left is not None and right is not None
        assert left["width"] == right["width"] and left["y"] == right["y"]
        assert left["width"] % 64 == 0, "a pixel of the image is no whole number of the screen's"
        assert left["width"] >= (128 if width < 1000 else 1024)
        assert page.locator("#left").evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
        button = page.get_by_role("button", name="Right")
        box = button.bounding_box()
        assert box is not None and box["height"] >= 44 and box["width"] >= 44, "too small for a finger"
        page.get_by_role("button", name="Larger").click()
        expect(page.locator("#zoom")).to_have_text("×1")
        button.tap() if width < 1000 else button.click()
        expect(page.locator("#count")).to_have_text(f"Pair 2 of {PLANNED}")
        assert incidents.messages == []


def test_an_ended_test_says_so(browser: Browser, store: Store, test_id: RowId, address: str) -> None:
    with page_of(browser, f"{address}/vote") as (page, _):
        join(page, "Ann")
        store.ab_tests.end(test_id, "boss")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#ended")).to_be_visible()
    assert store.ab_tests.ballots(test_id) == []


def test_a_test_is_made_in_the_lab_and_a_judge_left_out(
    browser: Browser, store: Store, test_id: RowId, address: str
) -> None:
    store.ab_tests.end(test_id, "boss")
    with page_of(browser, address.rsplit("/", 1)[0]) as (page, incidents):
        for letter, checkpoint in (("A", "portrait:2"), ("B", "portrait:7")):
            page.get_by_label(f"Model {letter}").fill(checkpoint)
        page.get_by_role("button", name="Make the test").click()
        expect(page.locator("#trouble")).to_contain_text("epoch 7 of portrait is not evaluated")
        page.get_by_label("Model B").fill("portrait:1")
        page.get_by_role("button", name="Make the test").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("portrait, epoch 2 / portrait, epoch 1")
        newest = store.ab_tests.all()[0]
        page.get_by_role("link", name="Vote").click()
        join(page, "Ann")
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#count")).to_have_text(f"Pair 2 of {PLANNED}")
        page.go_back()
        expect(page.locator("#result")).to_contain_text("1 of 20")
        page.get_by_role("button", name="Leave out").click()  # the question why is dismissed: nothing happens
        page.get_by_role("button", name="End the test").click()
        expect(page.get_by_text("ended", exact=True)).to_be_visible()
        assert store.ab_tests.judges(newest.test_id)[0].counts
        assert [text for text in incidents.messages if "422" not in text] == []
    decisions = store.ab_tests.get(newest.test_id).decisions
    assert [decision["did"] for decision in decisions] == ["ended"]
    assert decisions[0]["by"]
