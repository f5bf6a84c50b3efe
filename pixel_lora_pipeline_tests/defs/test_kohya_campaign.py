"""A campaign's training by Kohya's trainer, as a real Dagster instance shows it through Pipes, also when taken over."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Campaign, Experiment, Store
from pixel_lora_pipeline.train.trainers import LocalProcess, local_process
from pixel_lora_pipeline_tests.train.kohya.checkouts import checkout
from pixel_lora_pipeline_tests.train.kohya.test_trainer import supervisors

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")

# Runs the job in a process of its own, as the daemon does.
RUN = """
import sys
import dagster as dg
from pixel_lora_pipeline.definitions import defs
job = defs().resolve_job_def("train_next")
job.execute_in_process(instance=dg.DagsterInstance.from_config(sys.argv[1]), run_id=sys.argv[2])
"""


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """An instance that several processes may use."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


@pytest.fixture
def trainings(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of trainings, of a pipeline that is configured to train with Kohya's scripts."""
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    monkeypatch.setenv("PIXEL_LORA_TRAINER", "kohya")
    monkeypatch.setenv("PIXEL_LORA_KOHYA", json.dumps({"folder": str(checkout(tmp_path / "sd-scripts"))}))
    yield Settings().trainings
    for folder in Settings().trainings.glob("*"):
        if (training := LocalProcess.known(folder)) is not None:
            for process in local_process._processes(training):
                process.kill()


def begin(store: Store, tmp_path: Path, told: str, epochs: int = 3) -> Campaign:
    write_demo_dataset(tmp_path / "data" / "2_sprites", count=4, seed=5)
    (tmp_path / "base.safetensors").touch()
    base = {
        "pretrained_model_name_or_path": str(tmp_path / "base.safetensors"),
        "train_data_dir": str(tmp_path / "data"),
        "caption_extension": ".txt",
        "resolution": "64,64",
        "train_batch_size": 2,
        "max_train_epochs": epochs,
        "seed": 1,
        "training_comment": told,
    }
    return store.campaigns.begin(base, budget_runs=1, most_running=1, needs_approval=False, target=None, by="somebody")


def only(store: Store, campaign: Campaign) -> Experiment:
    (experiment,) = store.experiments.of_campaign(campaign.campaign_id)
    return experiment


def progress(instance: dg.DagsterInstance) -> list[dict[str, Any]]:
    """The observations, the first first."""
    found = instance.fetch_observations(dg.AssetKey("training_progress"), limit=100).records
    return [
        {name: entry.value for name, entry in record.asset_observation.metadata.items()} | {"of": record.partition_key}
        for record in reversed(found)
        if record.asset_observation is not None
    ]


def said(instance: dg.DagsterInstance, run_id: str) -> list[str]:
    return [entry.user_message for entry in instance.all_logs(run_id) if entry.dagster_event is None]


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def test_a_training_shows_in_dagster_how_it_stands(
    instance: dg.DagsterInstance, store: Store, trainings: Path, tmp_path: Path
) -> None:
    campaign = begin(store, tmp_path, "seconds=0.1")
    result = defs().resolve_job_def("train_next").execute_in_process(instance=instance)
    assert result.success
    experiment = only(store, campaign)
    assert experiment.state == "EVALUATING"
    name = str(experiment.output_name)
    assert len(list((trainings / name).glob("*.safetensors"))) == 3
    log = said(instance, result.run_id)
    assert any(line.startswith("epoch 3/3, step 12/12, loss 0.0") for line in log), log
    assert not any("avr_loss" in line for line in log), "the bar is told line by line besides"
    *_, last = progress(instance)
    assert (last["of"], last["epoch"], last["step"], last["steps"]) == (name, 3, 12, 12)
    assert 0 < last["loss"] <= 0.2 and last["learning_rate"] > 0


def test_a_training_that_diverges_has_failed_also_when_who_watched_its_loss_was_killed_before(
    instance: dg.DagsterInstance, store: Store, trainings: Path, tmp_path: Path
) -> None:
    campaign = begin(store, tmp_path, "seconds=0.2 nan_from=6", epochs=25)

    def kill_the_first_supervisor() -> None:
        until(lambda: progress(instance))
        (supervisor,) = supervisors(trainings / str(only(store, campaign).output_name))
        supervisor.kill()

    killer = Thread(target=kill_the_first_supervisor)
    killer.start()
    result = defs().resolve_job_def("train_next").execute_in_process(instance=instance)
    killer.join()
    experiment = only(store, campaign)
    assert (trainings / str(experiment.output_name) / f"{experiment.output_name}-000001.safetensors").is_file()
    assert experiment.state == "FAILED" and experiment.outcome is not None
    assert "no number since step 6 of 100 (epoch 2 of 25)" in experiment.outcome["failure"]
    assert "Lower learning_rate" in experiment.outcome["failure"]
    assert experiment.outcome["diverged"] is True
    assert any("no number since step 6" in line for line in said(instance, result.run_id))


def test_a_run_that_takes_a_training_over_reads_on_where_the_killed_one_was(
    instance: dg.DagsterInstance, store: Store, trainings: Path, tmp_path: Path
) -> None:
    campaign = begin(store, tmp_path, f"wait_for={tmp_path / 'go'}")
    first = dg.DagsterRun(job_name="train_next").run_id
    process = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path / "dagster"), first])
    until(lambda: progress(instance))
    before = said(instance, first)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    (folder,) = trainings.glob("*")
    training = LocalProcess.known(folder)
    assert training is not None and LocalProcess([]).look(training).is_running, "it ended with the run"

    (tmp_path / "go").touch()
    taken_over = {"ops": {"train_experiment": {"config": {"experiment_id": str(only(store, campaign).experiment_id)}}}}
    result = defs().resolve_job_def("train_next").execute_in_process(instance=instance, run_config=taken_over)
    assert result.success
    assert only(store, campaign).state == "EVALUATING"
    after = said(instance, result.run_id)
    told = [line for line in before if line.startswith("epoch")]
    assert told and not set(told) & set(after), "what was told is told again"
    assert any(line.startswith("epoch 3/3, step 12/12") for line in after)
    assert not any("did not receive" in line for line in after)
    steps = [report.get("step", 0) for report in progress(instance)]
    assert steps == sorted(set(steps)) and steps[-1] == 12, steps
