"""What the evidence states becomes a principle, later runs confirm it, and nothing else does."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.embedded.history import HISTORY
from pixel_lora_pipeline.learn.principle import EXPERIMENT_ODDS, Principle
from pixel_lora_pipeline.learn.principles import update_principles
from pixel_lora_pipeline_tests.learn.principle_histories import (
    LATER,
    NOW,
    RANK,
    ROADMAP_METRICS,
    ROADMAP_PARAMETERS,
    STATED_BY,
    hair_over_epochs,
    rank_runs,
    roadmap_runs,
    updated,
)


def roadmap_principles(known: list[Principle], n: int) -> list[Principle]:
    past = [*HISTORY, *LATER][:n]
    return updated(
        known,
        roadmap_runs(past),
        ROADMAP_PARAMETERS,
        *ROADMAP_METRICS,
        now=NOW + timedelta(days=n),
        trajectories=hair_over_epochs(past),
    )


def about(principles: list[Principle], *parameters: str, metric: str = "quality") -> Principle:
    [found] = [
        each
        for each in principles
        if set(each.parameters) == set(parameters) and each.metric == metric and each.status != "revoked"
    ]
    return found


def more(runs: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([runs, *others], ignore_index=True)


def test_the_roadmaps_examples_come_out_of_its_history_and_two_later_runs() -> None:
    stated = roadmap_principles([], len(HISTORY))
    assert {each.status for each in stated} == {"proposed"}
    held = {each.statement: each for each in roadmap_principles(stated, len(HISTORY) + 2)}
    rank = held["network_dim ≤ 32 raises pixel_art_purity"]
    assert rank.form == "threshold"
    assert rank.effect == pytest.approx(57, abs=6)
    assert rank.effect_low is not None
    assert rank.effect_low > 0
    assert rank.confirming_runs == ("later_1", "later_2")
    assert rank.status == "hard", "later_2 is history_1 with a higher rank: it broke the principle, and paid"
    assert rank.breaking_runs == ("later_2",)
    assert held["keep_tokens ≥ 3 raises background_accuracy"].status == "soft"
    hair = held["two_toned_hair resolves by epoch 5 in 90% of runs"]
    assert hair.status == "soft"
    assert hair.confirming_runs == ("later_1", "later_2")
    assert len(hair.evidence_runs) == 10


def test_a_product_comes_out_as_a_threshold_of_the_product() -> None:
    random = np.random.default_rng(3)
    n = 36
    runs = pd.DataFrame(
        {
            "run_name": [f"run_{at}" for at in range(n)],
            "network_dim": random.choice([8, 16, 32, 64], n),
            "network_alpha": random.choice([4, 8, 16, 32], n),
            "flip_aug": random.random(n) < 0.5,
        }
    )
    runs["quality"] = 80.0 - 20.0 * (runs["network_dim"] * runs["network_alpha"] > 512) + random.normal(0, 1, n)
    parameters = ["network_dim", "network_alpha", "flip_aug"]
    stated = about(updated([], runs[:24], parameters, "quality"), "network_dim", "network_alpha")
    assert stated.form == "product"
    assert stated.statement == "network_dim × network_alpha ≤ 512 raises quality"
    assert stated.holds_for({"network_dim": 64, "network_alpha": 8}) is True
    assert stated.holds_for({"network_dim": "64", "network_alpha": 32.0}) is False
    held = about(updated([stated], runs, parameters, "quality"), "network_dim", "network_alpha")
    assert held.status in ("soft", "hard")
    assert set(held.confirming_runs) <= set(runs["run_name"][24:])


def test_a_name_that_spoils_is_excluded() -> None:
    random = np.random.default_rng(5)
    runs = pd.DataFrame({"run_name": [f"run_{at}" for at in range(18)], "steps": random.choice([1, 2, 3], 18)})
    runs["optimizer_type"] = random.choice(["AdamW", "Lion", "Prodigy"], 18)
    runs["quality"] = 70.0 - 20 * (runs["optimizer_type"] == "Lion") + random.normal(0, 1, 18)
    optimizer = about(updated([], runs, ["optimizer_type", "steps"], "quality"), "optimizer_type")
    assert optimizer.statement == "optimizer_type ≠ Lion raises quality"
    assert optimizer.form == "level"
    assert optimizer.holds_for({"optimizer_type": "AdamW"}) is True
    assert optimizer.holds_for({"optimizer_type": "Lion"}) is False
    assert optimizer.holds_for({"optimizer_type": "CAME"}) is None, "nobody tried it"


def test_a_metric_that_should_be_low_is_read_the_other_way() -> None:
    runs = roadmap_runs(HISTORY)
    stated = updated([], runs, ROADMAP_PARAMETERS, "photorealism_score", lower_is_better=["photorealism_score"])
    [rank] = stated
    assert rank.statement == "network_dim ≤ 32 lowers photorealism_score"
    assert rank.effect == pytest.approx(57, abs=6), "better is positive"
    held = updated(
        stated,
        roadmap_runs([*HISTORY, *LATER]),
        ROADMAP_PARAMETERS,
        "photorealism_score",
        lower_is_better=["photorealism_score"],
    )
    assert held[0].confirming_runs == ("later_1", "later_2")


def test_what_always_changed_together_is_never_stated() -> None:
    parameters = [*ROADMAP_PARAMETERS, "network_alpha"]
    known: list[Principle] = []
    for n in range(len(HISTORY), len(HISTORY) + 3):
        known = updated(known, roadmap_runs([*HISTORY, *LATER][:n]), parameters, *ROADMAP_METRICS)
        assert all("network_dim" not in each.parameters for each in known)
    assert [each.statement for each in known] == ["keep_tokens ≥ 3 raises background_accuracy"]


def test_a_principle_whose_parameter_turns_out_to_have_an_alias_is_not_relied_upon() -> None:
    """Somebody fills in what the runs' alpha was: it always was half of the rank."""
    soft = updated(
        updated([], STATED_BY, RANK, "quality"), more(STATED_BY, rank_runs([16, 32], first=10)), RANK, "quality"
    )
    assert soft[0].status == "soft"
    runs = more(STATED_BY, rank_runs([16, 32], first=10))
    runs["network_alpha"] = runs["network_dim"] / 2
    [demoted] = updated(soft, runs, [*RANK, "network_alpha"], "quality")
    assert demoted.status == "proposed"
    assert demoted.aliases == ("network_alpha",)
    assert "network_alpha" in demoted.reason
    assert any("network_alpha" in lacking for lacking in demoted.lacks())


