"""Old images under a new version of the metrics: measured anew, compared, and never generated again."""

import dataclasses
import shutil
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.epoch_measurement import evaluate_epoch, measure_images, palette_of_run
from pixel_lora_pipeline.remeasuring import remeasure
from pixel_lora_pipeline.store import RowId, Store, TestImage, UnknownRunError
from pixel_lora_pipeline.validate import METRICS_VERSION, Suite, load_suite, parse_expectation, rollup
from pixel_lora_pipeline.validate.measurement import ImageMeasurement
from pixel_lora_pipeline.validate.semantic import SemanticScorer
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.validate.sprites import enlarged, png, portrait
from pixel_lora_pipeline_tests.validate.test_semantic import tiny_clip

OLD = "0"
PROMPTS = {"pink": "pink hair #ff69b4, background #2e9e44", "blue": "blue hair #2f5fd0, background #2e9e44"}


def image_of(prompt_id: str, seed: int = 1, **changes: Any) -> TestImage:
    return TestImage(
        suite_name="portraits",
        suite_version="old",
        prompt_id=prompt_id,
        prompt=PROMPTS[prompt_id],
        negative_prompt="",
        seed=seed,
        width=96,
        height=96,
        fingerprint={"prompt": prompt_id, "seed": seed},
        png=png(enlarged(portrait(hair="#ff69b4" if prompt_id == "pink" else "#2f5fd0"), 4)),
        **changes,
    )


def evaluated_by_an_old_version(store: Store, epoch_id: RowId, images: Sequence[TestImage]) -> None:
    """Leave what a pipeline of long ago left: its numbers, rounded to tens."""
    store.images.add(epoch_id, images)
    stored = store.images.of_epoch(epoch_id)
    measure_images(store, stored, lambda image: parse_expectation(image.prompt), None, again=True)
    old = {}
    for image in store.images.of_epoch(epoch_id):
        assert image.metrics is not None
        style = {**image.metrics["style_quality"], "pixel_art_purity": 10.0}
        old[image.id] = {**image.metrics, "style_quality": style, "metrics_version": OLD}
    with store.database.connection() as connection:
        connection.execute("DELETE FROM image_measurements")
    store.images.set_metrics(old, OLD)
    measurements = [ImageMeasurement.from_dict(metrics) for metrics in old.values()]
    store.epochs.record_evaluation(epoch_id, rollup(measurements, [image.prompt_id for image in stored]))


@pytest.fixture
def epoch_id(store: Store, tmp_path: Path) -> RowId:
    return store.checkpoints.register(save_checkpoint(tmp_path, 1))


@pytest.fixture
def suite() -> Suite:
    return load_suite()


def test_the_new_version_is_current_and_the_old_one_is_kept(store: Store, epoch_id: RowId, suite: Suite) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("blue")])
    done = remeasure(store, suite)
    assert (done.images, done.epochs, done.skipped) == (2, 1, [])
    for image in store.images.of_epoch(epoch_id):
        versions = store.metrics_versions.of_image(image.id)
        assert versions.keys() == {OLD, METRICS_VERSION}
        assert versions[METRICS_VERSION] == image.metrics
        assert versions[OLD]["style_quality"]["pixel_art_purity"] == 10.0
    rollups = store.metrics_versions.of_epoch(epoch_id)
    assert rollups[OLD]["style_quality"]["pixel_art_purity"] == 10.0
    assert rollups[METRICS_VERSION] == store.epochs.metrics(epoch_id)
    assert rollups[METRICS_VERSION]["style_quality"]["pixel_art_purity"] > 50.0
    with store.database.connection() as connection:
        rows = connection.execute("SELECT metrics_version, is_current FROM v_metrics_versions").fetchall()
    assert rows == [
        {"metrics_version": OLD, "is_current": False},
        {"metrics_version": METRICS_VERSION, "is_current": True},
    ]


def test_a_second_time_does_nothing_unless_it_is_asked_for(store: Store, epoch_id: RowId, suite: Suite) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("blue")])
    remeasure(store, suite)
    before = store.images.of_epoch(epoch_id)
    again = remeasure(store, suite)
    assert (again.images, again.epochs) == (0, 0)
    forced = remeasure(store, suite, again=True)
    assert (forced.images, forced.epochs) == (2, 1)
    assert store.images.of_epoch(epoch_id) == before, "the same version measured something else"


