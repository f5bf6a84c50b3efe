"""Costs from what a pipeline really stores: files, processes, pods and bills, counted once and in the right columns."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from pixel_lora_pipeline.config import CostSettings, MachineSettings
from pixel_lora_pipeline.costs import (
    THIS_MACHINE,
    cost_of_run,
    count_all_runs,
    count_run,
    evaluation_is_counted,
    record_training_on_this_machine,
    spent,
    spent_on_machine,
)
from pixel_lora_pipeline.pod_costs import machine_of_pod, read_pods, reconcile_bills, record_pod, refresh_prices
from pixel_lora_pipeline.store import RowId, Store, Subject
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.train.costs import Bill, Usage
from pixel_lora_pipeline.train.runpod import RunPod
from pixel_lora_pipeline.train.runpod.answers import Pod, PodGpu
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_experiments import proposal
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES
from pixel_lora_pipeline_tests.train.runpod_server import KEY, RunPodServer

START = datetime(2026, 11, 10, 14, 3, tzinfo=UTC)
A40 = CostSettings(training=MachineSettings(provider="runpod", gpu="A40", cloud="secure"))
MINE = CostSettings(machine=MachineSettings(usd_per_hour=Decimal("0.30")))
NOTHING_SAID = CostSettings()
PROCESS = {"pid": 7, "started": START.timestamp()}


def trained(
    store: Store,
    folder: Path,
    *minutes: float | None,
    run: str = "portrait",
    more: dict[str, str] | None = None,
    **told: Any,
) -> RowId:
    """Epochs saved so many minutes after the start, in the database; the id of their run."""
    for epoch, after in enumerate(minutes, start=1):
        saved = dict(more or {})
        if after is not None:
            saved["ss_training_finished_at"] = str(START.timestamp() + 60 * after)
        store.checkpoints.register(
            save_checkpoint(folder, epoch, run=run, started_at=START.timestamp(), header=saved, **told)
        )
    return store.conclusions.run(run).run_id


def columns(store: Store, run_id: RowId) -> tuple[Any, ...]:
    with store.database.connection() as connection:
        row = connection.execute(
            "SELECT gpu_type, gpu_seconds, cost_usd, cost_counted FROM training_runs WHERE id = %s", (run_id,)
        ).fetchone()
    assert row is not None
    return row["gpu_type"], row["gpu_seconds"], row["cost_usd"], row["cost_counted"]


def running(store: Store, title: str = "try") -> tuple[RowId, str]:
    """An experiment whose training was claimed, and the training's name."""
    (experiment_id,) = store.experiments.propose([proposal(title, seed=len(title))], "me")
    store.experiments.move_to(experiment_id, "QUEUED", "me")
    claimed = store.experiments.claim(most_running=9, most_started=None, by="a run")
    assert claimed is not None and claimed.output_name is not None
    return experiment_id, claimed.output_name


def test_the_save_times_of_epochs_become_seconds_and_dollars_to_the_cent(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30, 50, 70)
    counted = count_run(store, A40, run_id)
    assert {epoch: float(each.seconds) for epoch, each in counted.cost.epochs.items()} == {1: 1800, 2: 1200, 3: 1200}
    assert str(counted.cost.training.amount) == "$0.51", "70 minutes of $0.44 an hour"
    gpu, seconds, usd, document = columns(store, run_id)
    assert (gpu, seconds, usd) == ("A40", 4200, Decimal("0.5133"))
    assert document["training"]["kind"] == "estimate" and document["epochs"]["2"]["usd"] == "0.15"


def test_files_that_kohya_wrote_are_counted_by_the_microseconds_of_their_headers(store: Store) -> None:
    for file in sorted((KOHYA_SAMPLES / "run_a").glob("*.safetensors")):
        store.checkpoints.register(read_checkpoint(file))
    a_dollar_a_second = CostSettings(training=MachineSettings(usd_per_hour=Decimal(3600)))
    cost = count_run(store, a_dollar_a_second, store.conclusions.run("pixchar_a").run_id).cost
    assert cost.training.seconds == Fraction("144.683805") and str(cost.training.amount) == "$144.68"
    assert [str(each.amount) for each in cost.epochs.values()] == ["$75.87", "$43.03", "$25.79"]


