"""Pixel art is told from what only looks like it."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image
from skimage import data

from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, measure_image
from pixel_lora_pipeline.validate.style import palette_score
from pixel_lora_pipeline_tests.validate.sprites import (
    BACKGROUND,
    HAIR,
    Pixels,
    blurred,
    enlarged,
    noise,
    portrait,
    resized,
    softened,
    through_jpeg,
    with_noise,
)

SPRITE = enlarged(portrait(accessories={"crown": "#ffd700"}), 16)


def purity(image: Pixels) -> float:
    value = measure_image(image).style_quality["pixel_art_purity"]
    assert isinstance(value, float)
    return value


def shaded(native: Pixels, strength: float) -> Pixels:
    rows, columns = np.mgrid[0 : native.shape[0], 0 : native.shape[1]] / native.shape[0]
    light = 1.0 + strength * np.sin(3.0 * columns + 1.0) * np.cos(2.0 * rows)
    return np.clip(native * light[..., None], 0, 255).astype(np.uint8)


def photograph(name: str, side: int) -> Pixels:
    return resized(getattr(data, name)(), (side, side), Image.Resampling.LANCZOS)


def test_a_sprite_is_pure_pixel_art() -> None:
    style = measure_image(SPRITE).style_quality
    assert style["pixel_art_purity"] > 95.0, style
    assert style["edge_sharpness"] > 95.0, style
    assert style["overall_style_score"] > 95.0, style
    assert style["is_photorealistic"] is False
    assert style["photorealism_score"] == pytest.approx(100.0 - style["pixel_art_purity"])
    assert style["dithering_quality"] is None, "there is no dithering to judge"


@pytest.mark.parametrize("scale", [1, 2, 4, 16])
def test_purity_does_not_depend_on_the_size_of_cells(scale: int) -> None:
    assert purity(enlarged(portrait(), scale)) > 90.0


@pytest.mark.parametrize(
    "damage",
    [
        lambda image: blurred(image, 1.0),
        softened,
        lambda image: with_noise(image, 10.0),
        lambda image: resized(image, (411, 411), Image.Resampling.BICUBIC),
        lambda image: through_jpeg(image, 20),
    ],
    ids=["blur", "soft", "noise", "resampled by 1.07", "JPEG 20"],
)
def test_damage_costs_purity(damage: Callable[[Pixels], Pixels]) -> None:
    assert purity(damage(SPRITE)) < purity(SPRITE) - 0.5


@pytest.mark.parametrize("method", [Image.Resampling.BILINEAR, Image.Resampling.BICUBIC])
def test_a_smoothly_enlarged_sprite_is_none(method: Image.Resampling) -> None:
    style = measure_image(resized(portrait(), (384, 384), method)).style_quality
    assert style["pixel_art_purity"] < 30.0, style
    assert style["edge_sharpness"] < 20.0, style
    assert style["is_photorealistic"] is True


def test_the_stronger_the_blur_the_lower_purity_and_sharpness() -> None:
    styles = [measure_image(blurred(SPRITE, radius)).style_quality for radius in (0.5, 1.0, 2.0, 4.0)]
    for key in ("pixel_art_purity", "edge_sharpness", "overall_style_score"):
        scores = [style[key] for style in styles]
        assert scores == sorted(scores, reverse=True), (key, scores)


def test_smooth_shading_painted_over_crisp_cells_is_caught() -> None:
    image = enlarged(shaded(portrait(), 0.35), 16)
    style = measure_image(image).style_quality
    assert style["edge_sharpness"] > 90.0, "sharpness cannot see it"
    assert style["pixel_art_purity"] < 60.0, style


@pytest.mark.parametrize("side", [24, 48, 96])
@pytest.mark.parametrize("light", ["from above", "from a side", "around the middle"])
def test_a_faint_gradient_over_cells_is_caught_at_any_native_size(light: str, side: int) -> None:
    sprite = np.repeat(np.repeat(portrait(), side // 24, axis=0), side // 24, axis=1)
    rows, columns = (np.mgrid[0:side, 0:side] + 0.5) / side
    strength = {
        "from above": 1.0 - 2.0 * rows,
        "from a side": 1.0 - 2.0 * columns,
        "around the middle": 1.0 - 4.0 * ((rows - 0.5) ** 2 + (columns - 0.5) ** 2),
    }[light]
    native = np.clip(sprite * (1.0 + 0.12 * strength)[..., None], 0, 255).astype(np.uint8)
    assert purity(enlarged(native, 8)) < purity(enlarged(sprite, 8)) - 15.0


def test_the_stronger_the_gradient_the_lower_the_purity() -> None:
    scores = [purity(enlarged(shaded(portrait(), strength), 8)) for strength in (0.0, 0.05, 0.1, 0.2, 0.35, 0.5)]
    assert scores == sorted(scores, reverse=True), scores


def test_bands_of_a_drawn_sky_are_no_gradient() -> None:
    sky = np.repeat(np.uint8([[20, 24, 60], [36, 40, 96], [60, 64, 140], [96, 104, 190], [150, 160, 225]]), 8, axis=0)
    native = np.repeat(sky[:, None], 40, axis=1)
    native[24:, 10:30] = (20, 90, 40)
    assert purity(enlarged(native, 8)) > 95.0


@pytest.mark.parametrize("quality", [90, 70, 50, 30])
def test_a_jpeg_costs_purity_by_its_quality(quality: int) -> None:
    image = enlarged(portrait(), 12)
    assert purity(through_jpeg(image, quality)) > purity(through_jpeg(image, quality - 20))


def test_photorealism_is_consistent_with_the_flag() -> None:
    for image in (SPRITE, softened(SPRITE), photograph("coffee", 256), noise(64), enlarged(shaded(portrait(), 0.3), 8)):
        style = measure_image(image).style_quality
        assert style["is_photorealistic"] == (style["photorealism_score"] >= 50.0), style


def test_one_colour_has_no_photorealism_to_tell() -> None:
    style = measure_image(np.full((64, 64, 3), 120, dtype=np.uint8)).style_quality
    assert style["photorealism_score"] is None
    assert style["is_photorealistic"] is None


def test_few_changes_of_colour_say_little_about_style() -> None:
    square = np.full((32, 32, 3), 200, dtype=np.uint8)
    square[8:24, 8:24] = 30
    few, many = (measure_image(enlarged(native, 8)).confidence["style"] for native in (square, portrait()))
    assert few < many
    assert 0.0 < few < 1.0


@pytest.mark.parametrize("side", [64, 512])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket"])
def test_a_photograph_is_photorealistic(name: str, side: int) -> None:
    style = measure_image(photograph(name, side)).style_quality
    assert style["pixel_art_purity"] < 50.0, style
    assert style["is_photorealistic"] is True
    assert style["photorealism_score"] > 60.0, style


@pytest.mark.parametrize("cell", [1, 2, 8])
def test_noise_is_neither_pixel_art_nor_a_photograph(cell: int) -> None:
    for seed in range(3):
        measured = measure_image(enlarged(noise(32, seed), cell), Expectation(background=BACKGROUND, hair=HAIR))
        style = measured.style_quality
        assert style["pixel_art_purity"] < 10.0, style
        assert style["overall_style_score"] < 15.0, style
        assert style["is_photorealistic"] is False
        assert style["photorealism_score"] < 15.0, style
        assert measured.overall_score is None or measured.overall_score < 20.0, measured.overall_score


def test_noise_in_few_colours_does_not_score_either() -> None:
    rng = np.random.default_rng(4)
    colors = rng.integers(0, 256, (6, 3), dtype=np.uint8)
    style = measure_image(enlarged(colors[rng.integers(0, 6, (32, 32))], 8)).style_quality
    assert style["pixel_art_purity"] < 20.0, style


def test_right_colours_in_the_wrong_style_and_the_reverse_both_score_low() -> None:
    expected = Expectation(background=BACKGROUND, hair=HAIR)

    def overall(measured: ImageMeasurement) -> float:
        assert measured.overall_score is not None
        return measured.overall_score

    right = overall(measure_image(SPRITE, expected))
    wrong_style = overall(measure_image(resized(portrait(), (384, 384), Image.Resampling.BICUBIC), expected))
    wrong_colors = overall(measure_image(SPRITE, Expectation(background="#7b3fb5", hair="#1fa6a0")))
    assert right > 95.0
    assert wrong_style < 50.0, wrong_style
    assert wrong_colors < 75.0, wrong_colors


def test_few_colours_score_full_and_many_nothing() -> None:
    scores = [palette_score(colors) for colors in (2, 20, 50, 60, 100, 200, 250, 256)]
    assert scores == sorted(scores, reverse=True)
    assert scores[:3] == [100.0] * 3
    assert scores[-2:] == [0.0] * 2
