"""News of Dagster's runs, with the real database, and what a channel that fails does to an evaluation: nothing."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.notify.sensors import failed_runs, notification_sensors, send_notifications
from pixel_lora_pipeline.defs.refusal import refused
from pixel_lora_pipeline.defs.train.sensors import checkpoint_files
from pixel_lora_pipeline.notify import channel_ids
from pixel_lora_pipeline.store import LandedFile, Message, Store
from pixel_lora_pipeline.train import CheckpointError
from pixel_lora_pipeline_tests.notify import servers

DIVERGED = Path(__file__).parent.parent / "samples" / "kohya" / "run_diverge" / "pixchar_diverge.safetensors"


@pytest.fixture
def webhook() -> Iterator[servers.Webhook]:
    with servers.webhook() as running:
        yield running


@pytest.fixture
def settings(store: Store, webhook: servers.Webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A watched folder, and two channels of which one fails."""
    watched = tmp_path / "watched"
    watched.mkdir()
    channels = [f"json://127.0.0.1:{servers.unused_port()}", f"json://127.0.0.1:{webhook.port}"]
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    monkeypatch.setenv("PIXEL_LORA_WATCHED", json.dumps([str(watched)]))
    monkeypatch.setenv("PIXEL_LORA_NOTIFY", json.dumps(channels))
    return Settings()


@pytest.fixture
def listening(store: Store, settings: Settings, tmp_path: Path) -> Store:
    """The store as Dagster's processes build it."""
    return Store(store.database.url, tmp_path / "images", channel_ids(settings.notify))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def told(store: Store) -> list[str]:
    """Subjects of what one channel is told, in order."""
    messages = store.notifications.find(("pending", "sent", "dead"))
    return [message.subject for message in reversed(messages) if message.channel == store.notifications.channels[1]]


def notice(store: Store, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult) -> None:
    """What the daemon does with a run that failed."""
    event = next(event for event in result.all_events if event.event_type_value == "PIPELINE_FAILURE")
    context = dg.build_run_status_sensor_context("failed_runs", event, instance, result.dagster_run)
    failed_runs(context.for_run_failure(), store=store)


def failing_job(error: Exception) -> dg.JobDefinition:
    @dg.op
    def breaks() -> None:
        raise error

    @dg.job
    def evaluate() -> None:
        breaks()

    return evaluate


def test_sensors_run_by_themselves_only_where_somebody_wants_to_hear_of_it(settings: Settings) -> None:
    silent = settings.model_copy(update={"notify": []})
    running, stopped = dg.DefaultSensorStatus.RUNNING, dg.DefaultSensorStatus.STOPPED
    assert {sensor.default_status for sensor in notification_sensors(settings)} == {running}
    assert {sensor.default_status for sensor in notification_sensors(silent)} == {stopped}
    assert {"send_notifications", "failed_runs"} <= {sensor.name for sensor in defs().sensors or []}


def test_a_refused_file_is_told_of_once_and_its_failed_run_not_besides(
    settings: Settings, listening: Store, instance: dg.DagsterInstance
) -> None:
    shutil.copy(DIVERGED, settings.watched[0])
    elsewhere = settings.model_copy(update={"base_model": str(DIVERGED.parent / "unknown.safetensors")})
    context = dg.build_sensor_context(instance=instance, resources={"settings": elsewhere, "store": listening})
    requested = checkpoint_files(context)
    assert isinstance(requested, dg.SensorResult)
    (request,) = requested.run_requests or []
    instance.add_dynamic_partitions("checkpoints", [str(request.partition_key)])
    job = defs().resolve_job_def("evaluate_checkpoint")
    for _ in range(2):  # the second as if a person had tried it again
        result = job.execute_in_process(instance=instance, partition_key=request.partition_key, raise_on_error=False)
        assert not result.success
        notice(listening, instance, result)
    assert told(listening) == ["pixchar_diverge.safetensors was refused"]


def test_a_failed_run_is_told_of_with_its_step_and_what_was_said(
    listening: Store, instance: dg.DagsterInstance
) -> None:
    job = failing_job(ValueError("the depth is odd\nand more"))
    result = job.execute_in_process(instance=instance, raise_on_error=False)
    for _ in range(2):  # the daemon may look twice
        notice(listening, instance, result)
    assert told(listening) == ["evaluate failed"]
    body = listening.notifications.find()[0].body
    for part in (result.run_id, "step breaks", "the depth is odd"):
        assert part in body, body
    assert "Traceback" not in body


def test_a_run_that_fails_before_its_first_step_says_why(listening: Store, instance: dg.DagsterInstance) -> None:
    @dg.resource
    def suite() -> None:
        raise ValueError("no such suite")

    @dg.op(required_resource_keys={"suite"})
    def measures() -> None: ...

    @dg.job(resource_defs={"suite": suite})
    def evaluate() -> None:
        measures()

    result = evaluate.execute_in_process(instance=instance, raise_on_error=False)
    notice(listening, instance, result)
    assert "no such suite" in listening.notifications.find()[0].body


def test_a_run_that_dagster_starts_again_by_itself_is_no_news(listening: Store, instance: dg.DagsterInstance) -> None:
    result = failing_job(ValueError("x")).execute_in_process(
        instance=instance, raise_on_error=False, tags={"dagster/will_retry": "true"}
    )
    notice(listening, instance, result)
    assert told(listening) == []


def test_a_channel_that_fails_keeps_neither_a_fact_nor_the_other_channel(
    settings: Settings, listening: Store, webhook: servers.Webhook, tmp_path: Path
) -> None:
    error = CheckpointError(tmp_path / "a.safetensors", "is a pickle", "Save it as safetensors.")
    refused(listening, LandedFile(error.path, "signature"), error)
    assert len(listening.quarantine.list()) == 1
    skipped = send_notifications(settings=settings, store=listening)
    assert skipped.skip_message is not None
    assert "1 sent, 1 failed" in skipped.skip_message
    assert "Connection refused" in skipped.skip_message
    assert [body["title"] for body in webhook.bodies] == ["a.safetensors was refused"]
    assert send_notifications(settings=settings, store=listening).skip_message == "Nothing is due"


def test_a_file_that_may_be_right_a_moment_later_is_no_news(listening: Store, tmp_path: Path) -> None:
    error = CheckpointError(tmp_path / "a.safetensors", "is still growing", "Wait.", retry=True)
    failure = refused(listening, LandedFile(error.path, "signature"), error)
    assert failure.allow_retries
    assert told(listening) == []


def test_without_a_channel_nothing_is_sent(settings: Settings, store: Store) -> None:
    store.notifications.announce(Message("test", "key", "subject", "body"))
    skipped = send_notifications(settings=settings.model_copy(update={"notify": []}), store=store)
    assert "PIXEL_LORA_NOTIFY" in str(skipped.skip_message)
