import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.improve import SearchSpace, best_so_far, propose, suggest, survey
from pixel_lora_pipeline_tests.improve.campaigns import SPACE, Rule, a_history, quality

NAMES = list(SPACE)


@pytest.fixture(autouse=True)
def _no_unexpected_warning() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def keys(configurations: list[dict[str, object]]) -> list[tuple[object, ...]]:
    return [tuple(configuration[name] for name in NAMES) for configuration in configurations]


def test_a_few_more_runs_come_close_to_the_best() -> None:
    history = a_history()
    random = np.random.default_rng(1)
    for number in range(8):
        (configuration,) = suggest(SPACE, history, seed=number)
        row = {**configuration, "run_name": f"next_{number}", "quality_score": quality(configuration) + random.normal()}
        history = pd.concat([history, pd.DataFrame([row])], ignore_index=True)
    best = best_so_far(survey(SPACE, history))
    assert best is not None
    assert quality(best.parameters) > 0.95 * 90, f"{best.reason} Its true quality is {quality(best.parameters):.1f}."


def test_the_same_question_has_the_same_answer() -> None:
    history = a_history()
    assert suggest(SPACE, history, 2, seed=3) == suggest(SPACE, history, 2, seed=3)


def test_suggestions_lie_in_the_space_and_differ() -> None:
    found = suggest(SPACE, a_history(), 5)
    assert len(set(keys(found))) == 5
    assert all(SearchSpace.of(SPACE).contains(configuration) for configuration in found)


def test_what_was_tried_is_not_suggested_again() -> None:
    space = {"network_dim": [8, 16, 32, 64, 128], "keep_tokens": [0, 1, 2, 3, 4]}
    history = a_history(12).astype({"network_dim": str})
    tried = {(int(dim), tokens) for dim, tokens in zip(history["network_dim"], history["keep_tokens"], strict=True)}
    found = suggest(space, history, 25 - len(tried))
    suggested = {(each["network_dim"], each["keep_tokens"]) for each in found}
    assert not suggested & tried
    assert len(suggested | tried) == 25


def test_a_run_between_the_steps_of_a_range_counts_as_tried() -> None:
    space = {"learning_rate": {"low": 1e-5, "high": 1e-3, "log": True}}
    rates = [float(rate) * 1.01 for rate in SearchSpace.of(space).parameters["learning_rate"].values[1:-1]]
    history = pd.DataFrame({"learning_rate": rates, "quality_score": np.linspace(60, 70, len(rates))})
    assert {each["learning_rate"] for each in suggest(space, history, 2)} == {1e-5, 1e-3}


def test_only_when_nothing_else_is_left_a_run_is_repeated_and_named() -> None:
    space = {"network_dim": [16, 32], "optimizer_type": ["AdamW8bit", "Lion"]}
    history = pd.DataFrame(
        {
            "run_name": ["a", "b", "c"],
            "network_dim": [16, 16, 32],
            "optimizer_type": ["AdamW8bit", "Lion", "Lion"],
            "quality_score": [80.0, 60.0, 62.0],
        }
    )
    first, second = propose(survey(space, history), 2)
    assert (first.parameters, first.replicate_of) == ({"network_dim": 32, "optimizer_type": "AdamW8bit"}, ())
    assert second.replicate_of == ("a",)


def test_runs_that_are_not_over_are_kept_away_from() -> None:
    history = a_history()
    first, second = suggest(SPACE, history, 2)
    running = pd.concat([history, pd.DataFrame([{**first, "run_name": "running"}])], ignore_index=True)
    (now,) = suggest(SPACE, running)
    assert keys([now]) != keys([first])
    assert keys([now]) == keys([second])


@pytest.mark.parametrize("n", [0, 1])
def test_without_a_history_suggestions_are_spread_over_the_space(n: int) -> None:
    found = suggest(SPACE, a_history(n), 6)
    assert len({each["optimizer_type"] for each in found}) == 3
    dims = [each["network_dim"] for each in found]
    assert (min(dims), max(dims)) == (8, 128)


def test_a_run_outside_of_the_space_is_learnt_from_and_told_of() -> None:
    history = a_history(14)
    narrow = {**SPACE, "network_dim": [32, 64]}
    with pytest.warns(UserWarning, match=r"network_dim = 128 is outside of the search space \(\d+ runs\)"):
        (found,) = suggest(narrow, history)
    assert found["network_dim"] == 32, "runs with dims of 8 and 16 say that less is better"


def test_a_run_of_unknown_parameters_says_less_but_is_not_misread() -> None:
    history = a_history(10)
    unknown = history.astype({"keep_tokens": object})
    unknown.loc[:4, "keep_tokens"] = None
    unknown.loc[4, "keep_tokens"] = "several"
    with pytest.warns(UserWarning, match=r"keep_tokens is not known \(it says 'several'\)"):
        suggest(SPACE, unknown)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        less, more = (propose(survey(SPACE, runs))[0] for runs in (unknown, history))
    assert less.deviation is not None
    assert more.deviation is not None
    assert less.deviation > more.deviation


