"""A report says first what to do and how sure that is, shows what it rests on, and needs nothing but itself."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from pixel_lora_pipeline.analyze.report import EpochScores, epoch_report, headline, run_report, turning_points
from pixel_lora_pipeline_tests.analyze.paintings import painted, suite_of
from pixel_lora_pipeline_tests.analyze.reports import a_run_content, a_verdict, an_epoch_content, noisy
from pixel_lora_pipeline_tests.validate.sprites import noise, png


class Page(HTMLParser):
    """Elements, attributes and text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.attributes: list[tuple[str, str, str | None]] = []
        self.text: list[str] = []
        self._skipped = False
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped = tag == "style"
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        self._skipped = self._skipped and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._skipped and data.strip():
            self.text.append(" ".join(data.split()))


@pytest.fixture(scope="module")
def html() -> str:
    return epoch_report(an_epoch_content()).html


def test_the_verdict_and_its_confidence_come_first(html: str) -> None:
    text = Page(html).text
    verdict = next(at for at, line in enumerate(text) if line.startswith("Stop: epoch"))
    confidence = next(at for at, line in enumerate(text) if re.fullmatch(r"(> )?\d+ %", line))
    first_section = text.index("Progress")
    assert verdict < confidence < first_section, text[:20]


def test_everything_that_was_asked_for_is_there(html: str) -> None:
    text = " ".join(Page(html).text)
    for part in (
        "turning point: epoch",
        "Against the baseline",
        "no LoRA",
        "changed cells",
        "Flicker between the two",
        "Issues by epoch",
        "resolved",
        "Fails on blue hair: 31 of 100.",
        "n = 4, 95 %: 12.0 to 50.0",
        "$1.84",
        "Promote epoch 6",
        "portraits, version 3f9a",
    ):
        assert part in text, part


def test_it_needs_nothing_from_outside_and_runs_nothing(html: str) -> None:
    page = Page(html)
    tags = {tag for tag, _, _ in page.attributes}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    loaded = [value or "" for _, name, value in page.attributes if name in ("src", "srcset", "xlink:href", "data")]
    assert loaded
    assert all(value.startswith(("data:image/png;base64,", "#")) for value in loaded)
    assert [value for _, name, value in page.attributes if name == "href" and not (value or "").startswith("#")] == [
        "epoch_9_report.json"
    ]
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]


def test_its_policy_allows_its_own_style_and_no_other(html: str) -> None:
    policy = next(v for tag, name, v in Page(html).attributes if tag == "meta" and (v or "").startswith("default-src"))
    style = re.search(r"<style>(.*?)</style>", html, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy is not None
    assert policy.startswith(f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'")
    assert "unsafe" not in policy


def test_the_json_twin_has_the_figures_of_the_page() -> None:
    report = epoch_report(an_epoch_content())
    document = json.loads(report.json)
    text = " ".join(Page(report.html).text)
    assert document["verdict"]["text"] in text
    main = document["comparisons"]["baseline"]["differences"][0]
    assert f"{main['epoch']:.1f} {main['baseline']:.1f}" in text
    assert len(document["images"]) == 6
    for image in document["images"]:
        change = image["change"]
        assert f"{change['changed_cells']} of {change['cells']}" in text
    assert [row["score"] for row in document["progress"][:3]] == [40.0, 62.0, 75.0]
    assert document["issues"][0]["history"]


def test_the_same_content_gives_the_same_bytes() -> None:
    assert epoch_report(an_epoch_content()).html == epoch_report(an_epoch_content()).html


def test_the_first_epoch_has_a_report_without_anything_to_compare() -> None:
    content = an_epoch_content(
        scores=(55.0,), verdict=None, baseline=None, without_lora=None, issues=(), weak_areas=(), costs=(), made=None
    )
    text = " ".join(Page(epoch_report(content).html).text)
    assert "Too early to say: go on after epoch 1" in text
    assert "Against the baseline" not in text
    assert "Flicker" not in text


def test_black_images_are_shown_and_named() -> None:
    content = an_epoch_content(images=[painted(0, "black"), painted(1)])
    assert "black" in Page(epoch_report(content).html).text


def test_what_could_not_be_measured_is_a_dash_and_no_zero() -> None:
    content = an_epoch_content()
    bare = [EpochScores(1, {}), EpochScores(2, {"overall_score": None, "color_accuracy": {"overall": float("nan")}})]
    report = epoch_report(replace(content, epoch=2, epochs=bare, verdict=None, images=[]))
    assert "–" in report.html
    assert json.loads(report.json)["progress"][1]["figures"]["Overall"] is None


def test_a_page_that_would_be_too_large_shows_less_and_says_so() -> None:
    images = [
        noisy(painted(number, seed=seed), png(noise(256, 10 * number + seed))) for number in range(6) for seed in (1, 2)
    ]
    content = an_epoch_content(images=images)
    whole = len(epoch_report(content).html.encode())
    report = epoch_report(content, most_bytes=whole - 1)
    assert len(report.html.encode()) < whole
    assert "6 of 12 images are shown" in " ".join(Page(report.html).text)
    assert len(report.document["images"]) == 12, "the figures are those of all"
    assert len(epoch_report(content, most_bytes=150_000).html.encode()) <= 150_000


def test_a_report_of_an_epoch_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="up to it"):
        epoch_report(replace(an_epoch_content(), epoch=4))
    with pytest.raises(ValueError, match="evaluate one of its checkpoints"):
        run_report(a_run_content(epochs=[]))


def test_a_run_report_shows_the_grid_the_best_epoch_and_its_epochs_reports() -> None:
    report = run_report(a_run_content(grid=painted(0).png))
    page = Page(report.html)
    text = " ".join(page.text)
    assert "Best epoch against the baseline" in text
    assert "Epochs and prompts" in text
    assert ("a", "href", "epoch_1_report.html") in page.attributes
    assert report.document["kind"] == "run"


def test_the_headline_follows_the_verdict() -> None:
    stop = headline(a_verdict(), 9, 20)
    assert (stop.tone, stop.text, stop.confidence) == ("stop", "Stop: epoch 6 is best", 0.87)
    assert headline(a_verdict(), 20, 20).text == "Complete: epoch 6 is best"
    assert headline(None, 10, 10).text == "Complete: too few of its epochs are measured to name the best"
    early = headline(a_verdict((40.0, 60.0), should_stop=False), 2, 20)
    assert (early.tone, early.confidence) == ("open", None)
    rising = headline(a_verdict((40.0, 60.0, 72.0, 80.0), should_stop=False), 4, 20)
    assert (rising.tone, rising.confidence) == ("go on", 0.6)


def test_turning_points_name_the_rise_the_plateau_the_peak_and_the_decline() -> None:
    course = dict(enumerate((40.0, 60.0, 80.0, 85.5, 86.0, 85.4, 82.0), start=1))
    kinds = {point.kind: point.epoch for point in turning_points(course)}
    assert kinds == {"steepest rise": 2, "plateau": 4, "peak": 5, "decline": 7}
    assert turning_points({1: 50.0, 2: 60.0}) == []


def test_a_page_of_a_whole_suite_is_far_below_fifteen_megabytes() -> None:
    images = suite_of("sprite", 11, 2)
    size = len(epoch_report(an_epoch_content(images=images)).html.encode())
    assert size < 2_000_000, f"{size} bytes"
