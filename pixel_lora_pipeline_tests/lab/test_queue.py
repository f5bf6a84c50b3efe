"""The queue page: what people decide in it is what the command line would have recorded."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from pixel_lora_pipeline.learn import Principle, approve
from pixel_lora_pipeline.learn.principle import Change
from pixel_lora_pipeline.learning import decide_on_principle
from pixel_lora_pipeline.store import Experiment, Store
from pixel_lora_pipeline_tests.lab.browser import browsing, page_of
from pixel_lora_pipeline_tests.lab.server import served

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def proposal(title: str, seed: int, priority: str = "MEDIUM") -> dict[str, Any]:
    return {
        "title": title,
        "rationale": f"keep_tokens=3 will fix the background {HOSTILE}",
        "source": "diagnosis",
        "priority": priority,
        "parameters": {"network_dim": 32, "keep_tokens": 3, "seed": seed},
        "changes": [{"parameter": "keep_tokens", "before": 1, "after": 3}],
        "expected": {"background_accuracy": {"mean": 31.0, "low": 25.0, "high": 37.5, "basis": "runs"}},
        "confidence": 0.85,
        "gpu_seconds": {"value": 14400.0, "low": 12600.0, "high": 16200.0, "n_runs": 5},
        "prediction": {
            "metric": "quality_score", "predicted": 7.4, "interval": [6.8, 8.0], "level": 0.9, "risk": "LOW",
            "reason": "network_dim=32 did well in 4 runs",
        },
    }  # fmt: skip


def principle(statement: str, status: Any) -> dict[str, Any]:
    at = datetime(2025, 11, 10, tzinfo=UTC)
    return Principle(
        id=statement.replace(" ", "-"),
        statement=statement,
        form="threshold",
        metric="pixel_art_purity",
        lower_is_better=False,
        pip=0.95,
        effect=12.0,
        effect_low=8.0,
        effect_high=16.0,
        first_stated_at=at,
        known_runs=("run_1",),
        confirming_runs=("run_2", "run_3"),
        changes=(Change(at, status, "two runs confirm it", None, 3),),
    ).to_dict()


@pytest.fixture
def store(store: Store) -> Store:
    """With three proposals and two principles."""
    proposals = [proposal("one", 1), proposal("two", 2), proposal("urgent", 3, "HIGH")]
    store.experiments.propose(proposals, "hypotheses")
    store.knowledge.record_principles([principle("small ranks are good", "soft"), principle("a guess", "proposed")])
    return store


@pytest.fixture
def address(store: Store, tmp_path: Path) -> Iterator[str]:
    with served(store, tmp_path) as address:
        yield address


def named(store: Store, title: str) -> Experiment:
    return next(experiment for experiment in store.experiments.all() if experiment.title == title)


def test_experiments_are_approved_edited_reordered_and_cancelled_in_the_page(store: Store, address: str) -> None:
    with browsing() as browser, page_of(browser, f"{address}/lab/queue") as (page, incidents):

        def card(title: str) -> Any:
            return page.locator(".experiment").filter(has=page.get_by_role("heading", name=title))

        for said in ("quality score 7.4", "(90 %: 6.8 to 8)", "keep_tokens: 1 → 3", "85%", "4 hours", HOSTILE):
            expect(card("one")).to_contain_text(said)
        expect(page.locator(".experiment h3").first).to_contain_text("urgent")
        assert page.locator(".experiment script, .experiment img").count() == 0

        page.get_by_role("button", name="Move up: two").click()
        expect(page.locator(".experiment h3").nth(1)).to_contain_text("two")
        page.get_by_role("button", name="Move down: two").click()
        expect(page.locator(".experiment h3").nth(2)).to_contain_text("two")

        card("one").get_by_role("button", name="Edit").click()
        card("one").get_by_role("textbox").fill("keep_tokens=many")
        store.experiments.move_to(named(store, "urgent").experiment_id, "QUEUED", "somebody else")
        card("one").get_by_role("button", name="Save").click()
        expect(page.locator("#trouble")).to_contain_text("keep_tokens=many")
        expect(card("one").get_by_role("textbox")).to_have_value("keep_tokens=many")
        card("one").get_by_role("textbox").fill("keep_tokens=2\nlearning_rate=5e-5")
        card("one").get_by_role("button", name="Save").click()
        expect(card("urgent")).to_contain_text("queued")  # what happened meanwhile
        expect(card("one")).not_to_contain_text("quality score 7.4")  # predicted for other parameters

        card("one").get_by_role("button", name="Approve").click()
        expect(card("one")).to_contain_text("queued")
        card("two").get_by_role("button", name="Cancel").click()
        page.get_by_label("Why? It stays on record").and_(page.locator(":visible")).fill("too dear")
        page.get_by_role("button", name="Cancel the experiment").click()
        expect(card("two")).to_contain_text("skipped")
        assert incidents.dialogs == []
        assert [text for text in incidents.messages if "422" not in text] == []

    one, two = named(store, "one"), named(store, "two")
    assert (one.state, one.parameters["keep_tokens"], one.parameters["learning_rate"]) == ("QUEUED", 2, 5e-5)
    assert (two.state, two.decisions[-1]["why"]) == ("SKIPPED", "too dear")
    for experiment in (one, two):
        assert all(decision["by"] and decision["at"] for decision in experiment.decisions)
    assert [set(decision) - {"by", "at"} for decision in one.decisions] == [{"state"}, {"edited"}, {"state"}]


def test_principles_are_approved_and_revoked_in_the_page(store: Store, address: str) -> None:
    with browsing() as browser, page_of(browser, f"{address}/lab/queue") as (page, _):
        cards = page.locator(".principle")
        expect(cards.nth(0)).to_contain_text("small ranks are good")
        cards.nth(0).get_by_role("button", name="Approve").click()
        expect(cards.filter(has_text="small ranks are good").locator(".badge")).to_have_text("hard")
        guess = cards.filter(has_text="a guess")
        guess.get_by_role("button", name="Revoke", exact=True).click()
        guess.get_by_role("textbox").fill("it was chance")
        guess.get_by_role("button", name="Revoke the principle").click()
        expect(guess.locator(".badge")).to_have_text("revoked")
    kept = {document["statement"]: Principle.from_dict(document) for document in store.knowledge.principles()}
    assert kept["small ranks are good"].approved_by
    assert (kept["a guess"].reason, kept["a guess"].changes[-1].by is not None) == ("it was chance", True)


def test_what_cannot_be_done_is_said_and_changes_nothing(store: Store, address: str) -> None:
    def ordered(path: str, **content: Any) -> tuple[int, str]:
        answer = httpx.post(f"{address}/lab/api/{path}", json=content)
        return answer.status_code, answer.json().get("error", "")

    one = named(store, "one").experiment_id
    before = store.experiments.all()
    for path, content, status, said in (
        ("experiments/999/state", {"state": "QUEUED"}, 404, "no experiment 999"),
        (f"experiments/{one}/state", {"state": "RUNNING"}, 422, "state"),
        (f"experiments/{one}/place", {"before": 999}, 404, "no experiment 999"),
        (f"experiments/{one}/parameters", {"parameters": "beauty=1"}, 422, "beauty is no parameter"),
        (f"experiments/{one}/parameters", {"parameters": "seed=2"}, 409, "Another open experiment"),
        ("principles/a-guess/approve", {}, 409, "only a soft principle can be approved"),
        ("principles/a-guess/revoke", {"why": ""}, 422, "why"),
        ("principles/unknown/approve", {}, 404, "no principle unknown"),
    ):
        answered, error = ordered(path, **content)
        assert (answered, said in error) == (status, True), (path, answered, error)
    foreign = httpx.post(
        f"{address}/lab/api/experiments/{one}/state",
        json={"state": "QUEUED"},
        headers={"Origin": "http://evil.example"},
    )
    assert foreign.status_code == 403
    assert store.experiments.all() == before


def test_of_many_decisions_on_a_principle_at_once_one_is_taken(store: Store) -> None:
    def decide(number: int) -> bool:
        try:
            decide_on_principle(
                store,
                "small-ranks-are-good",
                lambda principle: approve(principle, f"person {number}", datetime.now(UTC)),
            )
        except ValueError:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(decide, range(6))) == 1
    (kept,) = (document for document in store.knowledge.principles() if document["id"] == "small-ranks-are-good")
    assert len(kept["changes"]) == 2
