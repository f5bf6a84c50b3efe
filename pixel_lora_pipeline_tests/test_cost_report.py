"""The report of a month: where money went, what is not known of it, what failed, and what would have been cheaper."""

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import httpx
import pytest

from pixel_lora_pipeline.config import CostSettings, MachineSettings, Settings, StorageSettings
from pixel_lora_pipeline.cost_lines import costs_of
from pixel_lora_pipeline.cost_report import CostReport, cost_report
from pixel_lora_pipeline.costs import THIS_MACHINE, count_run, record_training_on_this_machine
from pixel_lora_pipeline.defs.train.costs import costs, hourly_costs
from pixel_lora_pipeline.store import Store, Subject
from pixel_lora_pipeline.train.costs import Usage
from pixel_lora_pipeline_tests.lab.server import served
from pixel_lora_pipeline_tests.test_costs import A40, MINE, START, running, trained

NOVEMBER = date(2026, 11, 1)
NOW = datetime(2026, 11, 20, tzinfo=UTC)
H100 = CostSettings(training=MachineSettings(provider="runpod", gpu="H100 SXM", cloud="secure"))


def report(store: Store, settings: CostSettings = A40, month: date = NOVEMBER) -> CostReport:
    return cost_report(store, settings, month, NOW)


def test_everything_of_a_month_is_in_it_once_and_nothing_else_is(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path, 30, 60)
    midnight = datetime(2026, 12, 1, tzinfo=UTC)
    across = Usage("evaluation", THIS_MACHINE, midnight - timedelta(hours=1), midnight + timedelta(hours=3), "measured")
    store.gpu_usage.record(across, Subject())
    disk = StorageSettings(name="data", provider="runpod", gigabytes=Decimal(100), since=date(2026, 10, 1))
    settings = A40.model_copy(update={"machine": MachineSettings(usd_per_hour=Decimal(2)), "storage": (disk,)})
    later = datetime(2027, 1, 5, tzinfo=UTC)
    november = cost_report(store, settings, NOVEMBER, later)
    assert {kind: each.amount.usd for kind, each in november.kinds.items()} == {
        "training": Decimal("0.44"),
        "evaluation": Decimal("2.00"),
        "storage": Decimal("7.00"),
    }
    december = cost_report(store, settings, date(2026, 12, 1), later)
    assert (december.kinds["evaluation"].amount.usd, december.kinds["training"].amount.usd) == (6, 0)
    assert december.runs == () and december.forecast is None


def test_failures_are_listed_with_what_they_cost_the_dearest_first(store: Store, tmp_path: Path) -> None:
    for run, minutes, verdict in (
        ("cheap", 10, "failed: two-toned hair"),
        ("dear", 90, "FAILED"),
        ("good", 500, "good"),
    ):
        run_id = trained(store, tmp_path / run, minutes, run=run, session=run)
        with store.database.connection() as connection:
            connection.execute("UPDATE training_runs SET overall_verdict = %s WHERE id = %s", (verdict, run_id))
    experiment_id, name = running(store)
    process = {"pid": 3, "started": START.timestamp()}
    settings = A40.model_copy(update={"machine": MINE.machine})
    record_training_on_this_machine(store, settings, experiment_id, process, START + timedelta(hours=10))
    store.experiments.record_outcome(experiment_id, "FAILED", {"failure": "loss is NaN"}, "autopilot")
    failures = [(each.cost.run, str(each.whole), each.failure) for each in report(store, settings).failures]
    assert failures == [
        (name, "$3.00", "loss is NaN"),
        ("dear", "$0.66", "FAILED"),
        ("cheap", "$0.07", "failed: two-toned hair"),
    ]


@pytest.mark.parametrize(
    ("stopped_by", "saved"),
    [("a campaign", True), ("the guard: degrading", True), ("the guard: budget", False), ("nobody", False)],
)
def test_only_a_recommendation_that_was_followed_has_saved_anything(
    store: Store, tmp_path: Path, stopped_by: str, *, saved: bool
) -> None:
    experiment_id, name = running(store)
    trained(store, tmp_path, 20, 40, 60, 80, run=name)
    why = "stopped early" if stopped_by == "a campaign" else ""
    store.experiments.move_to(experiment_id, "EVALUATING", "autopilot", why)
    if stopped_by.startswith("the guard"):
        store.auto_stop.register("pod", "p1", {"pod_id": "p1"}, "me", run_name=name)
        with store.database.connection() as connection:
            for action, rules in (("stop", [stopped_by.split()[-1]]), ("stopped", [])):
                connection.execute(
                    "INSERT INTO auto_stop_decisions (machine, action, rules, reason, decided_by) "
                    "VALUES ('p1', %s, %s, '', 'auto-stop')",
                    (action, rules),
                )
    this_month = datetime.now(UTC).date().replace(day=1)
    assert report(store, month=date(2020, 1, 1)).savings == (), "it was stopped now"
    found = report(store, month=this_month).savings
    # Ten epochs were planned, four were trained: six of 20 minutes at $0.44 an hour.
    assert [(each.run, each.epochs, each.seconds, str(each.amount)) for each in found] == (
        [(name, 6, 7200.0, "$0.88")] if saved else []
    )


