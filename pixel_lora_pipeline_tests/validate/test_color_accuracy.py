"""Colours that were asked for score high, others low, and what cannot be told scores nothing."""

from dataclasses import replace
from itertools import pairwise, permutations

import numpy as np
import pytest

from pixel_lora_pipeline.validate import Expectation, ImageMeasurement, color_accuracy_score, measure_image
from pixel_lora_pipeline.validate.color_accuracy import measure_colors
from pixel_lora_pipeline.validate.colorspace import delta_e_hex, hex_of_rgb, is_shade_of, oklab_of_rgb, rgb_of_oklab
from pixel_lora_pipeline.validate.figure import head_and_shoulders
from pixel_lora_pipeline.validate.palette import extract_palette
from pixel_lora_pipeline.validate.region import cells_of
from pixel_lora_pipeline_tests.validate.sprites import (
    BACKGROUND,
    HAIR,
    LIPS,
    OUTLINE,
    SKIN,
    Pixels,
    enlarged,
    noise,
    portrait,
    rgb,
    softened,
    with_noise,
)

GOLD, BLACK = "#ffd700", "#1b1b1f"
EXPECTED = Expectation(background=BACKGROUND, hair=HAIR, skin=SKIN, lips=LIPS)


def measure(native: Pixels, expectation: Expectation = EXPECTED, scale: int = 8) -> ImageMeasurement:
    return measure_image(enlarged(native, scale), expectation)


def without_outline(native: Pixels) -> Pixels:
    native[(native == np.array(rgb(OUTLINE))).all(axis=2)] = rgb(BACKGROUND)
    return native


def test_a_portrait_in_its_colours_scores_full() -> None:
    measured = measure(portrait())
    scores = measured.color_accuracy
    for name in ("background_accuracy", "hair_color_accuracy", "skin_accuracy", "lips_accuracy"):
        assert scores[name] == pytest.approx(100.0), f"{name} is {scores[name]}: {measured.evidence}"
    assert scores["hair_is_two_toned"] is False
    assert scores["color_purity_score"] > 95.0
    assert scores["overall_color_accuracy"] > 98.0
    assert measured.evidence["background"]["hex"] == BACKGROUND
    assert measured.evidence["hair"][0]["hex"] == HAIR


@pytest.mark.parametrize("scale", [1, 2, 8, 16])
def test_scores_do_not_depend_on_the_enlargement(scale: int) -> None:
    one, other = measure(portrait(), scale=4), measure(portrait(), scale=scale)
    assert other.color_accuracy == one.color_accuracy


def test_softening_changes_little() -> None:
    scores = measure_image(softened(enlarged(portrait(), 16)), EXPECTED).color_accuracy
    assert scores["background_accuracy"] > 95.0, scores
    assert scores["hair_color_accuracy"] > 95.0, scores
    assert scores["hair_is_two_toned"] is False


@pytest.mark.parametrize(
    ("painted", "score"),
    [
        ({"background": "#d62828"}, "background_accuracy"),
        ({"hair": "#2f5fd0"}, "hair_color_accuracy"),
        ({"skin": "#6b4028"}, "skin_accuracy"),
        ({"lips": "#26bfd9"}, "lips_accuracy"),
    ],
)
def test_a_wrong_colour_costs_its_own_score_and_no_other(painted: dict[str, str], score: str) -> None:
    scores = measure(portrait(**painted)).color_accuracy
    for name in ("background_accuracy", "hair_color_accuracy", "skin_accuracy", "lips_accuracy"):
        assert scores[name] == pytest.approx(0.0 if name == score else 100.0, abs=1.0), (name, scores)
    assert scores["overall_color_accuracy"] < measure(portrait()).color_accuracy["overall_color_accuracy"]


def test_hair_and_background_exchanged_are_both_wrong() -> None:
    scores = measure(portrait(background=HAIR, hair=BACKGROUND)).color_accuracy
    assert scores["background_accuracy"] == pytest.approx(0.0)
    assert scores["hair_color_accuracy"] == pytest.approx(0.0)


