"""A measurement holds for any image, says what it rests on, and survives being stored."""

import json
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.validate import METRICS_VERSION, Expectation, ImageMeasurement, measure_image, measure_png
from pixel_lora_pipeline.validate.measurement import decode_png
from pixel_lora_pipeline_tests.validate.sprites import BACKGROUND, HAIR, enlarged, noise, png, portrait, rgb, softened

EVERYTHING = Expectation(
    background=BACKGROUND,
    hair=HAIR,
    skin="#f6d3b3",
    lips="#b3333d",
    accessories={"crown": "#ffd700", "sunglasses": None, "glasses": "#000000", "hat": "#d62828", "scarf": "#d62828"},
)
COLOR_KEYS = {
    "background_accuracy",
    "hair_color_accuracy",
    "hair_is_two_toned",
    "accessory_accuracy",
    "color_purity_score",
    "overall_color_accuracy",
}
STYLE_KEYS = {
    "edge_sharpness",
    "pixel_art_purity",
    "color_palette_size",
    "is_photorealistic",
    "photorealism_score",
    "dithering_quality",
    "overall_style_score",
}


def test_the_documented_keys_are_there() -> None:
    stored = measure_image(enlarged(portrait(), 4), EVERYTHING).to_dict()
    assert stored["color_accuracy"].keys() >= COLOR_KEYS
    assert stored["style_quality"].keys() >= STYLE_KEYS
    assert stored["grid"].keys() >= {"pixel_size", "phase", "coherence", "off_grid_error"}
    assert stored["metrics_version"] == METRICS_VERSION


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 7), (7, 1), (2, 2), (16, 16), (17, 33), (24, 300), (16, 2048), (600, 512), (2048, 2048)]
)
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("content", ["one colour", "noise", "two halves", "transparent"])
def test_any_image_can_be_measured(shape: tuple[int, int], channels: int, content: str) -> None:
    image = np.full((*shape, channels), 255, dtype=np.uint8)
    if content == "noise":
        image[:] = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    elif content == "two halves":
        image[: shape[0] // 2, :, :3] = 40
    elif content == "transparent":
        image[..., 3:] = 0
    stored = measure_image(image, EVERYTHING).to_dict()
    json.dumps(stored, allow_nan=False)
    for score in (*stored["color_accuracy"].values(), *stored["style_quality"].values()):
        assert score is None or isinstance(score, bool) or 0 <= score <= 256
    for confidence in stored["confidence"].values():
        assert 0.0 <= confidence <= 1.0


def test_one_colour_has_a_background_and_no_style() -> None:
    measured = measure_image(np.full((64, 64, 3), rgb(BACKGROUND), dtype=np.uint8), EVERYTHING)
    assert measured.color_accuracy["background_accuracy"] == pytest.approx(100.0)
    assert measured.color_accuracy["hair_color_accuracy"] is None, "there is no head that could have hair"
    assert measured.style_quality["pixel_art_purity"] is None
    assert measured.style_quality["color_palette_size"] == 1
    assert measured.overall_score is None


def test_a_transparent_background_has_no_colour() -> None:
    native = portrait()
    opaque = ~(native == np.array(rgb(BACKGROUND))).all(axis=2)
    image = np.dstack([native, np.where(opaque, 255, 0).astype(np.uint8)])
    scores = measure_image(enlarged(image, 8), EVERYTHING).color_accuracy
    assert scores["background_accuracy"] is None, "invisible pixels have no colour to be right or wrong"
    assert scores["hair_color_accuracy"] == pytest.approx(100.0)


def test_an_opaque_image_is_the_same_with_and_without_alpha() -> None:
    image = softened(enlarged(portrait(), 8))
    with_alpha = np.dstack([image, np.full(image.shape[:2], 255, dtype=np.uint8)])
    assert measure_image(with_alpha, EVERYTHING) == measure_image(image, EVERYTHING)


def test_measuring_twice_gives_the_same_bits() -> None:
    for image in (softened(enlarged(portrait(), 8)), noise(64), enlarged(noise(16), 4)):
        first, second = (measure_image(image.copy(), EVERYTHING) for _ in range(2))
        assert first == second


def test_a_stored_measurement_can_be_read_back() -> None:
    measured = measure_image(softened(enlarged(portrait(), 8)), EVERYTHING)
    stored: dict[str, Any] = json.loads(json.dumps(measured.to_dict()))
    assert ImageMeasurement.from_dict(stored).to_dict() == stored


def test_the_evidence_says_what_was_expected_and_found() -> None:
    evidence = measure_image(enlarged(portrait(), 8), EVERYTHING).evidence
    assert evidence["native_size"] == [24, 24]
    assert evidence["expected"] == EVERYTHING.to_dict()
    assert evidence["background"]["hex"] == BACKGROUND
    assert evidence["palette"][0] == {"hex": BACKGROUND, "share": pytest.approx(evidence["palette"][0]["share"])}
    assert evidence["accessories"]["scarf"]["reason"], "an accessory without a rule was scored"


def test_the_prompt_of_an_image_file_is_its_expectation() -> None:
    image = enlarged(portrait(), 4)
    measured = measure_png(png(image), f"pink hair {HAIR}, background {BACKGROUND}, gold crown")
    assert measured.color_accuracy["hair_color_accuracy"] == pytest.approx(100.0)
    assert measured.color_accuracy["accessory_accuracy"] < 20.0


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "I;16"])
def test_image_files_of_every_mode_can_be_read(mode: str) -> None:
    image = Image.fromarray(enlarged(portrait(), 2))
    image = image.convert("L").convert(mode) if mode == "I;16" else image.convert(mode)
    pixels = decode_png(png(np.asarray(image)) if mode == "RGB" else encoded(image))
    assert pixels.dtype == np.uint8
    assert pixels.shape in {(48, 48, 3), (48, 48, 4)}
    measure_image(pixels, EVERYTHING)


def encoded(image: Image.Image) -> bytes:
    import io

    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), dtype=np.uint8),
        np.zeros((8, 8, 2), dtype=np.uint8),
        np.zeros((0, 8, 3), dtype=np.uint8),
        np.zeros((8, 8, 3), dtype=np.float32),
    ],
)
def test_what_is_no_image_is_refused_with_a_remedy(image: Any) -> None:
    with pytest.raises(ValueError, match="decode_png"):
        measure_image(image)


@pytest.mark.parametrize(("scale", "limit_ms"), [(2, 40.0), (21, 150.0)])
def test_measuring_is_fast(scale: int, limit_ms: float) -> None:
    image = softened(enlarged(portrait(), scale))
    measure_image(image, EVERYTHING)
    spent = []
    for _ in range(7):
        start = time.process_time()
        measure_image(image, EVERYTHING)
        spent.append(1000.0 * (time.process_time() - start))
    assert min(spent) <= limit_ms, f"{min(spent):.1f} ms of CPU time for {image.shape[1]} pixels"
