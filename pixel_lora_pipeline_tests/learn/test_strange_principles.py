"""Tables that are empty, wrong or of other runs: an answer or an error that says what to do."""

from datetime import datetime

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.principles import update_principles
from pixel_lora_pipeline_tests.learn.principle_histories import NOW, RANK, STATED_BY, updated


def test_no_runs_state_nothing() -> None:
    assert updated([], STATED_BY[:0], RANK, "quality") == []
    assert update_principles([], {}, STATED_BY[:0], NOW) == []


def test_known_principles_outlive_an_empty_table() -> None:
    known = updated([], STATED_BY, RANK, "quality")
    assert updated(known, STATED_BY[:0], RANK, "quality") == known


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        (STATED_BY.drop(columns="run_name"), "runs has no column run_name"),
        (STATED_BY.assign(run_name="same"), "several runs are called same"),
        (STATED_BY.assign(run_name=[None, *STATED_BY["run_name"][1:]]), "1 runs have no run_name"),
        (STATED_BY.drop(columns="quality"), "runs has no column quality"),
        (STATED_BY.drop(columns="flip_aug"), "runs has no column flip_aug"),
        (STATED_BY.assign(quality="good"), "the metric quality is not a number"),
        (STATED_BY[3:], "rests on run_0, run_1, run_2, which runs does not have"),
        (pd.concat([STATED_BY, STATED_BY[["quality"]]], axis=1), "several columns named quality"),
    ],
)
def test_a_wrong_table_of_runs_is_refused(runs: pd.DataFrame, message: str) -> None:
    evidence = {"quality": assess_parameters(STATED_BY, RANK, "quality")}
    with pytest.raises(ValueError, match=message):
        update_principles([], evidence, runs, NOW)


def test_a_table_that_is_no_evidence_is_refused() -> None:
    evidence = assess_parameters(STATED_BY, RANK, "quality").drop(columns=["pip", "noise_sd"])
    with pytest.raises(ValueError, match="evidence about quality has no column pip, noise_sd"):
        update_principles([], {"quality": evidence}, STATED_BY, NOW)


def test_a_time_without_a_zone_and_a_principle_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        update_principles([], {}, STATED_BY, datetime(2026, 1, 1))  # noqa: DTZ001
    known = updated([], STATED_BY, RANK, "quality")
    with pytest.raises(ValueError, match="are known twice"):
        update_principles([*known, *known], {}, STATED_BY, NOW)


def test_runs_without_a_metric_and_without_values_are_passed_over() -> None:
    runs = STATED_BY.astype({"network_dim": "float"})
    unfinished = runs.tail(2).assign(run_name=["later_1", "later_2"], quality=[np.nan, 80.0], network_dim=[16, np.nan])
    stated = updated([], runs, RANK, "quality")
    [same] = updated(stated, pd.concat([runs, unfinished], ignore_index=True), RANK, "quality")
    assert same.confirming_runs == same.counter_examples == ()


def test_a_word_among_the_numbers_of_an_unfinished_run_does_not_matter() -> None:
    stated = updated([], STATED_BY, RANK, "quality")
    unfinished = STATED_BY.tail(1).assign(run_name="later", quality=np.nan, network_dim="auto")
    assert updated(stated, pd.concat([STATED_BY, unfinished], ignore_index=True), RANK, "quality") == stated


def test_a_metric_that_never_changes_states_nothing() -> None:
    assert updated([], STATED_BY.assign(quality=5.0), RANK, "quality") == []


def test_names_may_be_numbers_and_parameters_texts() -> None:
    runs = STATED_BY.assign(run_name=range(10), network_dim=STATED_BY["network_dim"].astype(str))
    [rank] = updated([], runs, RANK, "quality")
    assert rank.statement == "network_dim ≤ 32 raises quality"
    assert rank.known_runs == tuple(str(at) for at in range(10))
    assert rank.to_dict()["evidence_runs"] == [str(at) for at in range(10)]


@pytest.mark.parametrize("written_as", [bool, str, int])
def test_a_flag_is_understood_however_it_is_written(written_as: type) -> None:
    runs = STATED_BY.assign(quality=80.0 - 20.0 * STATED_BY["flip_aug"] + np.linspace(0, 1, 10))
    runs["flip_aug"] = runs["flip_aug"].map(written_as).astype(object)
    [flip] = updated([], runs, RANK, "quality")
    assert flip.statement == f"{'flip_aug ≤ 0' if written_as is int else 'flip_aug = False'} raises quality"
    assert flip.holds_for({"flip_aug": "false"}) is True
    assert flip.holds_for({"flip_aug": True}) is False
