"""The picture that explains a measurement shows the image unchanged and marks the cells that the scores are about."""

import dataclasses
import io
import json

import numpy as np
import pytest
import skimage.data
from PIL import Image

from pixel_lora_pipeline.validate import ImageMeasurement, measure_image, parse_expectation
from pixel_lora_pipeline.validate.color_findings import color_findings
from pixel_lora_pipeline.validate.contact_sheet import SIZE_LIMIT
from pixel_lora_pipeline.validate.overlay import overlay
from pixel_lora_pipeline.validate.overlay_pictures import Enlargement, faults_picture, regions_picture
from pixel_lora_pipeline.validate.region import cells_of
from pixel_lora_pipeline_tests.validate.sprites import Pixels, enlarged, noise, portrait, rgb

RIGHT = parse_expectation("pink hair #ff69b4, background #2e9e44, gold crown #ffd700")
FAULT = (230, 0, 126)


def drawn(image: Pixels, measurement: ImageMeasurement) -> Pixels:
    with Image.open(io.BytesIO(overlay(image, measurement))) as sheet:
        return np.asarray(sheet.convert("RGB"))


def contains(sheet: Pixels, picture: Pixels) -> bool:
    """Whether a picture is in the corner of the sheet, pixel for pixel; its frame of one pixel aside."""
    height, width = picture.shape[:2]
    inner = picture[1:-1, 1:-1]
    for top in range(80):
        for left in range(40):
            if np.array_equal(sheet[top + 1 : top + height - 1, left + 1 : left + width - 1], inner):
                return True
    return False


def test_the_image_is_enlarged_by_a_whole_number_and_unchanged() -> None:
    image = portrait(accessories={"crown": "#ffd700"})
    sheet = drawn(image, measure_image(image, RIGHT))
    assert contains(sheet, enlarged(image, 21)), "24 pixels are not shown 21 times as large"


def test_a_large_image_is_reduced_by_a_whole_number_and_stays_crisp() -> None:
    image = enlarged(portrait(), 64)
    sheet = drawn(image, measure_image(image, RIGHT))
    assert contains(sheet, image[::3, ::3])


def test_cells_of_a_wrong_colour_are_marked_and_no_others() -> None:
    image = enlarged(portrait(background="#d62828", accessories={"crown": "#ffd700"}), 4)
    measurement = measure_image(image, RIGHT)
    shown = Enlargement.to_fit(image.shape, measurement, 480)
    picture, chips = faults_picture(image, measurement, shown)
    is_marked = (np.asarray(picture) == FAULT).all(axis=2).reshape(24, 20, 24, 20).any(axis=(1, 3))
    wrong = (portrait(background="#d62828", accessories={"crown": "#ffd700"}) == rgb("#d62828")).all(axis=2)
    assert is_marked.any()
    assert not (is_marked & ~wrong).any(), "cells of the right colour are marked"
    assert is_marked.sum() >= 0.9 * wrong.sum(), f"{is_marked.sum()} of {wrong.sum()} cells are marked"
    assert f"off colour: {is_marked.sum()} cells" in {chip.text for chip in chips}


def test_an_image_as_it_should_be_has_no_marks() -> None:
    image = enlarged(portrait(accessories={"crown": "#ffd700"}), 4)
    measurement = measure_image(image, RIGHT)
    picture, chips = faults_picture(image, measurement, Enlargement.to_fit(image.shape, measurement, 480))
    assert not (np.asarray(picture) == FAULT).all(axis=2).any()
    assert "off colour: 0 cells" in {chip.text for chip in chips}


def test_faults_of_craft_are_marked_where_they_are_and_counted() -> None:
    native = portrait(clothes="#2f5fd0")
    native[21, 10] = rgb("#ffffff")
    image = enlarged(native, 4)
    measurement = measure_image(image, RIGHT)
    assert measurement.style_quality["orphan_pixels"], "there is no orphan pixel to mark"
    picture, chips = faults_picture(image, measurement, Enlargement.to_fit(image.shape, measurement, 480))
    legend = {chip.text.rpartition(":")[0]: chip for chip in chips}
    assert legend["orphan pixels"].text.endswith(f": {measurement.style_quality['orphan_pixels']}")
    ink = (np.asarray(picture) == rgb(legend["orphan pixels"].color)).all(axis=2)
    marked = {tuple(cell) for cell in np.argwhere(ink.reshape(24, 20, 24, 20).any(axis=(1, 3))).tolist()}
    assert marked == {tuple(cell) for cell in measurement.evidence["craft"]["orphan_pixels"]}
    assert (21, 10) in marked


