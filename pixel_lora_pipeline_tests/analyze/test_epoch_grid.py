"""Epochs against prompts on one crisp picture."""

import io

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.analyze.epoch_grid import GridRow, epoch_grid
from pixel_lora_pipeline_tests.analyze.paintings import painted
from pixel_lora_pipeline_tests.validate.sprites import Pixels, noise, png
from pixel_lora_pipeline_tests.validate.test_contact_sheet import contains, decoded

COLUMNS = [f"prompt_{number:02d}" for number in range(4)]


def row(title: str, quality: str = "sprite", subtitle: str = "") -> GridRow:
    images = {COLUMNS[number]: painted(number, quality).png for number in range(4)}  # type: ignore[arg-type]
    return GridRow(title, images, subtitle)


def place_of(picture: Pixels, part: Pixels) -> tuple[int, int]:
    corners = np.argwhere((picture == part[0, 0]).all(axis=2))
    height, width = part.shape[:2]
    found = [tuple(c) for c in corners if np.array_equal(picture[c[0] : c[0] + height, c[1] : c[1] + width], part)]
    assert len(found) == 1, f"{len(found)} places"
    return int(found[0][0]), int(found[0][1])


def test_pixels_are_enlarged_and_never_smoothed() -> None:
    picture = decoded(epoch_grid([row("epoch 1")], COLUMNS))
    sprite = np.asarray(Image.open(io.BytesIO(painted(2).png)).convert("RGB"))
    assert contains(picture, sprite.repeat(2, axis=0).repeat(2, axis=1)), "not twice as large, pixel for pixel"


def test_columns_are_prompts_and_rows_are_epochs() -> None:
    picture = decoded(epoch_grid([row("no LoRA", "photo"), row("epoch 1")], COLUMNS))
    places = [
        place_of(picture, np.asarray(Image.open(io.BytesIO(painted(n, q).png)).resize((128, 128), 0).convert("RGB")))
        for q in ("photo", "sprite")
        for n in range(4)
    ]
    assert len({top for top, _ in places[:4]}) == len({top for top, _ in places[4:]}) == 1
    assert [left for _, left in places[:4]] == [left for _, left in places[4:]]


def test_what_was_not_generated_stays_empty() -> None:
    quick = GridRow("epoch 2", {"prompt_00": painted(0).png})
    assert (
        decoded(epoch_grid([row("epoch 1"), quick], COLUMNS)).shape
        == decoded(epoch_grid([row("epoch 1"), row("epoch 2")], COLUMNS)).shape
    )


def test_strengths_of_one_epoch_stand_together() -> None:
    apart = epoch_grid([row(f"epoch {e}", subtitle=f"strength {s}") for e in (1, 2) for s in (0.5, 1.0)], COLUMNS)
    plain = epoch_grid([row(f"epoch {e}") for e in range(1, 5)], COLUMNS)
    assert decoded(apart).shape[0] > decoded(plain).shape[0]


def test_even_noise_stays_below_the_limit() -> None:
    images = {column: png(noise(256, seed)) for seed, column in enumerate(COLUMNS)}
    grid = epoch_grid([GridRow(f"epoch {number}", images) for number in range(20)], COLUMNS, limit=400_000)
    assert len(grid) <= 400_000


def test_a_hundred_epochs_of_thirty_prompts_fit() -> None:
    columns = [f"a_long_name_of_a_prompt_{number}" for number in range(30)]
    images = dict.fromkeys(columns, painted(0).png)
    picture = Image.open(io.BytesIO(epoch_grid([GridRow(f"epoch {n}", images) for n in range(100)], columns)))
    assert picture.width * picture.height <= 60_000_000


def test_hostile_names_are_only_letters() -> None:
    strange = "<script>\x00\n\u202e" + "x" * 500
    assert epoch_grid([GridRow(strange, {strange: painted(0).png}, strange)], [strange])


def test_an_empty_grid_is_refused() -> None:
    with pytest.raises(ValueError, match="0 rows and 1 columns"):
        epoch_grid([], ["a"])
    with pytest.raises(ValueError, match="Draw several"):
        epoch_grid([row("epoch 1")], COLUMNS, limit=500)
