"""What a caption asks for is read as a person would read it."""

import pytest

from pixel_lora_pipeline.validate import Expectation, parse_expectation
from pixel_lora_pipeline.validate.colorspace import delta_e_hex
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES, SYNONYMS

PINK, GREEN, BLUE, RED = (NAMED_COLORS[word] for word in ("pink", "green", "blue", "red"))
BLACK, BROWN = NAMED_COLORS["black"], NAMED_COLORS["brown"]
GOLD = SYNONYMS["gold"]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("hair #ff69b4", {"hair": "#ff69b4"}),
        ("#FF69B4 hair", {"hair": "#ff69b4"}),
        ("pink hair", {"hair": PINK}),
        ("hair: pink", {"hair": PINK}),
        ("hair color is #f6b", {"hair": "#ff66bb"}),
        ("long wavy pink hair", {"hair": PINK}),
        ("pinkish hair", {"hair": PINK}),
        ("a blonde woman", {"hair": SYNONYMS["blonde"]}),
        ("green background", {"background": GREEN}),
        ("background #00ff00", {"background": "#00ff00"}),
        ("simple background, green bg", {"background": GREEN}),
        ("light skin", {"skin": SKIN_TONES["light"]}),
        ("dark skin tone", {"skin": SKIN_TONES["dark"]}),
        ("brown skin, brown hair", {"skin": SKIN_TONES["tan"], "hair": BROWN}),
        ("red lips", {"lips": RED}),
        ("crown #ffd700", {"accessories": {"crown": "#ffd700"}}),
        ("gold crown", {"accessories": {"crown": GOLD}}),
        ("black sunglasses", {"accessories": {"sunglasses": BLACK}}),
        ("gold-rimmed glasses", {"accessories": {"glasses": GOLD}}),
        ("necklace, hat", {"accessories": {"hat": None, "necklace": None}}),
    ],
)
def test_one_thing_is_found_however_it_is_put(caption: str, expected: dict[str, object]) -> None:
    found = parse_expectation(caption)
    assert found.to_dict() == expected
    assert found.unknown == []


@pytest.mark.parametrize(
    "caption",
    [
        "pixel art portrait, pink hair, green background, gold crown, light skin, smile",
        "pink hair #ff69b4, background #2e9e44, crown #ffd700, light skin",
        "(pink hair:1.3), ((green background)), [gold crown:0.8], <lora:style:0.7> light skin",
        "pixchar, portrait of a girl with long pink hair and a gold crown on a green background, light skin",
        "pink_hair, green_background, gold_crown, light_skin",
        "hair #ff69b4 crown #ffd700 background #2e9e44 skin #f6d3b3",
        "pink hair gold crown green background light skin",
        "Pink-haired girl, GREEN background; skin: light. Crown in gold",
    ],
)
def test_a_whole_caption_gives_the_same_in_every_notation(caption: str) -> None:
    found = parse_expectation(caption)
    assert found.to_dict() == {
        "background": GREEN,
        "hair": PINK,
        "skin": SKIN_TONES["light"],
        "accessories": {"crown": GOLD},
    }
    assert found.unknown == []


def test_a_hex_wins_over_its_word() -> None:
    assert parse_expectation("pink hair #f06eaa").hair == "#f06eaa"
    assert parse_expectation("#f06eaa pink hair").hair == "#f06eaa"
    assert parse_expectation("pink hair #f06eaa").unknown == []


def test_other_things_keep_their_colours_to_themselves() -> None:
    caption = "blue eyes, red shirt, short black hair with red highlights, green earrings, a green man, red hair bow"
    assert parse_expectation(caption).to_dict() == {"hair": BLACK}


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("no crown", {}),
        ("without a gold crown and sunglasses, blue hair", {"hair": BLUE}),
        ("not wearing a hat but with black sunglasses", {"accessories": {"sunglasses": BLACK}}),
        ("no crown, gold necklace", {"accessories": {"necklace": GOLD}}),
    ],
)
def test_what_is_denied_is_not_expected(caption: str, expected: dict[str, object]) -> None:
    assert parse_expectation(caption).to_dict() == expected


def test_dark_and_light_change_a_colour_and_a_skin() -> None:
    dark, plain, light = (parse_expectation(f"{word} blue hair").hair for word in ("dark", "", "light"))
    brightness = [sum(int(color[at : at + 2], 16) for at in (1, 3, 5)) for color in (dark, plain, light) if color]
    assert brightness == sorted(brightness), f"dark, plain and light blue are {dark}, {plain}, {light}"
    assert len(set(brightness)) == 3
    assert parse_expectation("light blue background, light skin").skin == SKIN_TONES["light"]


def test_a_colour_that_nobody_knows_is_reported() -> None:
    assert parse_expectation("chartreusish hair, smile").unknown == ["chartreusish hair"]
    assert parse_expectation("hair #ff69, smile").unknown == ["hair #ff69"]
    assert parse_expectation("dark hair").unknown == ["dark hair"], "dark hair may be brown or black"


