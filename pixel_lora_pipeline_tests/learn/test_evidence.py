"""What acts is found, what cannot be told apart is said to be one, and no word is stronger than its evidence."""

import json
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.verdict import (
    CRITICAL_EFFECT,
    HIGH_EFFECT,
    HIGH_PROBABILITY,
    MODERATE_PROBABILITY,
    NO_EFFECT,
    NONE_SIDE,
)
from pixel_lora_pipeline_tests.learn.histories import NO_BELIEF, PARAMETERS, independent_history, row_of


def assess(runs: pd.DataFrame, *more: str, **options: object) -> pd.DataFrame:
    options.setdefault("prior", NO_BELIEF)
    return assess_parameters(runs, [*PARAMETERS, *more], "quality", **options)  # type: ignore[arg-type]


def test_planted_effects_are_found_with_their_form_and_size() -> None:
    found = assess(independent_history(24, seed=1))
    rank, tokens = row_of(found, "network_dim"), row_of(found, "keep_tokens")
    assert rank["category"] == "CRITICAL"
    assert rank["statement"] == "network_dim > 32"
    assert rank["threshold"] == 32
    assert rank["effect"] == pytest.approx(-20, abs=3)
    assert rank["effect_low"] - 1 < -20 < rank["effect_high"] < 0
    assert tokens["selected"]
    assert tokens["effect"] == pytest.approx(12, abs=4)
    assert set(found[found["selected"]]["parameters"].map(tuple)) == {("network_dim",), ("keep_tokens",)}


def test_what_a_parameter_does_is_told_for_each_of_its_values() -> None:
    by_value = row_of(assess(independent_history(24, seed=1)), "network_dim")["effect_by_value"]
    assert list(by_value) == [16, 32, 64, 128]
    assert by_value[16] - by_value[128] == pytest.approx(20, abs=4)
    assert by_value[32] - by_value[64] == pytest.approx(20, abs=4)


def test_a_best_value_in_between_is_found() -> None:
    runs = independent_history(30, seed=2)
    runs["quality"] += 15.0 * (runs["num_repeats"] == 10)
    repeats = row_of(assess(runs), "num_repeats")
    assert repeats["selected"]
    assert repeats["statement"] == "num_repeats near 10"
    assert repeats["effect"] == pytest.approx(15, abs=4)


def test_a_name_that_differs_from_the_others_is_found() -> None:
    runs = independent_history(30, seed=3)
    runs["quality"] -= 15.0 * (runs["optimizer_type"] == "Lion")
    optimizer = row_of(assess(runs), "optimizer_type")
    assert optimizer["selected"]
    assert optimizer["statement"] == "optimizer_type = Lion"
    assert np.isnan(optimizer["pearson_r"]), "a correlation with names means nothing"


def test_a_product_that_the_documents_name_is_a_candidate() -> None:
    random = np.random.default_rng(400)
    runs = independent_history(30, seed=4)
    runs["network_alpha"] = random.choice([8, 16, 32, 64], 30)
    runs["quality"] = 80.0 - 8.0 * np.log2(runs["network_alpha"] / runs["network_dim"]) + random.normal(0, 2, 30)
    found = assess(runs, "network_alpha")
    for name in ("network_alpha", "network_dim"):
        assert row_of(found, name)["pip"] > 0.9
    assert row_of(found, "network_alpha")["encoding"] == "product"
    assert row_of(found, "network_alpha")["statement"].startswith("network_alpha / network_dim")
    assert row_of(found, "network_alpha")["effect"] < 0 < row_of(found, "network_dim")["effect"]


