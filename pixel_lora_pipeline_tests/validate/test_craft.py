"""Orphan pixels, jaggies and banding are counted where a pixel artist sees them."""

import numpy as np
import pytest

from pixel_lora_pipeline.validate import measure_image
from pixel_lora_pipeline.validate.craft import banding, count_patches, jaggies, orphan_pixels
from pixel_lora_pipeline.validate.palette import Palette, extract_palette
from pixel_lora_pipeline_tests.validate.sprites import Pixels, enlarged, noise, portrait

COLORS = {".": (240, 240, 240), "#": (20, 20, 60), "+": (130, 130, 150), "r": (200, 40, 40), "p": (214, 66, 62)}


def drawn(picture: str) -> Pixels:
    return np.array([[COLORS[cell] for cell in row] for row in picture.split()], dtype=np.uint8)


def palette(image: Pixels) -> Palette:
    return extract_palette(image, np.ones(image.shape[:2], dtype=bool))


def test_a_lone_cell_is_an_orphan_and_two_cells_are_a_cluster() -> None:
    orphans = orphan_pixels(
        palette(
            drawn("""
        ............
        ..#.....##..
        ............
        .....#......
        ......#.....
        ............
    """)
        )
    )
    assert np.argwhere(orphans).tolist() == [[1, 2]], "diagonal neighbours are a cluster too"


def test_anti_aliasing_is_no_orphan() -> None:
    blended, lone = (drawn(picture) for picture in ("...... ...+## .##### ######", "...... ...r## .##### ######"))
    assert not orphan_pixels(palette(blended)).any(), "the cell lies between the two colours at its sides"
    assert orphan_pixels(palette(lone)).sum() == 1


def test_cells_at_the_border_are_no_orphans() -> None:
    assert not orphan_pixels(palette(drawn("#.... ..... ....."))).any()


def test_a_straight_line_has_no_jaggies() -> None:
    # Digital straight lines of every slope, drawn as the edge of a half plane.
    rows, columns = np.mgrid[0:40, 0:40]
    for slope in np.linspace(-1.5, 1.5, 25):
        image = np.where(rows > 20 + slope * (columns - 20), 1, 0)
        assert not jaggies(image).any(), f"slope {slope:.2f}"


def test_a_circle_has_no_jaggies() -> None:
    rows, columns = np.mgrid[0:48, 0:48] - 23.5
    for radius in (6, 10, 15, 20):
        assert not jaggies((np.hypot(rows, columns) < radius).astype(int)).any(), f"radius {radius}"


@pytest.mark.parametrize("turn", range(4))
def test_a_run_out_of_step_is_one_jaggy(turn: int) -> None:
    image = drawn("""
        ...............
        ...............
        ..........####.
        .........######
        ....###########
        ###############
    """)
    smooth = drawn("""
        ...............
        ...............
        ............##.
        .........######
        .....##########
        ###############
    """)
    for picture, expected in ((image, 1), (smooth, 0)):
        labels = palette(np.rot90(picture, turn)).labels
        assert count_patches(jaggies(labels)) == expected


def test_bands_that_end_together_are_banding_and_shifted_ones_are_not() -> None:
    hugging = drawn("......... ..rrrrr.. ..ppppp.. .........")
    shifted = drawn("......... ..rrrrr.. ...ppppp. .........")
    unrelated = drawn("......... ..rrrrr.. ..#####.. .........")
    assert count_patches(banding(palette(hugging))) == 1
    assert count_patches(banding(palette(np.rot90(hugging)))) == 1
    assert not banding(palette(shifted)).any()
    assert not banding(palette(unrelated)).any(), "two materials, not one ramp"


@pytest.mark.parametrize("image", [np.zeros((1, 1, 3)), np.zeros((1, 9, 3)), np.zeros((9, 2, 3)), noise(24)])
def test_any_picture_can_be_looked_at(image: Pixels) -> None:
    found = palette(image.astype(np.uint8))
    for cells in (orphan_pixels(found), jaggies(found.labels), banding(found)):
        assert cells.shape == image.shape[:2]


def test_faults_are_counted_at_native_size_and_listed() -> None:
    native = portrait()
    native[1, 1] = (200, 40, 40)
    counts = []
    for scale in (2, 8):
        measured = measure_image(enlarged(native, scale))
        assert [1, 1] in measured.evidence["craft"]["orphan_pixels"]
        counts.append([measured.style_quality[key] for key in ("orphan_pixels", "jaggies", "banding")])
    assert counts[0] == counts[1], "the size of the cells changes the count"


def test_without_a_grid_there_is_no_native_size_to_count_at() -> None:
    measured = measure_image(noise(64))
    assert measured.evidence["craft"] is None
    for key in ("orphan_pixels", "jaggies", "banding", "off_grid"):
        assert measured.style_quality[key] is None, key


def test_dots_of_ordered_dithering_are_no_orphans() -> None:
    rows, columns = np.mgrid[0:24, 0:24]
    native = np.where(
        ((rows % 2 == 0) & (columns % 2 == 0))[..., None], np.uint8([200, 40, 40]), np.uint8([40, 40, 200])
    )
    measured = measure_image(enlarged(native, 8))
    assert measured.style_quality["dithering_quality"] == pytest.approx(100.0)
    assert measured.style_quality["orphan_pixels"] == 0