def test_a_parameter_that_no_run_knows_is_tried() -> None:
    history = a_history().drop(columns="keep_tokens")
    with pytest.warns(UserWarning, match="keep_tokens is not known"):
        found = suggest(SPACE, history, 6)
    assert len({each["keep_tokens"] for each in found}) > 1


def test_failed_runs_are_not_repeated() -> None:
    history = a_history()
    (first,) = suggest(SPACE, history)
    failed = pd.concat([history, pd.DataFrame([{**first, "quality_score": float("nan")}])], ignore_index=True)
    assert keys(suggest(SPACE, failed)) != keys([first])


def test_a_hard_principle_is_never_broken() -> None:
    rule = Rule(lambda run: run["network_dim"] * 16 <= 512, "hard")
    truth_is_elsewhere = a_history(truth=lambda run: quality(run) + 10 * np.log2(run["network_dim"]))
    found = suggest(SPACE, truth_is_elsewhere, 4, [rule])
    assert {each["network_dim"] for each in found} <= {8, 16, 32}


def test_a_hard_principle_about_a_fixed_parameter_is_kept() -> None:
    rule = Rule(lambda run: run["network_dim"] * run["network_alpha"] <= 512, "hard")
    found = suggest(SPACE, a_history(), 4, [rule], fixed={"network_alpha": 32})
    assert {each["network_dim"] for each in found} <= {8, 16}


def test_hard_principles_that_leave_nothing_are_an_error_that_names_them() -> None:
    with pytest.raises(ValueError, match="leave nothing"):
        suggest(SPACE, a_history(), 1, [Rule(lambda _: False, "hard")])


def test_a_principle_judges_a_run_by_all_that_it_had() -> None:
    history = a_history(10).assign(network_alpha=[1, 512] * 5)
    seen: list[set[str]] = []
    suggest(SPACE, history, 1, [Rule(lambda run: seen.append(set(run)), "soft")])
    assert "network_alpha" in seen[0]


def test_what_a_principle_does_not_know_is_allowed() -> None:
    assert suggest(SPACE, a_history(), 1, [Rule(lambda _: None, "hard")]) == suggest(SPACE, a_history())


def test_a_soft_principle_guides_where_nothing_is_known() -> None:
    history = a_history(6)
    history = history[history["optimizer_type"] != "Lion"]
    lion_is_best = Rule(lambda run: run["optimizer_type"] == "Lion", "soft")
    assert suggest(SPACE, history, 1, [lion_is_best])[0]["optimizer_type"] == "Lion"
    lion_is_bad = Rule(lambda run: run["optimizer_type"] != "Lion", "soft")
    assert suggest(SPACE, history, 1, [lion_is_bad])[0]["optimizer_type"] != "Lion"


def test_runs_overrule_a_soft_principle() -> None:
    history = a_history(24)
    wrong = Rule(lambda run: run["network_dim"] >= 64, "soft")
    assert suggest(SPACE, history, 1, [wrong])[0]["network_dim"] <= 32


@pytest.mark.parametrize("status", ["proposed", "revoked"])
def test_principles_that_are_not_in_force_change_nothing(status: str) -> None:
    rule = Rule(lambda run: run["optimizer_type"] == "Lion", status)
    assert suggest(SPACE, a_history(), 2, [rule]) == suggest(SPACE, a_history(), 2)


def test_a_metric_may_be_better_the_lower_it_is() -> None:
    history = a_history()
    history["two_toned_share"] = -history["quality_score"]
    lower = suggest(SPACE, history, 2, metric="two_toned_share", lower_is_better=True)
    assert lower == suggest(SPACE, history, 2)
    found = propose(survey(SPACE, history, metric="two_toned_share", lower_is_better=True))[0]
    assert found.expected is not None
    assert found.expected < 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"metric": "quality"}, "no column 'quality'"),
        ({"metric": "run_name"}, "not a number"),
        ({"noise": -1.0}, "standard deviation"),
        ({"n": -1}, "-1 suggestions"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        suggest(SPACE, a_history(), **change)


def test_results_that_are_all_the_same_are_no_obstacle() -> None:
    history = a_history()
    history["quality_score"] = 0.0
    assert len(suggest(SPACE, history, 2)) == 2


def test_a_result_that_is_no_finite_number_is_no_result() -> None:
    history = a_history().astype({"quality_score": object})
    for row, cell in enumerate([None, "None", float("inf"), float("nan")]):
        history.loc[row, "quality_score"] = cell
    assert suggest(SPACE, history) == suggest(
        SPACE, history.assign(quality_score=[np.nan] * 4 + [*history["quality_score"][4:]])
    )


def test_a_column_that_is_there_twice_is_named() -> None:
    history = a_history()
    with pytest.raises(ValueError, match="several columns named network_dim: keep one of each"):
        suggest(SPACE, pd.concat([history, history[["network_dim"]]], axis=1))


def test_columns_that_are_no_parameters_may_be_there_twice() -> None:
    history = a_history().assign(note="")
    assert suggest(SPACE, pd.concat([history, history[["note"]]], axis=1)) == suggest(SPACE, history)
