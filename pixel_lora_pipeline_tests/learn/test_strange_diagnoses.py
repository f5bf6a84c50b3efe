"""Questions as they really come: too few runs, empty cells, names as values, issues that nobody knows."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.analyze.issues import DEFINITIONS
from pixel_lora_pipeline.learn import assess_parameters, diagnose
from pixel_lora_pipeline_tests.learn.histories import PARAMETERS, independent_history


@pytest.mark.parametrize("issue", [definition.key for definition in DEFINITIONS])
@pytest.mark.parametrize("n", [0, 1, 3, 8])
def test_every_issue_can_be_asked_of_any_number_of_runs(issue: str, n: int) -> None:
    runs = independent_history(8, seed=1).rename(columns={"quality": "style_score"}).iloc[:n]
    found = diagnose(issue, {"network_dim": 64, "keep_tokens": 1, "mixed_precision": "fp16"}, runs)
    assert found
    assert any(each.kind == "unknown" for each in found)
    assert n > 3 or all(each.confidence < 0.7 for each in found if each.parameter), "sure with hardly any runs"


def test_an_unknown_issue_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"'photorealizm' is neither an issue nor a column .* photorealism"):
        diagnose("photorealizm", {"network_dim": 64}, independent_history(8, seed=1))
    with pytest.raises(ValueError, match="does not say which"):
        diagnose({"epoch": 3}, {"network_dim": 64}, independent_history(8, seed=1))


def test_a_table_that_lacks_something_says_what() -> None:
    runs = independent_history(8, seed=1)
    with pytest.raises(ValueError, match="no column rank"):
        diagnose("quality", runs.iloc[0], runs, parameters=["rank"])
    with pytest.raises(ValueError, match="no column purity"):
        diagnose("photorealism", runs.iloc[0], runs, metric="purity")
    with pytest.raises(ValueError, match="evidence has no column parameters"):
        diagnose("quality", runs.iloc[0], runs, pd.DataFrame({"a": [1]}))
    with pytest.raises(ValueError, match="trajectories has no column issue, present"):
        diagnose("quality", runs.iloc[0], runs, trajectories=pd.DataFrame({"run_name": [], "epoch": []}))
    with pytest.raises(ValueError, match="several columns named flip_aug"):
        diagnose("quality", {"network_dim": 64}, pd.concat([runs, runs[["flip_aug"]]], axis=1))


def test_constants_and_a_constant_metric_are_blamed_for_nothing() -> None:
    runs = independent_history(12, seed=2).assign(quality=70.0, network_dim=16, resolution=512)
    found = diagnose("quality", runs.iloc[0], runs)
    assert all(each.confidence < 0.5 for each in found if each.parameter)


def test_runs_without_the_metric_and_cells_without_a_value() -> None:
    runs = independent_history(24, seed=3)
    runs.loc[::7, "quality"] = np.nan
    runs["network_dim"] = runs["network_dim"].astype(object)
    runs.loc[2, "network_dim"] = None
    unmeasured = runs.iloc[7].copy()
    unmeasured["network_dim"], unmeasured["keep_tokens"] = 128, 3
    assert diagnose("quality", unmeasured, runs)[0].parameter == "network_dim"
    nothing_known = {"flip_aug": None, "network_dim": np.nan}
    assert diagnose("quality", nothing_known, runs, parameters=PARAMETERS)[0].parameter is None


def test_no_run_has_the_metric() -> None:
    runs = independent_history(8, seed=4).assign(style_score=np.nan)
    found = diagnose("photorealism", {"network_dim": 64}, runs.drop(columns="quality"))
    assert found[0].confidence < 0.7


@pytest.mark.parametrize("value", ["Prodigy", np.str_("Prodigy")])
def test_names_as_values(value: Any) -> None:
    runs = independent_history(24, seed=5)
    runs["quality"] = 80 - 25.0 * (runs["optimizer_type"] == "Prodigy") + np.random.default_rng(5).normal(0, 2, 24)
    run = {**{name: runs[name].mode()[0] for name in PARAMETERS}, "optimizer_type": value}
    first = diagnose("quality", run, runs)[0]
    assert first.parameter == "optimizer_type"
    assert first.change is not None and first.change.after in ("AdamW", "Lion")
    assert "instead of Prodigy" in first.recommendation
    runs.loc[0, "optimizer_type"] = "never seen"
    assert diagnose("quality", {**run, "optimizer_type": "tomorrow's"}, runs)[0].parameter != "optimizer_type"


def test_types_of_numpy_texts_and_truths() -> None:
    runs = independent_history(20, seed=6)
    run = runs.loc[runs["quality"].idxmin()]
    plain = diagnose("quality", run.to_dict(), runs)
    assert plain[0].parameter == "network_dim"
    texts = runs.assign(network_dim=runs["network_dim"].astype(str), flip_aug=runs["flip_aug"].astype(str))
    of_texts = diagnose("quality", texts.loc[run.name].to_dict(), texts)
    assert [(each.parameter, each.confidence) for each in of_texts] == [(it.parameter, it.confidence) for it in plain]
    narrow = runs.assign(keep_tokens=runs["keep_tokens"].astype(np.int8), quality=runs["quality"].astype(np.float32))
    assert diagnose("quality", narrow.loc[run.name], narrow)[0].parameter == "network_dim"


def test_a_number_that_was_never_tried_is_judged_by_the_nearest() -> None:
    runs = independent_history(24, seed=8)
    run = {**{name: runs[name].mode()[0] for name in PARAMETERS}, "network_dim": 256, "keep_tokens": 3}
    first = diagnose("quality", run, runs)[0]
    assert first.parameter == "network_dim"
    assert first.recommendation.startswith("Reduce network_dim from 256 to")


def test_several_metrics_in_one_evidence() -> None:
    runs = independent_history(20, seed=10)
    runs["background_accuracy"] = 40 + 15.0 * runs["keep_tokens"] + np.random.default_rng(1).normal(0, 2, 20)
    evidence = pd.concat(
        assess_parameters(runs, PARAMETERS, metric).assign(metric=metric)
        for metric in ("quality", "background_accuracy")
    )
    first = diagnose("wrong_background", runs.loc[runs["background_accuracy"].idxmin()], runs, evidence)[0]
    assert first.parameter == "keep_tokens"
    assert first.evidence.line is not None and first.evidence.line.metric == "background_accuracy"


def test_replicates_count_once() -> None:
    runs = independent_history(9, seed=12)
    again = runs.sample(18, replace=True, random_state=0)
    again = again.assign(run_name=[f"again_{at}" for at in range(18)], of=again["run_name"])
    table = pd.concat([runs.assign(of=runs["run_name"]), again], ignore_index=True)
    run = runs.loc[runs["quality"].idxmin()]
    once = diagnose("quality", run, runs)
    repeated = diagnose("quality", run, table, parameters=PARAMETERS, replicate_of="of")
    assert abs(repeated[0].confidence - once[0].confidence) < 0.1


def test_a_name_is_enough_for_a_run_of_the_history() -> None:
    runs = independent_history(20, seed=14)
    run = runs.loc[runs["quality"].idxmin()]
    by_name, by_row = (diagnose("quality", asked, runs) for asked in ({"run_name": run["run_name"]}, run))
    assert [each.to_dict() for each in by_name] == [each.to_dict() for each in by_row]
    assert diagnose("quality", {"run_name": "of another project"}, runs)[0].parameter is None


def test_a_run_that_is_not_named_is_found_by_what_it_says() -> None:
    runs = independent_history(20, seed=14).drop(columns="run_name")
    run = runs.loc[runs["quality"].idxmin()]
    [*_, failed] = diagnose("quality", run.to_dict(), runs)[0].evidence.sides
    assert run.name in failed.failed


def test_what_only_this_run_set_otherwise_is_suspected_by_a_rule_alone() -> None:
    runs = independent_history(20, seed=16).assign(network_dim=32, quality=80.0)
    runs["style_score"] = 85 + np.random.default_rng(2).normal(0, 1, 20)
    run = {**runs.iloc[0][PARAMETERS].to_dict(), "network_dim": 128}
    blamed = next(each for each in diagnose("photorealism", run, runs, parameters=PARAMETERS) if each.parameter)
    assert blamed.parameter == "network_dim"
    assert str(blamed.evidence) == "All 20 other runs have network_dim = 32: none had 128."
    assert blamed.recommendation == "Reduce network_dim from 128 to 32."
