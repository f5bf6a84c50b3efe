"""Budgets: people are told once at 80 % and at 100 %, and a campaign starts nothing that there is no money for."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pixel_lora_pipeline.config import CostSettings, MachineSettings, Settings
from pixel_lora_pipeline.cost_budgets import (
    announce_budgets,
    budget_of_month,
    reason_to_wait,
    spending_on,
    spent_in_month,
)
from pixel_lora_pipeline.costs import THIS_MACHINE, count_all_runs, record_training_on_this_machine
from pixel_lora_pipeline.defs.improve.campaign import campaign
from pixel_lora_pipeline.pod_costs import record_pod
from pixel_lora_pipeline.store import Campaign, Store, Subject
from pixel_lora_pipeline.store.auto_stop import WatchedMachine
from pixel_lora_pipeline.train.auto_stop import Watch
from pixel_lora_pipeline.train.costs import Usage
from pixel_lora_pipeline.training_history import read_history
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.test_costs import START, a_pod, running

NOW = datetime(2026, 12, 2, 12, tzinfo=UTC)
DECEMBER = date(2026, 12, 1)
MINE = CostSettings(machine=MachineSettings(usd_per_hour=Decimal(1)), monthly_budget=Decimal(10))
TOLD = "SELECT dedup_key, subject, body FROM notifications ORDER BY id"


@pytest.fixture
def told(store: Store, tmp_path: Path) -> Store:
    """A store whose news somebody wants to hear."""
    return Store(store.database.url, tmp_path / "images", channels=["slack-1"])


def used(store: Store, hours: float, begins: datetime = NOW - timedelta(hours=20)) -> None:
    """This machine was used: a dollar an hour."""
    ends = begins + timedelta(hours=hours)
    store.gpu_usage.record(Usage("evaluation", THIS_MACHINE, begins, ends, "measured"), Subject())


def messages(store: Store) -> list[dict[str, Any]]:
    with store.database.connection() as connection:
        return connection.execute(TOLD).fetchall()


def begin(store: Store) -> Campaign:
    return store.campaigns.begin(
        {"network_dim": 4, "max_train_epochs": 2},
        budget_runs=5,
        most_running=1,
        needs_approval=False,
        target=None,
        by="somebody",
    )


def ended_run(store: Store, folder: Path, hours: float) -> None:
    """A training of two epochs that took so many hours on this machine, in November, and has an end."""
    experiment_id, name = running(store, f"took {hours} hours")
    process = {"pid": 7, "started": START.timestamp()}
    record_training_on_this_machine(store, MINE, experiment_id, process, START + timedelta(hours=hours))
    checkpoint = save_checkpoint(folder, 2, run=name, final=True, header={"ss_num_epochs": "2"})
    epoch_id = store.checkpoints.register(checkpoint)
    store.epochs.record_evaluation(epoch_id, {"overall_score": 50.0, "color_accuracy_score": 5})
    store.experiments.move_to(experiment_id, "DONE", "me")
    count_all_runs(store, MINE)


def waits(store: Store, begun: Campaign, settings: CostSettings = MINE) -> str | None:
    return reason_to_wait(store, settings, begun, partial(read_history, store), NOW)


def test_a_month_is_counted_within_its_bounds_in_utc_and_the_newest_budget_counts(store: Store) -> None:
    used(store, 3, datetime(2026, 11, 30, 22, tzinfo=UTC))
    assert (spent_in_month(store, MINE, date(2026, 11, 1)).usd, spent_in_month(store, MINE, DECEMBER).usd) == (2, 1)
    state = budget_of_month(store, MINE, DECEMBER)
    assert state is not None and (state.limit, state.set_by) == (10, "the configuration")
    store.budgets.set(Decimal(5), "me", month=DECEMBER)
    store.budgets.set(Decimal("2.50"), "me again", month=DECEMBER)
    state = budget_of_month(store, MINE, DECEMBER)
    assert state is not None and (state.limit, state.set_by, float(state.share)) == (Decimal("2.50"), "me again", 0.4)
    assert budget_of_month(store, CostSettings(), date(2026, 11, 1)) is None


def test_people_are_told_at_each_threshold_once_and_again_for_another_limit(told: Store) -> None:
    used(told, 7.9)
    announce_budgets(told, MINE, NOW)
    assert messages(told) == []
    used(told, 8.1)
    for _ in range(2):
        announce_budgets(told, MINE, NOW)
    assert [each["subject"] for each in messages(told)] == ["Budget December 2026: 80 % spent"]
    used(told, 12)
    for _ in range(2):
        announce_budgets(told, MINE, NOW)
    last = messages(told)[-1]
    assert len(messages(told)) == 2 and last["subject"] == "Budget December 2026: 100 % spent"
    assert "12.00 of 10.00 US$" in last["body"] and "start no more trainings" in last["body"]
    told.budgets.set(Decimal(14), "me", month=DECEMBER)
    announce_budgets(told, MINE, NOW)
    assert messages(told)[-1]["dedup_key"] == "budget:December 2026:14.00:0.80"


def test_what_has_no_price_is_said_with_the_budget_and_not_counted_as_nothing(told: Store) -> None:
    used(told, 9)
    told.gpu_usage.record(
        Usage("training", "run:4:0", NOW - timedelta(hours=5), NOW, "header", gpu="RTX 9090"), Subject()
    )
    announce_budgets(told, MINE, NOW)
    assert "more is spent than that" in messages(told)[0]["body"]


def test_a_campaign_waits_when_the_budget_is_spent_or_the_next_training_would_exceed_it(
    store: Store, tmp_path: Path
) -> None:
    begun = begin(store)
    assert waits(store, begun, CostSettings()) is None and waits(store, begun) is None, "nobody knows what it costs"
    ended_run(store, tmp_path, hours=3)
    assert waits(store, begun) is None
    used(store, 8)
    assert waits(store, begun) == (
        "The next training is expected to cost $3.00: only $2.00 of the $10.00 of December 2026 are left. It goes on "
        "with the next month, or a larger budget is set: `pixel-lora costs budget`."
    )
    used(store, 10)
    assert (waits(store, begun) or "").startswith("The budget of December 2026 is spent: $10.00 of $10.00.")
    store.budgets.set(Decimal(100), "me", month=DECEMBER)
    assert waits(store, begun) is None
    store.budgets.set(Decimal(1), "me", campaign_id=begun.campaign_id)
    assert "of campaign" in (waits(store, begun) or "")


def test_what_runs_already_is_promised_to_cost_the_rest_of_its_price(store: Store, tmp_path: Path) -> None:
    begun = begin(store)
    ended_run(store, tmp_path, hours=3)
    experiment_id, _ = running(store, "the one that runs")
    began = NOW - timedelta(hours=1)
    process = {"pid": 8, "started": began.timestamp()}
    record_training_on_this_machine(store, MINE, experiment_id, process, NOW)
    assert waits(store, begun, MINE.model_copy(update={"monthly_budget": Decimal(6)})) is None, "3 + 2 of 5 left"
    reason = waits(store, begun, MINE.model_copy(update={"monthly_budget": Decimal("5.50")}))
    assert "and those that run $2.00 more" in (reason or "")


def test_the_campaigns_sensor_says_why_it_starts_nothing(store: Store, tmp_path: Path) -> None:
    begin(store)
    settings = Settings(home=tmp_path, costs=MINE.model_copy(update={"monthly_budget": Decimal(0)}))
    begins = datetime.now(UTC).replace(day=1, hour=0, minute=0)
    used(store, 0.001, begins)
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance=instance, resources={"settings": settings, "store": store})
        found = campaign(context)
    assert isinstance(found, dg.SkipReason) and "is spent" in (found.skip_message or "")
    assert store.campaigns.active() is not None, "it waits, and is not over"


def test_the_guard_gets_every_budget_of_a_machine_with_how_fresh_it_is(store: Store) -> None:
    experiment_id, name = running(store)
    record_pod(store, a_pod(60), Subject(experiment_id=experiment_id))
    store.budgets.set(Decimal("0.50"), "me", experiment_id=experiment_id)
    watch = Watch("armed", START, None, START)
    machine = WatchedMachine(1, "pod", "a pod", {"pod_id": "p1"}, name, None, "me", START, watch)
    weighed = spending_on(store, CostSettings(), machine)
    assert [(each.amount, each.budget, each.as_of, each.kind) for each in weighed] == [
        (Decimal("0.44"), Decimal("0.50"), START + timedelta(hours=1), "accrued")
    ]
