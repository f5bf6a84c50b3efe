"""What was learnt is stored whole and replaced whole."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.store import Message, Store
from pixel_lora_pipeline_tests.learn.histories import PARAMETERS, independent_history


def assessed(seed: int) -> list[dict[str, Any]]:
    runs = independent_history(12, seed).assign(never_varied=1)
    return assess_parameters(runs, [*PARAMETERS, "never_varied"], "quality").to_dict("records")


def test_evidence_comes_back_in_its_order_with_what_could_not_be_told_as_nothing(store: Store) -> None:
    rows = assessed(1)
    assert any(row["effect"] != row["effect"] for row in rows), "the constant one has no effect to tell"
    store.knowledge.record_evidence({"quality_score": rows, "hair_accuracy": rows[:2]})
    stored = store.knowledge.evidence()
    assert stored.keys() == {"quality_score", "hair_accuracy"}
    for row, kept in zip(rows, stored["quality_score"], strict=True):
        assert kept["parameters"] == row["parameters"]
        assert kept["category"] == row["category"]
        assert kept["pip"] == pytest.approx(row["pip"])
        assert (kept["effect"] is None) == (row["effect"] != row["effect"])


def test_a_new_assessment_replaces_the_old_one_also_where_two_come_at_once(store: Store) -> None:
    first, second = assessed(1), assessed(2)
    store.knowledge.record_evidence({"hair_accuracy": first})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(store.knowledge.record_evidence, [{"quality_score": first}, {"quality_score": second}]))
    stored = store.knowledge.evidence()
    assert stored.keys() == {"quality_score"}
    pips = [row["pip"] for row in stored["quality_score"]]
    assert pips in ([pytest.approx(row["pip"]) for row in rows] for rows in (first, second))


def test_a_refused_row_leaves_the_old_evidence_as_it_was(store: Store) -> None:
    rows = assessed(1)
    store.knowledge.record_evidence({"quality_score": rows})
    with pytest.raises(Exception, match="category"):
        store.knowledge.record_evidence({"quality_score": [rows[0], {**rows[1], "category": "PERHAPS"}]})
    assert len(store.knowledge.evidence()["quality_score"]) == len(rows)


def test_a_principle_is_updated_under_its_id_and_never_deleted(store: Store) -> None:
    rank = {"id": "a", "statement": "network_dim ≤ 32", "metric": "style_quality", "status": "proposed"}
    tokens = {"id": "b", "statement": "keep_tokens > 1", "metric": "background_accuracy", "status": "soft"}
    store.knowledge.record_principles([rank, tokens])
    store.knowledge.record_principles([{**rank, "status": "revoked"}])
    assert store.knowledge.principles() == [{**rank, "status": "revoked"}, tokens]


def test_the_last_report_is_what_the_next_is_compared_with(store: Store, tmp_path: Path) -> None:
    assert store.knowledge.last_report() is None
    store.knowledge.record_report(tmp_path / "first.html", {"n_runs": 8})
    store.knowledge.record_report(
        tmp_path / "second.html", {"n_runs": 9}, [Message("weekly_report", "week 47", "Two parameters matter", "…")]
    )
    last = store.knowledge.last_report()
    assert last is not None
    assert (last.page, last.document) == (tmp_path / "second.html", {"n_runs": 9})