def test_what_was_interrupted_goes_on(store: Store, epoch_id: RowId, suite: Suite) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("blue")])
    images = store.images.of_epoch(epoch_id)
    measure_images(store, images, lambda image: parse_expectation(image.prompt), None)
    done = remeasure(store, suite)
    assert (done.images, done.epochs) == (0, 1)
    assert store.epochs.metrics(epoch_id)["metrics_version"] == METRICS_VERSION


def test_an_epoch_is_rolled_up_over_the_prompts_of_before(store: Store, epoch_id: RowId, suite: Suite) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("pink", 2)])
    store.images.add(epoch_id, [image_of("blue")])
    remeasure(store, suite)
    metrics = store.epochs.metrics(epoch_id)
    assert metrics["prompts"].keys() == {"pink"}
    assert metrics["n_images"] == 2


def test_only_the_run_that_was_named_is_measured(store: Store, epoch_id: RowId, suite: Suite, tmp_path: Path) -> None:
    other = store.checkpoints.register(save_checkpoint(tmp_path, 1, run="sprites", session="2"))
    for epoch in (epoch_id, other):
        evaluated_by_an_old_version(store, epoch, [image_of("pink")])
    assert remeasure(store, suite, "sprites").epochs == 1
    assert store.epochs.metrics(epoch_id)["metrics_version"] == OLD
    assert store.epochs.metrics(other)["metrics_version"] == METRICS_VERSION
    with pytest.raises(UnknownRunError, match="Known runs"):
        remeasure(store, suite, "none")


def test_an_epoch_whose_image_is_lost_is_named_and_the_others_are_measured(
    store: Store, epoch_id: RowId, suite: Suite, tmp_path: Path
) -> None:
    other = store.checkpoints.register(save_checkpoint(tmp_path, 2))
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink")])
    evaluated_by_an_old_version(store, other, [image_of("blue")])
    (lost,) = store.images.of_epoch(epoch_id)
    store.image_files.path(lost.image_sha256).unlink()
    done = remeasure(store, suite)
    assert done.epochs == 1
    assert len(done.skipped) == 1
    assert "portrait, epoch 1" in done.skipped[0] and "is missing" in done.skipped[0]
    assert store.epochs.metrics(epoch_id)["metrics_version"] == OLD


def test_measured_images_of_the_base_model_alone_are_measured_again(store: Store, suite: Suite) -> None:
    store.images.add(None, [image_of("pink"), image_of("blue")])
    blue, pink = store.images.of_epoch(None)
    measure_images(store, [pink], lambda image: parse_expectation(image.prompt), None)
    store.images.set_metrics({pink.id: {"metrics_version": OLD}}, OLD)
    assert remeasure(store, suite).images == 1
    blue, pink = store.images.of_epoch(None)
    assert (blue.metrics_version, pink.metrics_version) == (None, METRICS_VERSION)


def test_numbers_that_came_without_images_stay_as_they_are(store: Store, epoch_id: RowId, suite: Suite) -> None:
    store.epochs.record_evaluation(epoch_id, {"color_accuracy": {"overall": 67.7}})
    done = remeasure(store, suite)
    assert (done.images, done.epochs, len(done.skipped)) == (0, 0, 1)
    assert store.epochs.metrics(epoch_id) == {"color_accuracy": {"overall": 67.7}}


def test_images_are_judged_by_the_suite_that_asked_for_them(store: Store, epoch_id: RowId, suite: Suite) -> None:
    prompts = tuple(prompt.model_copy(update={"id": "pink", "prompt": PROMPTS["pink"]}) for prompt in suite.prompts[:1])
    content = dataclasses.replace(suite, prompts=prompts).to_content()
    content["prompts"][0]["expects"] = {"hair": "#00ff00"}
    store.suites.add("portraits", "old", content)
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink")])
    remeasure(store, suite)
    (image,) = store.images.of_epoch(epoch_id)
    assert image.metrics is not None
    assert image.metrics["evidence"]["expected"]["hair"] == "#00ff00"


def test_a_clip_model_that_is_configured_later_scores_the_images(
    store: Store, epoch_id: RowId, suite: Suite, tmp_path: Path
) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("blue")])
    remeasure(store, suite)
    assert store.epochs.metrics(epoch_id)["semantic"] == {"semantic_score": None, "reason": "not configured"}
    scorer = SemanticScorer(tiny_clip(tmp_path / "clip"))
    assert remeasure(store, suite, scorer=scorer).images == 2
    scores = [image.metrics["semantic"] for image in store.images.of_epoch(epoch_id) if image.metrics]
    semantic = store.epochs.metrics(epoch_id)["semantic"]
    assert semantic["semantic_score"] == pytest.approx(np.mean([score["semantic_score"] for score in scores]), abs=1e-4)
    assert semantic["model_sha256"] == scorer.sha256
    assert remeasure(store, suite, scorer=scorer).images == 0


