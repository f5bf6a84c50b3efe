"""Campaigns: one at a time, each with a budget of its own, and a training always has one who watches it."""

import pytest

from pixel_lora_pipeline.store import Campaign, CampaignError, ExperimentStateError, Store
from pixel_lora_pipeline_tests.store.test_experiments import proposal


def begin(store: Store, budget_runs: int = 2) -> Campaign:
    return store.campaigns.begin(
        {"network_module": "networks.lora", "seed": 7},
        budget_runs=budget_runs,
        most_running=1,
        needs_approval=False,
        target=80.0,
        by="somebody",
    )


def queue(store: Store, *seeds: int) -> None:
    for experiment_id in store.experiments.propose([proposal(f"seed {seed}", seed=seed) for seed in seeds], "me"):
        store.experiments.move_to(experiment_id, "QUEUED", "me")


def test_one_campaign_is_active_at_a_time_and_says_why_it_ended(store: Store) -> None:
    first = begin(store)
    assert store.campaigns.active() == first
    with pytest.raises(CampaignError, match="autopilot stop"):
        begin(store)
    store.campaigns.end(first.campaign_id, "the target was reached")
    store.campaigns.end(first.campaign_id, "a later reason does not replace the first")
    ended = store.campaigns.newest()
    assert store.campaigns.active() is None
    assert ended is not None and (ended.state, ended.reason) == ("ENDED", "the target was reached")
    assert begin(store).campaign_id != first.campaign_id


def test_what_was_started_for_another_campaign_is_not_counted(store: Store) -> None:
    old = begin(store)
    queue(store, 1, 2, 3)
    claim = store.experiments.claim
    assert claim(most_running=9, most_started=2, by="a", campaign_id=old.campaign_id) is not None
    assert claim(most_running=9, most_started=1, by="b", campaign_id=old.campaign_id) is None, "the budget is spent"
    store.campaigns.end(old.campaign_id, "over")
    new = begin(store)
    assert claim(most_running=1, most_started=1, by="c", campaign_id=new.campaign_id) is not None
    assert [each.claimed_by for each in store.experiments.of_campaign(new.campaign_id)] == ["c"]


def test_a_running_training_can_be_taken_over_and_only_that(store: Store) -> None:
    queue(store, 1)
    claimed = store.experiments.claim(most_running=1, most_started=None, by="first run")
    assert claimed is not None
    store.experiments.record_training(claimed.experiment_id, {"pid": 1}, {"predicted": 71.0})
    found = store.experiments.take_over(str(claimed.experiment_id), "second run")
    assert (found.claimed_by, found.training, found.prediction) == ("second run", {"pid": 1}, {"predicted": 71.0})
    assert found.decisions[-1]["took_over_from"] == "first run"
    store.experiments.move_to(claimed.experiment_id, "EVALUATING", "autopilot")
    with pytest.raises(ExperimentStateError, match="no training to watch"):
        store.experiments.take_over(claimed.experiment_id, "third run")
