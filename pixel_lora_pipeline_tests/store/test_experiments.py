"""The queue of experiments: nothing is started twice, and every decision stays on record."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from pixel_lora_pipeline.store import ExperimentStateError, Store, UnknownExperimentError


def proposal(title: str, **changes: Any) -> dict[str, Any]:
    parameters = {"network_dim": 32, "keep_tokens": 3, "learning_rate": 1e-4}
    return {
        "title": title,
        "rationale": "keep_tokens=3 will fix the background",
        "source": "diagnosis",
        "priority": "MEDIUM",
        "parameters": {**parameters, **changes},
        "confidence": 0.85,
    }


@pytest.fixture
def store(store: Store) -> Store:
    """With three proposals in the queue."""
    proposals = [proposal("one", seed=1), proposal("two", seed=2), {**proposal("three", seed=3), "priority": "HIGH"}]
    assert len(store.experiments.propose(proposals, "hypotheses")) == 3
    return store


def titles(store: Store, *states: Any) -> list[str]:
    return [experiment.title for experiment in store.experiments.all(states or None)]


def by_title(store: Store, title: str) -> Any:
    return next(experiment for experiment in store.experiments.all() if experiment.title == title)


def test_a_configuration_that_is_open_is_not_proposed_twice_but_brought_up_to_date(store: Store) -> None:
    again = {**proposal("one, now surer", seed=1), "confidence": 0.9}
    assert store.experiments.propose([again], "hypotheses") == []
    assert titles(store) == ["one, now surer", "two", "three"]
    assert by_title(store, "one, now surer").proposal["confidence"] == 0.9
    store.experiments.move_to(by_title(store, "two").experiment_id, "QUEUED", "somebody")
    store.experiments.propose([proposal("two, otherwise", seed=2)], "hypotheses")
    assert "two" in titles(store, "QUEUED"), "what a person has decided on was changed"


def test_what_was_tried_may_be_proposed_again(store: Store) -> None:
    store.experiments.move_to(by_title(store, "one").experiment_id, "SKIPPED", "somebody", "too dear")
    assert len(store.experiments.propose([proposal("one again", seed=1)], "hypotheses")) == 1


def test_the_queue_is_worked_off_by_priority_and_place_and_within_the_limits(store: Store) -> None:
    for experiment in store.experiments.all():
        store.experiments.move_to(experiment.experiment_id, "QUEUED", "somebody")
    store.experiments.place_before(by_title(store, "two").experiment_id, by_title(store, "one").experiment_id, "me")
    first = store.experiments.claim(most_running=2, most_started=3, by="autopilot")
    second = store.experiments.claim(most_running=2, most_started=3, by="autopilot")
    assert first is not None and second is not None
    assert (first.title, second.title) == ("three", "two")
    assert (first.state, first.output_name) == ("RUNNING", f"experiment_{first.experiment_id}")
    assert store.experiments.claim(most_running=2, most_started=3, by="autopilot") is None, "two are under way"
    store.experiments.record_outcome(first.experiment_id, "DONE", {"quality_score": 7.2}, "autopilot")
    assert store.experiments.claim(most_running=2, most_started=2, by="autopilot") is None, "the budget is spent"
    third = store.experiments.claim(most_running=2, most_started=3, by="autopilot")
    assert third is not None and third.title == "one"
    assert store.experiments.get(first.experiment_id).outcome == {"quality_score": 7.2}


def test_of_many_that_ask_at_once_one_gets_an_experiment(store: Store) -> None:
    store.experiments.move_to(by_title(store, "one").experiment_id, "QUEUED", "somebody")
    with ThreadPoolExecutor(8) as pool:
        claimed = list(
            pool.map(lambda n: store.experiments.claim(most_running=8, most_started=None, by=f"worker {n}"), range(8))
        )
    assert len([experiment for experiment in claimed if experiment is not None]) == 1


def test_every_decision_is_kept_with_who_and_when_and_impossible_ones_are_refused(store: Store) -> None:
    one = by_title(store, "one").experiment_id
    store.experiments.edit(one, {"learning_rate": 5e-5}, "somebody")
    store.experiments.move_to(one, "QUEUED", "somebody")
    store.experiments.move_to(one, "SKIPPED", "somebody else", "no money")
    kept = store.experiments.get(one)
    assert [decision["by"] for decision in kept.decisions] == ["hypotheses", "somebody", "somebody", "somebody else"]
    assert kept.decisions[-1]["why"] == "no money"
    assert kept.parameters["learning_rate"] == 5e-5
    with pytest.raises(ExperimentStateError, match="'one' is SKIPPED and cannot become QUEUED: it has ended"):
        store.experiments.move_to(one, "QUEUED", "somebody")
    with pytest.raises(ExperimentStateError, match="only what was not started can be edited"):
        store.experiments.edit(one, {"seed": 9}, "somebody")
    with pytest.raises(ExperimentStateError, match="Another open experiment"):
        store.experiments.edit(by_title(store, "two").experiment_id, {"seed": 3}, "somebody")
    with pytest.raises(UnknownExperimentError, match="no experiment 999"):
        store.experiments.get(999)
