"""All images on one crisp picture that is small enough to show."""

import io

import numpy as np
import pytest
from PIL import Image

from pixel_lora_pipeline.validate import Labelled, contact_sheet
from pixel_lora_pipeline_tests.validate.sprites import Pixels, enlarged, noise, png, portrait

LIMIT = 200_000


def decoded(sheet: bytes) -> Pixels:
    return np.asarray(Image.open(io.BytesIO(sheet)).convert("RGB"))


def contains(picture: Pixels, part: Pixels) -> bool:
    """Whether a part occurs in a picture, pixel for pixel."""
    height, width = part.shape[:2]
    corner = (picture == part[0, 0]).all(axis=2)
    return any(
        np.array_equal(picture[row : row + height, column : column + width], part)
        for row, column in np.argwhere(corner)
        if row + height <= picture.shape[0] and column + width <= picture.shape[1]
    )


def test_pixels_are_enlarged_and_never_smoothed() -> None:
    sprite = enlarged(portrait(), 2)
    sheet = decoded(contact_sheet([Labelled(png(sprite), "pink_hair_green_bg", "colour 98  style 100")] * 3))
    assert contains(sheet, enlarged(sprite, 4)), "the sprite is not there four times as large, pixel for pixel"


def test_images_of_different_sizes_stand_in_columns() -> None:
    images = [Labelled(png(enlarged(portrait(), scale)), str(scale)) for scale in (1, 2, 4, 8, 21)]
    assert decoded(contact_sheet(images, columns=2)).shape[0] > decoded(contact_sheet(images, columns=5)).shape[0]


@pytest.mark.parametrize(("count", "side"), [(1, 512), (15, 256), (33, 64)])
def test_even_noise_stays_below_the_limit(count: int, side: int) -> None:
    images = [Labelled(png(noise(side, seed)), "a very long name of a prompt that cannot fit") for seed in range(count)]
    size = len(contact_sheet(images))
    assert size <= LIMIT, f"{size} bytes"


def test_what_cannot_fit_is_refused_and_not_cut_off() -> None:
    images = [Labelled(png(noise(16, seed)), "") for seed in range(20)]
    with pytest.raises(ValueError, match="Make several sheets"):
        contact_sheet(images, limit=500)
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([])


def test_the_same_images_give_the_same_bytes() -> None:
    images = [Labelled(png(portrait()), "a"), Labelled(png(noise(64)), "b")]
    assert contact_sheet(images) == contact_sheet(images)
