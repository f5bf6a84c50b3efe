"""What a prediction promises to whoever is about to spend money on a run."""

import json
import math

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.improve import Prediction, predict_trial_outcome
from pixel_lora_pipeline.improve.outcome_models import MEAN
from pixel_lora_pipeline_tests.learn.histories import independent_history


def failing_ranks() -> pd.DataFrame:
    """The roadmap's case: every run with a rank of 64 failed, whatever else was set."""
    return pd.DataFrame(
        {
            "run_name": [f"run_{at}" for at in range(8)],
            "network_dim": [32, 32, 64, 32, 64, 32, 64, 32],
            "learning_rate": [1e-4, 2e-4, 1e-4, 5e-5, 2e-4, 1e-4, 5e-5, 1e-4],
            "keep_tokens": [1, 2, 3, 1, 1, 3, 3, 3],
            "quality_score": [8.1, 7.6, 4.1, 8.3, 3.9, 8.0, 4.5, 8.4],
        }
    )


def random_proposals(n: int, seed: int) -> pd.DataFrame:
    return independent_history(n, seed)


def noise_alone(n: int, seed: int) -> pd.DataFrame:
    runs = independent_history(n, seed)
    runs["quality"] = np.random.default_rng([seed, n]).normal(70, 5, n)
    return runs


def test_what_always_failed_is_skipped_with_what_to_do_instead() -> None:
    found = predict_trial_outcome({"network_dim": 64, "learning_rate": 1e-4}, failing_ranks())
    assert found.recommendation == "SKIP"
    assert found.advice == "SKIP - reduce network_dim to 32"
    assert found.risk == "HIGH"
    assert found.predicted == pytest.approx(4.2, abs=0.5), found.predicted
    low, high = found.interval
    assert low < found.predicted < high < 7.5, found.interval
    assert "3 of 3 runs with network_dim = 64" in found.reason, found.reason
    assert all(f"run_{at}" in found.reason for at in (2, 4, 6)), found.reason


def test_what_always_worked_is_run() -> None:
    found = predict_trial_outcome({"network_dim": 32, "learning_rate": 1e-4}, failing_ranks())
    assert (found.recommendation, found.advice, found.risk) == ("RUN", "RUN", "LOW")
    assert found.predicted == pytest.approx(8.1, abs=0.4), found.predicted


def test_what_acts_is_learnt_and_what_does_not_is_left_aside() -> None:
    history = independent_history(24, seed=3)
    ahead = random_proposals(40, seed=4)
    parameters = [name for name in history if name not in ("run_name", "quality")]
    errors, of_mean = [], []
    for row in ahead.to_dict("records"):
        found = predict_trial_outcome({name: row[name] for name in parameters}, history, "quality")
        errors.append(abs(found.predicted - row["quality"]))
        of_mean.append(abs(history["quality"].mean() - row["quality"]))
    gain = 1 - np.mean(errors) / np.mean(of_mean)
    assert gain > 0.5, f"the error is only {gain:.0%} below the mean's"
    assert found.skill > 0.4


def test_nine_of_ten_runs_lie_in_their_interval() -> None:
    inside, widths = [], []
    for seed in range(12):
        runs = independent_history(18, seed)
        for row in runs.iloc[14:].to_dict("records"):
            proposal = {name: value for name, value in row.items() if name not in ("run_name", "quality")}
            low, high = predict_trial_outcome(proposal, runs.iloc[:14], "quality").interval
            inside.append(low <= row["quality"] <= high)
            widths.append(high - low)
    assert 0.8 <= np.mean(inside) <= 1.0, f"{np.mean(inside):.2f} of {len(inside)}"
    assert np.median(widths) < 2 * np.ptp(runs["quality"])


def test_where_nothing_acts_the_skill_is_not_made_up() -> None:
    found = [predict_trial_outcome({"network_dim": 64}, noise_alone(15, seed), "quality") for seed in range(20)]
    skills = [each.skill for each in found]
    assert np.mean(skills) < 0.1, f"stated skill {np.mean(skills):.2f} of nothing"
    assert sum(each.model == MEAN for each in found) >= 8
    assert sum(each.recommendation == "SKIP" for each in found) == 0
    by_mean = next(each for each in found if each.model == MEAN)
    assert by_mean.skill == 0
    assert "mean of 15 runs" in by_mean.reason


def test_a_stated_interval_is_wider_at_a_higher_level() -> None:
    narrow, usual, wide = (
        predict_trial_outcome({"network_dim": 32}, failing_ranks(), level=level) for level in (0.5, 0.9, 0.99)
    )
    widths = [each.interval[1] - each.interval[0] for each in (narrow, usual, wide)]
    assert widths == sorted(widths) and len(set(widths)) == 3, widths
    assert narrow.predicted == usual.predicted == wide.predicted


