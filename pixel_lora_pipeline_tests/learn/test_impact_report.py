"""The parameter impact report says what the runs show, what they cannot show, and what is new."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks.training_histories import METRICS, imagined_history
from pixel_lora_pipeline import notify
from pixel_lora_pipeline.embedded.history import HISTORY, write_history
from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.evidence import METHOD_VERSION
from pixel_lora_pipeline.learn.impact_report import ImpactContent, ImpactReport, impact_report
from pixel_lora_pipeline_tests.learn.histories import PARAMETERS, independent_history

MONDAY = datetime(2026, 11, 23, 8, tzinfo=UTC)
QUALITY, BACKGROUND, PURITY = "quality_score", "color_accuracy.background_accuracy", "style_quality.pixel_art_purity"
VARIED = [
    *("network_dim", "keep_tokens", "learning_rate", "caption_version", "num_images"),
    *("gradient_accumulation_steps", "caption_dropout_rate"),
]


class Page(HTMLParser):
    """Text, elements and attributes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self._skipped = False
        self.feed(html)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._skipped = tag == "style"
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._skipped = self._skipped and tag != "style"

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self.words.append(data)


def report_on(
    runs: pd.DataFrame, parameters: list[str], metrics: list[str], created_at: datetime = MONDAY, **content: Any
) -> ImpactReport:
    evidence = {metric: assess_parameters(runs, parameters, metric) for metric in metrics}
    return impact_report(ImpactContent(evidence, runs, created_at, **content))


def entries(report: ImpactReport) -> dict[str, dict[str, Any]]:
    """All entries by their title."""
    document = report.document
    return {each["title"]: each for key in ("critical", "secondary", "non_critical") for each in document[key]}


def sentences(value: Any) -> Iterator[str]:
    """Every text in a part of a document."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from sentences(item)
    elif isinstance(value, list):
        for item in value:
            yield from sentences(item)


@pytest.fixture(scope="module")
def eight_runs(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The made-up history at the epoch that each run was judged by."""
    noted = pd.read_csv(write_history(tmp_path_factory.mktemp("history")))
    rows = []
    for run in HISTORY:
        of_run = noted[noted["run"] == run.name].set_index("epoch")
        first = of_run.iloc[0]
        best = of_run.loc[int(first["best_epoch"])]
        rows.append(
            {
                "run_name": run.name,
                "run_date": first["run_date"],
                **{name: getattr(run, name) for name in VARIED},
                "network_alpha": run.network_dim / 2,
                "seed": 42,
                QUALITY: first["quality_score"],
                BACKGROUND: best[BACKGROUND],
                PURITY: best[PURITY],
            }
        )
    return pd.DataFrame(rows)


@pytest.fixture(scope="module")
def of_eight(eight_runs: pd.DataFrame) -> ImpactReport:
    return report_on(eight_runs, [*VARIED, "seed"], [QUALITY, BACKGROUND, PURITY])


def test_the_roadmaps_findings_come_out_of_its_eight_runs(of_eight: ImpactReport) -> None:
    told = entries(of_eight)
    rank, tokens = told["network_dim"], told["keep_tokens"]
    assert rank["category"] in ("CRITICAL", "HIGH")
    assert rank["metric"] == PURITY
    assert rank["form"] == "network_dim > 32"
    assert rank["figures"]["pearson_r"] < -0.8
    assert rank["change"] == {"network_dim": {"from": ["64", "128"], "to": ["32"]}}
    assert "photographic" in rank["rule"]
    assert "roadmap §3.3" in rank["rule"] or "§3.3" in rank["rule"]
    assert re.search(r"5/5 runs with network_dim = 32 .* are better than 3/3 with 64 or 128", rank["evidence"])
    assert tokens["category"] == "CRITICAL"
    assert tokens["metric"] == BACKGROUND
    assert tokens["recommendation"] == "Use keep_tokens = 3 instead of 1."
    assert min(tokens["figures"]["interval"]) > 30, "background accuracy rose by forty points"
    assert re.search(r"3/3 runs with keep_tokens = 3 .9[5-9]", tokens["evidence"].replace(f"({BACKGROUND} ", ".")), (
        tokens["evidence"]
    )