@pytest.mark.parametrize("n", [8, 15, 30])
def test_every_exact_alias_is_reported(n: int) -> None:
    runs = independent_history(n, seed=5)
    runs["text_encoder_lr"] = runs["learning_rate"] / 2
    runs["min_snr_gamma"] = 100 - runs["num_repeats"]
    runs["shuffle_caption"] = np.where(runs["flip_aug"], "yes", "no")
    runs["lr_scheduler"] = runs["optimizer_type"].map({"AdamW": "cosine", "Prodigy": "constant", "Lion": "linear"})
    found = assess(runs, "text_encoder_lr", "min_snr_gamma", "shuffle_caption", "lr_scheduler")
    classes = set(found[found["aliased"]]["parameters"].map(tuple))
    assert classes == {
        ("learning_rate", "text_encoder_lr"),
        ("min_snr_gamma", "num_repeats"),
        ("flip_aug", "shuffle_caption"),
        ("lr_scheduler", "optimizer_type"),
    }


def test_an_alias_comes_with_the_run_that_would_separate_it() -> None:
    runs = independent_history(20, seed=6)
    runs["resolution"] = runs["network_dim"] * 8
    alias = row_of(assess(runs, "resolution"), "network_dim")
    assert alias["parameters"] == ["network_dim", "resolution"]
    assert alias["selected"]
    experiment = alias["separating_experiment"]
    best = runs.set_index("run_name").loc[experiment["base_run"]]
    assert experiment["base_run"] == runs["run_name"][runs["quality"].idxmax()]
    [(changed, (before, after))] = experiment["change"].items()
    assert changed in alias["parameters"]
    assert before == best[changed]
    assert after != before
    assert experiment["expected_difference"] == pytest.approx(-20, abs=5), "from the best, it can only get worse"
    assert experiment["runs"] == 1
    json.dumps(experiment)


def test_three_aliases_take_two_runs_to_separate() -> None:
    runs = independent_history(20, seed=6)
    runs["resolution"], runs["conv_dim"] = runs["network_dim"] * 8, runs["network_dim"] / 2
    assert row_of(assess(runs, "resolution", "conv_dim"), "conv_dim")["separating_experiment"]["runs"] == 2


def test_near_aliases_are_named() -> None:
    runs = independent_history(30, seed=7)
    runs["network_alpha"] = runs["network_dim"].astype(float)
    runs.loc[0, "network_alpha"] = 17.0
    found = assess(runs, "network_alpha")
    assert row_of(found, "network_dim")["near_aliases"] == ["network_alpha"]
    assert not row_of(found, "network_dim")["aliased"]
    experiment = row_of(found, "network_dim")["separating_experiment"]
    assert list(experiment["change"]) == ["network_dim"]
    assert experiment["separates"] == [["network_dim"], ["network_alpha"]]


def test_habits_do_not_make_a_cause() -> None:
    """A setting that went with the true cause in all runs but three correlates highly, and is not believed."""
    runs = independent_history(24, seed=8, noise=1.5)
    runs["xformers"] = (runs["network_dim"] > 32).astype(int)
    flipped = [runs.index[runs["network_dim"] > 32][0], *runs.index[runs["network_dim"] <= 32][:2]]
    runs.loc[flipped, "xformers"] = 1 - runs.loc[flipped, "xformers"]
    found = assess(runs, "xformers", prior={**NO_BELIEF, "xformers": 0.1})
    habit = row_of(found, "xformers")
    assert habit["p_exact"] < 0.01
    assert habit["q_bh"] < 0.10
    assert habit["pip"] < 0.3
    assert not habit["selected"]
    assert row_of(found, "network_dim")["selected"]


def test_the_smallest_p_of_seven_runs_is_two_in_thirty_five() -> None:
    runs = pd.DataFrame({"flag": [0, 0, 0, 1, 1, 1, 1], "quality": [1.0, 2, 3, 5, 8, 6, 9]})
    [p] = assess_parameters(runs, ["flag"], "quality", prior=None, replicate_of=None)["p_exact"]
    assert p == pytest.approx(2 / 35)