def test_beyond_what_was_tried_it_is_less_sure_and_says_so() -> None:
    history = failing_ranks().assign(conv_dim=0)
    known = predict_trial_outcome({"network_dim": 32, "conv_dim": 0}, history)
    beyond = predict_trial_outcome({"network_dim": 32, "conv_dim": 8}, history)
    assert known.beyond == ()
    assert beyond.beyond == ("conv_dim = 8 (always 0 so far)",)
    assert "conv_dim = 8 (always 0 so far)" in beyond.reason
    assert beyond.risk > known.risk or (known.risk, beyond.risk) == ("LOW", "MEDIUM")
    width = [each.interval[1] - each.interval[0] for each in (known, beyond)]
    assert width[1] > width[0], width
    farther = predict_trial_outcome({"network_dim": 4096, "optimizer_type": "Lion"}, history)
    assert farther.beyond[0] == "network_dim = 4096 (tried: 32 to 64)"
    assert "optimizer_type = Lion (not recorded of any run)" in farther.beyond
    assert math.isfinite(farther.predicted)


@pytest.mark.parametrize("n", range(9))
def test_any_number_of_runs_gives_an_answer(n: int) -> None:
    found = predict_trial_outcome({"network_dim": 32, "keep_tokens": 1}, failing_ranks().iloc[:n])
    assert found.n_runs == n
    assert found.recommendation in ("RUN", "SKIP")
    assert math.isfinite(found.predicted) == (n > 0)
    assert math.isinf(found.interval[1]) == (n < 2)
    assert found.skill <= 1
    if n < 3:
        assert found.recommendation == "RUN", "advised against a run without evidence"
    json.dumps(found.to_dict(), allow_nan=False)


def test_replicates_are_one_configuration_and_held_out_together() -> None:
    history = noise_alone(6, seed=1)
    # Each configuration has a quality of its own that no parameter explains, seen five times.
    repeated = pd.concat([history.assign(seed=seed) for seed in range(5)], ignore_index=True)
    repeated["run_name"] = [f"repeat_{at}" for at in range(len(repeated))]
    repeated["quality"] += np.random.default_rng(0).normal(0, 0.1, len(repeated))
    found = predict_trial_outcome({"network_dim": 64, "seed": 7}, repeated, "quality")
    assert (found.n_runs, found.n_configurations) == (30, 6)
    assert found.skill < 0.7, "a configuration was predicted from its own replicates"
    assert not any("seed" in text for text in (*found.beyond, found.reason))


def test_a_metric_of_which_less_is_better_is_judged_the_other_way_round() -> None:
    history = failing_ranks()
    history["two_toned"] = 10 - history["quality_score"]
    history = history.drop(columns="quality_score")
    found = predict_trial_outcome({"network_dim": 64}, history, "two_toned", lower_is_better=True)
    assert found.advice == "SKIP - reduce network_dim to 32"
    assert found.risk == "HIGH"
    assert predict_trial_outcome({"network_dim": 32}, history, "two_toned", lower_is_better=True).risk == "LOW"


def test_the_order_of_runs_and_columns_does_not_matter() -> None:
    history = independent_history(14, seed=8)
    shuffled = history.sample(frac=1, random_state=1)[list(reversed(history.columns))]
    proposal = {"network_dim": 32, "keep_tokens": 3, "optimizer_type": "Lion"}
    first, second = (predict_trial_outcome(proposal, runs, "quality") for runs in (history, shuffled))
    assert first.predicted == pytest.approx(second.predicted)
    assert (first.model, first.recommendation, first.reason) == (second.model, second.recommendation, second.reason)


def test_the_scale_of_the_metric_does_not_matter() -> None:
    points = failing_ranks()
    hundredth = points.assign(quality_score=points["quality_score"] / 100 + 3)
    one, other = (predict_trial_outcome({"network_dim": 64}, runs) for runs in (points, hundredth))
    assert other.predicted == pytest.approx(one.predicted / 100 + 3)
    assert (one.model, one.risk, one.advice) == (other.model, other.risk, other.advice)
    assert other.skill == pytest.approx(one.skill)


def test_results_in_the_table_are_not_taken_for_causes() -> None:
    history = failing_ranks()
    told = history.assign(
        color_accuracy=history["quality_score"] * 10,
        best_epoch=range(8),
        run_date=pd.date_range("2025-06-01", periods=8),
    )
    proposal = {"network_dim": 64, "learning_rate": 1e-4}
    alone, beside = (predict_trial_outcome(proposal, runs) for runs in (history, told))
    assert beside.predicted == pytest.approx(alone.predicted)
    assert beside.nearest == alone.nearest