def test_the_markdown_has_the_form_of_the_roadmaps_example(of_eight: ImpactReport) -> None:
    text = of_eight.markdown
    assert text.startswith("# Parameter Impact Report - Generated 2026-11-23\n")
    for heading in ("Critical Parameters", "Secondary Parameters", "Non-Critical Parameters"):
        assert f"\n## {heading} (" in text
    entry = text[text.index("\n### keep_tokens\n") :].split("\n### ")[1]
    labels = re.findall(r"^- \*\*(\w+):\*\*", entry, re.MULTILINE)
    assert [label for label in labels if label != "Rule"][:5] == [
        *("Impact", "Correlation", "Finding", "Recommendation", "Evidence")
    ]
    assert re.search(
        r"\*\*Correlation:\*\* \+1\.00 with .* \(p = 0\.0\d+ over 5,000 random orders; for display only, q", entry
    )


def test_p_is_called_exact_where_all_orders_were_looked_at() -> None:
    report = report_on(independent_history(6, seed=4, noise=0.5), PARAMETERS, ["quality"])
    told = [entry["correlation"] for entry in entries(report).values()]
    assert told
    assert all(re.search(r"p = 0\.\d+ over all 720 orders", text) for text in told), told


def test_eight_runs_do_not_prove_that_something_has_no_effect(of_eight: ImpactReport) -> None:
    assert of_eight.document["non_critical"] == []
    row = next(r for r in of_eight.document["untold"]["open"] if r["title"] == "gradient_accumulation_steps")
    assert row["runs_needed"] > 1
    assert row["least_effect"] > 0
    assert of_eight.document["untold"]["never_varied"] == [{"parameter": "seed", "value": "42"}]


def test_the_verdict_comes_first_and_says_how_much_can_be_told(of_eight: ImpactReport) -> None:
    verdict = of_eight.document["verdict"]
    assert verdict["text"] == "keep_tokens matters most"
    assert verdict["confidence"] > 0.9
    assert "8 runs settle" in verdict["reason"]
    assert "would go unseen" in verdict["reason"]
    text = Page(of_eight.html).text
    places = [text.index(part) for part in (verdict["text"], verdict["reason"], "What changed", "Critical parameters")]
    assert places == sorted(places)


def test_what_always_changed_together_is_one_entry_with_the_run_that_would_tell_it_apart(
    eight_runs: pd.DataFrame,
) -> None:
    report = report_on(eight_runs, [*VARIED, "network_alpha"], [PURITY, QUALITY])
    entry = entries(report)["network_dim | network_alpha"]
    assert entry["form"] == "network_dim > 32 | network_alpha > 16"
    assert "network_dim = 32 (with network_alpha = 16)" in entry["recommendation"]
    assert any("always changed together" in note for note in entry["notes"])
    experiment = next(each for each in report.document["experiments"] if "network_dim" in each["parameters"])
    assert re.fullmatch(
        r"Repeat history_\d with network_alpha = \d+ instead of 16, all else as it was\. If \S+ falls by about "
        r"[\d.]+, it is network_alpha; if it stays, network_dim\. It takes 1 such run\.",
        experiment["sentence"],
    ), experiment["sentence"]
    assert experiment["sentence"] in Page(report.html).text
    panel = next(each for each in report.document["partial_effects"] if each["together_with"])
    assert panel["parameter"] == "network_dim"
    assert [value["value"] for value in panel["values"]] == ["32", "64", "128"]
    assert panel["values"][0]["effect"] > 0 > panel["values"][1]["effect"]


