"""Diagnoses name what is to blame, as surely as the runs allow, with the runs that say so."""

import json

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.analyze.issues import Issue, Observation
from pixel_lora_pipeline.learn import assess_parameters, diagnose
from pixel_lora_pipeline_tests.learn.histories import PARAMETERS, independent_history
from pixel_lora_pipeline_tests.learn.past_runs import past_runs, trajectories

RUNS = past_runs()


def failed(runs: pd.DataFrame, metric: str = "quality") -> pd.Series:
    return runs.loc[runs[metric].idxmin()]


# The roadmap's three examples -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["history_6", "history_7", "history_8"])
def test_a_high_rank_is_blamed_for_photorealism(run: str) -> None:
    row = RUNS[RUNS["run_name"] == run].iloc[0]
    first = diagnose("photorealism", row, RUNS)[0]
    assert first.parameter == "network_dim"
    assert first.confidence > 0.9
    assert first.change is not None
    assert (first.change.before, first.change.after) == (row["network_dim"], 32)
    assert first.recommendation == f"Reduce network_dim from {row['network_dim']} to 32."
    assert "too high for pixel art" in first.cause
    low, high = first.evidence.sides
    assert low.kept == ("history_1", "history_2", "history_3", "history_4", "history_5")
    assert high.failed == ("history_6", "history_7", "history_8")
    assert (low.failed, high.kept) == ((), ())
    assert str(first.evidence).startswith("5 of 5 runs with network_dim = 32 kept")
    assert "3 of 3 with network_dim ≥ 64 did not" in str(first.evidence)


@pytest.mark.parametrize("run", ["history_3", "history_4", "history_5", "history_7", "history_8"])
def test_one_kept_token_is_blamed_for_a_wrong_background(run: str) -> None:
    first = diagnose("wrong_background", RUNS[RUNS["run_name"] == run].iloc[0], RUNS)[0]
    assert first.parameter == "keep_tokens"
    assert first.confidence > 0.85
    assert first.recommendation == "Increase keep_tokens from 1 to 3."
    assert "insufficient for colour words" in first.cause
    assert str(first.evidence).startswith("3 of 3 runs with keep_tokens = 3 kept")


def test_two_toned_hair_early_on_is_said_to_be_normal() -> None:
    run = RUNS.iloc[4]
    first = diagnose({"issue": "two_toned_hair", "epoch": 3}, run, RUNS, trajectories=trajectories())[0]
    assert (first.kind, first.parameter) == ("progress", None)
    assert first.confidence > 0.7
    assert first.recommendation.startswith("Continue training to epoch 5–7")
    assert "7 of 7 past runs" in str(first.evidence)
    [side] = first.evidence.sides
    assert run["run_name"] not in side.kept


def test_two_toned_hair_late_is_not_said_to_be_normal() -> None:
    found = diagnose({"issue": "two_toned_hair", "epoch": 9}, RUNS.iloc[4], RUNS, trajectories=trajectories())
    assert [each for each in found if each.kind == "progress"] == []


def test_a_parameter_that_is_to_blame_makes_waiting_useless() -> None:
    gone = {"history_1": 3, "history_2": 4, "history_3": 3, "history_4": 4, "history_5": 3}
    followed = pd.DataFrame(
        {"run_name": name, "epoch": epoch, "issue": "photorealism", "present": epoch < gone.get(name, 99)}
        for name in RUNS["run_name"]
        for epoch in range(1, 11)
    )
    issue = {"issue": "photorealism", "epoch": 2}
    of_64, of_32 = (
        {each.kind: each for each in diagnose(issue, RUNS.iloc[at], RUNS, trajectories=followed)} for at in (6, 0)
    )
    assert of_64["parameter"].parameter == "network_dim"
    assert of_64["progress"].confidence < 0.3 < of_32["progress"].confidence


# Evidence, rules, and what cannot be told -----------------------------------------------------------------------------


def test_the_cause_is_found_whether_or_not_the_failed_run_is_in_the_history() -> None:
    runs = independent_history(15, seed=3)
    run = failed(runs)
    without = runs.drop(index=run.name)
    for history, asked in ((runs, run), (without, run), (without, run.to_dict()), (without, run[PARAMETERS].to_dict())):
        first = diagnose("quality", asked, history)[0]
        assert first.parameter == "network_dim", history.shape
        assert first.confidence > 0.7


def test_names_of_parameters_and_metrics_do_not_matter() -> None:
    runs = independent_history(20, seed=5)
    renamed = runs.rename(columns={name: f"p{at}" for at, name in enumerate(PARAMETERS)} | {"quality": "m"})
    evidence = assess_parameters(renamed, [f"p{at}" for at in range(len(PARAMETERS))], "m", prior={})
    first = diagnose("m", failed(renamed, "m"), renamed, evidence)[0]
    assert first.parameter == "p0"
    assert first.source is None


def test_a_good_value_of_a_parameter_that_acts_is_not_blamed() -> None:
    runs = independent_history(24, seed=7)
    good = runs[(runs["network_dim"] <= 32) & (runs["keep_tokens"] == 0)].iloc[0]
    found = diagnose("quality", good, runs)
    assert found[0].parameter == "keep_tokens"
    assert "network_dim" not in [each.parameter for each in found]