def test_the_further_off_a_colour_the_lower_its_score() -> None:
    shades = ["#2e9e44", "#3ba650", "#4bb063", "#62bd7a", "#8fd1a0", "#d0f0d8"]
    scores = [measure(portrait(background=shade)).color_accuracy["background_accuracy"] for shade in shades]
    assert scores == sorted(scores, reverse=True), scores
    assert scores[0] == 100.0
    assert scores[-1] == 0.0


def test_a_background_half_in_the_right_colour_scores_half() -> None:
    native = portrait()
    left = native[:, :12]
    left[(left == np.array(rgb(BACKGROUND))).all(axis=2)] = rgb("#d62828")
    score = measure(native).color_accuracy["background_accuracy"]
    assert 40.0 < score < 60.0, score


def test_what_the_prompt_does_not_name_is_not_scored() -> None:
    scores = measure(portrait(), Expectation(hair=HAIR)).color_accuracy
    assert scores["background_accuracy"] is None
    assert scores["accessory_accuracy"] is None
    assert scores["overall_color_accuracy"] is not None
    nothing = measure(portrait(), Expectation()).color_accuracy
    assert nothing["overall_color_accuracy"] is None, "a prompt that names no colour cannot be followed in colour"
    assert nothing["color_purity_score"] is not None


def test_two_toned_hair_is_seen_with_both_tones() -> None:
    measured = measure(portrait(second_hair="#2f5fd0"))
    assert measured.color_accuracy["hair_is_two_toned"] is True
    assert {tone["hex"] for tone in measured.evidence["hair"]} == {HAIR, "#2f5fd0"}
    assert 30.0 < measured.color_accuracy["hair_color_accuracy"] < 80.0


def test_a_shadow_does_not_make_hair_two_toned() -> None:
    shadow = hex_of_rgb(rgb_of_oklab(oklab_of_rgb(np.array(rgb(HAIR), dtype=np.uint8)) * 0.72))
    measured = measure(portrait(second_hair=shadow))
    assert measured.color_accuracy["hair_is_two_toned"] is False, measured.evidence["hair"]
    assert measured.color_accuracy["hair_color_accuracy"] == pytest.approx(100.0)


@pytest.mark.parametrize(("name", "color"), [("crown", GOLD), ("sunglasses", BLACK), ("necklace", GOLD)])
def test_an_accessory_is_there_or_not(name: str, color: str) -> None:
    expected = replace(EXPECTED, accessories={name: color})
    there = measure(portrait(accessories={name: color}), expected)
    missing = measure(portrait(), expected)
    assert there.color_accuracy["accessory_accuracy"] > 80.0, there.evidence["accessories"]
    assert missing.color_accuracy["accessory_accuracy"] < 20.0, missing.evidence["accessories"]
    assert delta_e_hex(there.evidence["accessories"][name]["hex"], color) < 8.0


def test_an_accessory_in_another_colour_is_not_the_one_asked_for() -> None:
    expected = replace(EXPECTED, accessories={"crown": GOLD})
    assert measure(portrait(accessories={"crown": "#8a8a8f"}), expected).color_accuracy["accessory_accuracy"] < 20.0


def test_a_crown_is_not_taken_for_hair() -> None:
    expected = replace(EXPECTED, accessories={"crown": GOLD})
    measured = measure(portrait(accessories={"crown": GOLD}), expected)
    assert measured.evidence["hair"][0]["hex"] == HAIR


def test_a_crown_that_nobody_asked_for_is_not_taken_for_hair_either() -> None:
    assert measure(portrait(accessories={"crown": GOLD})).evidence["hair"][0]["hex"] == HAIR


def test_an_accessory_without_a_colour_or_in_the_colour_of_the_hair_cannot_be_told() -> None:
    unnamed = measure(portrait(), replace(EXPECTED, accessories={"crown": None}))
    hidden = measure(portrait(hair=GOLD), replace(EXPECTED, hair=GOLD, accessories={"crown": GOLD}))
    for measured in (unnamed, hidden):
        assert measured.color_accuracy["accessory_accuracy"] is None
        assert measured.evidence["accessories"]["crown"]["reason"]
        assert measured.color_accuracy["overall_color_accuracy"] is not None, "what cannot be told counted as 0"