def test_page_markdown_and_json_say_the_same(of_eight: ImpactReport) -> None:
    document = json.loads(of_eight.json)
    assert document == of_eight.document
    page = Page(of_eight.html).text
    plain = of_eight.markdown.replace("\\", "")
    parts = ("impact", "correlation", "finding", "recommendation", "rule", "evidence", "notes", "on_other_metrics")
    told = [entry[part] for entry in entries(of_eight).values() for part in parts]
    told += [document["verdict"]["reason"], document["recommendations"], document["changes"]["sentence"]]
    told += [[each["sentence"] for each in document["interactions"]], document["method"]["texts"]]
    told += [[row["because"] for row in document["untold"]["open"]]]
    for sentence in sentences(told):
        assert sentence in page, sentence
        assert sentence in plain, sentence
    for row in document["runs"]["rows"]:
        assert f"{row['name']} {row['date']}" in page


def test_every_run_of_the_evidence_can_be_clicked(of_eight: ImpactReport) -> None:
    page = Page(of_eight.html)
    targets = {attributes["id"] for _, attributes in page.elements if attributes.get("id")}
    links = [a["href"] or "" for tag, a in page.elements if tag == "a" and (a["href"] or "").startswith("#")]
    assert len(links) >= 8, "the runs on both sides of keep_tokens"
    assert {link[1:] for link in links} <= targets
    names = of_eight.document["run_names"]
    tokens = entries(of_eight)["keep_tokens"]
    assert [names[row] for row in tokens["runs_high"]["rows"]] == ["history_1", "history_2", "history_6"]
    assert f'<a href="#run-{names.index("history_6")}">history_6</a>' in of_eight.html
    assert f'<tr id="run-{names.index("history_6")}"><th>history_6</th>' in of_eight.html


def test_the_charts_are_drawn_and_described(of_eight: ImpactReport) -> None:
    charts = [a for tag, a in Page(of_eight.html).elements if tag == "svg"]
    assert len(charts) == 3
    described = [chart["aria-label"] or "" for chart in charts]
    assert any("Effects with 95 % intervals: keep_tokens on" in text for text in described)
    assert any("by network_dim" in text and "value by value" in text for text in described)
    assert "data:image" not in of_eight.html.split("</head>")[1], "charts are drawn as lines, not as pixels"


def test_the_same_content_gives_the_same_bytes(eight_runs: pd.DataFrame, of_eight: ImpactReport) -> None:
    again = report_on(eight_runs, [*VARIED, "seed"], [QUALITY, BACKGROUND, PURITY])
    assert (again.html, again.markdown, again.json) == (of_eight.html, of_eight.markdown, of_eight.json)


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_handful_of_runs_gives_a_report_that_promises_nothing(eight_runs: pd.DataFrame, n: int) -> None:
    report = report_on(eight_runs[:n], VARIED, [QUALITY, PURITY])
    assert entries(report) == {}
    assert report.document["verdict"]["confidence"] is None
    assert report.document["verdict"]["text"] == (
        "No run has been evaluated yet" if n == 0 else f"{n} run{'s' * (n > 1)} can tell nothing yet"
    )
    assert report.document["recommendations"] == []
    assert "<svg" not in report.html, "there is nothing to draw"
    json.loads(report.json)


def test_nothing_was_judged_at_all() -> None:
    report = impact_report(ImpactContent({}, pd.DataFrame(), MONDAY))
    assert "No run has been evaluated yet" in Page(report.html).text


@pytest.mark.parametrize(
    ("better", "good", "bad"), [("higher", ["16", "32"], ["64", "128"]), ("lower", ["64", "128"], ["16", "32"])]
)
def test_the_recommended_values_follow_the_direction_of_the_metric(
    better: Any, good: list[str], bad: list[str]
) -> None:
    report = report_on(independent_history(24, seed=3), PARAMETERS, ["quality"], better={"quality": better})
    assert entries(report)["network_dim"]["change"]["network_dim"] == {"from": bad, "to": good}


