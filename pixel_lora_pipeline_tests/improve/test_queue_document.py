"""The queue as markdown: the roadmap's form, and nothing that is stored can break out of it."""

import re
from datetime import UTC, datetime
from typing import Any

from pixel_lora_pipeline.improve import queue_markdown

WHEN = datetime(2025, 11, 15, 9, 30, tzinfo=UTC)


def an_experiment(**other: Any) -> dict[str, Any]:
    experiment: dict[str, Any] = {
        "title": "Fix Background Colors",
        "rationale": "keep_tokens=3 will fix pink→green background issue",
        "priority": "HIGH",
        "changes": [{"parameter": "keep_tokens", "before": 1, "after": 3}],
        "based_on": "run_7",
        "parameters": {"keep_tokens": 3, "max_train_epochs": 10},
        "expected": {"background_accuracy": {"mean": 31.0, "low": 25.0, "high": 37.5, "basis": "runs"}},
        "confidence": 0.85,
        "risk": "LOW",
        "gpu_seconds": {"value": 14400.0, "low": 12600.0, "high": 16200.0, "n_runs": 5},
        "cost_usd": None,
        "state": "PROPOSED",
        "prediction": None,
    }
    return {**experiment, **other}


def test_an_experiment_reads_as_in_the_roadmap() -> None:
    text = queue_markdown([an_experiment(status="QUEUED")], WHEN)
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[0] == "# Experiment Queue - Generated 2025-11-15"
    assert "## High Priority (Run Next)" in lines
    assert '### Experiment A: "Fix Background Colors"' in lines
    assert "**Parameters to Change:** keep_tokens: 1 → 3" in lines
    assert "**Expected Outcome:** background_accuracy +31 (+25 to +37.5)" in lines
    assert "**Confidence:** 85%" in lines
    assert "**Estimated GPU Time:** 4 hours, 3.5 to 4.5 (10 epochs)" in lines
    assert "**Status:** QUEUED" in lines


def test_each_stands_under_its_priority_and_letters_run_through() -> None:
    asked = [an_experiment(title=name, priority=name) for name in ("LOW", "HIGH", "MEDIUM")]
    asked.append(an_experiment(title="nobody knows", priority=None, state="REQUIRES DATASET WORK"))
    text = queue_markdown(asked, WHEN)
    places = [text.index(part) for part in ("## High", 'A: "HIGH"', "## Medium", 'B: "MEDIUM"', "## Low", 'C: "LOW"')]
    assert places == sorted(places)
    assert text.index('D: "nobody knows"') > places[-1] and "REQUIRES DATASET WORK" in text


def test_an_empty_queue_says_so_and_many_experiments_have_letters_of_their_own() -> None:
    assert queue_markdown([], WHEN).count("Nothing at present.") == 3
    text = queue_markdown([an_experiment() for _ in range(53)], WHEN)
    headings = [line.split(":")[0] for line in text.splitlines() if line.startswith("### ")]
    assert len(set(headings)) == 53 and headings[26] == "### Experiment AA"


def test_what_is_not_known_is_not_written() -> None:
    text = queue_markdown([{"title": "Only a title", "priority": "HIGH"}], WHEN)
    inside = [line for line in text.splitlines() if line.startswith("**")]
    assert inside == ["**Status:** PROPOSED  "]


def test_hostile_names_stay_text() -> None:
    evil = "<script>alert(1)</script> [x](javascript:alert(1)) **bold**\n## Heading\n| a | b | `c`"
    text = queue_markdown(
        [
            an_experiment(
                title=evil,
                rationale=evil,
                based_on=evil,
                status=evil,
                risk=evil,
                changes=[{"parameter": evil, "before": evil, "after": evil}],
                expected={evil: {"mean": 1.0, "low": None, "high": None}},
            )
        ],
        WHEN,
    )
    live = re.findall(r"(?<!\\)(?:<script|\]\(javascript|\*\*bold|`c`)", text)
    assert live == [], text
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headings) == 5, headings
