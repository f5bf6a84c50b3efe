"""Which cells of an image changed, on the grid that the images are drawn on."""

import io

import numpy as np
from PIL import Image

from pixel_lora_pipeline.analyze.report.cells import cell_change, native_cells, outline, png_of_cells
from pixel_lora_pipeline.embedded.render import render_pixel
from pixel_lora_pipeline_tests.analyze.paintings import painted, portrait_of
from pixel_lora_pipeline_tests.validate.sprites import Pixels, noise, png


def sprite() -> Pixels:
    return render_pixel(portrait_of(1)[0])


def test_exactly_the_changed_cells_are_found() -> None:
    before, after = sprite(), sprite()
    after[20:24, 30:36] = (255, 0, 255)  # two rows of three cells of 2 × 2 pixels
    change = cell_change(png(before), png(after))
    assert change is not None
    assert change.changed.shape == (32, 32)
    assert list(zip(*np.nonzero(change.changed), strict=True)) == [(r, c) for r in (10, 11) for c in (15, 16, 17)]
    assert (change.new_colors, change.lost_colors) == (1, 0)


def test_what_no_eye_sees_is_no_change() -> None:
    before = sprite()
    after = np.clip(before.astype(int) + 2, 0, 255).astype(np.uint8)
    change = cell_change(png(before), png(after))
    assert change is not None
    assert change.share == 0.0


def test_an_image_without_a_grid_is_compared_on_the_other_ones() -> None:
    change = cell_change(painted(1, "photo").png, painted(1).png)
    assert change is not None
    assert change.before.shape == change.after.shape == (32, 32, 3)
    back = cell_change(painted(1).png, painted(1, "photo").png)
    assert back is not None
    assert back.changed.shape == (32, 32)


def test_images_of_different_sizes_have_no_cells_in_common() -> None:
    assert cell_change(png(noise(64)), png(noise(32))) is None


def test_the_outline_runs_around_the_marked_cells() -> None:
    marked = np.zeros((4, 5), dtype=bool)
    marked[1, 1:3] = True
    assert outline(marked) == "M1 1h2M1 2h2M1 1v1M3 1v1"
    assert outline(np.zeros((3, 3), dtype=bool)) == ""


def test_cells_keep_every_colour() -> None:
    for cells in (native_cells(png(sprite())), noise(24)):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png_of_cells(cells))).convert("RGB")), cells)