def test_two_runs_of_different_configurations_confirm() -> None:
    stated = updated([], STATED_BY, RANK, "quality")
    assert [each.status for each in stated] == ["proposed"]
    assert stated[0].lacks() == ("2 more confirming runs",)
    once = more(STATED_BY, rank_runs([32], first=10))
    [one] = updated(stated, once, RANK, "quality")
    assert (one.status, one.confirming_runs) == ("proposed", ("run_10",))
    repeated = more(once, once.tail(1).assign(run_name="run_11"))
    [same] = updated([one], repeated, RANK, "quality")
    assert (same.status, same.confirming_runs) == ("proposed", ("run_10",)), "the same once more is no news"
    [two] = updated([same], more(repeated, rank_runs([64], first=12)), RANK, "quality")
    assert (two.status, two.confirming_runs) == ("soft", ("run_10", "run_12"))


def test_runs_known_when_it_was_stated_do_not_confirm_it() -> None:
    runs = more(STATED_BY, rank_runs([16, 32, 64, 16], first=10))
    [stated] = updated([], runs, RANK, "quality")
    assert (stated.status, stated.confirming_runs) == ("proposed", ())
    assert stated.known_runs == tuple(runs["run_name"])


def test_older_runs_that_are_found_later_do_not_confirm() -> None:
    days = pd.date_range("2025-01-01", periods=14, freq="D", tz="UTC")
    runs = more(STATED_BY, rank_runs([16, 32, 64, 16], first=10))
    runs["run_date"] = [*days[4:], *days[:4]]
    stated = updated([], runs[:10], RANK, "quality")
    [backfilled] = updated(stated, runs, RANK, "quality")
    assert backfilled.confirming_runs == ()
    runs["run_date"] = days
    assert len(updated(stated, runs, RANK, "quality")[0].confirming_runs) >= 2, "the same runs, but later ones"


