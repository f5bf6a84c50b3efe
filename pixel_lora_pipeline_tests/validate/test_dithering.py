"""Ordered dithering is told from noise and from error diffusion; drawings have none."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from pixel_lora_pipeline.validate.dithering import Dithering, find_dithering
from pixel_lora_pipeline.validate.palette import extract_palette
from pixel_lora_pipeline_tests.validate.sprites import Pixels, noise, portrait

ROWS, COLUMNS = np.mgrid[0:32, 0:32]
BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16 + 1 / 32


def dithering(image: Pixels) -> Dithering:
    return find_dithering(extract_palette(image, np.ones(image.shape[:2], dtype=bool)))


def two_colors(pattern: NDArray[np.bool_]) -> Pixels:
    return np.where(pattern[..., None], np.uint8([200, 40, 40]), np.uint8([40, 40, 200]))


@pytest.mark.parametrize("share", [0.125, 0.25, 0.375, 0.5])
def test_a_regular_pattern_is_ordered_whatever_its_density(share: float) -> None:
    found = dithering(two_colors(share > BAYER[ROWS % 4, COLUMNS % 4]))
    assert found.quality == pytest.approx(100.0)
    assert found.cells.mean() > 0.7


@pytest.mark.parametrize("pattern", [(ROWS + COLUMNS) % 2 == 0, ROWS % 2 == 0, COLUMNS % 2 == 0])
def test_checkerboards_and_lines_are_ordered(pattern: NDArray[np.bool_]) -> None:
    assert dithering(two_colors(pattern)).quality == pytest.approx(100.0)


@pytest.mark.parametrize("seed", range(4))
def test_a_dithered_ramp_is_told_from_noise_and_error_diffusion(seed: int) -> None:
    rng = np.random.default_rng(seed)
    level = 0.15 + 0.7 * (COLUMNS if seed % 2 else ROWS) / 31
    ordered = dithering(two_colors(level > BAYER[ROWS % 4, COLUMNS % 4])).quality
    random = dithering(two_colors(level > rng.random(level.shape))).quality
    diffused = Image.fromarray(np.rint(255 * level).astype(np.uint8)).convert("1")
    error_diffusion = dithering(two_colors(np.asarray(diffused))).quality
    assert ordered is not None
    assert ordered > 70.0
    for other in (random, error_diffusion):
        assert other is not None
        assert other < 40.0


@pytest.mark.parametrize(
    "image", [portrait(), np.zeros((32, 32, 3), np.uint8), np.zeros((4, 4, 3), np.uint8), noise(32)]
)
def test_without_dithering_its_quality_cannot_be_told(image: Pixels) -> None:
    found = dithering(image)
    assert found.quality is None
    assert not found.cells.any()


def test_a_patch_of_dithering_in_a_drawing_is_found_where_it_is() -> None:
    image = np.zeros((48, 48, 3), np.uint8)
    image[12:36, 24:] = two_colors((ROWS + COLUMNS) % 2 == 0)[:24, :24]
    found = dithering(image)
    assert found.quality is not None
    assert found.quality > 90.0
    assert found.cells[15:33, 27:].all()
    assert not found.cells[:, :18].any()