def test_no_value_is_recommended_where_neither_direction_is_better() -> None:
    report = report_on(independent_history(24, seed=3), PARAMETERS, ["quality"], better={"quality": "neither"})
    entry = entries(report)["network_dim"]
    assert entry["change"] is None
    assert entry["recommendation"] == "No value is recommended: neither direction of the metric is better."


def test_a_metric_that_wants_the_opposite_is_called_a_trade_off() -> None:
    runs = independent_history(24, seed=3)
    runs["detail"] = 100 - runs["quality"]
    entry = entries(report_on(runs, PARAMETERS, ["quality", "detail"]))["network_dim"]
    assert "A trade-off: detail is better with network_dim = 64 or 128 (CRITICAL)." in entry["notes"]


def test_many_runs_say_of_what_is_idle_that_it_does_nothing() -> None:
    report = report_on(independent_history(150, seed=1, noise=1.0), PARAMETERS, ["quality"])
    told = entries(report)
    assert told["network_dim"]["category"] == "CRITICAL"
    idle = told["clip_skip"]
    assert idle["category"] == "NONE"
    assert idle["impact"].startswith("NONE DETECTED on quality: nothing beyond ±")
    assert re.fullmatch(
        r"Leave clip_skip = [12], as in most runs; tuning it does nothing for quality\.", idle["recommendation"]
    )


@pytest.mark.parametrize("seed", range(3))
def test_what_is_recommended_as_sure_is_better_in_the_world_that_made_the_runs(seed: int) -> None:
    history = imagined_history("thresholds", 30, seed)
    report = report_on(history.runs, history.parameters, list(METRICS))
    document = report.document
    checked = 0
    for entry in document["critical"]:
        best = history.runs.loc[history.runs[entry["metric"]].idxmax(), history.parameters].to_dict()
        changed = {side: dict(best) for side in ("from", "to")}
        for name, change in entry["change"].items():
            by_text = {str(value).removesuffix(".0").lower(): value for value in history.runs[name].unique()}
            for side in changed:
                value = change[side][0]
                changed[side][name] = by_text.get(value.lower(), float(value) if value[0].isdigit() else value)
        good, bad = (history.world.evaluate(changed[side])[entry["metric"]] for side in ("to", "from"))
        assert good > bad, f"{entry['recommendation']} gives {good:.1f} instead of {bad:.1f}"
        checked += 1
    assert checked, "no parameter of this history is critical: choose another seed"


def test_evidence_out_of_a_database_gives_the_same_report(eight_runs: pd.DataFrame, of_eight: ImpactReport) -> None:
    evidence = {}
    for metric in (QUALITY, BACKGROUND, PURITY):
        table = assess_parameters(eight_runs, [*VARIED, "seed"], metric)
        rows = json.loads(table.to_json(orient="records", double_precision=15))
        evidence[metric] = pd.DataFrame(rows, columns=list(table.columns))
    stored = impact_report(ImpactContent(evidence, eight_runs, MONDAY))
    assert stored.markdown == of_eight.markdown


