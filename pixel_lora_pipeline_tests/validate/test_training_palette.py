import numpy as np

from pixel_lora_pipeline.validate import measure_image
from pixel_lora_pipeline.validate.training_palette import ENOUGH_IMAGES, spread, training_palette
from pixel_lora_pipeline_tests.validate.sprites import enlarged, portrait, softened


def colors_of(*images: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(color) for image in images for color in np.unique(image.reshape(-1, 3), axis=0)}


def test_the_palette_of_clean_sprites_is_the_union_of_their_colours() -> None:
    first, second = portrait(), portrait(hair="#2f5fd0", background="#d62828")
    palette = training_palette([enlarged(first, 4), enlarged(second, 8)])
    assert palette is not None
    assert {tuple(color) for color in palette} == colors_of(first, second)


def test_an_image_in_its_training_colours_has_not_drifted_and_one_in_others_has() -> None:
    palette = training_palette([enlarged(portrait(), 4)])
    same = measure_image(softened(enlarged(portrait(), 12)), None, palette).style_quality
    other = measure_image(enlarged(portrait(background="#7b3fb5"), 4), None, palette).style_quality
    assert same["palette_drift"] < 2.0 and same["off_palette"] < 2.0, same
    assert other["palette_drift"] > 5.0 and other["off_palette"] > 30.0, other


def test_pictures_without_any_visible_pixel_have_no_palette() -> None:
    assert training_palette([]) is None
    assert training_palette([np.zeros((8, 8, 4), np.uint8)]) is None


def test_of_many_pictures_some_from_everywhere_are_looked_at() -> None:
    assert spread(0) == []
    assert spread(3) == [0, 1, 2]
    chosen = spread(1000)
    assert len(chosen) == ENOUGH_IMAGES
    assert (chosen[0], chosen[-1]) == (0, 999)
