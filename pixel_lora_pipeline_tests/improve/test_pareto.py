"""Which runs are worth choosing does not hang on differences that chance makes."""

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.improve.pareto import Goal, pareto_front

QUALITY = Goal("quality_score", "higher", "better", standard_error=1.0)
TIME = Goal("hours", "lower", "faster")
COST = Goal("cost_usd", "lower", "cheaper")


def runs(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["run_name", "quality_score", "hours", "cost_usd"])


CONFIGURATIONS = runs(
    ("best", 90.0, 10.0, 20.0),
    ("fast", 86.0, 6.0, 12.0),
    ("cheap", 82.0, 4.0, 8.0),
    ("poor", 60.0, 3.0, 6.0),
    ("slow", 80.0, 9.0, 18.0),
)


def test_a_run_that_is_worse_in_everything_is_not_chosen_and_it_is_said_by_which() -> None:
    table = pareto_front(CONFIGURATIONS, [QUALITY, TIME, COST]).table.set_index("run_name")
    assert dict(table.on_front) == {"best": True, "fast": True, "cheap": True, "poor": True, "slow": False}
    assert table.dominated_by["slow"] == "fast"


def test_the_named_choices_say_what_is_gained_and_given_up() -> None:
    choices = {choice.name: choice for choice in pareto_front(CONFIGURATIONS, [QUALITY, TIME, COST]).choices}
    assert choices["best quality"].run_name == "best"
    assert choices["knee"].run_name == "cheap"
    assert choices["knee"].sentence == "Against best: 9 % less good in quality_score, 60 % faster, 60 % cheaper."
    assert choices["knee"].values == {"quality_score": 82.0, "hours": 4.0, "cost_usd": 8.0}


def test_cheapest_acceptable_keeps_to_what_may_be_given_up() -> None:
    front = pareto_front(CONFIGURATIONS, [QUALITY, TIME, COST], acceptable=0.05)
    assert {choice.name: choice.run_name for choice in front.choices}["cheapest acceptable"] == "fast"


def test_a_lead_within_the_error_does_not_keep_an_expensive_run_on_the_front() -> None:
    nearly = runs(("lucky", 90.5, 10.0, 20.0), ("cheap", 90.0, 5.0, 10.0))
    assert list(pareto_front(nearly, [QUALITY, COST]).table.query("on_front").run_name) == ["cheap"]
    exact = Goal("quality_score", "higher", "better")
    assert list(pareto_front(nearly, [exact, COST]).table.query("on_front").run_name) == ["lucky", "cheap"]


def test_the_front_is_never_empty_and_does_not_hang_on_the_order_of_the_runs() -> None:
    random = np.random.default_rng(3)
    table = runs(*((f"run_{at}", *random.uniform(1, 5, 3)) for at in range(30)))
    noisy = [Goal("quality_score", "higher", "better", 0.8), Goal("hours", "lower", "faster", 0.8), COST]
    front = set(pareto_front(table, noisy).table.query("on_front").run_name)
    assert front
    for seed in range(5):
        shuffled = table.sample(frac=1, random_state=seed)
        assert set(pareto_front(shuffled, noisy).table.query("on_front").run_name) == front


def test_what_is_not_known_of_a_run_leaves_it_out_by_name() -> None:
    front = pareto_front(runs(("known", 80.0, 5.0, 10.0), ("unknown", 95.0, np.nan, 5.0)), [QUALITY, TIME])
    assert front.left_out == ("unknown",)
    assert [choice.run_name for choice in front.choices] == ["known"]
    empty = pareto_front(runs(), [QUALITY, TIME])
    assert (len(empty.table), empty.choices) == (0, ())
    assert front.to_dict()["runs"][0]["dominated_by"] is None


@pytest.mark.parametrize(
    ("goals", "acceptable", "said"),
    [([QUALITY], 0.1, "at least two"), ([QUALITY, Goal("gpu", "lower", "cheaper")], 0.1, "no column gpu"),
     ([QUALITY, TIME], 1.5, "share")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(goals: list[Goal], acceptable: float, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        pareto_front(CONFIGURATIONS, goals, acceptable=acceptable)
