"""The pixel grid is found where there is one, and only there."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from skimage import data

from pixel_lora_pipeline.validate.grid import find_grid, native_image, off_grid_error
from pixel_lora_pipeline_tests.validate.sprites import (
    Pixels,
    blurred,
    enlarged,
    noise,
    portrait,
    resized,
    softened,
    through_jpeg,
)


@pytest.mark.parametrize("scale", [2, 3, 5, 8, 16, 32])
def test_the_cell_of_a_clean_sprite_is_exact(scale: int) -> None:
    sprite = portrait()
    image = enlarged(sprite, scale)
    grid = find_grid(image)
    assert grid.pixel_size == pytest.approx(scale, rel=1e-3)
    assert grid.coherence == pytest.approx(1.0, abs=1e-6)
    assert grid.off_grid_error == pytest.approx(0.0, abs=1e-2 * scale)
    assert np.array_equal(native_image(image, grid), sprite), "the native picture is not the sprite"


@pytest.mark.parametrize(
    ("damage", "scale"),
    [
        (softened, 16),
        (lambda image: blurred(image, 2.0), 16),
        (lambda image: through_jpeg(image, 50), 16),
        (softened, 8),
    ],
)
def test_the_cell_of_a_damaged_sprite_is_within_four_percent(damage: Callable[[Pixels], Pixels], scale: int) -> None:
    grid = find_grid(damage(enlarged(portrait(), scale)))
    assert grid.pixel_size == pytest.approx(scale, rel=0.04), grid


def test_a_cell_of_no_whole_number_of_pixels_is_found() -> None:
    image = enlarged(portrait(), 16)
    side = round(image.shape[0] * 1.07)
    grid = find_grid(resized(image, (side, side), Image.Resampling.BICUBIC))
    assert grid.pixel_size == pytest.approx(16 * 1.07, rel=0.01), grid


def test_the_grid_may_begin_inside_a_cell() -> None:
    sprite = portrait()
    image = enlarged(sprite, 10)[3:, 7:]
    grid = find_grid(image)
    assert grid.phase == pytest.approx((3.0, 7.0), abs=0.1)
    assert np.array_equal(native_image(image, grid), sprite[:, 1:]), "a sliver of a cell counts, or a cell is lost"


def test_a_sprite_at_native_size_has_cells_of_one_pixel() -> None:
    sprite = portrait()
    grid = find_grid(sprite)
    assert grid.pixel_size == 1.0
    assert np.array_equal(native_image(sprite, grid), sprite)


def test_an_oblong_image_has_a_grid_too() -> None:
    grid = find_grid(enlarged(portrait()[4:14], 8))
    assert grid.pixel_size == pytest.approx(8.0, rel=1e-3)


@pytest.mark.parametrize("side", [64, 256])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_a_photograph_has_no_grid(name: str, side: int) -> None:
    photograph = resized(getattr(data, name)(), (side, side), Image.Resampling.LANCZOS)
    grid = find_grid(photograph)
    assert grid.pixel_size is None, grid
    with pytest.raises(ValueError, match="no pixel grid"):
        native_image(photograph, grid)


@pytest.mark.parametrize("side", [16, 32, 64, 256])
def test_noise_has_no_grid(side: int) -> None:
    for seed in range(5):
        assert find_grid(noise(side, seed)).pixel_size is None


def test_drift_is_measured_in_pixels() -> None:
    rng = np.random.default_rng(3)
    errors = []
    for sigma in (0.5, 1.5):
        edges = np.clip(np.rint(np.arange(1, 24) * 16 + rng.normal(0.0, sigma, 23)), 1, 383).astype(int)
        cell = np.searchsorted(edges, np.arange(384), side="right")
        grid = find_grid(portrait()[cell][:, cell])
        assert grid.pixel_size == pytest.approx(16.0, rel=0.04)
        errors.append((sigma, grid.off_grid_error))
    for sigma, error in errors:
        assert error == pytest.approx(sigma, rel=0.5), f"drift of {sigma} pixels is measured as {error}"


def test_no_drift_has_no_error_and_nonsense_is_refused() -> None:
    assert off_grid_error(1.0, 8.0) == 0.0
    for coherence, size in ((0.0, 8.0), (1.1, 8.0), (0.5, 0.0)):
        with pytest.raises(ValueError, match="expected"):
            off_grid_error(coherence, size)