def test_a_broken_principle_that_costs_what_it_says_gets_hard() -> None:
    soft = updated(
        updated([], STATED_BY, RANK, "quality"), more(STATED_BY, rank_runs([16, 32], first=10)), RANK, "quality"
    )
    runs = more(STATED_BY, rank_runs([16, 32], first=10))
    assert [each.status for each in soft] == ["soft"]
    best = runs.loc[runs["quality"].idxmax()]
    broken = pd.DataFrame([{**best, "run_name": "broken", "network_dim": 64, "quality": best["quality"] - 19.5}])
    [hard] = updated(soft, more(runs, broken), RANK, "quality")
    assert hard.status == "hard"
    assert hard.breaking_runs == ("broken",)
    assert hard.experiment_odds >= EXPERIMENT_ODDS
    assert hard.approved_by is None
    assert "broken" in hard.reason


def test_a_broken_principle_that_costs_nothing_is_revoked() -> None:
    runs = more(STATED_BY, rank_runs([16, 32], first=10))
    soft = updated(updated([], STATED_BY, RANK, "quality"), runs, RANK, "quality")
    best = runs.loc[runs["quality"].idxmax()]
    broken = pd.DataFrame([{**best, "run_name": "broken", "network_dim": 64, "quality": best["quality"]}])
    revoked = updated(soft, more(runs, broken), RANK, "quality")[0]
    assert revoked.status == "revoked"
    assert revoked.refuting_runs == ("broken",)
    assert [change.status for change in revoked.changes] == ["proposed", "soft", "revoked"]


def test_counter_examples_end_a_principle_for_good() -> None:
    runs = more(STATED_BY, rank_runs([16, 32], first=10))
    known = updated(updated([], STATED_BY, RANK, "quality"), runs, RANK, "quality")
    statuses = [known[0].status]
    for at in range(4):
        # Like no run before in all the rest, so that it is no experiment.
        good = rank_runs([64], first=20 + at, drop=0.0).assign(num_repeats=12 + 5 * at, flip_aug=at % 2 == 0)
        runs = more(runs, good)
        known = updated(known, runs, RANK, "quality")
        statuses.append(known[0].status)
    assert statuses == ["soft", "soft", "revoked", "revoked", "revoked"]
    assert known[0].counter_examples == ("run_20", "run_21")
    assert [change.status for change in known[0].changes] == ["proposed", "soft", "revoked"]
    assert [str(each.condition) for each in known[1:]] == ["network_dim ≤ 64"], "what the runs say by now"


def test_the_same_data_once_more_change_nothing() -> None:
    known: list[Principle] = []
    for n in range(len(HISTORY), len(HISTORY) + 3):
        known = roadmap_principles(known, n)
        again = roadmap_principles(known, n)
        assert again == known
    assert len({each.id for each in known}) == len(known)


def test_a_rule_is_the_same_rule_wherever_it_is_stated() -> None:
    [here] = updated([], STATED_BY, RANK, "quality")
    [there] = updated([], STATED_BY.assign(run_name=[f"other_{at}" for at in range(10)]), RANK, "quality")
    assert here.id == there.id
    assert here.known_runs != there.known_runs


