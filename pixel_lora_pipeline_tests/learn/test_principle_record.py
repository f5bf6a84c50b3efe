"""A principle keeps what it rests on and everything that was decided about it, and can be stored whole."""

import json
from datetime import UTC, datetime

import pandas as pd
import pytest

from pixel_lora_pipeline.embedded.history import HISTORY
from pixel_lora_pipeline.learn.approval import approve, revoke
from pixel_lora_pipeline.learn.condition import Condition, Region
from pixel_lora_pipeline.learn.principle import Principle
from pixel_lora_pipeline.learn.principles import update_principles
from pixel_lora_pipeline_tests.learn.principle_histories import (
    NOW,
    RANK,
    STATED_BY,
    hair_over_epochs,
    rank_runs,
    roadmap_runs,
    updated,
)

RUNS = pd.concat([STATED_BY, rank_runs([16, 32], first=10)], ignore_index=True)


@pytest.fixture(scope="module")
def proposed() -> Principle:
    [stated] = updated([], STATED_BY, RANK, "quality")
    return stated


@pytest.fixture(scope="module")
def soft(proposed: Principle) -> Principle:
    [confirmed] = updated([proposed], RUNS, RANK, "quality")
    assert confirmed.status == "soft"
    return confirmed


def test_every_principle_survives_being_stored(soft: Principle) -> None:
    [hair] = update_principles([], {}, roadmap_runs(HISTORY), NOW, trajectories=hair_over_epochs(HISTORY))
    hard = approve(soft, "Ana", NOW)
    for principle in (soft, hard, hair, revoke(hard, "Ana", NOW, "a new base model")):
        stored = json.dumps(principle.to_dict(), allow_nan=False)
        assert Principle.from_dict(json.loads(stored)) == principle
        assert json.dumps(Principle.from_dict(json.loads(stored)).to_dict()) == stored


def test_what_is_stored_says_what_a_page_shows(soft: Principle) -> None:
    document = soft.to_dict()
    assert document["status"] == "soft"
    assert document["reason"] == soft.reason
    assert document["parameters"] == ["network_dim"]
    assert document["revocation"]["sentence"] == soft.revocation.sentence
    assert document["condition"]["holds"] == {"intervals": [[None, 32.0]], "names": []}


def test_a_person_makes_a_soft_principle_hard_and_the_history_says_who(soft: Principle) -> None:
    hard = approve(soft, "Ana", NOW)
    assert (hard.status, hard.approved_by) == ("hard", "Ana")
    assert hard.changes[:-1] == soft.changes
    assert updated([hard], RUNS, RANK, "quality") == [hard]


def test_a_person_revokes_and_the_runs_do_not_bring_it_back(soft: Principle) -> None:
    revoked = revoke(approve(soft, "Ana", NOW), "Ben", NOW, "a new base model")
    assert (revoked.status, revoked.reason, revoked.approved_by) == ("revoked", "a new base model", None)
    assert [(change.status, change.by) for change in revoked.changes] == [
        ("proposed", None),
        ("soft", None),
        ("hard", "Ana"),
        ("revoked", "Ben"),
    ]
    runs = pd.concat([RUNS, rank_runs([16, 32, 64], first=20)], ignore_index=True)
    assert updated([revoked], runs, RANK, "quality") == [revoked]


def test_only_what_is_soft_can_be_approved(proposed: Principle, soft: Principle) -> None:
    with pytest.raises(ValueError, match=r"is proposed; it lacks 2 more confirming runs.*only a soft principle"):
        approve(proposed, "Ana", NOW)
    with pytest.raises(ValueError, match="is hard: only a soft"):
        approve(approve(soft, "Ana", NOW), "Ana", NOW)
    with pytest.raises(ValueError, match="was revoked already: no longer"):
        revoke(revoke(soft, "Ana", NOW, "no longer"), "Ana", NOW, "again")


def test_a_decision_has_a_person_and_a_time(soft: Principle) -> None:
    with pytest.raises(ValueError, match="nobody is named"):
        approve(soft, "  ", NOW)
    with pytest.raises(ValueError, match="no time zone"):
        approve(soft, "Ana", datetime(2026, 1, 1))  # noqa: DTZ001


def test_a_document_that_is_no_principle_is_refused() -> None:
    with pytest.raises(ValueError, match="has no 'condition'"):
        Principle.from_dict({"id": "abc"})


def test_the_rule_for_its_end_can_be_read_and_run(soft: Principle) -> None:
    assert "0.3" in soft.revocation.sentence
    assert soft.revocation.ends(soft) is None
    assert soft.revocation.weakens(soft) is None


RANK_CONDITION = Condition((("network_dim", 1),), Region(((None, 32.0),)), Region(((64.0, None),)))
RATIO = Condition((("keep_tokens", 1), ("caption_complexity", -1)), Region(((0.25, None),)), Region(((None, 0.2),)))
PEAK = Condition((("num_repeats", 1),), Region(((10.0, 10.0),)), Region(((None, 5.0), (20.0, None))))
FLAG = Condition((("flip_aug", 1),), Region(((None, 0.0),)), Region(((1.0, None),)), "flags")
NAME = Condition((("optimizer_type", 1),), Region(names=("AdamW", "Prodigy")), Region(names=("Lion",)), "names")


@pytest.mark.parametrize(
    ("condition", "parameters", "expected"),
    [
        (RANK_CONDITION, {"network_dim": 32}, True),
        (RANK_CONDITION, {"network_dim": "16"}, True),
        (RANK_CONDITION, {"network_dim": 128.0}, False),
        (RANK_CONDITION, {"network_dim": 48}, None),
        (RANK_CONDITION, {"network_dim": None}, None),
        (RANK_CONDITION, {"network_dim": float("nan")}, None),
        (RANK_CONDITION, {"network_dim": "many"}, None),
        (RANK_CONDITION, {}, None),
        (RATIO, {"keep_tokens": 3, "caption_complexity": 12}, True),
        (RATIO, {"keep_tokens": 1, "caption_complexity": 12}, False),
        (RATIO, {"keep_tokens": 1, "caption_complexity": 0}, None),
        (RATIO, {"keep_tokens": 1}, None),
        (PEAK, {"num_repeats": 10}, True),
        (PEAK, {"num_repeats": 4}, False),
        (PEAK, {"num_repeats": 15}, None),
        (FLAG, {"flip_aug": False}, True),
        (FLAG, {"flip_aug": "True"}, False),
        (NAME, {"optimizer_type": " AdamW "}, True),
        (NAME, {"optimizer_type": "Lion"}, False),
        (NAME, {"optimizer_type": "CAME"}, None),
    ],
)
def test_a_configuration_keeps_to_it_or_not_or_nobody_knows(
    condition: Condition, parameters: dict[str, object], expected: bool | None
) -> None:
    assert condition.holds_for(parameters) is expected
    assert Condition.from_dict(json.loads(json.dumps(condition.to_dict()))) == condition


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (RANK_CONDITION, "network_dim ≤ 32"),
        (RATIO, "keep_tokens / caption_complexity ≥ 0.25"),
        (PEAK, "num_repeats near 10"),
        (FLAG, "flip_aug = False"),
        (NAME, "optimizer_type ≠ Lion"),
    ],
)
def test_a_condition_reads_as_people_write_it(condition: Condition, text: str) -> None:
    assert str(condition) == text


def test_times_keep_their_zone(soft: Principle) -> None:
    assert Principle.from_dict(soft.to_dict()).first_stated_at == soft.first_stated_at
    assert soft.first_stated_at.tzinfo is UTC