def test_replicates_count_as_one_configuration() -> None:
    runs = independent_history(12, seed=9)
    runs["repeats"] = None
    seeds = pd.concat([runs.iloc[[3]]] * 3).assign(
        run_name=["again_1", "again_2", "again_3"], repeats="run_3", quality=lambda them: them["quality"] + [-4, 0, 4]
    )
    found = assess(pd.concat([runs, seeds], ignore_index=True), replicate_of="repeats")
    alone = assess(runs, replicate_of="repeats")
    assert set(found["n_configs"]) == {12}
    assert set(found["n_runs"]) == {15}
    assert row_of(found, "network_dim")["replicate_sd"] == pytest.approx(np.sqrt(32 / 3))
    assert row_of(found, "network_dim")["pip"] == pytest.approx(row_of(alone, "network_dim")["pip"], abs=0.1)


def test_a_group_number_is_as_good_as_a_name_for_replicates() -> None:
    runs = independent_history(12, seed=9)
    runs["configuration"] = [0, 0, 0, *range(1, 10)]
    runs.loc[[1, 2], PARAMETERS] = runs.loc[[0, 0], PARAMETERS].to_numpy()
    found = assess(runs, replicate_of="configuration")
    assert set(found["n_configs"]) == {10}
    assert set(found["n_runs"]) == {12}


def test_the_order_of_rows_and_columns_changes_nothing() -> None:
    runs = independent_history(14, seed=10)
    first = assess(runs)
    shuffled = runs.sample(frac=1, random_state=1)
    second = assess_parameters(shuffled, PARAMETERS[::-1], "quality", prior=NO_BELIEF)
    pd.testing.assert_frame_equal(_without_lists(first), _without_lists(second))
    assert [set(names) for names in first["runs_low"]] == [set(names) for names in second["runs_low"]]


def test_the_same_runs_give_the_same_answer() -> None:
    runs = independent_history(15, seed=11)
    pd.testing.assert_frame_equal(assess(runs), assess(runs))


def test_the_unit_of_the_metric_changes_nothing_but_the_effect() -> None:
    runs = independent_history(15, seed=12)
    points, ratings = assess(runs), assess(runs.assign(quality=runs["quality"] / 10 - 3))
    assert list(points["category"]) == list(ratings["category"])
    np.testing.assert_allclose(points["pip"], ratings["pip"], atol=1e-9)
    np.testing.assert_allclose(points["effect"], ratings["effect"] * 10, atol=1e-6)


def tables(count: int) -> Iterator[pd.DataFrame]:
    for seed in range(count):
        runs = independent_history([4, 6, 7, 10, 20, 60][seed % 6], seed=seed, noise=[0.1, 2, 10][seed % 3])
        runs["twin"] = runs["clip_skip"] * 3
        yield runs


def test_no_word_is_stronger_than_its_evidence() -> None:
    for runs in tables(18):
        found = assess(runs, "twin", prior=None)
        spread = np.ptp(runs["quality"])
        for _, row in found.iterrows():
            side, size = min(row["n_low"], row["n_high"]), abs(row["effect"])
            match row["category"]:
                case "CRITICAL":
                    assert row["selected"]
                    assert size >= CRITICAL_EFFECT * spread
                    assert row["effect_low"] * row["effect_high"] > 0
                case "HIGH":
                    assert row["pip"] >= HIGH_PROBABILITY
                    assert size >= HIGH_EFFECT * spread
                case "MODERATE":
                    assert row["pip"] >= MODERATE_PROBABILITY
                case "NONE":
                    assert side >= NONE_SIDE
                    assert max(-row["effect_low"], row["effect_high"]) <= NO_EFFECT * spread
                case other:
                    assert other == "INSUFFICIENT"
            assert not np.isfinite(row["effect"]) or row["effect_low"] <= row["effect"] <= row["effect_high"]
            assert 0 <= row["pip"] <= 1


