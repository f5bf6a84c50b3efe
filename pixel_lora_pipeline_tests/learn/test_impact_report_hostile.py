"""Names and values come from files that nobody vouches for: in the report they are text and nothing else."""

import json
import re
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from pixel_lora_pipeline import notify
from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.impact_report import ImpactContent, ImpactReport, impact_report
from pixel_lora_pipeline.learn.impact_report.markdown import escaped, paragraph
from pixel_lora_pipeline_tests.analyze.browser import opened
from pixel_lora_pipeline_tests.learn.test_impact_report import Page

HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    '"><svg onload=alert(3)>',
    "</title><iframe src=//example.org>",
    "</style><style>*{display:none}",
    "{{ 7 * 7 }}{% raw %}",
    "[click](https://example.org/leak)",
    "![x](https://example.org/pixel.png)",
    "`code` **bold** _italic_ ~~gone~~",
    "<https://example.org> www.example.org @everyone",
    "| a | b |\n|---|---|",
    "# heading\n## another",
    "- item\n1. item",
    "> quote\n***",
    "$x^2$ \\frac{1}{2} $",
    "&lt;b&gt; &copy; &#60;",
    "nul \x00 bell \x07 \u202ecod.exe \ufffe",
    "lone \ud800 surrogate",
    "__proto__",
    "a" * 500,
)
# What a report's markdown is made of; everything else was smuggled in.
PLAIN = {
    *("text", "softbreak", "inline", "paragraph_open", "paragraph_close", "heading_open", "heading_close"),
    *("strong_open", "strong_close", "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close"),
    *("ordered_list_open", "ordered_list_close", "table_open", "table_close", "thead_open", "thead_close"),
    *("tbody_open", "tbody_close", "tr_open", "tr_close", "th_open", "th_close", "td_open", "td_close"),
}
MARKDOWN = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def tokens(markdown: str) -> list[Token]:
    blocks = MARKDOWN.parse(markdown)
    return [token for block in blocks for token in (block, *(block.children or ()))]


@pytest.fixture(scope="module")
def report() -> ImpactReport:
    """Hostile text as names of parameters, of metrics and of runs, as values, and in principles."""
    n = 24
    random = np.random.default_rng(0)
    parameters = list(HOSTILE)
    runs = pd.DataFrame({name: random.choice([1, 2], n) for name in parameters})
    cause = parameters[0]
    runs[cause] = [HOSTILE[at % 4] for at in random.permutation(n)]
    runs["constant"] = HOSTILE[2]
    runs["alias <b>"] = runs[parameters[1]] * 2
    runs["run_name"] = [f"{HOSTILE[at % len(HOSTILE)]} {at}" for at in range(n)]
    metric = "quality <b onclick=alert(9)>|`$"
    runs[metric] = 50 + 20.0 * (runs[cause] == HOSTILE[1]) - 9.0 * (runs[parameters[1]] == 1) + random.normal(0, 1, n)
    judged = [*parameters, "constant", "alias <b>"]
    principles = [{"statement": text, "status": text, "reason": text} for text in HOSTILE]
    before = impact_report(
        ImpactContent(
            {metric: assess_parameters(runs[:10], judged, metric)}, runs[:10], datetime(2026, 11, 16, tzinfo=UTC)
        )
    )
    return impact_report(
        ImpactContent(
            {metric: assess_parameters(runs, judged, metric)},
            runs,
            datetime(2026, 11, 23, tzinfo=UTC),
            principles=principles,
            previous=json.loads(before.json),
        )
    )


def test_the_hostile_history_has_something_to_tell(report: ImpactReport) -> None:
    told = [entry for key in ("critical", "secondary") for entry in report.document[key]]
    assert len(told) >= 2
    assert report.document["experiments"]
    assert report.document["changes"]["new_runs"]


def test_in_the_page_it_is_text(report: ImpactReport) -> None:
    page = Page(report.html)
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "iframe", "img", "object", "embed", "base", "form", "link"}
    names = {name for _, attributes in page.elements for name in attributes}
    assert not [name for name in names if name.startswith("on") or name in ("style", "srcdoc", "src")]
    addresses = [attributes["href"] or "" for tag, attributes in page.elements if tag == "a"]
    assert all(re.fullmatch(r"#run-\d+|parameter_impact_2026-11-23\.json", address) for address in addresses)
    for text in ("<script>alert(1)</script>", "{{ 7 * 7 }}", "&lt;b&gt;", "$x^2$"):
        assert text in page.text, text
    assert "\x00" not in report.html
    assert "\u202e" not in report.html.split("principles")[0], "the direction of writing would turn"
    report.html.encode()


def test_in_a_browser_nothing_runs_and_nothing_is_loaded(report: ImpactReport, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report.html, encoding="utf-8")
    for width in (360, 1200):
        with opened(path, viewport={"width": width, "height": 900}) as (page, incidents):
            assert incidents.dialogs == []
            assert incidents.messages == []
            assert incidents.requests == [path.as_uri()]
            assert page.locator("script, iframe, form").count() == 0
            assert page.locator("meta[http-equiv]").count() == 1
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_everything_is_open_and_within_the_margins(report: ImpactReport, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(report.html, encoding="utf-8")
    with opened(path, color_scheme="dark", viewport={"width": 690, "height": 1000}) as (page, _):
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("details .names").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 690


def test_in_markdown_it_is_text(report: ImpactReport) -> None:
    found = {token.type for token in tokens(report.markdown)}
    assert found <= PLAIN, found - PLAIN
    headings = [
        token for token in tokens(report.markdown) if token.type == "heading_open" and token.tag in ("h1", "h2")
    ]
    assert len(headings) == 1 + len(re.findall(r"^## ", report.markdown, re.MULTILINE))
    for table in report.markdown.split("\n\n"):
        rows = [line for line in table.splitlines() if line.startswith("|")]
        cells = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
        assert len(cells) <= 1, "a bar in a name opened a cell"
    assert "@everyone" not in report.markdown
    assert "\x00" not in report.markdown


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_a_text_holds_it_stays_the_text_of_one_paragraph(text: str) -> None:
    for made in (paragraph(text), f"- **Label:** {escaped(text)}", f"- {paragraph(text)}", f"### {escaped(text)}"):
        found = tokens(made)
        assert {token.type for token in found} <= PLAIN, made
        assert sum(token.type in ("paragraph_open", "heading_open") for token in found) == 1, made
        shown = "".join(token.content for token in found if token.type == "text").removeprefix("Label:").split()
        wanted = text.replace("@", "\N{FULLWIDTH COMMERCIAL AT}").replace("\x00", "\ufffd").split()
        assert shown[: len(wanted)] == wanted or not text.isprintable(), made


def test_the_message_about_it_can_be_sent(report: ImpactReport) -> None:
    message = notify.weekly_report(date(2026, 11, 16), report.document["summary"], Path("/reports/impact.html"))
    assert all(line.isprintable() for line in message.body.split("\n"))
    assert "@everyone" not in message.body
    assert len(message.body) < 3000


def test_the_json_holds_the_names_as_they_are(report: ImpactReport) -> None:
    document = json.loads(report.json)
    assert document == report.document
    names = {name for finding in document["findings"] for name in finding["parameters"]}
    assert {"<script>alert(1)</script>", "| a | b |\n|---|---|", "a" * 500} <= names
    report.json.encode()
