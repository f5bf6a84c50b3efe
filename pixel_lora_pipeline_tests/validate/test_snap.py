"""The snapped copy is what the artist would have drawn."""

import numpy as np
import pytest

from pixel_lora_pipeline.validate.grid import Grid, find_grid, native_image
from pixel_lora_pipeline.validate.native_view import native_view
from pixel_lora_pipeline.validate.palette import extract_palette
from pixel_lora_pipeline.validate.snap import snap_to_grid
from pixel_lora_pipeline_tests.validate.sprites import BACKGROUND, enlarged, noise, portrait, rgb, softened


def test_a_clean_sprite_comes_back_as_it_was_drawn() -> None:
    sprite = portrait()
    for scale in (1, 3, 8):
        assert np.array_equal(native_view(enlarged(sprite, scale)).snapped(), sprite)


def test_a_soft_sprite_is_drawn_again_in_its_few_colours() -> None:
    sprite = portrait()
    snapped = native_view(softened(enlarged(sprite, 12))).snapped()
    assert snapped is not None
    assert snapped.shape == sprite.shape
    assert len(np.unique(snapped.reshape(-1, 3), axis=0)) <= len(np.unique(sprite.reshape(-1, 3), axis=0)) + 1
    assert np.abs(snapped.astype(int) - sprite).max(axis=2).mean() < 8.0


def test_every_cell_gets_a_colour_of_the_given_palette() -> None:
    image = softened(enlarged(portrait(), 12))
    wanted = np.array([[[46, 158, 68], [255, 105, 180], [23, 18, 30]]], dtype=np.uint8)
    palette = extract_palette(wanted, np.ones((1, 3), dtype=bool))
    snapped = snap_to_grid(image, find_grid(image), palette)
    assert {tuple(color) for color in snapped.reshape(-1, 3)} == {tuple(color) for color in palette.rgb}


def test_transparency_is_all_or_nothing() -> None:
    sprite = portrait()
    alpha = np.where((sprite == np.array(rgb(BACKGROUND))).all(axis=2), 0, 255).astype(np.uint8)
    snapped = native_view(enlarged(np.dstack([sprite, alpha]), 8)).snapped()
    assert snapped is not None
    assert np.array_equal(snapped[..., 3], alpha)
    assert not snapped[alpha == 0].any()


def test_without_a_grid_there_is_no_copy() -> None:
    assert native_view(noise(64)).snapped() is None
    palette = extract_palette(noise(8), np.ones((8, 8), dtype=bool))
    with pytest.raises(ValueError, match="no pixel grid"):
        snap_to_grid(noise(64), Grid(None, None, 0.0, None), palette)


def test_an_empty_palette_is_refused() -> None:
    sprite = portrait()
    nothing = extract_palette(sprite, np.zeros(sprite.shape[:2], dtype=bool))
    with pytest.raises(ValueError, match="palette"):
        snap_to_grid(enlarged(sprite, 4), find_grid(enlarged(sprite, 4)), nothing)


def test_snapping_again_changes_nothing() -> None:
    snapped = native_view(softened(enlarged(portrait(), 12))).snapped()
    assert snapped is not None
    again = native_view(enlarged(snapped, 12)).snapped()
    assert again is not None
    assert np.abs(again.astype(int) - snapped).max() <= 1


def test_drifting_cells_are_straightened() -> None:
    sprite = portrait()
    rng = np.random.default_rng(2)
    image = sprite.repeat(rng.integers(9, 12, 24), axis=0).repeat(rng.integers(9, 12, 24), axis=1)
    grid = find_grid(image)
    assert grid.lines is not None
    assert np.mean(np.any(native_image(image, grid) != sprite, axis=2)) < 0.02
