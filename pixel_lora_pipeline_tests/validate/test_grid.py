"""The pixel grid is found where there is one, and only there."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from skimage import data

from pixel_lora_pipeline.embedded.portrait import draw_portrait
from pixel_lora_pipeline.embedded.render import render_soft
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


@pytest.mark.parametrize(("width", "height"), [(8, 6), (6, 8), (5, 9), (16, 8), (12, 11)])
def test_oblong_cells_have_two_sides(width: int, height: int) -> None:
    sprite = portrait()
    image = sprite.repeat(height, axis=0).repeat(width, axis=1)
    grid = find_grid(image)
    assert grid.cell == pytest.approx((width, height), rel=0.01), grid
    assert grid.pixel_size == pytest.approx((width * height) ** 0.5, rel=0.01)
    assert np.array_equal(native_image(image, grid), sprite)


def test_soft_oblong_cells_are_within_four_percent() -> None:
    grid = find_grid(softened(portrait().repeat(12, axis=0).repeat(16, axis=1)))
    assert grid.cell == pytest.approx((16.0, 12.0), rel=0.04), grid


@pytest.mark.parametrize("cell", [8, 16])
@pytest.mark.parametrize("damage", [lambda image: image, softened], ids=["clean", "soft"])
def test_cells_whose_width_varies_are_followed(cell: int, damage: Callable[[Pixels], Pixels]) -> None:
    rng = np.random.default_rng(1)
    columns, rows = (rng.integers(cell - 1, cell + 2, 24) for _ in range(2))
    image = damage(portrait().repeat(rows, axis=0).repeat(columns, axis=1))
    grid = find_grid(image)
    assert grid.cell == pytest.approx((columns.mean(), rows.mean()), rel=0.04), grid


def test_the_lines_between_varying_cells_are_exact_in_a_clean_image() -> None:
    rng = np.random.default_rng(1)
    columns, rows = (rng.integers(7, 10, 24) for _ in range(2))
    sprite = portrait()
    image = sprite.repeat(rows, axis=0).repeat(columns, axis=1)
    grid = find_grid(image)
    assert grid.lines is not None
    assert grid.off_grid_error is not None
    assert grid.off_grid_error > 0.5, "the lines wander and the error does not say so"
    wrong = np.any(native_image(image, grid) != sprite, axis=2)
    assert wrong.mean() < 0.02, f"{wrong.mean():.1%} of the cells have the wrong colour"


def test_edges_off_the_grid_are_counted() -> None:
    image = enlarged(portrait(), 16)
    assert find_grid(image).off_grid_share == pytest.approx(0.0, abs=1e-9)
    image[:, 100:260] = np.roll(image, 5, axis=1)[:, 100:260]
    share = find_grid(image).off_grid_share
    assert share is not None
    assert 0.1 < share < 0.6, share


@pytest.mark.parametrize("shape", [(16, 2048), (2048, 16), (24, 600)])
def test_a_strip_has_the_cells_of_its_long_side(shape: tuple[int, int]) -> None:
    rows, columns = shape[0] // 4, shape[1] // 4
    sprite = np.random.default_rng(0).integers(0, 3, (rows, columns)).astype(np.uint8) * 90
    grid = find_grid(enlarged(np.repeat(sprite[..., None], 3, axis=2), 4))
    assert grid.pixel_size == pytest.approx(4.0, rel=0.01), grid


def test_the_largest_images_have_a_grid_too() -> None:
    grid = find_grid(enlarged(portrait(), 85))
    assert grid.pixel_size == pytest.approx(85.0, rel=1e-3)


@pytest.mark.parametrize("side", [16, 48, 96])
def test_large_and_small_sprites_at_native_size_are_told_from_enlarged_ones(side: int) -> None:
    sprite = np.tile(portrait(), (4, 4, 1))[:side, :side]
    assert find_grid(sprite).pixel_size == 1.0
    assert find_grid(enlarged(sprite, 3)).pixel_size == pytest.approx(3.0, rel=1e-3)


def test_the_fringes_of_smooth_drawings_are_no_cells_of_one_pixel() -> None:
    rows, columns = np.mgrid[0:512, 0:512]
    disc = (np.hypot(rows - 250, columns - 260) < 180).astype(np.uint8)[..., None] * np.uint8([40, 90, 200])
    drawing = resized(disc + np.uint8(30), (128, 128), Image.Resampling.BOX)
    assert find_grid(drawing).pixel_size is None


@pytest.mark.parametrize("kind", ["one colour", "vertical", "diagonal", "round"])
def test_blank_images_and_gradients_have_no_grid(kind: str) -> None:
    rows, columns = np.mgrid[0:256, 0:256]
    levels = {
        "one colour": np.full((256, 256), 90),
        "vertical": rows,
        "diagonal": (rows + columns) // 2,
        "round": np.minimum(255, 1.4 * np.hypot(rows - 128, columns - 128)),
    }[kind]
    assert find_grid(np.repeat(levels[..., None], 3, axis=2).astype(np.uint8)).pixel_size is None


@pytest.mark.parametrize("side", [48, 64, 128, 512])
@pytest.mark.parametrize("quality", [None, 50])
@pytest.mark.parametrize("name", ["chelsea", "coins", "grass", "brick", "gravel", "retina"])
def test_textures_and_the_blocks_of_a_jpeg_are_no_grid(name: str, quality: int | None, side: int) -> None:
    picture = np.asarray(Image.fromarray(getattr(data, name)()).convert("RGB"))
    photograph = resized(picture, (side, side), Image.Resampling.LANCZOS)
    if quality is not None:
        photograph = through_jpeg(photograph, quality)
    grid = find_grid(photograph)
    assert grid.pixel_size is None, grid


def test_soft_portraits_have_no_grid() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        picture = render_soft(draw_portrait(rng), rng)
        for side in (64, 512):
            grid = find_grid(resized(picture, (side, side), Image.Resampling.BICUBIC))
            assert grid.pixel_size is None, grid