def test_counting_again_changes_nothing_and_an_epoch_that_lands_is_added(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30, 50)
    count_run(store, A40, run_id)
    before = store.gpu_usage.within(START - timedelta(days=1), START + timedelta(days=1)), columns(store, run_id)
    seen = store.lab_events.cursor()
    count_run(store, A40, run_id)
    count_all_runs(store, A40)
    after = store.gpu_usage.within(START - timedelta(days=1), START + timedelta(days=1)), columns(store, run_id)
    assert after == before and store.lab_events.since(seen).events == ()
    trained(store, tmp_path, 30, 50, 70)
    assert count_run(store, A40, run_id).cost.training.seconds == 4200


def test_without_a_price_the_time_is_known_and_the_cost_is_not(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30)
    counted = count_run(store, NOTHING_SAID, run_id)
    assert (str(counted.cost.training.amount), counted.cost.training.seconds) == ("unknown", 1800)
    assert columns(store, run_id)[:3] == (None, 1800, None), "unknown is not 0"
    count_run(store, A40, run_id)
    assert columns(store, run_id)[:3] == ("A40", 1800, Decimal("0.2200")), "it is filled when a price is known"
    count_run(store, NOTHING_SAID, run_id)
    assert columns(store, run_id)[:3] == (None, 1800, None), "and emptied when it is not any more"


def test_what_people_have_noted_stays(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30)
    with store.database.connection() as connection:
        connection.execute("UPDATE training_runs SET gpu_type = 'A100 PCIe', cost_usd = 2.5 WHERE id = %s", (run_id,))
    counted = count_run(store, A40, run_id)
    assert columns(store, run_id)[:3] == ("A100 PCIe", 1800, Decimal("2.5000"))
    assert counted.cost.training.amount.usd == Decimal("0.90"), "half an hour of the GPU that was noted"


def test_files_without_times_leave_all_of_it_unknown(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, None, None)
    counted = count_run(store, A40, run_id)
    assert str(counted.cost.training.amount) == "unknown" and not counted.is_whole
    assert columns(store, run_id)[:3] == (None, None, None)


def test_of_checkpoints_that_were_registered_before_their_times_were_kept_the_whole_time_counts(
    store: Store, tmp_path: Path
) -> None:
    run_id = trained(store, tmp_path, 30, 50)
    with store.database.connection() as connection:
        connection.execute("UPDATE epoch_results SET saved_at = NULL")
    counted = count_run(store, A40, run_id)
    assert (counted.cost.training.seconds, str(counted.cost.training.amount), counted.cost.epochs) == (
        3000,
        "$0.37",
        {},
    )


def test_a_clock_that_went_back_makes_the_cost_a_lower_bound_and_no_column_takes_it_for_the_whole(
    store: Store, tmp_path: Path
) -> None:
    run_id = trained(store, tmp_path, 30, 10, 40)
    counted = count_run(store, A40, run_id)
    assert str(counted.cost.training.amount) == "at least $0.44"
    assert columns(store, run_id)[1:3] == (None, None)
    assert "went back" in next(iter(counted.cost.training.unknown))


def test_a_process_that_we_watch_and_the_epochs_that_it_saves_are_counted_once(store: Store, tmp_path: Path) -> None:
    experiment_id, name = running(store)
    began = START.timestamp() - 60
    for minutes in (10, 71, 71):
        now = START + timedelta(minutes=minutes)
        record_training_on_this_machine(store, MINE, experiment_id, {"pid": 7, "started": began}, now)
    before = spent(store, MINE, name)
    assert before.seconds == 72 * 60 and before.counted_until == START + timedelta(minutes=71)
    assert (str(before.amount), before.amount.kind) == ("$0.36", "estimate")
    run_id = trained(store, tmp_path, 30, 50, 70, run=name)
    cost = count_run(store, MINE, run_id).cost
    assert cost.training.seconds == 72 * 60, "the minute before and the minute after the epochs included"
    assert sum(each.seconds for each in cost.epochs.values()) == 70 * 60
    assert spent(store, MINE, name).amount == before.amount


def test_a_training_that_saved_nothing_has_cost_what_its_process_took(store: Store) -> None:
    experiment_id, name = running(store)
    record_training_on_this_machine(store, MINE, experiment_id, PROCESS, START + timedelta(hours=2))
    assert str(spent(store, MINE, name).amount) == "$0.60"
    assert spent(store, MINE, "nobody knows it").amount.usd is None


