"""Epochs painted at other strengths of the LoRA: what is missing is painted, measured and kept apart."""

from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from pixel_lora_pipeline.epoch_measurement import evaluate_epoch, measure_images
from pixel_lora_pipeline.run_evaluations import read_run
from pixel_lora_pipeline.run_grid import grid_requests, paint_at_strength
from pixel_lora_pipeline.store import RowId, Store, TestImage
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.validate import Generator, Suite, load_suite, parse_expectation
from pixel_lora_pipeline.validate.base_model import load_base_model
from pixel_lora_pipeline.validate.batches import ImageRequest
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.validate.conftest import base_folder
from pixel_lora_pipeline_tests.validate.test_contact_sheet import decoded
from pixel_lora_pipeline_tests.validate.tiny_diffusion import kohya_weights

__all__ = ["base_folder"]  # a fixture

PROMPTS = ("pixchar, pink hair #ff69b4, green background #2e9e44", "pixchar, blue hair #2f5fd0, crown")
SIDE = 32


@pytest.fixture
def suite() -> Suite:
    return load_suite(None)


@pytest.fixture
def epoch(store: Store, base_folder: Path, tmp_path: Path) -> RowId:
    """An evaluated epoch of a LoRA on a tiny model; each prompt was asked with two seeds."""
    path = save_checkpoint(tmp_path, 1).path
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    save_file(kohya_weights(load_base_model(base_folder).pipeline), path, header)
    epoch_id = store.checkpoints.register(read_checkpoint(path))
    requests = [
        ImageRequest(f"prompt_{number}", prompt, "", seed, SIDE, SIDE, steps=2, guidance=2.0)
        for number, prompt in enumerate(PROMPTS)
        for seed in (1, 2)
    ]
    painted = Generator(base_folder).generate(path, requests)
    store.images.add(epoch_id, [TestImage.of(image, "portraits", "3f9a") for image in painted])
    measure_images(store, store.images.of_epoch(epoch_id), lambda image: parse_expectation(image.prompt), None)
    evaluate_epoch(store, epoch_id, store.images.of_epoch(epoch_id))
    return epoch_id


def test_an_epoch_is_painted_at_another_strength_once(
    store: Store, suite: Suite, epoch: RowId, base_folder: Path
) -> None:
    evaluations = read_run(store)
    weak = Generator(base_folder, strength=0.25)
    paint_at_strength(store, suite, evaluations, evaluations.last, weak)
    images = store.images.of_epoch(epoch, purpose="strength")
    assert [(image.prompt_id, image.seed, image.strength) for image in images] == [
        ("prompt_0", 1, 0.25),
        ("prompt_1", 1, 0.25),
    ]
    assert all(image.metrics for image in images)
    assert {image.suite_name for image in images} == {"portraits"}
    own = {image.prompt_id: image for image in store.images.of_epoch(epoch) if image.seed == 1}
    for image in images:
        pictures = [decoded(store.image_files.read(one.image_sha256)) for one in (image, own[image.prompt_id])]
        assert np.abs(pictures[0].astype(int) - pictures[1]).max() > 0, "the strength does not show"
    paint_at_strength(store, suite, read_run(store), evaluations.last, weak)
    assert store.images.of_epoch(epoch, purpose="strength") == images
    assert read_run(store).strengths == {1: {0.25: tuple(images)}}


def test_the_strength_of_the_evaluation_is_not_painted_again(
    store: Store, suite: Suite, epoch: RowId, base_folder: Path
) -> None:
    before = store.images.of_epoch(epoch)
    evaluations = read_run(store)
    paint_at_strength(store, suite, evaluations, evaluations.last, Generator(base_folder))
    assert store.images.of_epoch(epoch, purpose="strength") == []
    assert store.images.of_epoch(epoch) == before
    assert len(grid_requests(evaluations)) == len(PROMPTS)