def test_values_of_every_kind_are_written_and_the_json_stays_strict() -> None:
    runs = independent_history(24, seed=5)
    random = np.random.default_rng(5)
    runs["mixed"] = random.choice(np.array([None, True, 5, "a|b", 0.25], dtype=object), 24)
    runs["switch"] = random.choice(np.array([True, False, None], dtype=object), 24)
    runs["infinite"] = np.where(random.random(24) < 0.4, np.inf, random.choice([1.0, 2.0], 24))
    runs["lists"] = [[512, 512] if at % 2 else [768, 768] for at in range(24)]
    runs["empty"] = None
    runs["dates"] = pd.date_range("2025-01-01", periods=24)
    runs["words"] = [f"note {at}" for at in range(24)]
    runs.loc[3, "quality"] = np.nan
    strange = ["mixed", "switch", "infinite", "lists", "empty", "dates", "words"]
    report = report_on(runs, [*PARAMETERS, *strange], ["quality"])
    document = json.loads(report.json, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert document["n_runs"] == 23
    assert "words" in document["untold"]["different_in_every_run"]
    values = {
        value["value"]
        for finding in document["findings"]
        if finding["parameters"] == ["mixed"]
        for value in finding["effect_by_value"]
    }
    assert {"true", "5", "a|b", "0.25"} <= values
    assert "NaN" not in report.html
    assert not re.search(r"\bnan\b", Page(report.html).text)


def test_two_hundred_runs_and_a_hundred_parameters_are_readable_and_small() -> None:
    random = np.random.default_rng(0)
    names = ["network_dim", "keep_tokens", *(f"parameter_{at}" for at in range(98))]
    runs = pd.DataFrame({name: random.choice([1, 2, 4], 200) for name in names})
    runs.insert(0, "run_name", [f"run_{at}" for at in range(200)])
    metrics = ["quality", "style", "background", "hair", "accessories"]
    for metric in metrics:
        runs[metric] = 70 - 12 * (runs["network_dim"] > 2) + random.normal(0, 1.5, 200)
    evidence = assess_parameters(runs, names, "quality")
    report = impact_report(ImpactContent(dict.fromkeys(metrics, evidence), runs, MONDAY))
    for kind, text in (("page", report.html), ("JSON", report.json), ("markdown", report.markdown)):
        assert len(text.encode()) < 5_000_000, f"{kind}: {len(text.encode()):,} bytes"
    assert "network_dim" in report.document["verdict"]["text"]
    assert "<details><summary>" in report.html
    assert len(report.document["runs"]["rows"]) == 200


def test_a_week_without_news_says_so(eight_runs: pd.DataFrame, of_eight: ImpactReport) -> None:
    previous = json.loads(of_eight.json)
    later = report_on(
        eight_runs,
        [*VARIED, "seed"],
        [QUALITY, BACKGROUND, PURITY],
        datetime(2026, 11, 30, 8, tzinfo=UTC),
        previous=previous,
        period=(date(2026, 11, 23), date(2026, 11, 29)),
    )
    changes = later.document["changes"]
    assert changes["sentence"] == "Nothing new since the last report."
    assert (changes["new_runs"], changes["moved"], changes["separated"], changes["principles"]) == ([], [], [], [])
    assert later.document["critical"] == of_eight.document["critical"], "what was known is said again"
    page = Page(later.html).text
    assert "2026-11-23 to 2026-11-29" in page
    assert "The last one is of 2026-11-23." in page
    message = notify.weekly_report(date(2026, 11, 23), later.document["summary"], Path("/reports/w48.html"))
    assert "keep_tokens matters most. Nothing new since the last report." in message.body


def test_the_first_report_is_called_the_first(of_eight: ImpactReport) -> None:
    assert of_eight.document["changes"]["sentence"] == "This is the first report."


def test_new_runs_and_verdicts_that_moved_are_told_with_before_and_after() -> None:
    runs = independent_history(24, seed=3)
    before = report_on(
        runs[:5], PARAMETERS, ["quality"], principles=[a_principle("A", "soft"), a_principle("B", "soft")]
    )
    now = report_on(
        runs,
        PARAMETERS,
        ["quality"],
        previous=before.document,
        principles=[a_principle("B", "revoked", "a run refuted it"), a_principle("C", "soft")],
    )
    changes = now.document["changes"]
    assert changes["new_runs"] == [f"run_{at}" for at in range(5, 24)]
    moved = next(move for move in changes["moved"] if move["parameters"] == ["network_dim"])
    assert moved["direction"] == "up"
    assert moved["before"]["category"] != "CRITICAL"
    assert moved["now"]["category"] == "CRITICAL"
    assert moved["now"]["pip"] > moved["before"]["pip"]
    assert [(each["statement"], each["before"], each["status"]) for each in changes["principles"]] == [
        ("B", "soft", "revoked"),
        ("C", None, "soft"),
        ("A", "soft", "revoked"),
    ]
    page = Page(now.html).text
    assert changes["sentence"].startswith("Since the last report: 19 new runs, network_dim went from")
    assert changes["sentence"] in page
    assert "“B”: soft → revoked. a run refuted it" in page


def test_parameters_that_can_now_be_told_apart_are_news() -> None:
    runs = independent_history(24, seed=3).assign(network_alpha=lambda table: table["network_dim"] / 2)
    before = report_on(runs, [*PARAMETERS, "network_alpha"], ["quality"])
    runs.loc[0, "network_alpha"] *= 4
    now = report_on(runs, [*PARAMETERS, "network_alpha"], ["quality"], previous=before.document)
    assert now.document["changes"]["separated"] == [
        {"parameters": ["network_alpha", "network_dim"], "metric": "quality"}
    ]
    assert "network_alpha | network_dim can now be told apart" in Page(now.html).text


def test_another_method_or_schema_is_said_before_verdicts_are_compared(
    eight_runs: pd.DataFrame, of_eight: ImpactReport
) -> None:
    other_method = {**of_eight.document, "method": {**of_eight.document["method"], "versions": ["0"]}}
    report = report_on(eight_runs, [*VARIED, "seed"], [QUALITY, BACKGROUND, PURITY], previous=other_method)
    assert "the method of judging changed" in report.document["changes"]["sentence"]
    other_schema = {**of_eight.document, "schema": 0}
    report = report_on(eight_runs, [*VARIED, "seed"], [QUALITY, BACKGROUND, PURITY], previous=other_schema)
    assert "cannot be compared" in report.document["changes"]["sentence"]


def test_the_documents_interactions_are_judged_or_it_is_said_why_not() -> None:
    random = np.random.default_rng(99)
    runs = independent_history(60, seed=2, noise=1.0)
    runs["network_alpha"] = random.choice([8, 16, 32, 64], 60)
    runs["quality"] = 80.0 - 20 * (runs["network_dim"] * runs["network_alpha"] > 1024) + random.normal(0, 1.0, 60)
    report = report_on(runs, [*PARAMETERS, "network_alpha"], ["quality"])
    told = {each["product"]: each for each in report.document["interactions"]}
    assert told["network_dim × network_alpha"]["sentence"].startswith(
        "The most probable form: network_dim × network_alpha >"
    )
    assert "512" in told["network_dim × network_alpha"]["reason"]
    constant = report_on(runs.assign(network_alpha=16), [*PARAMETERS, "network_alpha"], ["quality"])
    told = {each["product"]: each["sentence"] for each in constant.document["interactions"]}
    assert told["network_dim × network_alpha"] == "Cannot be told: network_alpha never varied."


def test_the_effect_of_a_setting_without_order_is_told_by_its_name() -> None:
    runs = independent_history(30, seed=7)
    runs["quality"] += 15.0 * (runs["optimizer_type"] == "Prodigy")
    entry = entries(report_on(runs, PARAMETERS, ["quality"]))["optimizer_type"]
    assert entry["form"] == "optimizer_type = Prodigy"
    assert entry["recommendation"] == "Use optimizer_type = Prodigy instead of AdamW or Lion."
    assert entry["correlation"].startswith("none that is defined")


def test_approximations_and_versions_are_named(of_eight: ImpactReport) -> None:
    method = of_eight.document["method"]
    assert method["versions"] == [METHOD_VERSION]
    assert method["texts"]["Approximation"].startswith("None: all models")
    assert [each["n_runs"] for each in method["metrics"]] == [8, 8, 8]


def a_principle(statement: str, status: str, reason: str = "") -> dict[str, str]:
    return {"statement": statement, "status": status, "reason": reason}
