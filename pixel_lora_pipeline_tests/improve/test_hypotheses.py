"""What to try next: the roadmap's examples come out of the made-up history, and nothing is tried twice."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest

from pixel_lora_pipeline.improve import Hypothesis, Proposals, propose_experiments, weigh_experiments
from pixel_lora_pipeline_tests.improve.campaigns import Rule
from pixel_lora_pipeline_tests.improve.made_up_history import made_up_diagnoses, made_up_evidence, made_up_runs

NEWEST = "history_8"


@pytest.fixture(scope="module")
def proposals() -> Proposals:
    diagnoses = made_up_diagnoses(NEWEST, "wrong_background", "photorealism")
    return weigh_experiments(made_up_runs(), made_up_evidence(), {NEWEST: diagnoses})


def changes_of(hypothesis: Hypothesis) -> dict[str, tuple[Any, Any]]:
    return {change.parameter: (change.before, change.after) for change in hypothesis.changes}


def by_source(hypotheses: tuple[Hypothesis, ...] | list[Hypothesis], source: str) -> Hypothesis:
    found = [hypothesis for hypothesis in hypotheses if hypothesis.source == source]
    assert found, f"nothing from {source}, only {[hypothesis.title for hypothesis in hypotheses]}"
    return found[0]


def test_there_are_three_to_five_and_they_differ(proposals: Proposals) -> None:
    assert 3 <= len(proposals.hypotheses) <= 5
    most = Counter(hypothesis.source for hypothesis in proposals.hypotheses).most_common(1)[0]
    assert most[1] <= 2, f"{most[1]} experiments are {most[0]}"
    subjects = [frozenset(changes_of(hypothesis).items()) for hypothesis in proposals.hypotheses]
    assert len(set(subjects)) == len(subjects)


def test_more_kept_tokens_are_proposed_against_the_wrong_background(proposals: Proposals) -> None:
    fix = by_source(proposals.hypotheses, "diagnosis")
    assert changes_of(fix)["keep_tokens"] == (1, 3)
    assert fix.priority == "HIGH" and fix.confidence > 0.8 and fix.based_on == NEWEST
    assert "3 of 3 runs with keep_tokens = 3" in fix.rationale
    assert fix.expected["background_accuracy"].low > 20


def test_causes_of_one_run_are_removed_together_and_alpha_follows_the_rank(proposals: Proposals) -> None:
    changes = changes_of(by_source(proposals.hypotheses, "diagnosis"))
    assert changes == {"keep_tokens": (1, 3), "network_dim": (128, 32), "network_alpha": (64.0, 16)}


def test_convolutions_are_proposed_while_no_run_has_trained_them(proposals: Proposals) -> None:
    idea = by_source(proposals.hypotheses, "unexplored")
    assert changes_of(idea) == {"conv_dim": (0, 8), "conv_alpha": (None, 4)}
    assert idea.priority == "MEDIUM" and idea.confidence == pytest.approx(0.45) and "roadmap" in idea.rationale
    assert 0 < idea.expected["accessory_accuracy"].mean < 20


def test_more_images_are_proposed_as_work_on_the_dataset(proposals: Proposals) -> None:
    work = by_source(proposals.hypotheses, "data")
    assert changes_of(work)["num_images"] == (203, 300)
    assert (work.priority, work.state) == ("LOW", "REQUIRES DATASET WORK")


def test_a_parameter_that_always_went_with_another_is_separated_from_it(proposals: Proposals) -> None:
    separating = by_source(proposals.hypotheses, "alias")
    assert set(changes_of(separating)) in ({"network_dim"}, {"network_alpha"})


def test_the_most_urgent_comes_first(proposals: Proposals) -> None:
    priorities = [("HIGH", "MEDIUM", "LOW").index(hypothesis.priority) for hypothesis in proposals.hypotheses]
    assert priorities == sorted(priorities)


def test_each_has_the_whole_configuration_a_prediction_a_risk_and_its_price(proposals: Proposals) -> None:
    runs = made_up_runs().set_index("run_name")
    for hypothesis in proposals.hypotheses:
        assert hypothesis.parameters["learning_rate"] is not None
        assert {name: after for name, (_, after) in changes_of(hypothesis).items()}.items() <= (
            hypothesis.parameters.items()
        )
        assert hypothesis.prediction is not None and hypothesis.risk in ("LOW", "MEDIUM", "HIGH")
        assert hypothesis.risk_reason and 0 <= hypothesis.confidence <= 1
        assert hypothesis.gpu_seconds is not None and hypothesis.cost_usd is None, "nobody knows a price"
        per_image = hypothesis.gpu_seconds.value / hypothesis.parameters["num_images"]
        known = runs["gpu_seconds"] / runs["num_images"]
        assert known.min() < per_image < known.max(), "not scaled by the images"
        assert hypothesis.gpu_seconds.low < hypothesis.gpu_seconds.value < hypothesis.gpu_seconds.high


def test_everything_goes_into_the_database_as_json(proposals: Proposals) -> None:
    documents = [hypothesis.to_dict() for hypothesis in proposals.hypotheses]
    assert json.loads(json.dumps(documents, allow_nan=False)) == documents


def test_the_same_is_proposed_whatever_the_order_of_the_rows() -> None:
    shuffled = made_up_runs().sample(frac=1, random_state=0)
    one, other = (propose_experiments(runs, made_up_evidence()) for runs in (made_up_runs(), shuffled))
    assert [hypothesis.to_dict() for hypothesis in one] == [hypothesis.to_dict() for hypothesis in other]


def test_the_best_is_repeated_only_while_nobody_knows_the_noise() -> None:
    runs = made_up_runs()
    best = runs.loc[runs["quality_score"].idxmax()]
    again = propose_experiments(runs, made_up_evidence())
    repeated = by_source(again, "replicate")
    assert changes_of(repeated) == {"seed": (42, 43)} and repeated.based_on == best["run_name"]
    twice = pd.concat([runs, pd.DataFrame([{**best, "run_name": "again", "seed": 43}])])
    assert "replicate" not in {found.source for found in propose_experiments(twice, made_up_evidence())}


def test_what_failed_before_is_not_proposed_again_and_the_record_says_so() -> None:
    diagnoses = {NEWEST: made_up_diagnoses(NEWEST, "wrong_background", "photorealism")}
    first = by_source(propose_experiments(made_up_runs(), made_up_evidence(), diagnoses), "diagnosis")
    failed = {"title": "experiment 12", "state": "FAILED", "parameters": first.parameters}
    after = weigh_experiments(made_up_runs(), made_up_evidence(), diagnoses, tried=[failed])
    assert all(hypothesis.parameters != first.parameters for hypothesis in after.hypotheses)
    reasons = [left.reason for left in after.left_out if left.title == first.title]
    assert reasons == ["experiment 12 had this configuration and failed"]


def test_no_run_of_the_history_is_proposed_a_second_time(proposals: Proposals) -> None:
    runs = made_up_runs().astype(object)
    for hypothesis in proposals.hypotheses:
        if hypothesis.source == "replicate":
            continue
        names = [name for name in hypothesis.parameters if name in runs and name != "seed"]
        new = {name for name in hypothesis.parameters if name not in runs}
        same = [all(run[name] == hypothesis.parameters[name] for name in names) for _, run in runs.iterrows()]
        assert new or not any(same), f"{hypothesis.title} was run before"


def test_nothing_breaks_a_hard_principle() -> None:
    def few_tokens(parameters: Mapping[str, Any]) -> bool | None:
        return None if parameters.get("keep_tokens") is None else parameters["keep_tokens"] <= 1

    rule = Rule(few_tokens, "hard")
    diagnoses = {NEWEST: made_up_diagnoses(NEWEST, "wrong_background", "photorealism")}
    found = weigh_experiments(made_up_runs(), made_up_evidence(), diagnoses, [rule])
    assert len(found.hypotheses) >= 3
    assert all(hypothesis.parameters["keep_tokens"] <= 1 for hypothesis in found.hypotheses)
    assert any("hard principle" in left.reason for left in found.left_out)


def test_what_goes_against_a_soft_principle_is_proposed_with_less_urgency() -> None:
    def few_tokens(parameters: Mapping[str, Any]) -> bool | None:
        return None if parameters.get("keep_tokens") is None else parameters["keep_tokens"] <= 1

    diagnoses = {NEWEST: made_up_diagnoses(NEWEST, "wrong_background", "photorealism")}
    free = by_source(propose_experiments(made_up_runs(), made_up_evidence(), diagnoses), "diagnosis")
    soft = propose_experiments(made_up_runs(), made_up_evidence(), diagnoses, [Rule(few_tokens, "soft")])
    guided = by_source(soft, "diagnosis")
    assert (free.priority, guided.priority) == ("HIGH", "MEDIUM")
    assert guided.breaks and guided.risk != "LOW"


@pytest.mark.parametrize("n_runs", [0, 1, 3])
def test_there_is_something_to_try_from_the_first_day(n_runs: int) -> None:
    runs = made_up_runs().iloc[:n_runs]
    found = propose_experiments(runs, {})
    assert 3 <= len(found) <= 5, [hypothesis.title for hypothesis in found]
    json.dumps([hypothesis.to_dict() for hypothesis in found], allow_nan=False)
    assert all(hypothesis.changes and hypothesis.title and hypothesis.rationale for hypothesis in found)


def test_nothing_is_claimed_where_nothing_is_known() -> None:
    for hypothesis in propose_experiments(made_up_runs().iloc[:0], {}):
        assert hypothesis.prediction is None and hypothesis.gpu_seconds is None and hypothesis.expected == {}
        assert hypothesis.based_on is None and all(change.before is None for change in hypothesis.changes)


def test_runs_without_a_result_are_learnt_nothing_from_but_not_repeated() -> None:
    runs = made_up_runs().assign(quality_score=None)
    found = propose_experiments(runs, {})
    assert 3 <= len(found) <= 5
    assert all(hypothesis.prediction is None for hypothesis in found)


def test_a_metric_that_should_be_low_is_lowered() -> None:
    runs = made_up_runs().assign(faults=100 - made_up_runs()["pixel_art_purity"])
    evidence = {"faults": made_up_evidence()["pixel_art_purity"].copy()}
    table = evidence["faults"]
    for column in ("effect", "effect_low", "effect_high"):
        table[column] = -table[column]
    table["effect_by_value"] = [{key: -value for key, value in each.items()} for each in table["effect_by_value"]]
    found = propose_experiments(runs, evidence, metric="faults", lower_is_better={"faults"})
    assert {hypothesis.based_on for hypothesis in found} <= set(runs[runs["network_dim"] == 32]["run_name"])


def test_names_with_markup_and_strange_values_are_kept_as_they_are() -> None:
    evil = "<img src=x onerror=alert(1)> **[x](http://y)**\n# z"
    runs = made_up_runs().replace({"history_1": evil})
    runs["caption_version"] = [evil, *["v3"] * 7]
    found = propose_experiments(runs, {})
    json.dumps([hypothesis.to_dict() for hypothesis in found], allow_nan=False)
    assert any(hypothesis.based_on == evil for hypothesis in found)


def test_a_history_without_the_metric_is_an_error_that_says_what_is_there() -> None:
    with pytest.raises(ValueError, match=r"no column 'adherence'.*quality_score"):
        propose_experiments(made_up_runs(), {}, metric="adherence")


def test_a_hypothesis_cannot_be_changed_by_accident(proposals: Proposals) -> None:
    with pytest.raises(AttributeError):
        proposals.hypotheses[0].confidence = 1.0  # type: ignore[misc]
    assert replace(proposals.hypotheses[0], confidence=0.5).confidence == 0.5