def test_hair_in_the_colour_of_the_background_is_right_or_cannot_be_told() -> None:
    expected = replace(EXPECTED, hair=BACKGROUND)
    score = measure(portrait(hair=BACKGROUND), expected).color_accuracy["hair_color_accuracy"]
    assert score is None or score > 95.0, score


def test_hair_asked_for_in_two_colours_must_have_both() -> None:
    asked = replace(EXPECTED, second_hair="#2f5fd0")
    both = measure(portrait(second_hair="#2f5fd0"), asked).color_accuracy
    one = measure(portrait(), asked).color_accuracy
    assert both["hair_color_accuracy"] == pytest.approx(100.0)
    assert both["hair_is_two_toned"] is True
    assert one["hair_color_accuracy"] <= 50.0


def test_every_other_assignment_of_the_colours_scores_lower() -> None:
    colors = (BACKGROUND, HAIR, SKIN, GOLD)
    worn = {"crown": GOLD}
    native = portrait(accessories=worn)
    right = measure(native, Expectation(background=BACKGROUND, hair=HAIR, skin=SKIN, accessories=worn))
    best = right.color_accuracy["overall_color_accuracy"]
    for order in permutations(colors):
        if order == colors:
            continue
        background, hair, skin, crown = order
        expected = Expectation(background=background, hair=hair, skin=skin, accessories={"crown": crown})
        overall = measure(native, expected).color_accuracy["overall_color_accuracy"]
        assert overall is None or overall < best - 10.0, (order, overall)


def test_a_shadow_that_turns_towards_violet_does_not_make_hair_two_toned() -> None:
    native = portrait(hair="#f07f1d")
    hair = (native == np.array(rgb("#f07f1d"))).all(axis=2)
    native = without_outline(native)  # three cells thick, it would be a tone
    big, mask = enlarged(native, 3), hair.repeat(3, axis=0).repeat(3, axis=1)
    big[mask & ~np.roll(mask, -1, axis=1)] = rgb("#b23915")
    measured = measure(big, replace(EXPECTED, hair="#f07f1d"), scale=4)
    assert measured.color_accuracy["hair_is_two_toned"] is False, measured.evidence["hair"]


def test_the_head_is_found_on_a_whole_body() -> None:
    native = portrait(accessories={"sunglasses": BLACK})
    legs = native[-4:, :].repeat(10, axis=0)
    tall = np.concatenate([native, legs])
    tall = np.pad(tall, ((0, 0), (14, 14), (0, 0)), mode="edge")
    tall[:, :14] = tall[:, -14:] = rgb(BACKGROUND)
    scores = measure(tall, replace(EXPECTED, accessories={"sunglasses": BLACK}))
    for name in ("background_accuracy", "hair_color_accuracy", "skin_accuracy"):
        assert scores.color_accuracy[name] > 95.0, (name, scores.color_accuracy)
    assert scores.color_accuracy["accessory_accuracy"] > 80.0


def test_sunglasses_are_told_by_their_shape_where_no_colour_is_named() -> None:
    expected = replace(EXPECTED, accessories={"sunglasses": None})
    there = measure(portrait(accessories={"sunglasses": "#3a2a4a"}), expected)
    missing = measure(portrait(), expected)
    assert there.color_accuracy["accessory_accuracy"] > 60.0, there.evidence["accessories"]
    assert missing.color_accuracy["accessory_accuracy"] < 40.0, missing.evidence["accessories"]


def test_a_necklace_on_clothes_of_its_colour_cannot_be_told() -> None:
    expected = replace(EXPECTED, accessories={"necklace": GOLD})
    measured = measure(portrait(clothes=GOLD), expected)
    assert measured.color_accuracy["accessory_accuracy"] is None
    assert "clothes" in measured.evidence["accessories"]["necklace"]["reason"]


def test_the_regions_are_the_cells_that_were_painted() -> None:
    worn = {"crown": GOLD}
    native = portrait(accessories=worn)
    evidence = measure(native, replace(EXPECTED, accessories=worn)).evidence
    regions = {name: cells_of(runs, evidence["native_size"]) for name, runs in evidence["regions"].items()}
    assert regions.keys() == {"background", "hair", "skin", "crown", "off_color"}
    for name, color in (("background", BACKGROUND), ("hair", HAIR), ("skin", SKIN), ("crown", GOLD)):
        painted = (native == np.array(rgb(color))).all(axis=2)
        assert (regions[name] & painted).sum() >= 0.95 * painted.sum(), name
        assert (regions[name] & ~painted).sum() <= 0.05 * painted.sum(), name
    assert not regions["off_color"].any()


