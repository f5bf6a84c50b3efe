"""A training that we start waits for its captions to be fit for it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.resources import resources
from pixel_lora_pipeline.defs.train.captions import caption_quality, datasets
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Store


@dg.asset(deps=[caption_quality], partitions_def=datasets)
def a_training() -> None:
    """What would cost money."""


@pytest.fixture
def settings(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path / "home"))
    return Settings()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def materialize(instance: dg.DagsterInstance, dataset: Path, **parameters: object) -> dg.ExecuteInProcessResult:
    instance.add_dynamic_partitions("datasets", [str(dataset)])
    return dg.materialize(
        [caption_quality, a_training],
        instance=instance,
        partition_key=str(dataset),
        resources={name: resources[name] for name in ("settings", "store")},
        run_config={"ops": {"caption_quality": {"config": {"parameters": parameters}}}},
        raise_on_error=False,
    )


def test_captions_with_an_error_keep_a_training_from_starting_until_they_are_right(
    settings: Settings, store: Store, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    dataset = write_demo_dataset(tmp_path / "4_pixchar", count=12, seed=1)
    right = (dataset / "0007.txt").read_bytes()
    (dataset / "0007.txt").write_bytes(right.replace(b"pixchar", b"pixcahr"))
    stopped = materialize(instance, dataset)
    assert not stopped.success
    assert stopped.asset_materializations_for_node("a_training") == []
    (check,) = stopped.get_asset_check_evaluations()
    assert not check.passed and "'pixcahr' is nearly the trigger" in str(check.description)

    (dataset / "0007.txt").write_bytes(right)
    started = materialize(instance, dataset, keep_tokens=1, shuffle_caption=True)
    assert started.success
    assert len(started.asset_materializations_for_node("a_training")) == 1
    (materialization,) = started.asset_materializations_for_node("caption_quality")
    assert materialization.metadata["errors"].value == 0
    assert Path(str(materialization.metadata["report"].value)).is_file()
    assert [version.content for version in store.captions.versions(str(dataset), "0007.txt")][-1] == right
    assert settings


def test_a_dataset_that_is_not_there_fails_once_with_what_to_do(
    settings: Settings, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    assert settings
    failed = materialize(instance, tmp_path / "nowhere")
    assert not failed.success
    (failure,) = failed.filter_events(lambda event: event.is_step_failure)
    assert "name a folder of pictures" in str(failure.event_specific_data)