def test_no_effect_is_said_once_there_are_enough_runs_to_know() -> None:
    few, many = independent_history(20, seed=13), independent_history(600, seed=13)
    assert row_of(assess(few), "clip_skip")["category"] == "INSUFFICIENT"
    told = row_of(assess(many), "clip_skip")
    assert told["category"] == "NONE"
    assert told["runs_needed"] == 0


def test_more_runs_are_asked_for_until_there_is_a_verdict() -> None:
    undecided = row_of(assess(independent_history(9, seed=14, noise=8.0)), "clip_skip")
    assert undecided["category"] == "INSUFFICIENT"
    assert undecided["runs_needed"] >= 1
    assert undecided["min_detectable_effect"] > HIGH_EFFECT * undecided["metric_range"]


def test_what_never_varied_is_said_to_be_unknown() -> None:
    runs = independent_history(12, seed=15).assign(resolution=512, vae=None)
    found = assess(runs, "resolution", "vae", prior=None)
    for name in ("resolution", "vae"):
        row = row_of(found, name)
        assert row["category"] == "INSUFFICIENT"
        assert "never varied" in row["reason"]
        assert row["pip"] == pytest.approx(row["prior"])
        assert not row["selected"]


def test_one_strange_run_proves_nothing() -> None:
    """A setting that was tried once, in a run that failed, has to compete with the run being an accident."""
    runs = independent_history(15, seed=16)
    runs["debiased_estimation_loss"] = False
    runs.loc[4, "debiased_estimation_loss"] = True
    runs.loc[4, "quality"] -= 60
    found = row_of(assess(runs, "debiased_estimation_loss"), "debiased_estimation_loss")
    assert found["pip"] < 0.9, "the run may have been an accident"
    assert found["category"] != "CRITICAL"


def test_a_drift_over_time_is_not_ascribed_to_what_was_changed_on_the_way() -> None:
    runs = independent_history(20, seed=17)
    runs["quality"] = 50.0 + np.arange(20) + np.random.default_rng(17).normal(0, 1, 20)
    runs["caption_version"] = np.where(np.arange(20) < 10, 1, 2)
    runs["run_date"] = pd.date_range("2025-06-01", periods=20, freq="D")
    found = row_of(assess(runs, "caption_version"), "caption_version")
    assert found["p_exact"] < 0.01
    assert not found["selected"], f"PIP {found['pip']:.2f}"


def test_beliefs_move_the_verdict_and_the_data_can_overrule_them() -> None:
    runs = independent_history(14, seed=18, noise=6.0)
    believed = assess(runs, prior={**NO_BELIEF, "keep_tokens": 0.5})
    doubted = assess(runs, prior={**NO_BELIEF, "keep_tokens": 0.01})
    assert row_of(believed, "keep_tokens")["pip"] > row_of(doubted, "keep_tokens")["pip"]
    assert row_of(believed, "keep_tokens")["pip_flat"] == pytest.approx(
        row_of(doubted, "keep_tokens")["pip_flat"], abs=0.01
    )
    wrong = assess(independent_history(40, seed=18), prior={**NO_BELIEF, "network_dim": 0.001, "clip_skip": 0.9})
    assert row_of(wrong, "network_dim")["selected"]
    assert not row_of(wrong, "clip_skip")["selected"]


def test_the_written_rules_know_which_metric_they_are_about() -> None:
    runs = independent_history(10, seed=19).rename(columns={"quality": "background_accuracy"})
    runs["style_score"] = runs["background_accuracy"]
    of_color = assess_parameters(runs, PARAMETERS, "background_accuracy")
    of_style = assess_parameters(runs, PARAMETERS, "style_score")
    assert row_of(of_color, "keep_tokens")["prior"] == 0.5
    assert row_of(of_style, "keep_tokens")["prior"] == 0.02
    assert row_of(of_style, "mixed_precision")["prior"] == 0.01


def _without_lists(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=["runs_low", "runs_high", "evidence_runs"])
