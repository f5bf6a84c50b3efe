"""An issue that most runs lose by an epoch is a principle, confirmed by later runs that lose it too."""

from collections.abc import Sequence

import pandas as pd
import pytest

from pixel_lora_pipeline.learn.principle import Principle
from pixel_lora_pipeline.learn.principles import update_principles
from pixel_lora_pipeline_tests.learn.principle_histories import NOW


def looks(run: str, present: Sequence[bool | None], issue: str = "two_toned_hair") -> pd.DataFrame:
    """One a letter of the epochs from 1 on."""
    return pd.DataFrame(
        {"run_name": run, "epoch": range(1, len(present) + 1), "issue": issue, "present": list(present)}
    )


def gone_at(run: str, epoch: int, of: int = 8) -> pd.DataFrame:
    return looks(run, [at < epoch for at in range(1, of + 1)])


def update(known: Sequence[Principle], *courses: pd.DataFrame) -> list[Principle]:
    trajectories = pd.concat(courses, ignore_index=True)
    runs = pd.DataFrame({"run_name": trajectories["run_name"].unique()})
    return update_principles(known, {}, runs, NOW, trajectories=trajectories)


SEVEN = [gone_at(f"run_{at}", 5) for at in range(7)]


def test_an_issue_that_most_runs_lose_is_stated_with_its_share() -> None:
    [hair] = update([], *SEVEN, gone_at("slow", 7))
    assert hair.statement == "two_toned_hair resolves by epoch 5 in 88% of runs"
    assert (hair.form, hair.metric, hair.condition) == ("trajectory", "two_toned_hair", None)
    assert hair.resolution is not None
    assert hair.resolution.by_epoch == 5
    assert hair.effect == pytest.approx(7 / 8)
    assert hair.effect_low is not None
    assert hair.effect_high is not None
    assert 0.4 < hair.effect_low < hair.effect < hair.effect_high < 1
    assert hair.holds_for({"network_dim": 32}) is None


def test_few_runs_state_nothing() -> None:
    assert update([], *SEVEN[:3]) == []


def test_an_issue_that_usually_stays_is_not_said_to_resolve() -> None:
    staying = [looks(f"stays_{at}", [True] * 8) for at in range(7)]
    assert update([], *SEVEN, *staying) == []


def test_an_issue_that_comes_back_was_not_resolved() -> None:
    back = [looks(f"back_{at}", [True, True, False, False, True, False, False, False]) for at in range(5)]
    [hair] = update([], *back)
    assert hair.resolution is not None
    assert hair.resolution.by_epoch == 6


def test_later_runs_confirm_or_contradict_it() -> None:
    stated = update([], *SEVEN)
    [one] = update(stated, *SEVEN, gone_at("later_1", 4))
    assert (one.status, one.confirming_runs) == ("proposed", ("later_1",))
    [two] = update([one], *SEVEN, gone_at("later_1", 4), gone_at("later_2", 5))
    assert (two.status, two.confirming_runs) == ("soft", ("later_1", "later_2"))
    late = [gone_at(f"late_{at}", 8) for at in range(2)]
    ended = update([two], *SEVEN, gone_at("later_1", 4), gone_at("later_2", 5), *late)[0]
    assert ended.counter_examples == ("late_0", "late_1")
    assert ended.status == "revoked"
    assert [change.status for change in ended.changes] == ["proposed", "soft", "revoked"]


def test_a_run_that_was_not_watched_so_long_says_nothing() -> None:
    stated = update([], *SEVEN)
    [same] = update(stated, *SEVEN, looks("short", [True, True, True]), looks("never", [False] * 8))
    assert same.confirming_runs == same.counter_examples == ()
    assert "short" not in same.evidence_runs


def test_epochs_that_could_not_be_judged_are_passed_over() -> None:
    unknown = looks("unknown", [True, None, None, True, None, False, False, False])
    [hair] = update([], *SEVEN, unknown)
    assert hair.effect == pytest.approx(7 / 8)


def test_every_issue_is_judged_by_itself() -> None:
    crown = [looks(f"run_{at}", [True, True, False, False], "missing_accessory") for at in range(5)]
    both = update([], *SEVEN, *crown)
    assert {each.metric for each in both} == {"two_toned_hair", "missing_accessory"}
    assert update(both, *SEVEN, *crown) == both


def test_odd_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="trajectories has no column present"):
        update([], SEVEN[0].drop(columns="present"))
    with pytest.raises(ValueError, match="an epoch of trajectories is not a number"):
        update([], SEVEN[0].assign(epoch="five"))
    with pytest.raises(ValueError, match="trajectories is about run_0, which runs does not have"):
        update_principles([], {}, pd.DataFrame({"run_name": ["other"]}), NOW, trajectories=SEVEN[0])
