"""An epoch's numbers are means over prompts, with intervals, and leave out what nobody could tell."""

import json
from dataclasses import replace

import pytest

from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, color_accuracy_score, measure_image, rollup
from pixel_lora_pipeline_tests.validate.sprites import BACKGROUND, HAIR, enlarged, portrait

EXPECTED = Expectation(background=BACKGROUND, hair=HAIR)
WRONG = "#7b3fb5"


@pytest.fixture(scope="module")
def right() -> ImageMeasurement:
    return measure_image(enlarged(portrait(), 4), EXPECTED)


@pytest.fixture(scope="module")
def wrong() -> ImageMeasurement:
    return measure_image(enlarged(portrait(background=WRONG), 4), EXPECTED)


@pytest.fixture(scope="module")
def two_toned() -> ImageMeasurement:
    return measure_image(enlarged(portrait(second_hair="#2f5fd0"), 4), EXPECTED)


def test_the_documented_shape_is_kept(right: ImageMeasurement) -> None:
    metrics = rollup([right])
    assert metrics["color_accuracy"].keys() >= {
        "background_accuracy",
        "hair_accuracy",
        "hair_two_toned",
        "accessory_accuracy",
        "overall",
    }
    assert metrics["style_quality"].keys() >= {
        "edge_sharpness",
        "pixel_art_purity",
        "photorealism_score",
        "color_palette_size",
        "overall",
    }
    assert isinstance(metrics["style_quality"]["color_palette_size"], int)
    assert isinstance(metrics["color_accuracy"]["hair_two_toned"], bool)
    json.dumps(metrics, allow_nan=False)


def test_each_prompt_counts_once_however_many_seeds_it_has(right: ImageMeasurement, wrong: ImageMeasurement) -> None:
    metrics = rollup([right, wrong, wrong, wrong], ["a", "b", "b", "b"])
    assert metrics["color_accuracy"]["background_accuracy"] == pytest.approx(50.0)
    assert metrics["prompts"]["a"]["background_accuracy"] == pytest.approx(100.0)
    assert metrics["prompts"]["b"]["background_accuracy"] == pytest.approx(0.0)
    assert metrics["prompts"]["b"]["n_images"] == 3
    assert (metrics["n_images"], metrics["n_prompts"]) == (4, 2)


def test_what_could_not_be_told_is_left_out(right: ImageMeasurement) -> None:
    untold = replace(right, color_accuracy={**right.color_accuracy, "background_accuracy": None})
    metrics = rollup([right, untold], ["a", "b"])
    assert metrics["color_accuracy"]["background_accuracy"] == pytest.approx(100.0)
    assert metrics["color_accuracy"]["accessory_accuracy"] is None, "no prompt names an accessory"
    assert metrics["intervals"]["color_accuracy"]["background_accuracy"] is None, "one prompt has no spread"


def test_the_interval_holds_the_mean_and_narrows_with_more_prompts(
    right: ImageMeasurement, wrong: ImageMeasurement
) -> None:
    widths = []
    for pairs in (2, 10):
        metrics = rollup([right, wrong] * pairs)
        low, high = metrics["intervals"]["color_accuracy"]["background_accuracy"]
        assert 0.0 <= low <= metrics["color_accuracy"]["background_accuracy"] <= high <= 100.0
        widths.append(high - low)
    assert widths[1] < widths[0], widths


def test_an_epoch_is_two_toned_if_most_of_its_images_are(right: ImageMeasurement, two_toned: ImageMeasurement) -> None:
    assert rollup([two_toned, two_toned, right])["color_accuracy"]["hair_two_toned"] is True
    mostly_not = rollup([two_toned, right, right])["color_accuracy"]
    assert mostly_not["hair_two_toned"] is False
    assert mostly_not["hair_two_toned_share"] == pytest.approx(1 / 3, abs=1e-3)


def test_the_score_of_ten_is_that_of_the_overall_accuracy(right: ImageMeasurement, wrong: ImageMeasurement) -> None:
    metrics = rollup([right, wrong])
    expected = color_accuracy_score(metrics["color_accuracy"]["overall"])
    assert metrics["color_accuracy_score"] == pytest.approx(expected, abs=0.02)


def test_stored_measurements_roll_up_to_the_same(right: ImageMeasurement, two_toned: ImageMeasurement) -> None:
    stored = [ImageMeasurement.from_dict(json.loads(json.dumps(image.to_dict()))) for image in (right, two_toned)]
    assert rollup(stored) == rollup([right, two_toned])


def test_what_does_not_compare_is_refused(right: ImageMeasurement) -> None:
    with pytest.raises(ValueError, match="without images"):
        rollup([])
    with pytest.raises(ValueError, match="2 measurements and 1 prompt ids"):
        rollup([right, right], ["a"])
    with pytest.raises(ValueError, match="do not compare"):
        rollup([right, replace(right, version="0")])
