"""Tables as they really are: empty cells, words among numbers, too few runs, more parameters than runs."""

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.evidence import COLUMNS
from pixel_lora_pipeline_tests.learn.histories import NO_BELIEF, PARAMETERS, independent_history, row_of


@pytest.mark.parametrize("n", range(7))
def test_a_handful_of_runs_gives_no_strong_word(n: int) -> None:
    found = assess_parameters(independent_history(n, seed=n), PARAMETERS, "quality", prior=NO_BELIEF)
    assert sorted(name for names in found["parameters"] for name in names) == sorted(PARAMETERS)
    assert "NONE" not in set(found["category"])
    if n < 4:
        assert set(found["category"]) == {"INSUFFICIENT"}
        assert set(found["pip"].round(9)) <= set(found["prior"].round(9))


def test_cells_of_every_kind() -> None:
    runs = independent_history(16, seed=1)
    random = np.random.default_rng(1)
    strange = {
        "texts_that_are_numbers": random.choice(["32", "64", "1e-4"], 16),
        "texts_that_are_booleans": random.choice(["True", "False"], 16),
        "numbers_and_words": random.choice(np.array([5, "None", None], dtype=object), 16),
        "lists": [[512, 512] if at % 2 else [768, 768] for at in range(16)],
        "mappings": [{"beta": at % 3} for at in range(16)],
        "dates": pd.date_range("2025-01-01", periods=16),
        "infinite": np.where(random.random(16) < 0.3, np.inf, random.choice([1.0, 2.0], 16)),
        "mostly_empty": [1.0, 2.0, *[np.nan] * 14],
        "empty": [None] * 16,
        "names_of_runs": [f"name_{at}" for at in range(16)],
        "nullable": pd.array([1, 2, None, 4] * 4, dtype="Int64"),
        "category": pd.Categorical(random.choice(["a", "b"], 16)),
        "nullable_boolean": pd.array([True, None, False, True] * 4, dtype="boolean"),
    }
    for name, values in strange.items():
        runs[name] = pd.Series(list(values), dtype=getattr(values, "dtype", object))
    runs.loc[2, "quality"] = np.nan
    found = assess_parameters(runs, [*PARAMETERS, *strange], "quality", prior=NO_BELIEF)
    assert list(found.columns) == list(COLUMNS)
    assert set(found["n_runs"]) <= set(range(16))
    assert row_of(found, "network_dim")["selected"]
    assert "different in every run" in row_of(found, "names_of_runs")["reason"]
    assert not row_of(found, "empty")["selected"]
    assert row_of(found, "numbers_and_words")["statement"] is not None


def test_a_metric_that_never_varies_says_nothing() -> None:
    runs = independent_history(12, seed=2).assign(quality=70.0)
    found = assess_parameters(runs, PARAMETERS, "quality", prior=NO_BELIEF)
    assert set(found["category"]) == {"INSUFFICIENT"}
    assert not found["selected"].any()
    assert found["reason"].str.contains("same in every run").all()


def test_no_run_has_the_metric() -> None:
    runs = independent_history(5, seed=3).assign(quality=np.nan)
    found = assess_parameters(runs, PARAMETERS, "quality")
    assert set(found["category"]) == {"INSUFFICIENT"}
    assert found["reason"].str.contains("no run").all()


def test_more_parameters_than_runs() -> None:
    random = np.random.default_rng(4)
    runs = pd.DataFrame(random.choice([0, 1, 2], (9, 60)), columns=[f"p{at}" for at in range(60)])
    runs["quality"] = random.normal(70, 5, 9)
    found = assess_parameters(runs, [f"p{at}" for at in range(60)], "quality", prior={})
    assert not found["selected"].any(), "noise was taken for a cause"
    assert sum(map(len, found["parameters"])) == 60


def test_chance_alone_is_seldom_taken_for_a_cause() -> None:
    wrong = 0
    for seed in range(20):
        runs = independent_history(15, seed=seed)
        runs["quality"] = np.random.default_rng(seed).standard_t(3, 15)
        wrong += int(assess_parameters(runs, PARAMETERS, "quality")["selected"].any())
    assert wrong <= 3, f"{wrong} of 20 tables of pure noise have a finding"


def test_the_same_run_twice_counts_once() -> None:
    runs = independent_history(12, seed=5)
    twice = pd.concat([runs, runs], ignore_index=True)
    once, doubled = (assess_parameters(table, PARAMETERS, "quality", prior=NO_BELIEF) for table in (runs, twice))
    pd.testing.assert_frame_equal(once, doubled)


def test_no_parameter_is_no_row() -> None:
    found = assess_parameters(independent_history(8, seed=6), [], "quality")
    assert list(found.columns) == list(COLUMNS)
    assert len(found) == 0


def test_a_large_table_is_judged_by_an_approximation_that_says_so() -> None:
    random = np.random.default_rng(7)
    runs = pd.DataFrame(random.choice([1, 2, 4, 8, 16], (1500, 70)), columns=[f"p{at}" for at in range(70)])
    runs["quality"] = 70.0 - 8 * (runs["p3"] > 4) + 4 * (runs["p10"] > 2) + runs["p20"] / 4 - 3.0 * (runs["p30"] == 4)
    runs["quality"] += -2.0 * (runs["p40"] > 1) + random.normal(0, 3, 1500)
    found = assess_parameters(runs, [f"p{at}" for at in range(70)], "quality", prior={})
    assert found["approximate"].all()
    assert set(found[found["selected"]]["parameters"].map(tuple)) == {("p3",), ("p10",), ("p20",), ("p30",), ("p40",)}


@pytest.mark.parametrize(
    ("parameters", "metric", "options", "complaint"),
    [
        (["network_dim", "rank"], "quality", {}, "no column rank"),
        (["network_dim"], "score", {}, "no column score"),
        (["network_dim"], "quality", {"replicate_of": "seed_of"}, "no column seed_of"),
        (["network_dim", "quality"], "quality", {}, "take it out"),
        (["network_dim"], "optimizer_type", {}, "not a number"),
        (["network_dim"], "quality", {"prior": {"network_dim": 3.0}}, "probability"),
        (["network_dim"], "quality", {"prior": {"network_dim": float("nan")}}, "probability"),
    ],
)
def test_a_wrong_question_is_answered_with_what_is_wrong(
    parameters: list[str], metric: str, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        assess_parameters(independent_history(6, seed=8), parameters, metric, **options)  # type: ignore[arg-type]


def test_two_columns_of_one_name_are_refused() -> None:
    runs = independent_history(6, seed=9)
    runs = pd.concat([runs, runs[["network_dim"]]], axis=1)
    with pytest.raises(ValueError, match="several columns named network_dim"):
        assess_parameters(runs, ["network_dim"], "quality")