def test_lines_follow_cells_that_drift() -> None:
    widths = np.random.default_rng(0).integers(9, 13, (2, 24))
    native = portrait(background="#d62828", accessories={"crown": "#ffd700"})
    image = native.repeat(widths[0], axis=0).repeat(widths[1], axis=1)
    measurement = measure_image(image, RIGHT)
    assert measurement.grid.lines is not None, "the drift was not found"
    shown = Enlargement.to_fit(image.shape, measurement, max(image.shape))
    picture, _ = faults_picture(image, measurement, shown)
    is_marked = (np.asarray(picture) == FAULT).all(axis=2)
    wrong = (native == rgb("#d62828")).all(axis=2).repeat(widths[0], axis=0).repeat(widths[1], axis=1)
    assert is_marked.any()
    assert not (is_marked & ~wrong).any(), "a mark reaches beyond its cell"


def test_regions_are_outlined_where_they_are_and_named_with_their_share() -> None:
    image = enlarged(portrait(accessories={"crown": "#ffd700"}), 4)
    measurement = measure_image(image, RIGHT)
    picture, chips = regions_picture(image, measurement, Enlargement.to_fit(image.shape, measurement, 480))
    legend = {chip.text.split()[0]: chip for chip in chips}
    assert {"background", "hair", "skin", "crown"} <= legend.keys()
    regions = measurement.evidence["regions"]
    for name in ("background", "hair", "skin", "crown"):
        cells = cells_of(regions[name], (24, 24))
        ink = (np.asarray(picture) == rgb(legend[name].color)).all(axis=2).reshape(24, 20, 24, 20).any(axis=(1, 3))
        assert ink.any(), f"{name} has no outline"
        assert not (ink & ~cells).any(), f"the outline of {name} lies outside it"
        assert legend[name].text == f"{name} {100.0 * cells.mean():.0f} %"


@pytest.mark.parametrize(
    "image",
    [
        portrait()[:16, 4:20],
        skimage.data.astronaut(),
        enlarged(portrait(), 85)[:2000],
        np.tile(enlarged(portrait(), 4), (1, 8, 1)),
        np.tile(enlarged(portrait(), 4), (8, 1, 1)),
        noise(512),
        np.full((64, 64, 3), 90, dtype=np.uint8),
        np.dstack([enlarged(portrait(), 4), np.tri(96, dtype=np.uint8) * 255]),
        np.zeros((32, 32, 4), dtype=np.uint8),
        enlarged(portrait(), 2).repeat(4, axis=0),
    ],
    ids=["16px", "photo", "2048px", "wide", "tall", "noise", "solid", "transparent", "invisible", "oblong"],
)
def test_any_image_makes_a_picture_of_modest_size(image: Pixels) -> None:
    measurement = measure_image(image, RIGHT)
    png = overlay(image, measurement)
    assert len(png) <= SIZE_LIMIT, f"{len(png)} bytes"
    with Image.open(io.BytesIO(png)) as sheet:
        assert sheet.width > 512


def test_a_stored_measurement_makes_the_same_picture() -> None:
    image = enlarged(portrait(background="#d62828"), 4)
    measurement = measure_image(image, RIGHT)
    stored = ImageMeasurement.from_dict(json.loads(json.dumps(measurement.to_dict())))
    assert overlay(image, stored) == overlay(image, measurement)


def test_a_measurement_of_an_older_version_shows_its_numbers() -> None:
    image = enlarged(portrait(), 4)
    measurement = measure_image(image, RIGHT)
    evidence = {name: value for name, value in measurement.evidence.items() if name != "regions"}
    assert drawn(image, dataclasses.replace(measurement, evidence=evidence, version="1")).shape[1] > 512


def test_a_limit_that_nothing_fits_into_is_refused() -> None:
    image = portrait()
    with pytest.raises(ValueError, match="does not fit into 1000 bytes"):
        overlay(image, measure_image(image, RIGHT), limit=1000)


def test_findings_say_what_was_expected_and_found_and_why_not() -> None:
    expectation = parse_expectation("pink hair #ff69b4, background #2e9e44, sunglasses")
    image = enlarged(portrait(hair="#2f5fd0"), 4)
    findings = {finding.name: finding for finding in color_findings(measure_image(image, expectation))}
    hair = findings["hair"]
    assert (hair.expected, hair.score, hair.reason) == ("#ff69b4", 0.0, None)
    assert hair.delta_e is not None and hair.delta_e > 20.0
    assert findings["background"].delta_e == pytest.approx(0.0, abs=1.0)
    assert not findings["skin"].is_named and findings["skin"].found
    sunglasses = findings["sunglasses"]
    assert sunglasses.is_named
    assert (sunglasses.score is None) == (sunglasses.reason is not None)