def test_a_snapped_copy_lies_beside_the_image(store: Store, epoch_id: RowId) -> None:
    soft = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    gridless = dataclasses.replace(image_of("blue"), png=png(soft))
    store.images.add(epoch_id, [image_of("pink"), gridless])
    measure_images(store, store.images.of_epoch(epoch_id), lambda image: parse_expectation(image.prompt), None)
    blue, pink = store.images.of_epoch(epoch_id)
    assert blue.snapped_sha256 is None, "a picture without a grid was snapped to one"
    assert pink.snapped_sha256 is not None
    with Image.open(BytesIO(store.image_files.read(pink.snapped_sha256))) as copy:
        snapped = np.asarray(copy.convert("RGB")).astype(int)
    assert snapped.shape == (24, 24, 3)
    assert np.abs(snapped - portrait(hair="#ff69b4")).max() <= 2
    store.images.add(epoch_id, [dataclasses.replace(image_of("pink"), png=png(soft))])
    assert store.images.of_epoch(epoch_id)[1].snapped_sha256 is None, "the copy of another picture stayed"


def test_an_epoch_without_measured_images_is_not_rolled_up(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [image_of("pink")])
    with pytest.raises(ValueError, match="without images"):
        evaluate_epoch(store, epoch_id, store.images.of_epoch(epoch_id))


def test_the_command_says_what_it_did_and_what_it_could_not(store: Store, epoch_id: RowId, tmp_path: Path) -> None:
    evaluated_by_an_old_version(store, epoch_id, [image_of("pink"), image_of("blue")])
    settings = {"DATABASE_URL": store.database.url, "PIXEL_LORA_HOME": str(tmp_path)}
    result = pixel_lora("remeasure", **settings)
    assert result.returncode == 0, result.stderr
    assert "Measured 2 images again and rolled up 1 epoch" in result.stdout
    assert "Measured 0 images again" in pixel_lora("remeasure", "--run", "portrait", **settings).stdout
    assert "Measured 2 images again" in pixel_lora("remeasure", "--all", **settings).stdout
    unknown = pixel_lora("remeasure", "--run", "none", **settings)
    assert unknown.returncode == 1
    assert "Known runs" in unknown.stderr
    assert "Traceback" not in unknown.stderr


def test_the_colours_of_the_training_are_kept_and_measured_against_also_when_its_pictures_are_gone(
    store: Store, epoch_id: RowId, tmp_path: Path
) -> None:
    folder = tmp_path / "train" / "10_pixchar"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(png(enlarged(portrait(hair="#2f5fd0"), 4)))
    (folder / "damaged.png").write_bytes(b"no picture")
    store.images.add(epoch_id, [image_of("pink"), image_of("blue")])
    with store.database.connection() as connection:
        run_id = connection.execute("SELECT training_run_id AS id FROM epoch_results WHERE id = %s", (epoch_id,))
        (run,) = [row["id"] for row in run_id]
    assert palette_of_run(store, run) is None
    palette = palette_of_run(store, run, {"train_data_dir": str(tmp_path / "train")})
    assert palette is not None
    shutil.rmtree(tmp_path / "train")
    assert np.array_equal(palette_of_run(store, run), palette)  # type: ignore[arg-type]
    measure_images(
        store,
        store.images.of_epoch(epoch_id),
        lambda image: parse_expectation(image.prompt),
        None,
        training_palette=palette,
    )
    drift = {
        image.prompt_id: image.metrics["style_quality"]["palette_drift"]
        for image in store.images.of_epoch(epoch_id)
        if image.metrics is not None
    }
    assert drift["blue"] < 1.0 < drift["pink"], drift
    evaluation, _ = evaluate_epoch(store, epoch_id, store.images.of_epoch(epoch_id))
    assert evaluation.metrics["style_quality"]["palette_drift"] == pytest.approx(sum(drift.values()) / 2, abs=0.01)
    assert remeasure(store, load_suite(), again=True).images == 2
    kept = {image.prompt_id: image.metrics for image in store.images.of_epoch(epoch_id)}
    assert kept["pink"] is not None and kept["pink"]["style_quality"]["palette_drift"] == drift["pink"]