def test_evaluations_are_counted_apart_also_those_that_fail(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 30)
    (epoch,) = store.gpu_usage.timed_runs(run_id)[0].saves
    with pytest.raises(RuntimeError), evaluation_is_counted(store, MINE, run_id, epoch):
        raise RuntimeError("out of memory")
    cost = count_run(store, MINE, run_id).cost
    assert 0 < cost.evaluation.seconds < 60 and cost.evaluation.amount.kind == "estimate"
    assert cost.training.seconds == 1800 and str(cost.training.amount) == "unknown", "they are two machines"
    (used,) = store.gpu_usage.of_machine(THIS_MACHINE)
    assert (used.kind, used.run, used.epoch) == ("evaluation", "portrait", 1)


def a_pod(minutes: float, rate: str = "0.44", status: str = "RUNNING") -> Pod:
    """A pod of ours, read so many minutes after its start."""
    return Pod(
        id="p1",
        name="pixel-lora-1",
        status=status,
        cost=Decimal(rate),
        locked=False,
        createdAt=START - timedelta(minutes=3),
        startedAt=START,
        observedAt=START + timedelta(minutes=minutes),
        gpu=PodGpu(id="NVIDIA A40"),
        cloud="SECURE",
    )


@pytest.fixture
def pod(store: Store) -> Iterator[tuple[Subject, str]]:
    experiment_id, name = running(store)
    yield Subject(experiment_id=experiment_id), name


def test_readings_of_a_pod_accrue_at_its_rate_and_come_late_or_twice_without_harm(
    store: Store, pod: tuple[Subject, str]
) -> None:
    subject, name = pod
    for read in (a_pod(10), a_pod(30), a_pod(20), a_pod(30), a_pod(60, "0.50"), a_pod(75, "0", "EXITED")):
        record_pod(store, read, subject)
    so_far = spent(store, NOTHING_SAID, name)
    assert (str(so_far.amount), so_far.amount.kind) == ("$0.47", "accrued"), "half an hour at each rate"
    assert so_far.counted_until == START + timedelta(minutes=60)
    assert spent_on_machine(store, NOTHING_SAID, machine_of_pod("p1")).amount == so_far.amount


def test_readers_that_come_at_once_count_a_pod_once(store: Store, pod: tuple[Subject, str]) -> None:
    subject, name = pod
    readings = [a_pod(minutes, rate) for minutes in (10, 20, 30, 40) for rate in ("0.44", "0.44")]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda read: record_pod(store, read, subject), readings))
    assert spent(store, NOTHING_SAID, name).seconds == 40 * 60
    assert len(store.gpu_usage.of_machine(machine_of_pod("p1"))) == 1


@pytest.fixture
def account(runpod_server: RunPodServer) -> Iterator[RunPod]:
    client = RunPod(SecretStr(KEY), runpod_server.url)
    yield client
    client.close()


def test_bills_take_the_place_of_what_had_accrued_and_reading_them_again_counts_nothing_twice(
    store: Store, pod: tuple[Subject, str], account: RunPod, runpod_server: RunPodServer
) -> None:
    subject, name = pod
    record_pod(store, a_pod(90), subject)
    hour = START.replace(minute=0)
    runpod_server.add_bill("p1", hour, 1, 0.40, 0.01)
    runpod_server.add_bill("somebodys", hour, 1, 7.0)
    bounds = START - timedelta(days=1), START + timedelta(days=1)
    assert [reconcile_bills(store, account, *bounds) for _ in range(2)] == [1, 0]
    so_far = spent(store, NOTHING_SAID, name)
    # 14:03 to 15:00 is billed, 15:00 to 15:33 has accrued.
    assert so_far.amount.exact is not None and round(float(so_far.amount.exact), 6) == round(0.41 + 0.44 * 33 / 60, 6)
    assert so_far.amount.kind == "accrued"
    runpod_server.bills.clear()
    runpod_server.add_bill("p1", hour, 1, 0.42, 0.01)
    assert reconcile_bills(store, account, *bounds) == 1, "a bill that has grown"
    assert str(spent_on_machine(store, NOTHING_SAID, machine_of_pod("p1")).amount) == "$0.67"
    runpod_server.add_bill("p1", hour + timedelta(hours=1), 1, 0.25, 0.01)
    reconcile_bills(store, account, *bounds)
    billed = spent(store, NOTHING_SAID, name).amount
    assert (str(billed), billed.kind) == ("$0.69", "actual")