def test_cells_of_a_wrong_colour_are_marked() -> None:
    evidence = measure(portrait(hair="#2f5fd0")).evidence
    hair, off = (cells_of(evidence["regions"][name], evidence["native_size"]) for name in ("hair", "off_color"))
    assert np.array_equal(hair, off)


def test_speckles_cost_purity() -> None:
    clean, speckled = portrait(), portrait()
    cells = np.random.default_rng(0).random(speckled.shape[:2]) < 0.15
    speckled[cells] = noise(24)[cells]
    scores = [measure(native).color_accuracy["color_purity_score"] for native in (clean, speckled)]
    assert scores[1] < scores[0] - 5.0, scores


def test_noise_follows_no_prompt() -> None:
    for seed in range(5):
        overall = measure_image(enlarged(noise(32, seed), 2), EXPECTED).color_accuracy["overall_color_accuracy"]
        assert overall is None or overall < 40.0, overall


def test_the_score_of_ten_keeps_to_its_bands() -> None:
    for accuracy, score in ((100.0, 10.0), (90.0, 9.0), (80.0, 7.5), (70.0, 7.0), (0.0, 1.0)):
        assert color_accuracy_score(accuracy) == pytest.approx(score)
    assert 7.0 <= (color_accuracy_score(89.99) or 0.0) <= 8.0
    scores = [color_accuracy_score(accuracy / 10) or 0.0 for accuracy in range(1001)]
    assert all(higher > lower for lower, higher in pairwise(scores)), "the score does not rise with the accuracy"
    assert color_accuracy_score(None) is None
    with pytest.raises(ValueError, match="expected 0 to 100"):
        color_accuracy_score(101.0)


@pytest.mark.parametrize(
    ("color", "reference"),
    [
        ("#ffffff", (1.0, 0.0, 0.0)),
        ("#ff0000", (0.62796, 0.22486, 0.12585)),
        ("#00ff00", (0.86644, -0.23389, 0.17950)),
        ("#0000ff", (0.45201, -0.03246, -0.31153)),
        ("#000000", (0.0, 0.0, 0.0)),
    ],
)
def test_oklab_has_the_published_values(color: str, reference: tuple[float, float, float]) -> None:
    assert oklab_of_rgb(np.array(rgb(color), dtype=np.uint8)) == pytest.approx(reference, abs=1e-4)


def test_srgb_to_oklab_and_back_is_the_identity() -> None:
    colors = np.random.default_rng(1).integers(0, 256, (5000, 3), dtype=np.uint8)
    assert np.array_equal(rgb_of_oklab(oklab_of_rgb(colors)), colors)


def test_colour_differences_have_their_known_ends() -> None:
    assert delta_e_hex("#123456", "#123456") == 0.0
    assert delta_e_hex("#000000", "#ffffff") == pytest.approx(100.0, abs=1e-3)
    assert delta_e_hex("#ff0000", "#00ff00") == pytest.approx(86.61, abs=0.01), "as published calculators give it"


def test_shades_are_told_from_other_colours() -> None:
    def related(first: str, second: str) -> bool:
        pair = [oklab_of_rgb(np.array(rgb(color), dtype=np.uint8)) for color in (first, second)]
        assert is_shade_of(pair[0], pair[1]) == is_shade_of(pair[1], pair[0]), "not symmetric"
        return bool(is_shade_of(pair[0], pair[1]))

    assert related("#ff69b4", "#9e4170"), "a shadow"
    assert related("#e6731e", "#ec9656"), "a highlight"
    assert not related("#ff69b4", "#2f5fd0")
    assert not related("#f5d83d", "#7a4a26")
    assert not related("#1b1b1f", "#8a8a8f")


