"""Watched places elsewhere reach the evaluation, and a training on RunPod leaves its key nowhere."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.train.remote import remote_sensors
from pixel_lora_pipeline.defs.train.sensors import checkpoint_files
from pixel_lora_pipeline.doctor import examine
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES
from pixel_lora_pipeline_tests.train.runpod_server import GPU, KEY, TEMPLATE, FakePod, RunPodServer

GENUINE = KOHYA_SAMPLES / "run_a"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def there(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GENUINE, tmp_path / "there"))


def test_an_epoch_elsewhere_is_evaluated_although_another_place_cannot_be_reached(
    store: Store, instance: dg.DagsterInstance, there: Path, tmp_path: Path
) -> None:
    local = tmp_path / "local"
    local.mkdir()
    places = ["nowhere://bucket/runs", f"file://{there}", local]
    settings = Settings(home=tmp_path / "home", watched=places, base_model="somebody/any-model")
    (sensor,) = remote_sensors(settings)
    resources = {"settings": settings, "store": store}
    looked = sensor(dg.build_sensor_context(instance=instance, resources={"settings": settings}))
    assert isinstance(looked, dg.SkipReason) and looked.skip_message is not None
    first, second = looked.skip_message.splitlines()
    assert first.startswith("nowhere://bucket/runs does not let us open it")
    assert f"file://{there}: 5 new, 5 in" in second
    found = checkpoint_files(dg.build_sensor_context(instance=instance, resources=resources))
    assert isinstance(found, dg.SensorResult)
    assert [request.tags["pixel_lora/file"] for request in found.run_requests or ()] == [
        path.name for path in sorted(GENUINE.glob("*-*.safetensors"))
    ] + ["pixchar_a.safetensors"]
    told = {finding.message: finding.state for finding in examine(settings) if finding.subject == "watched folders"}
    assert told[f"file://{there} answers"] == "ok"
    assert [state for message, state in told.items() if message.startswith("nowhere://")] == ["fault"]


def test_without_places_elsewhere_nothing_looks_for_them(tmp_path: Path) -> None:
    assert remote_sensors(Settings(home=tmp_path, watched=[tmp_path])) == []


@pytest.fixture
def rented(runpod_server: RunPodServer, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunPodServer:
    """The configuration of somebody who trains on RunPod, as the launcher sets it for Dagster's processes."""
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIXEL_LORA_TRAINER", "runpod")
    monkeypatch.setenv("PIXEL_LORA_RUNPOD_URL", runpod_server.url)
    monkeypatch.setenv("RUNPOD_API_KEY", KEY)
    monkeypatch.setenv(
        "PIXEL_LORA_RUNPOD",
        f'{{"template_id": "{TEMPLATE}", "gpu_types": ["{GPU}"], "checkpoints_url": "file://{tmp_path}/bucket"}}',
    )
    base = {
        "pretrained_model_name_or_path": "/workspace/sd15.safetensors",
        "train_data_dir": "/workspace/data",
        "max_train_epochs": 3,
    }
    store.campaigns.begin(base, budget_runs=2, most_running=2, needs_approval=False, target=None, by="somebody")
    return runpod_server


def test_a_campaign_trains_on_rented_pods_and_the_key_is_left_nowhere(
    rented: RunPodServer,
    store: Store,
    instance: dg.DagsterInstance,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level("DEBUG")

    def trains_at_once(pod: FakePod) -> None:
        bucket = Path(pod.env["PIXEL_LORA_RUN_URL"].removeprefix("file://"))
        for path in GENUINE.glob("*.safetensors"):
            name = path.name.replace("pixchar_a", pod.env["PIXEL_LORA_OUTPUT_NAME"])
            shutil.copy(path, bucket / name)
        pod.status = "EXITED"

    rented.on_create = trains_at_once
    job = defs().resolve_job_def("train_next")
    assert job.execute_in_process(instance=instance).success
    (experiment,) = store.experiments.all(["EVALUATING"])
    assert experiment.training is not None and list(rented.pods) == [experiment.training["pod_id"]]
    assert len(list((Settings().trainings / experiment.output_name).glob("*.safetensors"))) == 3

    rented.fail(401, on="POST", detail=f"not a key: Bearer {KEY}")
    failed = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not failed.success
    assert "not a key: Bearer ***" in str(store.experiments.all(["FAILED"])[0].outcome)

    rented.fail(403, times=None, detail=KEY)
    findings = examine(Settings())
    assert [finding.state for finding in findings if finding.subject == "RunPod"] == ["fault", "ok"]

    events = [entry.to_json() for run in instance.get_runs() for entry in instance.all_logs(run.run_id)]
    files = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    printed = capfd.readouterr()
    seen = [*events, *_rows(store), *files, caplog.text, printed.out, printed.err, repr(Settings()), repr(findings)]
    assert len(events) > 10 and any(experiment.output_name in row for row in seen)
    assert [text[:200] for text in seen if KEY in text] == []


def _rows(store: Store) -> list[str]:
    """Every row of every table, as text."""
    with store.database.connection() as connection:
        tables = connection.execute(
            "SELECT tablename AS table_name FROM pg_tables WHERE schemaname = current_schema()"
        ).fetchall()
        return [
            row["row"]
            for table in tables
            for row in connection.execute(f'SELECT t::text AS row FROM "{table["table_name"]}" t').fetchall()
        ]


def test_a_trainer_that_is_not_set_up_says_what_is_missing(
    rented: RunPodServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXEL_LORA_RUNPOD", "{}")
    faults = [finding.message for finding in examine(Settings()) if finding.state == "fault"]
    assert any("template_id, [runpod] checkpoints_url" in fault for fault in faults)
    assert rented.destructive == []