def test_a_table_of_unknown_parameters_is_understood() -> None:
    history = failing_ranks().rename(columns={"network_dim": "width", "learning_rate": "pace", "keep_tokens": "kept"})
    found = predict_trial_outcome({"width": 64}, history)
    assert found.recommendation == "SKIP"
    unnamed: Prediction = predict_trial_outcome({}, history)
    assert unnamed.n_configurations == 7, "the columns were not taken for parameters"
    assert 3.9 < unnamed.predicted < 8.4


def test_cells_of_every_kind() -> None:
    runs = independent_history(16, seed=1)
    random = np.random.default_rng(1)
    strange = {
        "texts_that_are_numbers": random.choice(["32", "64", "1e-4"], 16),
        "texts_that_are_booleans": random.choice(["True", "False"], 16),
        "numbers_and_words": random.choice(np.array([5, "None", None], dtype=object), 16),
        "lists": [[512, 512] if at % 2 else [768, 768] for at in range(16)],
        "dates": pd.date_range("2025-01-01", periods=16),
        "infinite": np.where(random.random(16) < 0.3, np.inf, random.choice([1.0, 2.0], 16)),
        "mostly_empty": [1.0, 2.0, *[np.nan] * 14],
        "empty": [None] * 16,
        "names_of_runs": [f"name_{at}" for at in range(16)],
        "nullable": pd.array([1, 2, None, 4] * 4, dtype="Int64"),
        "constant": 3,
    }
    for name, values in strange.items():
        runs[name] = (
            values if isinstance(values, int) else pd.Series(list(values), dtype=getattr(values, "dtype", object))
        )
    runs.loc[2, "quality"] = np.nan
    runs.loc[3, "quality"] = np.inf
    plain = runs.drop(columns=["run_name", "quality"]).iloc[5].to_dict()
    other = {
        **dict.fromkeys(strange),
        "network_dim": "64",
        "flip_aug": "true",
        "optimizer_type": "never heard of",
        "numbers_and_words": 5,
        "lists": [512, 512],
        "infinite": math.inf,
        "constant": 4,
        "keep_tokens": 10**9,
        "learning_rate": math.nan,
    }
    for proposal in (plain, other):
        found = predict_trial_outcome(proposal, runs, "quality")
        assert found.n_runs == 14
        assert 20 < found.predicted < 110
        json.dumps(found.to_dict(), allow_nan=False)
    assert "optimizer_type = never heard of (tried: AdamW, Lion, Prodigy)" in found.beyond
    assert not any("flip_aug" in text or "infinite" in text or "learning_rate" in text for text in found.beyond)


def test_a_metric_that_never_differed_is_not_claimed_to_be_sure() -> None:
    history = independent_history(12, seed=2).assign(quality=7.0)
    few, many = (predict_trial_outcome({"network_dim": 32}, history.iloc[:n], "quality") for n in (5, 12))
    assert few.predicted == many.predicted == 7.0
    assert few.interval == (-math.inf, math.inf)
    assert many.interval == (7.0, 7.0)
    assert many.recommendation == "RUN"


def test_many_runs_and_parameters_are_bearable() -> None:
    random = np.random.default_rng(0)
    wide = pd.DataFrame({f"p{at}": random.choice([1, 2, 4, 8], 60) for at in range(120)})
    wide["quality_score"] = 70 - 10 * (wide["p4"] > 2) + random.normal(0, 1, 60)
    found = predict_trial_outcome({f"p{at}": 8 for at in range(120)}, wide)
    assert found.skill > 0
    assert found.changes[0].parameter == "p4", found.changes[0]
    long = pd.concat([independent_history(400, seed=5)] * 3, ignore_index=True)
    long["run_name"] = range(len(long))
    assert predict_trial_outcome({"network_dim": 16}, long, "quality").n_runs == 300


def test_what_is_wrong_is_said() -> None:
    history = failing_ranks()
    with pytest.raises(ValueError, match="no column beauty to predict"):
        predict_trial_outcome({"network_dim": 32}, history, "beauty")
    with pytest.raises(ValueError, match="quality_score is what is to be predicted"):
        predict_trial_outcome({"quality_score": 9}, history)
    twice = pd.concat([history, history[["network_dim"]]], axis=1)
    with pytest.raises(ValueError, match="several columns named network_dim"):
        predict_trial_outcome({"network_dim": 32}, twice)
    with pytest.raises(ValueError, match="level is 90"):
        predict_trial_outcome({"network_dim": 32}, history, level=90)
    with pytest.raises(ValueError, match="not a number in every row"):
        predict_trial_outcome({"network_dim": 32}, history.assign(quality_score="good"))


