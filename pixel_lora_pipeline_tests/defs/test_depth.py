"""An epoch is looked at as thoroughly as its place in the training deserves, and later only further."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.validate.sensors import finer_looks
from pixel_lora_pipeline.finer_looks import ask_for_finer_looks
from pixel_lora_pipeline.store import Store, StoredImage
from pixel_lora_pipeline.validate import load_suite, read_suite
from pixel_lora_pipeline_tests.defs.test_evaluation import evaluate, tick

SUITE = """
name = "layered"
seeds = [1, 2]
[generation.embedded]
width = 64
height = 64
steps = 2
guidance = 2.0
[[prompts]]
id = "pink"
prompt = "pixchar, pink hair #ff69b4, green background #2e9e44"
[[prompts]]
id = "blue"
depth = "full"
prompt = "pixchar, blue hair #2f5fd0, red background #d62828"
"""


@pytest.fixture
def suite(tmp_path: Path) -> Path:
    path = tmp_path / "suite.toml"
    path.write_text(SUITE, encoding="utf-8")
    return path


@pytest.fixture
def settings(
    store: Store, suite: Path, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Settings]:
    """The configuration as the launcher would set it, with the first of three planned epochs in the watched folder."""
    watched = tmp_path / "watched"
    watched.mkdir()
    shutil.copy(trained / "portraits-000001.safetensors", watched)
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    monkeypatch.setenv("PIXEL_LORA_WATCHED", json.dumps([watched.as_posix()]))
    monkeypatch.setenv("PIXEL_LORA_SUITE", str(suite))
    yield Settings()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def evaluated(
    settings: Settings, store: Store, instance: dg.DagsterInstance, key: str | None = None
) -> tuple[str, list[StoredImage], dg.ExecuteInProcessResult]:
    key = key or str(tick(settings, store, instance)[0].partition_key)
    result = evaluate(instance, key)
    assert result.success, [event.message for event in result.all_events if event.is_failure]
    assert all(check.passed for check in result.get_asset_check_evaluations())
    return key, store.images.of_epoch(store.checkpoints.get(key).epoch_id), result


def asked(images: list[StoredImage]) -> list[tuple[str, int]]:
    return [(image.prompt_id, image.seed) for image in images]


def test_an_early_epoch_gets_a_glance_and_deepening_it_adds_only_what_is_missing(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    key, glance, first = evaluated(settings, store, instance)
    assert asked(glance) == [("pink", 1)]
    metadata = first.asset_materializations_for_node("test_images")[0].metadata
    assert (metadata["depth"].value, metadata["share_saved"].value) == ("quick", 0.75)

    checkpoint = store.checkpoints.get(key)
    store.depths.deepen(checkpoint.epoch_id, "full")
    _, full, _ = evaluated(settings, store, instance, key)
    assert asked(full) == [("blue", 1), ("blue", 2), ("pink", 1), ("pink", 2)]
    assert full[2] == glance[0], "what was there already was generated or measured again"
    assert store.epochs.metrics(checkpoint.epoch_id)["n_images"] == 4


def test_the_plan_of_the_configuration_holds(
    settings: Settings, store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXEL_LORA_DEPTH", '{"plan": ["full"]}')
    _, images, _ = evaluated(settings, store, instance)
    assert len(images) == 4


def test_a_prompt_added_to_the_suite_is_added_to_an_epoch_and_the_others_stay(
    settings: Settings, store: Store, instance: dg.DagsterInstance, suite: Path
) -> None:
    key, before, _ = evaluated(settings, store, instance)
    green = 'id = "green"\nprompt = "pixchar, green hair #2e9e44"'
    suite.write_text(f"{SUITE}[[prompts]]\n{green}", encoding="utf-8")
    _, after, _ = evaluated(settings, store, instance, key)
    assert asked(after) == [("green", 1), ("pink", 1)]
    assert after[1] == before[0]
    assert set(store.epochs.metrics(store.checkpoints.get(key).epoch_id)["prompts"]) == {"green", "pink"}
    for image in after:
        stored = read_suite(store.suites.content(image.suite_name, image.suite_version), "stored")
        assert image.prompt_id in {prompt.id for prompt in stored.prompts}
    assert after[0].suite_version == load_suite(suite).version != after[1].suite_version


def test_images_of_a_prompt_that_was_changed_no_longer_count(
    settings: Settings, store: Store, instance: dg.DagsterInstance, suite: Path
) -> None:
    key, _, _ = evaluated(settings, store, instance)
    suite.write_text(SUITE.replace("pink hair #ff69b4", "purple hair #7b3fb5"), encoding="utf-8")
    _, images, _ = evaluated(settings, store, instance, key)
    assert len(images) == 2, "the older image was lost"
    assert store.epochs.metrics(store.checkpoints.get(key).epoch_id)["n_images"] == 1


def test_an_explicit_expectation_is_what_images_are_measured_against(
    settings: Settings, store: Store, instance: dg.DagsterInstance, suite: Path
) -> None:
    key, _, _ = evaluated(settings, store, instance)
    suite.write_text(
        SUITE.replace("[[prompts]]\nid", '[[prompts]]\nexpects = { hair = "#7b3fb5" }\nid', 1), encoding="utf-8"
    )
    _, (image,), _ = evaluated(settings, store, instance, key)
    assert image.metrics is not None
    assert image.metrics["evidence"]["expected"] == {"background": "#2e9e44", "hair": "#7b3fb5"}


def test_an_epoch_that_may_be_the_best_is_evaluated_again_by_itself(
    settings: Settings, store: Store, instance: dg.DagsterInstance, trained: Path
) -> None:
    first, _, _ = evaluated(settings, store, instance)
    shutil.copy(trained / "portraits-000002.safetensors", settings.watched[0])
    evaluated(settings, store, instance)
    run = store.checkpoints.get(first).training_run_id
    assert [row.depth for row in store.depths.of_run(run)] == ["quick", "full"]
    context = dg.build_sensor_context(instance=instance, resources={"store": store})
    assert isinstance(finer_looks(context), dg.SkipReason)

    assert ask_for_finer_looks(store, run, (1, 2), probability_of_gain=0.05) == {1: "medium"}
    (request,) = finer_looks(context)  # type: ignore[misc]
    assert request.partition_key == first
    assert ask_for_finer_looks(store, run, (1, 2), probability_of_gain=0.05) == {}, "asked for more while it waits"
    evaluated(settings, store, instance, first)
    assert isinstance(finer_looks(context), dg.SkipReason)
    assert store.depths.of_run(run)[0].depth == "medium"