def test_aliases_are_named_together_with_the_experiment_that_tells_them_apart() -> None:
    runs = independent_history(20, seed=9)
    runs["other"] = runs["network_dim"] * 2 + 1
    first = diagnose("quality", failed(runs), runs, parameters=[*PARAMETERS, "other"])[0]
    assert first.parameters == ("network_dim", "other")
    assert "always changed together" in first.cause
    assert "tells them apart" in first.recommendation


def test_rules_alone_speak_where_there_are_no_runs_but_not_surely() -> None:
    found = diagnose("photorealism", {"network_dim": 64, "keep_tokens": 3}, pd.DataFrame())
    blamed = next(each for each in found if each.parameter)
    assert blamed.parameter == "network_dim"
    assert blamed.confidence <= 0.5
    assert "roadmap" in (blamed.source or "")
    assert blamed.change is not None and blamed.change.after == 32


def test_runs_overrule_a_rule() -> None:
    """In these runs a high rank is good, whatever the roadmap says."""
    runs = independent_history(24, seed=11)
    runs["style_score"] = 60 + 25.0 * (runs["network_dim"] > 32) - 20.0 * runs["flip_aug"]
    runs["style_score"] += np.random.default_rng(0).normal(0, 2, len(runs))
    bad = runs[(runs["network_dim"] > 32) & runs["flip_aug"]].iloc[0]
    found = diagnose("photorealism", bad, runs)
    assert found[0].parameter == "flip_aug"
    assert "network_dim" not in [each.parameter for each in found]


def test_a_run_that_is_like_the_others_but_failed_is_called_chance_or_unknown() -> None:
    runs = independent_history(20, seed=13)
    fine = runs[(runs["network_dim"] <= 32) & (runs["keep_tokens"] == 3)].index[0]
    runs.loc[fine, "quality"] = 20.0
    first = diagnose("quality", runs.loc[fine], runs)[0]
    assert first.kind == "chance"
    assert first.parameter is None
    assert "another seed" in first.recommendation


def test_noise_is_seldom_blamed_on_a_parameter() -> None:
    sure = 0
    for seed in range(20):
        runs = independent_history(12, seed=seed)
        runs["quality"] = np.random.default_rng(seed).normal(60, 5, 12)
        first = diagnose("quality", failed(runs), runs, parameters=PARAMETERS)[0]
        sure += first.parameter is not None and first.confidence >= 0.7
    assert sure <= 2, f"{sure} of 20 runs that failed by chance were blamed on a parameter"


def test_a_metric_that_is_better_low_is_understood() -> None:
    runs = independent_history(20, seed=15)
    runs["off_grid_error"] = 5 - runs["quality"] / 20
    first = diagnose("off_grid", runs.loc[runs["off_grid_error"].idxmax()], runs, parameters=PARAMETERS)[0]
    assert first.parameter == "network_dim"
    assert first.change is not None and first.change.after in (16, 32)


def test_a_tracked_issue_is_accepted_and_a_resolved_one_needs_no_diagnosis() -> None:
    def issue(state: str) -> Issue:
        seen = Observation(3, 8, 10, 0.8, (0.5, 0.9), True)
        return Issue("two_toned_hair", "", state, 3, 3, (seen,), {}, 0.5, "", "")  # type: ignore[arg-type]

    assert diagnose(issue("resolved"), RUNS.iloc[0], RUNS) == []
    found = diagnose(issue("persisting"), RUNS.iloc[0], RUNS)
    assert "progress" in [each.kind for each in found]


def test_confidences_are_ranked_share_one_and_come_out_the_same_again() -> None:
    runs = independent_history(10, seed=17)
    found = diagnose("quality", failed(runs), runs)
    confidences = [each.confidence for each in found]
    assert confidences == sorted(confidences, reverse=True)
    assert sum(confidences) <= 1 + 1e-6
    shuffled = runs.sample(frac=1, random_state=0)
    assert [each.to_dict() for each in diagnose("quality", failed(runs), shuffled)] == [it.to_dict() for it in found]


def test_a_diagnosis_is_json() -> None:
    runs = independent_history(9, seed=19)
    for issue, run, history in (
        ("quality", failed(runs), runs),
        ("photorealism", {"network_dim": np.int64(64)}, pd.DataFrame()),
        ({"issue": "two_toned_hair", "epoch": np.int64(3)}, RUNS.iloc[0], RUNS),
    ):
        found = diagnose(issue, run, history)
        text = json.dumps([each.to_dict() for each in found], allow_nan=False)
        assert json.loads(text)[0]["confidence"] == found[0].confidence


def test_a_run_that_went_wrong_among_many_is_called_chance() -> None:
    runs = independent_history(120, seed=21)
    high = runs[(runs["network_dim"] > 32) & (runs["keep_tokens"] == 3)].index[0]
    assert diagnose("quality", runs.loc[high], runs)[0].parameter == "network_dim"
    runs.loc[high, "quality"] = 10.0
    assert diagnose("quality", runs.loc[high], runs)[0].kind == "chance"


def test_a_rule_that_the_runs_contradict_is_not_quoted() -> None:
    """The lower the rank the worse: a rank of 64 is blamed for being too low, not for being too high."""
    runs = independent_history(30, seed=23)
    runs["style_score"] = 20 * np.log2(runs["network_dim"]) - 60 + np.random.default_rng(1).normal(0, 2, 30)
    first = diagnose("photorealism", runs[runs["network_dim"] == 64].iloc[0], runs, parameters=PARAMETERS)[0]
    assert first.parameter == "network_dim"
    assert first.source is None
    assert "too high" not in first.cause
    assert first.recommendation == "Increase network_dim from 64 to 128."
