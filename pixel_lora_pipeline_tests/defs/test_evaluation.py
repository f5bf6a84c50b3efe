"""One checkpoint through all assets, in this process, with the real database and the real small model."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.train.sensors import checkpoint_files
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.defs.conftest import EPOCHS


@pytest.fixture
def settings(store: Store, small_suite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """The configuration as the launcher would set it for Dagster's processes."""
    watched = tmp_path / "watched"
    watched.mkdir()
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    monkeypatch.setenv("PIXEL_LORA_WATCHED", f'["{watched.as_posix()}"]')
    monkeypatch.setenv("PIXEL_LORA_SUITE", str(small_suite))
    yield Settings()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tick(settings: Settings, store: Store, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """One look of the sensor, its partitions added as the daemon does it."""
    context = dg.build_sensor_context(instance=instance, resources={"settings": settings, "store": store})
    result = checkpoint_files(context)
    if isinstance(result, dg.SkipReason):
        return []
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("checkpoints", list(request.partition_keys))
    return list(result.run_requests or [])


def evaluate(instance: dg.DagsterInstance, partition_key: str) -> dg.ExecuteInProcessResult:
    job = defs().resolve_job_def("evaluate_checkpoint")
    return job.execute_in_process(instance=instance, partition_key=partition_key, raise_on_error=False)


def test_an_epoch_that_landed_is_evaluated(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    shutil.copytree(trained, settings.watched[0], dirs_exist_ok=True)
    requests = tick(settings, store, instance)
    assert len(requests) == EPOCHS
    keys = [request.partition_key for request in requests]
    assert keys == sorted(keys, key=str), "requested in another order than that of training"

    first = evaluate(instance, str(keys[0]))
    assert first.success, [event.message for event in first.all_events if event.is_failure]
    assert store.landed_files.evaluated() == (1, EPOCHS)
    checks = {check.check_name: check.passed for check in first.get_asset_check_evaluations()}
    assert checks["images_are_complete"], checks

    row = store.epochs.table("portraits")[0]
    assert row.evaluation_status == "evaluated"
    assert row.quantitative_metrics is not None
    assert row.quantitative_metrics["color_accuracy"]["background_accuracy"] is not None
    assert row.contact_sheet is not None
    size = Path(row.contact_sheet).stat().st_size
    assert size < 200_000, f"the contact sheet has {size} bytes"
    materialization = first.asset_materializations_for_node("epoch_evaluation")[0]
    numbers = [name for name, value in materialization.metadata.items() if isinstance(value, dg.FloatMetadataValue)]
    assert len(numbers) >= 5, f"only {numbers} plot over the partitions"

    images = store.images.of_epoch(row.epoch_id)
    without_lora = store.images.of_epoch(None)
    assert [image.prompt for image in without_lora] == [image.prompt for image in images]
    assert all(image.metrics for image in without_lora), "the images without a LoRA were not measured"
    again = evaluate(instance, str(keys[0]))
    assert again.success
    assert store.images.of_epoch(row.epoch_id) == images, "a second evaluation changed images or measurements"


def test_a_registered_file_is_not_asked_for_again_and_an_overwritten_one_is(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    target = settings.watched[0] / "portraits-000001.safetensors"
    shutil.copy(trained / "portraits-000001.safetensors", target)
    first = tick(settings, store, instance)
    assert [request.run_key for request in tick(settings, store, instance)] == [first[0].run_key], (
        "a tick that is repeated before the run registers its file must ask for the same run"
    )
    assert evaluate(instance, str(first[0].partition_key)).success
    assert tick(settings, store, instance) == []
    shutil.copy(trained / "portraits-000002.safetensors", target)
    second = tick(settings, store, instance)
    assert len(second) == 1
    assert second[0].run_key != first[0].run_key


def test_a_diverged_file_is_set_aside_with_its_reason(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    genuine = Path(__file__).parent.parent / "samples" / "kohya" / "run_diverge" / "pixchar_diverge.safetensors"
    elsewhere = settings.model_copy(update={"base_model": str(genuine.parent / "unknown.safetensors")})
    shutil.copy(genuine, settings.watched[0])
    requests = tick(elsewhere, store, instance)
    result = evaluate(instance, str(requests[0].partition_key))
    assert not result.success
    assert "580" in store.quarantine.list()[0].fault
    assert tick(elsewhere, store, instance) == [], "a refused file was asked for again"


def test_a_file_for_another_base_model_is_refused_before_a_run_starts(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    genuine = Path(__file__).parent.parent / "samples" / "kohya" / "run_a" / "pixchar_a.safetensors"
    shutil.copy(genuine, settings.watched[0])
    assert tick(settings, store, instance) == []
    refusal = store.quarantine.list()[0]
    assert "pixchar_a.safetensors" in refusal.path
    assert refusal.remedy, "the refusal does not say what to do"


def test_a_file_that_vanished_before_its_run_fails_with_what_to_do(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    target = settings.watched[0] / "portraits-000001.safetensors"
    shutil.copy(trained / target.name, target)
    request = tick(settings, store, instance)[0]
    os.remove(target)  # noqa: PTH107 - as another program would
    result = evaluate(instance, str(request.partition_key))
    assert not result.success
    assert store.quarantine.list() == [], "a file that may come back was refused"


def test_a_file_with_modules_that_the_base_lacks_is_set_aside_and_not_half_loaded(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    genuine = trained / "portraits-000001.safetensors"
    with safe_open(genuine, framework="numpy") as file:
        metadata = file.metadata()
    tensors = load_file(genuine)
    known = next(name for name in tensors if "down_blocks_1" in name and name.endswith("lora_down.weight"))
    for part in ("lora_down.weight", "lora_up.weight", "alpha"):
        original = known.replace("lora_down.weight", part)
        tensors[original.replace("down_blocks_1", "down_blocks_9")] = tensors[original]
    save_file(tensors, settings.watched[0] / genuine.name, metadata)
    requests = tick(settings, store, instance)
    result = evaluate(instance, str(requests[0].partition_key))
    assert not result.success
    refusals = store.quarantine.list()
    assert len(refusals) == 1, "the mismatch was not set aside"
    assert genuine.name in refusals[0].path
    assert tick(settings, store, instance) == [], "a refused file was asked for again"


def test_of_a_backlog_the_newest_training_comes_first_and_of_its_epochs_the_deepest_looks(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    shutil.copytree(trained, settings.watched[0] / "new", dirs_exist_ok=True)
    older = settings.watched[0] / "old"
    older.mkdir()
    for path in sorted(trained.glob("*.safetensors")):
        with safe_open(path, framework="numpy") as file:
            header = {**file.metadata(), "ss_training_started_at": "1500000000.0", "ss_session_id": "7"}
        save_file(load_file(path), older / path.name, metadata=header)
    requests = tick(settings, store, instance)
    ordered = sorted(requests, key=lambda request: -int(request.tags["dagster/priority"]))
    assert len(ordered) == 2 * EPOCHS
    folders = [store.landed_files.newest(str(request.partition_key)).path.parent.name for request in ordered]
    assert folders == ["new"] * EPOCHS + ["old"] * EPOCHS
    # Of ten epochs the plan looks fully at the seventh, which is the second of three.
    assert str(ordered[0].partition_key).endswith("000002")
