"""Predictions are kept, and compared with the runs that came after them."""

import json

import pytest

from pixel_lora_pipeline.improving import calibration, predict, propose, trade_offs
from pixel_lora_pipeline.store import NothingEvaluatedError, Store
from pixel_lora_pipeline.training_history import read_history


def later_run(store: Store, name: str, quality: float, **parameters: object) -> None:
    with store.database.connection() as connection:
        connection.execute(
            "INSERT INTO training_runs (run_name, run_date, quality_score, all_parameters) "
            "VALUES (%s, now() + interval '1 hour', %s, %s::jsonb)",
            (name, quality, json.dumps(parameters)),
        )


@pytest.mark.made_up_history
def test_a_prediction_is_scored_by_the_first_later_run_that_has_its_parameters(store: Store) -> None:
    history = read_history(store)
    for kept in range(1, 11):
        predict(store, history, {"network_dim": 32, "keep_tokens": kept})
    assert calibration(store, history).n == 0, "runs from before a prediction say nothing of it"
    for kept in range(1, 11):
        later_run(store, f"later_{kept}", 8.0, network_dim=32, keep_tokens=kept, learning_rate=1e-4)
    later_run(store, "other", 1.0, network_dim=64, keep_tokens=3)
    found = calibration(store, read_history(store))
    assert found.n == 10
    assert found.coverage is not None and found.within_15 is not None
    assert found.within_15.value > 0.4, found


def test_without_any_run_there_is_nothing_to_predict_from(store: Store) -> None:
    with pytest.raises(NothingEvaluatedError, match="no run has ended yet"):
        predict(store, read_history(store), {"network_dim": 32})


@pytest.mark.made_up_history
def test_proposing_again_keeps_what_still_holds_and_what_people_decided_and_takes_off_the_rest(store: Store) -> None:
    first = propose(store, read_history(store))
    ids = {experiment.title: experiment.experiment_id for experiment in store.experiments.all()}
    assert len(ids) == len(first.hypotheses)
    assert propose(store, read_history(store)) == first
    assert {experiment.title: experiment.experiment_id for experiment in store.experiments.all()} == ids
    outdated = {**first.hypotheses[0].to_dict(), "parameters": {"network_dim": 8}, "title": "outdated"}
    decided = {**outdated, "parameters": {"network_dim": 16}, "title": "decided on"}
    for proposal in store.experiments.propose([outdated, decided], "hypotheses")[1:]:
        store.experiments.move_to(proposal, "QUEUED", "somebody")
    propose(store, read_history(store))
    states = {experiment.title: experiment.state for experiment in store.experiments.all()}
    assert (states["outdated"], states["decided on"]) == ("SKIPPED", "QUEUED")


@pytest.mark.made_up_history
def test_runs_are_weighed_by_quality_and_by_what_they_took(store: Store) -> None:
    found = trade_offs(read_history(store))
    assert found is not None
    front, goals = found
    assert [goal.column for goal in goals][:2] == ["quality_score", "best_epoch"]
    assert front.choices[0].name == "best quality"
    assert front.table["on_front"].any() and not front.table["on_front"].all()


def test_without_runs_nothing_is_weighed(store: Store) -> None:
    assert trade_offs(read_history(store)) is None
