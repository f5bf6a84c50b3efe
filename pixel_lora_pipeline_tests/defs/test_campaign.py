"""The campaign's sensor asks for as many trainings as may be started, finds those that nobody watches, and ends it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.improve.campaign import CAMPAIGN_TAG, campaign, train_next
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Campaign, Store
from pixel_lora_pipeline.train import read_checkpoint


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def begin(store: Store, **terms: Any) -> Campaign:
    usual = {"budget_runs": 3, "most_running": 1, "needs_approval": False, "target": None}
    return store.campaigns.begin({"network_dim": 4}, **{**usual, **terms}, by="somebody")


def queued(store: Store, *dims: int) -> None:
    proposals = [
        {"title": f"{dim}", "rationale": "", "source": "me", "priority": "LOW", "parameters": {"network_dim": dim}}
        for dim in dims
    ]
    for experiment_id in store.experiments.propose(proposals, "me"):
        store.experiments.move_to(experiment_id, "QUEUED", "me")


def tick(instance: dg.DagsterInstance, settings: Settings, store: Store) -> list[dg.RunRequest] | str:
    """What the sensor asks for; why it asks for nothing."""
    context = dg.build_sensor_context(instance=instance, resources={"settings": settings, "store": store})
    found = campaign(context)
    if isinstance(found, dg.SkipReason):
        return found.skip_message or ""
    assert isinstance(found, dg.SensorResult)
    return list(found.run_requests or ())


def dagster_run(instance: dg.DagsterInstance, begun: Campaign, status: dg.DagsterRunStatus) -> str:
    run = instance.create_run_for_job(train_next, tags={CAMPAIGN_TAG: str(begun.campaign_id)}, status=status)
    return run.run_id


def test_without_a_campaign_nothing_is_started(instance: dg.DagsterInstance, settings: Settings, store: Store) -> None:
    queued(store, 8)
    assert tick(instance, settings, store) == "No campaign is active"


def test_one_run_is_asked_for_each_training_that_may_be_started(
    instance: dg.DagsterInstance, settings: Settings, store: Store
) -> None:
    begun = begin(store, most_running=2)
    first = tick(instance, settings, store)
    assert len(first) == 2
    assert tick(instance, settings, store) == first, "the same tick has other keys: runs would be started twice"
    dagster_run(instance, begun, dg.DagsterRunStatus.STARTED)
    assert len(tick(instance, settings, store)) == 1, "a run that is about to claim was not counted"


def test_where_people_approve_each_only_what_is_queued_is_started(
    instance: dg.DagsterInstance, settings: Settings, store: Store
) -> None:
    begin(store, most_running=3, needs_approval=True)
    assert tick(instance, settings, store) == "Nothing more may be started now"
    queued(store, 8, 16)
    assert len(tick(instance, settings, store)) == 2


def test_a_training_whose_watcher_is_gone_gets_another_one_before_anything_new_is_started(
    instance: dg.DagsterInstance, settings: Settings, store: Store
) -> None:
    begun = begin(store, most_running=2)
    queued(store, 8)
    run_id = dagster_run(instance, begun, dg.DagsterRunStatus.STARTED)
    claimed = store.experiments.claim(most_running=2, most_started=3, by=run_id, campaign_id=begun.campaign_id)
    assert claimed is not None
    run = instance.get_run_by_id(run_id)
    assert run is not None
    instance.report_run_failed(run, "its process was killed")
    (request,) = tick(instance, settings, store)
    assert isinstance(request, dg.RunRequest)
    assert request.run_key == f"experiment {claimed.experiment_id} after {run_id}"
    assert request.run_config["ops"]["train_experiment"]["config"] == {"experiment_id": str(claimed.experiment_id)}


def test_runs_that_end_without_a_training_end_the_campaign(
    instance: dg.DagsterInstance, settings: Settings, store: Store
) -> None:
    begun = begin(store)
    for _ in range(3):
        dagster_run(instance, begun, dg.DagsterRunStatus.FAILURE)
    said = tick(instance, settings, store)
    assert isinstance(said, str) and said.startswith("The campaign is over. 3 runs in a row have ended")
    ended = store.campaigns.newest()
    assert ended is not None and ended.state == "ENDED"


def test_a_training_of_the_embedded_model_is_chosen_started_and_watched_to_its_end(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    write_demo_dataset(tmp_path / "data" / "1_sprites", count=4, seed=5)
    base = {
        "train_data_dir": str(tmp_path / "data"),
        "caption_extension": ".txt",
        "train_batch_size": 2,
        "max_train_epochs": 2,
        "seed": 1,
    }
    begun = store.campaigns.begin(base, budget_runs=1, most_running=1, needs_approval=False, target=None, by="somebody")
    assert defs().resolve_job_def("train_next").execute_in_process(instance=instance).success
    (experiment,) = store.experiments.of_campaign(begun.campaign_id)
    assert experiment.state == "EVALUATING"
    names = sorted(path.name for path in Settings().trainings.rglob("*.safetensors"))
    assert names == [f"{experiment.output_name}-000001.safetensors", f"{experiment.output_name}.safetensors"]
    assert read_checkpoint(Settings().trainings / experiment.output_name / names[1]).run.name == experiment.output_name


def test_captions_that_would_spoil_a_training_stop_it_before_it_starts(
    instance: dg.DagsterInstance, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    pictures = tmp_path / "data" / "1_sprites"
    write_demo_dataset(pictures, count=4, seed=5)
    base = {"train_data_dir": str(tmp_path / "data"), "caption_extension": ".txt", "network_dim": 4}
    begun = store.campaigns.begin(base, budget_runs=1, most_running=1, needs_approval=False, target=None, by="somebody")
    # Faultless when the campaign began, and changed since.
    caption = min(pictures.glob("*.txt"))
    caption.write_text(caption.read_text(encoding="utf-8") + ", hair #ff00gg", encoding="utf-8")
    queued(store, 8)
    result = defs().resolve_job_def("train_next").execute_in_process(instance=instance, raise_on_error=False)
    assert not result.success
    (experiment,) = store.experiments.of_campaign(begun.campaign_id)
    assert experiment.state == "FAILED"
    assert experiment.outcome is not None
    assert "#ff00gg" in experiment.outcome["failure"] and "captions check" in experiment.outcome["failure"]
    assert not (tmp_path / "trainings").exists(), "something was started"
