"""Reports in a real browser: whatever captions, names and metadata say is text and nothing else."""

from dataclasses import replace
from pathlib import Path

import pytest

from pixel_lora_pipeline.analyze.report import Cost, WeakSpot, epoch_report, run_report
from pixel_lora_pipeline_tests.analyze.browser import opened
from pixel_lora_pipeline_tests.analyze.paintings import painted
from pixel_lora_pipeline_tests.analyze.reports import a_run_content, a_verdict, an_epoch_content

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "'><iframe srcdoc='<script>alert(4)</script>'>",
    "</title><script>alert(5)</script>",
    "</style><script>alert(6)</script><style>",
    "javascript:alert(7)",
    "{{ 7 * 7 }}{% for x in y %}",
    "<a href='https://example.org/leak'>click</a>",
    "<meta http-equiv=refresh content='0;url=https://example.org/'>",
    "<link rel=stylesheet href=https://example.org/a.css>",
    "-->]]><script>alert(8)</script>",
    "\u202egnp.exe \u0000 \ud800",
    "&lt;b&gt; &amp;",
)
EVERYTHING = " ".join(HOSTILE)


@pytest.fixture(scope="module")
def hostile_pages(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Both reports with hostile text in every place that text comes from."""
    folder = tmp_path_factory.mktemp("reports")
    images = [
        replace(painted(n), prompt_id=EVERYTHING, prompt=EVERYTHING, negative_prompt=EVERYTHING, fault=text)
        for n, text in enumerate(HOSTILE[:4])
    ]
    changes = {
        "run_name": EVERYTHING,
        "verdict": replace(a_verdict(), reason=EVERYTHING),
        "weak_areas": [WeakSpot(EVERYTHING)],
        "recommendations": list(HOSTILE),
        "costs": [Cost(EVERYTHING, EVERYTHING, EVERYTHING)],
        "made": {EVERYTHING: EVERYTHING},
    }
    content = an_epoch_content(images=images, **changes)
    assert content.baseline is not None
    other = replace(content.baseline, label=EVERYTHING, images=[replace(i, fault=None) for i in images])
    epoch = epoch_report(replace(content, baseline=other))
    run = run_report(a_run_content(grid=painted(0).png, **changes))
    pages = []
    for name, report in (("epoch", epoch), ("run", run)):
        path = folder / f"{name}.html"
        path.write_bytes(report.html.encode("utf-8", "replace"))
        pages.append(path)
    return pages


def test_hostile_text_runs_nothing_loads_nothing_and_is_shown(hostile_pages: list[Path]) -> None:
    for path in hostile_pages:
        with opened(path) as (page, incidents):
            assert incidents.dialogs == []
            assert incidents.messages == [], "the browser's console, where violations of the policy are reported"
            assert [url for url in incidents.requests if not url.startswith("data:")] == [path.as_uri()]
            assert page.locator("script, iframe, link, form, object, embed, base").count() == 0
            assert page.locator("meta[http-equiv]").count() == 1
            assert page.locator("[onerror], [onload], [style]").count() == 0
            heading = page.locator("h1").inner_text()
            for text in ("<script>alert(1)</script>", "{{ 7 * 7 }}", "&lt;b&gt; &amp;"):
                assert text in heading, heading


def test_a_script_that_got_in_would_still_not_run(hostile_pages: list[Path], tmp_path: Path) -> None:
    spoiled = tmp_path / "spoiled.html"
    html = hostile_pages[0].read_text(encoding="utf-8")
    spoiled.write_text(
        html.replace("<main>", "<script>alert(9)</script><img src=x onerror=alert(10)><main style='color: red'>"),
        encoding="utf-8",
    )
    with opened(spoiled) as (page, incidents):
        assert incidents.dialogs == []
        assert len([text for text in incidents.messages if "Content Security Policy" in text]) >= 3
        assert page.locator("main").evaluate("element => getComputedStyle(element).color") != "rgb(255, 0, 0)"


@pytest.mark.parametrize("width", [390, 1200])
def test_the_page_fits_its_window_and_pixels_stay_crisp(width: int, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(epoch_report(an_epoch_content()).html, encoding="utf-8")
    with opened(path, viewport={"width": width, "height": 800}) as (page, incidents):
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        picture = page.locator(".cells img").first
        assert picture.evaluate("image => image.naturalWidth") == 64, "without a LoRA there is no grid"
        assert page.locator(".cells img").nth(2).evaluate("image => image.naturalWidth") == 32, "one pixel a cell"
        assert picture.evaluate("image => getComputedStyle(image).imageRendering") == "pixelated"
        assert incidents.messages == []


def test_flicker_alternates_without_a_script(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(epoch_report(an_epoch_content()).html, encoding="utf-8")
    with opened(path) as (page, _):
        other = page.locator(".flick .other").first
        assert other.evaluate("image => getComputedStyle(image).opacity") == "0"
        assert other.evaluate("image => image.getAnimations().length") == 0
        page.locator(".switch input").check()
        assert other.evaluate("image => image.getAnimations().length") == 1
        page.locator(".switch input").uncheck()
        page.locator(".flick").first.focus()
        assert other.evaluate("image => getComputedStyle(image).opacity") == "1"


def test_on_paper_everything_is_open_and_nothing_is_dark(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(epoch_report(an_epoch_content()).html, encoding="utf-8")
    with opened(path, color_scheme="dark") as (page, _):
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator(".flick-tile").first.is_visible() is False
        assert page.get_by_text("Rolling mean of 3").is_visible()