def test_a_cheaper_gpu_is_judged_by_prices_and_measured_speed_and_without_that_says_what_is_missing(
    store: Store, tmp_path: Path
) -> None:
    trained(store, tmp_path / "fast", 10, 20, 30, run="fast", session="1")
    found = report(store, H100).cheaper
    a40 = found[0]
    assert (a40.gpu.gpu, a40.epochs, str(a40.paid), str(a40.same_seconds)) == ("A40", (1, 2, 3), "$2.00", "$0.22")
    assert round(a40.may_take, 2) == 9.07 and a40.would_cost is None
    assert "less than 9.1 times as long" in a40.sentence and "no comparable training has run on it" in a40.sentence


def test_a_gpu_on_which_the_same_work_has_run_is_compared_by_how_long_that_took(store: Store, tmp_path: Path) -> None:
    steps = {"ss_num_batches_per_epoch": "100", "ss_gradient_accumulation_steps": "1"}
    trained(store, tmp_path / "fast", 10, 20, 30, run="fast", session="1", more=steps)
    slow = trained(store, tmp_path / "slow", 40, 80, run="slow", session="2", more=steps)
    with store.database.connection() as connection:
        connection.execute("UPDATE training_runs SET gpu_type = 'A40' WHERE id = %s", (slow,))
    a40 = report(store, H100).cheaper[0]
    assert (a40.takes, str(a40.would_cost)) == (4.0, "$0.88")
    assert a40.sentence.endswith("It takes 4.0 times as long for comparable work, so $0.88.")


def test_a_month_without_prices_has_an_unknown_total_and_says_for_how_long(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path / "a", 30, run="a", session="1")
    trained(store, tmp_path / "b", None, run="b", session="2")
    found = report(store, CostSettings())
    assert str(found.total) == "unknown" and found.untimed == ("b",)
    ((why, seconds),) = found.unknown.items()
    assert "[costs]" in why and seconds == 1800
    mixed = report(store, CostSettings(training=MachineSettings(usd_per_hour=Decimal(1))))
    assert str(mixed.total) == "$0.50"


def test_prices_in_use_that_are_older_than_a_month_are_named(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path, 30)
    assert ["2026-08-19" in each.basis for each in report(store).old_prices] == [True]
    assert report(store, H100).old_prices == (), "its price is of the 9th of November"


def test_a_table_of_ones_own_counts_before_all_others(store: Store, tmp_path: Path) -> None:
    own = tmp_path / "prices.toml"
    own.write_text(
        '[[gpu]]\nprovider = "runpod"\ngpu = "NVIDIA A40"\ncloud = "secure"\nusd_per_hour = "0.20"\n'
        'source = "our contract"\nsource_url = "none"\nretrieved = 2026-01-01\n',
        encoding="utf-8",
    )
    trained(store, tmp_path, 30)
    assert str(report(store, A40.model_copy(update={"prices": own})).total) == "$0.10"


def test_the_report_of_an_epoch_shows_what_it_had_cost_by_then(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30, 50, 70)
    assert costs_of(store, store.conclusions.run("portrait")) == []
    count_run(store, A40, run_id)
    run = store.conclusions.run("portrait")
    assert [(line.label, line.amount) for line in costs_of(store, run, 2)] == [
        ("Epochs up to 2", "$0.37"),
        ("Epoch 2", "$0.15"),
    ]
    (whole,) = costs_of(store, run)
    assert (whole.label, whole.amount) == ("Training so far", "$0.51")
    assert "70 min on A40 (estimate): list price of 2026-08-19" in whole.note


def test_the_asset_shows_dollars_that_plot_and_comes_every_hour_once_something_was_used(
    store: Store, tmp_path: Path
) -> None:
    settings = Settings(home=tmp_path, costs=MINE.model_copy(update={"monthly_budget": Decimal(100)}))
    with dg.build_schedule_context(resources={"store": store}) as context:
        assert isinstance(hourly_costs(context), dg.SkipReason)
    begins = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    store.gpu_usage.record(
        Usage("evaluation", THIS_MACHINE, begins, begins + timedelta(hours=2), "measured"), Subject()
    )
    with dg.build_schedule_context(resources={"store": store}) as context:
        assert isinstance(hourly_costs(context), dg.RunRequest)
    done = dg.materialize([costs], resources={"settings": settings, "store": store})
    metadata: Any = done.asset_materializations_for_node("costs")[0].metadata
    assert metadata["total_usd"].value == metadata["evaluation_usd"].value == 0.6
    assert metadata["budget_share"].value == 0.006 and "training_usd" in metadata


def test_the_lab_shows_what_a_run_and_the_month_have_cost(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30, 50)
    with served(store, tmp_path) as address:
        assert "Cost in" not in httpx.get(f"{address}/lab/").text
        count_run(store, CostSettings(), run_id)
        assert "price unknown" in httpx.get(f"{address}/lab/runs/{run_id}").text
        count_run(store, A40, run_id)
        page = httpx.get(f"{address}/lab/runs/{run_id}").text
        assert "$0.37" in page and "estimate" in page and "$0.15" in page and "50 min" in page
        assert f"Cost in {datetime.now(UTC):%B}" in httpx.get(f"{address}/lab/").text


def test_the_report_is_json_without_floats_for_money(store: Store, tmp_path: Path) -> None:
    trained(store, tmp_path, 30)
    document = json.loads(json.dumps(report(store).to_dict()))
    assert document["total"]["usd"] == "0.22" and document["training"]["kind"] == "estimate"