def test_words_about_other_things_are_not_reported() -> None:
    caption = "pixchar, xyzzy style, masterpiece, long flowing hair, pink hair, aviator sunglasses, luminous smile"
    assert parse_expectation(caption).unknown == []


def test_a_contradiction_is_reported_and_the_first_or_the_hex_counts() -> None:
    two_words = parse_expectation("pink hair, blue hair")
    assert two_words.hair == PINK
    assert len(two_words.unknown) == 1
    assert "blue" in two_words.unknown[0]
    word_and_hex = parse_expectation("pink hair #00ff00")
    assert word_and_hex.hair == "#00ff00"
    assert "pink" in word_and_hex.unknown[0]


def test_shades_of_one_colour_contradict_nothing() -> None:
    found = parse_expectation("hair #ff69b4 #b94b82, eyes #112233, skin #f6d3b3 #c0a58c")
    assert found.hair == "#ff69b4"
    assert found.skin == "#f6d3b3"
    assert found.unknown == []


@pytest.mark.parametrize("caption", ["", "   ", ",,,", "(((", "#", "<lora:x:1>", ":1.3)", "hair", "no"])
def test_nothing_said_is_nothing_expected(caption: str) -> None:
    assert parse_expectation(caption).to_dict() == {}
    assert not parse_expectation(caption)


def test_an_expectation_that_names_anything_is_true() -> None:
    assert Expectation(hair=PINK)
    assert Expectation(accessories={"crown": None})


@pytest.mark.parametrize(
    "caption",
    [
        "pink and blue hair",
        "pink-and-blue hair",
        "half pink half blue hair",
        "two-tone hair pink and blue",
        "ombre hair pink to blue",
        "pink hair with blue tips",
        f"hair {PINK} and {BLUE}",
        f"two-tone hair {PINK} {BLUE}",
    ],
)
def test_hair_may_be_asked_for_in_two_colours(caption: str) -> None:
    found = parse_expectation(caption)
    assert found.to_dict() == {"hair": PINK, "second_hair": BLUE}
    assert found.unknown == []


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("hair pink and blue background", {"hair": PINK, "background": BLUE}),
        ("pink hair and blue background", {"hair": PINK, "background": BLUE}),
        ("hair #ff69b4 and blue shirt", {"hair": "#ff69b4"}),
    ],
)
def test_the_colour_of_the_next_thing_is_no_second_colour(caption: str, expected: dict[str, str]) -> None:
    assert parse_expectation(caption).to_dict() == expected


def test_a_second_colour_without_and_is_a_contradiction() -> None:
    found = parse_expectation("pink blue hair")
    assert found.hair == PINK
    assert found.second_hair is None
    assert "both pink and blue" in found.unknown[0]


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("pink hair BREAK green background", {"hair": PINK, "background": GREEN}),
        ("breakfast in the background", {}),
        (r"\(pink hair\), [green background]", {"hair": PINK, "background": GREEN}),
        ("hair (#abc)", {"hair": "#aabbcc"}),
        ("grey hair, gray background", {"hair": NAMED_COLORS["grey"], "background": NAMED_COLORS["grey"]}),
        ("hair colour: pink", {"hair": PINK}),
        ("ginger hair", {"hair": SYNONYMS["ginger"]}),
        ("a ginger man", {"hair": SYNONYMS["ginger"]}),
        ("strawberry blonde hair", {"hair": SYNONYMS["strawberryblonde"]}),
        ("gold crowns", {"accessories": {"crown": GOLD}}),
        ("black shades", {"accessories": {"sunglasses": BLACK}}),
        ("many shades of red", {}),
        ("hat-less", {}),
        ("crown-free", {}),
        ("red beret", {"accessories": {"hat": RED}}),
    ],
)
def test_notations_and_words_of_real_captions(caption: str, expected: dict[str, object]) -> None:
    found = parse_expectation(caption)
    assert found.to_dict() == expected
    assert found.unknown == []


def test_two_hyphenated_colours_are_one_between_them() -> None:
    mixed = parse_expectation("light blue-grey background")
    assert mixed.unknown == []
    assert mixed.background is not None
    light_blue, grey = (parse_expectation(f"{word} background").background for word in ("light blue", "light grey"))
    assert light_blue is not None
    assert grey is not None
    apart = delta_e_hex(light_blue, grey)
    assert delta_e_hex(mixed.background, light_blue) < apart
    assert delta_e_hex(mixed.background, grey) < apart


def test_a_caption_with_a_dozen_hex_codes_gives_each_to_its_part() -> None:
    caption = (
        "pixel art, 24x24, portrait, brown curly hair (#7f5f41), hair shadow (#5a3c28), hair highlight (#a07850), "
        "solid green background (#00ff00), eyes (#1a1a1a), eye whites #ffffff, skin tone (#f0c8a0), "
        "skin shadow (#d0a080), lips (#c06070), outline (#000000), gold necklace (#ffd700), red shirt (#d62828)"
    )
    assert parse_expectation(caption).to_dict() == {
        "background": "#00ff00",
        "hair": "#7f5f41",
        "skin": "#f0c8a0",
        "lips": "#c06070",
        "accessories": {"necklace": "#ffd700"},
    }
