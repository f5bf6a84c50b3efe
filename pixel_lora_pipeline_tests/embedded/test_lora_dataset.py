import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from pixel_lora_pipeline.embedded.loading import load_pipeline
from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig
from pixel_lora_pipeline.embedded.lora_dataset import Latents, batches, read_training_set, shift_color

SIZE = (64, 64)
TXT = LoraConfig(caption_extension=".txt")


def picture(path: Path, caption: str | None, size: tuple[int, int] = SIZE, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    palette = np.array([[200, 30, 30], [30, 200, 30], [30, 30, 200]], dtype=np.uint8)
    pixels = palette[np.random.default_rng(seed).integers(3, size=(size[1], size[0]))]
    Image.fromarray(pixels).save(path)
    if caption is not None:
        path.with_suffix(".txt").write_text(caption)


@pytest.fixture
def two_folders(tmp_path: Path) -> Path:
    picture(tmp_path / "3_hero" / "a.png", "Hero, red hair\nsecond line", seed=1)
    picture(tmp_path / "3_hero" / "b.png", "hero, blue hair", seed=2)
    picture(tmp_path / "1_villain x" / "c.png", "villain", seed=3)
    picture(tmp_path / "notes" / "d.png", "not one of them", seed=4)
    return tmp_path


def test_folder_names_say_how_often_a_picture_is_shown(two_folders: Path) -> None:
    training_set = read_training_set(two_folders, TXT, SIZE)
    assert [(folder.name, folder.repeats, len(folder.pictures)) for folder in training_set.folders] == [
        ("1_villain x", 1, 1),
        ("3_hero", 3, 2),
    ]
    assert np.bincount(training_set.epoch).tolist() == [1, 3, 3]


def test_num_repeats_replaces_the_folders_numbers(two_folders: Path) -> None:
    config = TXT.model_copy(update={"num_repeats": 5})
    assert np.bincount(read_training_set(two_folders, config, SIZE).epoch).tolist() == [5, 5, 5]


def test_a_caption_is_the_first_line_and_tags_are_counted_as_kohya_counts_them(two_folders: Path) -> None:
    hero = read_training_set(two_folders, TXT, SIZE).folders[1]
    assert [picture.caption for picture in hero.pictures] == ["Hero, red hair", "hero, blue hair"]
    assert hero.tag_frequency == {"hero": 2, "red hair": 1, "blue hair": 1}


def test_without_caption_files_the_folders_name_is_the_caption(
    two_folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        training_set = read_training_set(two_folders, LoraConfig(), SIZE)
    assert [picture.caption for picture in training_set.pictures] == ["villain x", "hero", "hero"]
    assert "have no .caption file" in caplog.text


def test_a_folder_without_a_number_is_passed_over_with_a_warning(
    two_folders: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        read_training_set(two_folders, TXT, SIZE)
    assert "notes is passed over" in caplog.text


@pytest.mark.parametrize("size", [(32, 32), (16, 48), (128, 64), (100, 90)])
def test_pictures_of_other_sizes_fill_the_square_without_new_colours(tmp_path: Path, size: tuple[int, int]) -> None:
    picture(tmp_path / "1_x" / "a.png", "x", size)
    pixels = read_training_set(tmp_path, TXT, SIZE).pictures[0].pixels
    assert pixels.shape == (64, 64, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 3


def test_a_wide_picture_is_cut_at_its_centre(tmp_path: Path) -> None:
    pixels = np.zeros((64, 128, 3), dtype=np.uint8)
    pixels[:, 32:96] = 255
    (tmp_path / "1_x").mkdir()
    Image.fromarray(pixels).save(tmp_path / "1_x" / "a.png")
    assert read_training_set(tmp_path, LoraConfig(), SIZE).pictures[0].pixels.min() == 255


def test_where_there_is_nothing_to_train_on_the_folder_is_named(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigError, match=str(folder)):
            read_training_set(folder, TXT, SIZE)


def test_a_picture_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "1_x").mkdir()
    (tmp_path / "1_x" / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"broken\.png"):
        read_training_set(tmp_path, TXT, SIZE)


def test_an_epoch_shows_everything_once_in_a_new_order() -> None:
    rng = np.random.default_rng(0)
    epoch = np.repeat(np.arange(7), 2)
    first, second = batches(epoch, 4, rng), batches(epoch, 4, rng)
    assert [len(batch) for batch in first] == [4, 4, 4, 2]
    assert sorted(np.concatenate(first)) == sorted(np.concatenate(second)) == sorted(epoch)
    assert np.concatenate(first).tolist() != np.concatenate(second).tolist()


def test_a_third_of_the_pictures_change_colour_a_little() -> None:
    rng = np.random.default_rng(0)
    pixels = np.full((8, 8, 3), (180, 90, 60), dtype=np.uint8)
    varied = [shift_color(pixels, rng) for _ in range(600)]
    changed = [one for one in varied if (one != pixels).any()]
    assert len(changed) / len(varied) == pytest.approx(0.33, abs=0.05)
    furthest = max(int(np.abs(one.astype(int) - pixels).max()) for one in changed)
    assert 20 <= furthest <= 60, f"the strongest change was {furthest} of 255"


@pytest.fixture(scope="module")
def autoencoder(base_model: Path) -> object:
    return load_pipeline(base_model).vae


def test_half_of_the_latents_are_those_of_mirrored_pictures(autoencoder: object, sprites: Path) -> None:
    pictures = read_training_set(sprites, TXT, SIZE).pictures[:1]
    straight = Latents(autoencoder, pictures, LoraConfig()).of(np.array([0]), np.random.default_rng(0))[0]
    flipping = Latents(autoencoder, pictures, LoraConfig(flip_aug=True))
    shown = flipping.of(np.zeros(64, dtype=np.intp), np.random.default_rng(0))
    mirrored = torch.tensor([not torch.allclose(latent, straight, atol=1e-4) for latent in shown])
    assert 0.3 < mirrored.float().mean() < 0.7
    # The latent of a mirrored picture is, up to its blocks' edges, the mirrored latent.
    assert torch.allclose(shown[mirrored][0], straight.flip(-1), atol=1e-2)


def test_cached_latents_are_those_that_would_be_encoded_each_time(autoencoder: object, sprites: Path) -> None:
    pictures = read_training_set(sprites, TXT, SIZE).pictures
    indices = np.arange(len(pictures))
    cached, fresh = (
        Latents(autoencoder, pictures, LoraConfig(cache_latents=cache, flip_aug=True)).of(
            indices, np.random.default_rng(5)
        )
        for cache in (True, False)
    )
    assert torch.allclose(cached, fresh, atol=1e-5)


def test_colour_changes_reach_the_latents(autoencoder: object, sprites: Path) -> None:
    pictures = read_training_set(sprites, TXT, SIZE).pictures[:1]
    indices = np.zeros(30, dtype=np.intp)
    shown = Latents(autoencoder, pictures, LoraConfig(color_aug=True)).of(indices, np.random.default_rng(0))
    plain = Latents(autoencoder, pictures, LoraConfig()).of(indices[:1], np.random.default_rng(0))
    changed = (shown - plain).abs().amax(dim=(1, 2, 3)) > 1e-4
    assert 0.1 < changed.float().mean() < 0.6
