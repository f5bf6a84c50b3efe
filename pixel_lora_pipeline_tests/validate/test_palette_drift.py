"""Drift from the training palette is measured in visible differences."""

import numpy as np
import pytest

from pixel_lora_pipeline.validate import measure_image
from pixel_lora_pipeline.validate.colorspace import delta_e_hex, rgb_of_hex
from pixel_lora_pipeline.validate.palette import extract_palette
from pixel_lora_pipeline.validate.palette_drift import OUTSIDE, palette_drift
from pixel_lora_pipeline_tests.validate.sprites import Pixels, enlarged, portrait


def colors_of(image: Pixels) -> Pixels:
    return np.unique(image.reshape(-1, 3), axis=0)


def test_the_training_palette_itself_has_not_drifted() -> None:
    sprite = portrait()
    style = measure_image(enlarged(sprite, 8), training_palette=colors_of(sprite)).style_quality
    assert style["palette_drift"] == pytest.approx(0.0, abs=1e-6)
    assert style["off_palette"] == 0.0


def test_drift_is_the_mean_difference_over_the_cells() -> None:
    image = np.array([[rgb_of_hex("#ff0000")] * 3 + [rgb_of_hex("#00c000")]], dtype=np.uint8)
    found = extract_palette(image, np.ones((1, 4), dtype=bool))
    drift = palette_drift(found, np.array([rgb_of_hex("#ff0000")]))
    assert drift is not None
    assert drift.mean_delta_e == pytest.approx(0.25 * delta_e_hex("#00c000", "#ff0000"), rel=1e-6)
    assert drift.share_outside == pytest.approx(0.25)


def test_a_difference_that_nobody_sees_is_inside() -> None:
    sprite = portrait()
    nearly = np.clip(sprite.astype(int) + 2, 0, 255).astype(np.uint8)
    found = extract_palette(nearly, np.ones(sprite.shape[:2], dtype=bool))
    drift = palette_drift(found, colors_of(sprite))
    assert drift is not None
    assert 0.0 < drift.mean_delta_e < OUTSIDE
    assert drift.share_outside == 0.0


def test_the_further_the_colours_drift_the_larger_the_number() -> None:
    sprite = portrait()
    drifts = []
    for strength in (0.0, 0.1, 0.25, 0.5):
        faded = (sprite * (1.0 - strength) + 128.0 * strength).astype(np.uint8)
        drifts.append(
            measure_image(enlarged(faded, 8), training_palette=colors_of(sprite)).style_quality["palette_drift"]
        )
    assert drifts == sorted(drifts), drifts
    assert drifts[-1] > OUTSIDE


def test_without_a_palette_or_a_colour_drift_cannot_be_told() -> None:
    sprite = portrait()
    assert measure_image(sprite).style_quality["palette_drift"] is None
    assert measure_image(sprite).style_quality["off_palette"] is None
    nothing = extract_palette(sprite, np.zeros(sprite.shape[:2], dtype=bool))
    assert palette_drift(nothing, colors_of(sprite)) is None


@pytest.mark.parametrize("training", [np.zeros((0, 3), np.uint8), np.zeros(3, np.uint8), np.zeros((4, 3), np.float64)])
def test_what_is_no_palette_is_refused(training: Pixels) -> None:
    found = extract_palette(portrait(), np.ones((24, 24), dtype=bool))
    with pytest.raises(ValueError, match=r"\(colours, 3\)"):
        palette_drift(found, training)