def test_pods_that_are_watched_or_train_for_us_are_read_and_others_are_not(
    store: Store, account: RunPod, runpod_server: RunPodServer
) -> None:
    began = datetime.now(UTC) - timedelta(hours=2)
    for pod_id in ("watched1", "trains1", "private1"):
        runpod_server.add_pod(pod_id, started_at=began, created_at=began)
    store.auto_stop.register("pod", "watched1", {"pod_id": "watched1"}, "me", run_name="by hand")
    store.auto_stop.register("pod", "gone1", {"pod_id": "gone1"}, "me")
    experiment_id, name = running(store)
    store.experiments.record_training(experiment_id, {"pod_id": "trains1"}, None)
    assert read_pods(store, account) == 2
    assert store.gpu_usage.machines() == {machine_of_pod("watched1"), machine_of_pod("trains1")}
    so_far = spent(store, NOTHING_SAID, name)
    assert (str(so_far.amount), so_far.amount.kind) == ("$0.88", "accrued")


def test_a_bill_of_a_day_and_bills_of_its_hours_are_never_added_up(store: Store) -> None:
    midnight, later = START.replace(hour=0, minute=0), START + timedelta(days=2)

    def bill(hour: int, hours: int, usd: str) -> Bill:
        begins = midnight + timedelta(hours=hour)
        return Bill("runpod", "runpod:p1", begins, begins + timedelta(hours=hours), Decimal(usd), Decimal(0))

    hours, day = [bill(hour, 1, "0.40") for hour in range(3)], bill(0, 24, "1.30")
    assert store.billing_records.reconcile(hours, later) == 3
    assert store.billing_records.reconcile([day], later) == 1
    assert store.billing_records.within(midnight, later) == [day]
    assert store.billing_records.reconcile(hours, later) == 0, "they lie within a bill that is there"
    assert store.billing_records.within(midnight, later) == [day]
    assert store.billing_records.reconcile([bill(30, 1, "1")], midnight) == 0, "its hour is not over"


def test_a_new_price_ends_the_old_one_and_both_count_for_their_time(
    store: Store, tmp_path: Path, account: RunPod, runpod_server: RunPodServer
) -> None:
    a40 = {"id": "NVIDIA A40", "name": "A40", "memory": 48, "secure": True, "community": False}
    changes = START + timedelta(minutes=30)
    for usd, read_at, n_changed in ((0.40, START - timedelta(days=1), 1), (0.40, START, 0), (0.60, changes, 1)):
        runpod_server.gpus = [{**a40, "price": {"secure": usd, "community": 0.0}}]
        assert refresh_prices(store, account, read_at) == n_changed, "the same price is only seen again"
    assert [(each.usd_per_hour, each.cloud, each.valid_until) for each in store.gpu_prices.all()] == [
        (Decimal("0.6"), "secure", None),
        (Decimal("0.4"), "secure", changes),
    ]
    run_id = trained(store, tmp_path, 60)
    assert str(count_run(store, A40, run_id).cost.training.amount) == "$0.50"


def test_two_trainings_at_once_on_one_machine_cost_what_the_machine_costs(store: Store) -> None:
    names = []
    for title in ("one", "other"):
        experiment_id, name = running(store, title)
        record_training_on_this_machine(store, MINE, experiment_id, PROCESS, START + timedelta(hours=2))
        names.append(name)
    assert [str(cost_of_run(store, MINE, name).training.amount) for name in names] == ["$0.30", "$0.30"]
    assert str(spent_on_machine(store, MINE, THIS_MACHINE).amount) == "$0.60"


def test_files_of_a_training_on_a_machine_that_paints_as_well_share_its_time(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 60)
    painted = Usage("evaluation", "host:box", START + timedelta(minutes=30), START + timedelta(minutes=50), "measured")
    store.gpu_usage.record(painted, Subject(run_id=run_id))
    cost = count_run(store, MINE.model_copy(update={"training_host": "box"}), run_id).cost
    assert (cost.training.seconds, cost.evaluation.seconds) == (50 * 60, 10 * 60)
    assert str(cost.whole) == "$0.30", "an hour of the machine"
    assert count_run(store, MINE, run_id).cost.training.seconds == 3600, "without that, they are two machines"


def test_the_time_of_a_deleted_run_stays_spent(store: Store, tmp_path: Path) -> None:
    run_id = trained(store, tmp_path, 60)
    count_run(store, A40, run_id)
    with store.database.connection() as connection:
        connection.execute("DELETE FROM epoch_results WHERE training_run_id = %s", (run_id,))
        connection.execute("DELETE FROM training_runs WHERE id = %s", (run_id,))
    (used,) = store.gpu_usage.within(START, START + timedelta(hours=1))
    assert (used.run, used.ends - used.begins) == (None, timedelta(hours=1))