def test_the_palette_counts_colours_as_a_painter_does() -> None:
    native = portrait(accessories={"crown": GOLD})
    exact = len(np.unique(native.reshape(-1, 3), axis=0))
    measured = measure_image(softened(enlarged(native, 16)))
    assert measured.style_quality["color_palette_size"] == pytest.approx(exact, abs=1)
    everything = np.ones(native.shape[:2], dtype=bool)
    palette = extract_palette(native, everything)
    assert len(palette) == exact
    assert palette.shares.sum() == pytest.approx(1.0)
    assert list(palette.shares) == sorted(palette.shares, reverse=True)


def test_the_colour_of_the_lips_is_found() -> None:
    for painted in (LIPS, "#26bfd9"):
        native = portrait(lips=painted)
        palette = extract_palette(native, np.ones(native.shape[:2], dtype=bool))
        found = measure_colors(oklab_of_rgb(native), palette, replace(EXPECTED, lips=painted)).lips
        assert found is not None and palette.hex(found) == painted


@pytest.mark.parametrize("tinted", ["#0e1e19", "#271937", "#2e1a12", "#0b0a2f"])
def test_a_tint_on_black_does_not_make_it_another_colour(tinted: str) -> None:
    expected = replace(EXPECTED, accessories={"sunglasses": BLACK})
    measured = measure(portrait(accessories={"sunglasses": tinted}), expected)
    assert measured.color_accuracy["accessory_accuracy"] > 80.0, measured.evidence["accessories"]


def test_sunglasses_are_told_before_a_background_of_their_colour() -> None:
    expected = Expectation(background=BLACK, hair=HAIR, accessories={"sunglasses": BLACK})
    there = measure(portrait(background=BLACK, accessories={"sunglasses": BLACK}), expected)
    missing = measure(portrait(background=BLACK), expected)
    assert there.color_accuracy["accessory_accuracy"] > 80.0
    assert missing.color_accuracy["accessory_accuracy"] < 20.0


def test_a_line_across_the_face_is_not_sunglasses() -> None:
    native = portrait()
    face = (native == np.array(rgb(SKIN))).all(axis=2)
    native[10][face[10]] = rgb(BLACK)
    measured = measure(native, replace(EXPECTED, accessories={"sunglasses": BLACK}))
    assert measured.color_accuracy["accessory_accuracy"] < 50.0, measured.evidence["accessories"]


def test_two_tones_that_the_forehead_parts_are_seen() -> None:
    native = portrait(second_hair="#2f5fd0")
    native[6:9, 11:14] = rgb(SKIN)
    measured = measure(native)
    assert measured.color_accuracy["hair_is_two_toned"] is True, measured.evidence["hair"]


def test_lines_in_thick_hair_are_no_second_tone() -> None:
    big = enlarged(without_outline(portrait()), 3)
    hair = (big == np.array(rgb(HAIR))).all(axis=2)
    hair[:, np.arange(big.shape[1]) % 6 != 0] = False
    big[hair] = rgb("#2f5fd0")
    measured = measure(big, scale=4)
    assert measured.color_accuracy["hair_is_two_toned"] is False, measured.evidence["hair"]


def test_hair_that_noise_spreads_over_many_colours_is_still_found() -> None:
    for seed in range(5):
        native = without_outline(portrait(accessories={"crown": GOLD}))
        hair = (native == np.array(rgb(HAIR))).all(axis=2)
        native[hair] = with_noise(native, 22.0, seed)[hair]
        found = measure(native, replace(EXPECTED, accessories={"crown": GOLD})).evidence["hair"][0]["hex"]
        assert delta_e_hex(found, HAIR) < 10.0, (seed, found)


def test_a_crown_above_long_hair_is_not_taken_for_a_head() -> None:
    figure = np.zeros((40, 40), dtype=bool)
    figure[2:9, 11:29] = True  # a crown that is wider than the crown of the head
    figure[9:11, 13:27] = True
    figure[11:40, 8:32] = True  # hair down to the shoulders hides the neck
    box = head_and_shoulders(figure)
    assert box is not None and box.bottom == 40


def test_the_neck_of_a_whole_body_ends_the_head() -> None:
    figure = np.zeros((60, 40), dtype=bool)
    figure[2:16, 12:28] = True
    figure[16:19, 17:23] = True
    figure[19:60, 8:32] = True
    box = head_and_shoulders(figure)
    assert box is not None and 18 < box.bottom < 30