def test_the_order_of_rows_does_not_matter_if_the_runs_are_dated() -> None:
    runs = more(STATED_BY, rank_runs([16, 32], first=10))
    runs["run_date"] = pd.date_range("2025-01-01", periods=12, freq="D")
    stated = updated([], runs[:10], RANK, "quality")
    mixed = runs.sample(frac=1, random_state=0)
    assert updated(stated, mixed, RANK, "quality") == updated(stated, runs, RANK, "quality")


def test_principles_of_other_metrics_stay_as_they_are() -> None:
    known = updated([], STATED_BY, RANK, "quality")
    runs = STATED_BY.assign(other=1.0)
    assert updated(known, runs, RANK, "other") == known
    assert update_principles(known, {}, runs, NOW) == known


def test_a_parameter_that_was_not_judged_leaves_its_principle_as_it_is() -> None:
    known = updated([], STATED_BY, RANK, "quality")
    assert updated(known, STATED_BY, ["num_repeats"], "quality") == known


def test_a_revoked_principle_may_be_stated_again_and_starts_from_nothing() -> None:
    [stated] = updated([], STATED_BY, RANK, "quality")
    ended = stated.changed("revoked", "its probability fell to 0.20", NOW, 10)
    assert updated([ended], STATED_BY, RANK, "quality") == [ended], "no new run, no new statement"
    runs = more(STATED_BY, rank_runs([16, 64], first=10))
    [again] = updated([ended], runs, RANK, "quality")
    assert [change.status for change in again.changes] == ["proposed", "revoked", "proposed"]
    assert again.first_stated_at == stated.first_stated_at
    assert again.confirming_runs == ()
    assert set(again.known_runs) == set(runs["run_name"])


def test_what_is_only_proposed_gives_way_to_what_the_runs_say_now() -> None:
    """At first the rank of 32 was not tried, and 24 seemed to be the end."""
    first = rank_runs([8, 16, 64, 128, 8, 16, 64, 128, 64, 16], spoilt_above=48)
    [stated] = updated([], first, RANK, "quality")
    assert str(stated.condition) == "network_dim ≤ 16"
    between = rank_runs([32, 48, 32, 48], first=10, spoilt_above=48)
    [same] = updated([stated], more(first, between), RANK, "quality")
    assert same.id == stated.id, "between what was good and what was bad, it says nothing"
    assert same.holds_for({"network_dim": 32}) is None
    assert same.confirming_runs == ()


def test_a_metric_that_no_run_has_states_nothing() -> None:
    assert updated([], STATED_BY.assign(other=np.nan), RANK, "other") == []


def test_a_rule_is_read_from_what_is_stored_with_the_principle() -> None:
    """A principle that was stored with a stricter rule is judged by that."""
    [stated] = updated([], STATED_BY, RANK, "quality")
    strict = replace(stated, revocation=replace(stated.revocation, revoke_below=1.1))
    [ended] = updated([strict], STATED_BY, RANK, "quality")
    assert ended.status == "revoked"
    assert "probability" in ended.reason


def test_a_broken_run_may_be_repeated_until_it_is_sure() -> None:
    """With an effect of three times the noise, one run cannot tell; its repetition with another seed is news."""
    runs = rank_runs([16, 32, 64, 128, 32, 16, 64, 128, 32, 64] * 2, noise=3.0, drop=9.0)
    known = updated([], runs, RANK, "quality")
    best = runs.loc[runs["quality"].idxmax()]
    odds = []
    for at in range(3):
        broken = {**best, "run_name": f"broken_{at}", "network_dim": 64, "quality": 73.0}
        runs = more(runs, pd.DataFrame([broken]))
        known = updated(known, runs, RANK, "quality")
        odds.append(about(known, "network_dim").experiment_odds)
    assert 1 < odds[0] < odds[1] < odds[2]
    assert about(known, "network_dim").confirming_runs == ("broken_0",), "but one configuration confirms once"