def test_two_configurations_that_were_repeated_are_enough_to_advise_against_one() -> None:
    history = failing_ranks()[["run_name", "network_dim", "quality_score"]].assign(learning_rate=1e-4)
    found = predict_trial_outcome({"network_dim": 64, "learning_rate": 1e-4}, history)
    assert (found.n_runs, found.n_configurations) == (8, 2)
    assert found.model == "repetitions of the run"
    assert found.predicted == pytest.approx(np.mean([4.1, 3.9, 4.5]))
    assert (found.risk, found.advice) == ("HIGH", "SKIP - reduce network_dim to 32")
    assert found.skill > 0.5
    assert found.interval[0] < 3.9 and 4.5 < found.interval[1] < 6


def test_repetitions_that_differ_as_much_as_everything_else_are_no_reason_to_skip() -> None:
    history = failing_ranks().assign(network_dim=32, learning_rate=1e-4, keep_tokens=[1, 1, 2, 2, 1, 1, 2, 2])
    found = predict_trial_outcome({"network_dim": 32, "learning_rate": 1e-4, "keep_tokens": 2}, history)
    assert found.recommendation == "RUN"
    assert found.interval[1] - found.interval[0] > 6, found.interval


def test_a_quality_that_has_parts_is_predicted_by_them() -> None:
    runs = independent_history(30, seed=6)
    random = np.random.default_rng(6)
    runs["style_score"] = 80 - 30 * (runs["network_dim"] > 32) + random.normal(0, 3, 30)
    runs["hair_accuracy"] = 60 + 10 * runs["keep_tokens"] + random.normal(0, 3, 30)
    runs["accessory_accuracy"] = 50 + 25 * (runs["optimizer_type"] == "Lion") + random.normal(0, 3, 30)
    runs["quality"] = runs[["style_score", "hair_accuracy", "accessory_accuracy"]].mean(axis=1)
    ahead, past = runs.iloc[20:], runs.iloc[:20]
    parameters = ["network_dim", "keep_tokens", "optimizer_type", "learning_rate", "flip_aug", "num_repeats"]
    errors: dict[str, list[float]] = {"with": [], "without": []}
    for row in ahead.to_dict("records"):
        proposal = {name: row[name] for name in parameters}
        found = predict_trial_outcome(proposal, past, "quality")
        assert found.model == "few causes of each partial result"
        errors["with"].append(abs(found.predicted - row["quality"]))
        alone = predict_trial_outcome(proposal, past[[*parameters, "run_name", "quality"]], "quality")
        errors["without"].append(abs(alone.predicted - row["quality"]))
    assert np.mean(errors["with"]) < np.mean(errors["without"]), errors


def test_other_results_that_say_nothing_of_the_metric_do_no_harm() -> None:
    history = failing_ranks()
    random = np.random.default_rng(3)
    noisy = history.assign(style_score=random.normal(size=8), hair_accuracy=[None, *random.normal(size=7)])
    found = predict_trial_outcome({"network_dim": 64, "learning_rate": 1e-4}, noisy)
    assert found.advice == "SKIP - reduce network_dim to 32"
    assert found.predicted == pytest.approx(4.2, abs=0.7)


def test_runs_of_the_same_name_and_dates_of_every_kind_are_read() -> None:
    history = pd.concat([independent_history(200, seed=5)] * 2, ignore_index=True).assign(style_score=1.0)
    history["style_score"] += np.arange(400)
    dates = ["2025-06-01", None, pd.Timestamp("2025-07-01", tz="UTC"), "no date"]
    history["run_date"] = dates * 100
    found = predict_trial_outcome({"network_dim": 16}, history, "quality")
    assert 200 <= found.n_runs <= 300
    assert found.skill > 0.3


def test_a_single_configuration_predicts_its_repetition_and_nothing_else() -> None:
    history = failing_ranks().assign(network_dim=32, learning_rate=1e-4, keep_tokens=1).iloc[:4]
    again = predict_trial_outcome({"network_dim": 32, "learning_rate": 1e-4, "keep_tokens": 1}, history)
    assert again.predicted == pytest.approx(history["quality_score"].mean())
    assert math.isfinite(again.interval[1])
    assert (again.skill, again.recommendation) == (0, "RUN")
    other = predict_trial_outcome({"network_dim": 64, "learning_rate": 1e-4, "keep_tokens": 1}, history)
    assert math.isinf(other.interval[1])
    assert "nothing can be predicted" in other.reason
