from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixel_lora_pipeline.store import RowId, Store, TestImage, fingerprint_hash
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint


def a_png(color: str = "#ff69b4") -> bytes:
    encoded = BytesIO()
    Image.new("RGB", (8, 8), color).save(encoded, "PNG")
    return encoded.getvalue()


def an_image(seed: int = 1, color: str = "#ff69b4", **changes: Any) -> TestImage:
    described: dict[str, Any] = {
        "suite_name": "portraits",
        "suite_version": "3f9a",
        "prompt_id": "pink_hair_green_bg",
        "prompt": "pixel art, pink hair (#ff69b4), green background (#00ff00)",
        "negative_prompt": "blurry",
        "seed": seed,
        "width": 8,
        "height": 8,
        "fingerprint": {"base": "ab12", "seed": seed, "guidance": 7.5},
        "png": a_png(color),
    }
    return TestImage(**{**described, **changes})


@pytest.fixture
def epoch_id(store: Store, tmp_path: Path) -> RowId:
    return store.checkpoints.register(save_checkpoint(tmp_path, 1))


def test_images_come_back_with_everything_that_is_known_of_them(store: Store, epoch_id: RowId) -> None:
    image = an_image(7, warnings=("generated again in float32",))
    store.images.add(epoch_id, [image])
    (stored,) = store.images.of_epoch(epoch_id)
    for name in ("suite_name", "suite_version", "prompt_id", "prompt", "negative_prompt", "seed", "width", "height"):
        assert getattr(stored, name) == getattr(image, name)
    assert stored.fingerprint == image.fingerprint
    assert stored.fingerprint_hash == fingerprint_hash(image.fingerprint)
    assert stored.warnings == ("generated again in float32",)
    assert (stored.metrics, stored.metrics_version) == (None, None)
    assert store.image_files.read(stored.image_sha256) == image.png


def test_adding_again_changes_nothing(store: Store, epoch_id: RowId) -> None:
    images = [an_image(seed) for seed in range(5)]
    store.images.add(epoch_id, images)
    before = store.images.of_epoch(epoch_id)
    store.images.set_metrics({before[0].id: {"edge_sharpness": 88.5}}, "1")
    measured = store.images.of_epoch(epoch_id)
    store.images.add(epoch_id, reversed(images))
    assert store.images.of_epoch(epoch_id) == measured
    assert [image.id for image in measured] == [image.id for image in before]


def test_an_image_generated_anew_with_another_result_loses_its_old_metrics(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image(1)])
    (first,) = store.images.of_epoch(epoch_id)
    store.images.set_metrics({first.id: {"edge_sharpness": 88.5}}, "1")
    store.images.add(epoch_id, [an_image(1, color="#0000ff")])
    (second,) = store.images.of_epoch(epoch_id)
    assert second.id == first.id and second.image_sha256 != first.image_sha256
    assert second.metrics is None and second.metrics_version is None


def test_metrics_are_stored_with_their_version(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image(1), an_image(2)])
    first, second = store.images.of_epoch(epoch_id)
    store.images.set_metrics({first.id: {"grid": {"pixel_size": 8.0}, "hair": float("nan")}}, "2026.1")
    first, second = store.images.of_epoch(epoch_id)
    assert (first.metrics, first.metrics_version) == ({"grid": {"pixel_size": 8.0}, "hair": None}, "2026.1")
    assert second.metrics is None


def test_known_are_the_images_of_that_epoch_whose_files_are_there(
    store: Store, epoch_id: RowId, tmp_path: Path
) -> None:
    other = store.checkpoints.register(save_checkpoint(tmp_path, 2))
    store.images.add(epoch_id, [an_image(1), an_image(2, "#00ff00")])
    store.images.add(other, [an_image(3, "#0000ff")])
    known = {fingerprint_hash(an_image(seed).fingerprint) for seed in (1, 2)}
    assert store.images.known_fingerprints(epoch_id) == known

    lost = next(image for image in store.images.of_epoch(epoch_id) if image.seed == 2)
    store.image_files.path(lost.image_sha256).unlink()
    assert store.images.known_fingerprints(epoch_id) == known - {lost.fingerprint_hash}


def test_images_of_the_base_model_alone_belong_to_no_epoch_and_are_kept_once(store: Store) -> None:
    store.images.add(None, [an_image(1)])
    store.images.add(None, [an_image(1), an_image(2)])
    assert [image.seed for image in store.images.of_epoch(None)] == [1, 2]
    assert len(store.images.known_fingerprints(None)) == 2


def test_images_of_one_version_of_the_suite_can_be_had_alone(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image(1), an_image(2, suite_version="new")])
    assert [image.seed for image in store.images.of_epoch(epoch_id, suite_version="new")] == [2]


def test_a_generator_that_breaks_off_leaves_no_rows(store: Store, epoch_id: RowId) -> None:
    def breaks_off() -> Iterator[TestImage]:
        yield an_image(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        store.images.add(epoch_id, breaks_off())
    assert store.images.of_epoch(epoch_id) == []


def test_two_workers_adding_the_same_images_make_one_row_of_each(store: Store, epoch_id: RowId) -> None:
    images = [an_image(seed) for seed in range(20)]
    orders = [images, images[::-1], images[10:] + images[:10], images] * 2
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda order: store.images.add(epoch_id, order), orders))
    assert [image.seed for image in store.images.of_epoch(epoch_id)] == list(range(20))


def test_the_hash_of_a_fingerprint_is_that_of_its_meaning() -> None:
    assert fingerprint_hash({"a": 1, "b": [1, 2]}) == fingerprint_hash({"b": (1, 2), "a": 1})
    assert fingerprint_hash({"a": 1}) != fingerprint_hash({"a": 2})


def test_images_of_one_purpose_are_read_together_and_an_evaluation_takes_what_it_needs(
    store: Store, epoch_id: RowId
) -> None:
    shown = an_image(1, purpose="strength")
    store.images.add(epoch_id, [shown, an_image(2, purpose="sample")])
    assert store.images.of_epoch(epoch_id) == []
    assert store.images.known_fingerprints(epoch_id) == set(), "an evaluation would go without the image"
    seeds = {
        purpose: [image.seed for image in store.images.of_epoch(epoch_id, purpose=purpose)]
        for purpose in ("strength", "sample")
    }
    assert seeds == {"strength": [1], "sample": [2]}
    store.images.add(epoch_id, [an_image(1)])
    assert [image.seed for image in store.images.of_epoch(epoch_id)] == [1]
    assert store.images.of_epoch(epoch_id, purpose="strength") == []
