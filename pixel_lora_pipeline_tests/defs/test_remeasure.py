"""Measuring again from Dagster: one job over the checkpoints, and what the asset shows of the worst image."""

import base64
import io
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from PIL import Image

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.partitions import checkpoints
from pixel_lora_pipeline.defs.validate.metadata import OVERLAY_LIMIT
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.validate import METRICS_VERSION
from pixel_lora_pipeline_tests.defs.test_evaluation import evaluate, settings, tick
from pixel_lora_pipeline_tests.validate.test_semantic import tiny_clip

__all__ = ["settings"]  # a fixture

PARTITION_OF = "portraits-000001.safetensors"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def remeasure(instance: dg.DagsterInstance, partition_key: str) -> dg.ExecuteInProcessResult:
    job = defs().resolve_job_def("remeasure")
    return job.execute_in_process(instance=instance, partition_key=partition_key, raise_on_error=False)


def picture(metadata: dg.MetadataValue) -> tuple[Image.Image, int]:
    assert isinstance(metadata, dg.MarkdownMetadataValue)
    assert metadata.md_str is not None
    png = base64.b64decode(metadata.md_str.split("base64,")[1].rstrip(")"))
    return Image.open(io.BytesIO(png)), len(png)


def test_an_evaluated_checkpoint_is_measured_again_and_its_worst_image_explained(
    settings: Settings,
    store: Store,
    instance: dg.DagsterInstance,
    trained: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(trained / PARTITION_OF, settings.watched[0])
    key = str(tick(settings, store, instance)[0].partition_key)
    first = evaluate(instance, key)
    assert first.success, [event.message for event in first.all_events if event.is_failure]
    shown = first.asset_materializations_for_node("epoch_evaluation")[0].metadata
    overlay, size = picture(shown["worst_image"])
    assert overlay.width > 512
    assert size <= OVERLAY_LIMIT, f"{size} bytes"
    total = size + picture(shown["contact_sheet"])[1]
    assert total < 300_000, f"the pictures of one epoch have {total} bytes"
    assert shown["semantic_score"].value == "not configured"

    epoch_id = store.checkpoints.get(key).epoch_id
    images = store.images.of_epoch(epoch_id)
    assert all(image.snapped_sha256 is None or store.image_files.has(image.snapped_sha256) for image in images)
    store.images.set_metrics({image.id: {**(image.metrics or {}), "metrics_version": "0"} for image in images}, "0")
    monkeypatch.setenv("PIXEL_LORA_CLIP_MODEL", str(tiny_clip(tmp_path / "clip")))
    again = remeasure(instance, key)
    assert again.success, [event.message for event in again.all_events if event.is_failure]
    for image in store.images.of_epoch(epoch_id):
        assert image.metrics_version == METRICS_VERSION
        assert store.metrics_versions.of_image(image.id).keys() == {"0", METRICS_VERSION}
        assert image.metrics is not None and image.metrics["semantic"]["semantic_score"] >= 0.0
    shown = again.asset_materializations_for_node("epoch_evaluation")[0].metadata
    assert isinstance(shown["semantic_score"], dg.FloatMetadataValue)
    assert {step.step_key for step in again.all_events if step.is_step_success} >= {
        "quantitative_metrics",
        "epoch_evaluation",
    }


def test_the_job_can_be_backfilled_over_all_checkpoints_and_generates_nothing() -> None:
    job = defs().resolve_job_def("remeasure")
    assert job.partitions_def == checkpoints
    assert {key.to_user_string() for key in job.asset_layer.executable_asset_keys} == {
        "quantitative_metrics",
        "epoch_evaluation",
    }
