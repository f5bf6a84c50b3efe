"""The two renderings of a portrait, and what its captions say."""

import numpy as np
import pytest

from pixel_lora_pipeline.embedded.captioning import plain_tags, tag_color, varied_caption
from pixel_lora_pipeline.embedded.portrait import ACCESSORIES, Portrait, draw_portrait
from pixel_lora_pipeline.embedded.render import render_pixel, render_soft, visible_regions
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS

PORTRAITS = [draw_portrait(np.random.default_rng(seed), hex_share=0.5) for seed in range(40)]


def rgb(color: str) -> np.ndarray:
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)])


def test_pixel_art_has_whole_cells_and_few_colours() -> None:
    for portrait in PORTRAITS:
        image = render_pixel(portrait)
        cells = image.reshape(32, 2, 32, 2, 3)
        assert (cells == cells[:, :1, :, :1]).all(), "a cell of 2×2 pixels has more than one colour"
        colors = len(np.unique(image.reshape(-1, 3), axis=0))
        assert colors <= 16, f"{colors} colours"


def test_soft_portraits_have_no_cells_and_many_colours() -> None:
    for portrait in PORTRAITS[:10]:
        image = render_soft(portrait, np.random.default_rng(0))
        colors = len(np.unique(image.reshape(-1, 3), axis=0))
        assert colors > 500, f"only {colors} colours"


def test_both_styles_show_the_colours_that_were_asked_for() -> None:
    for portrait in PORTRAITS:
        regions = visible_regions(portrait)
        for name, image, tolerance in (
            ("pixel", render_pixel(portrait), 0),
            ("soft", render_soft(portrait, np.random.default_rng(1)), 24),
        ):
            found = np.median(image[regions["background"]], axis=0)
            off = np.abs(found - rgb(portrait.background)).max()
            assert off <= tolerance, f"{name} background is {off:.0f} off for {portrait.background}"
            hair = image[regions["hair"]].astype(float)
            nearest = np.abs(hair - rgb(portrait.hair)).max(axis=1).min()
            assert nearest <= tolerance, f"{name} hair has no pixel near {portrait.hair} ({nearest:.0f})"


def test_accessory_and_expression_change_the_picture() -> None:
    plain = Portrait("#2e9e44", "#ff69b4", "#f6d3b3", "#2f5fd0")
    pictures = [
        render_pixel(Portrait("#2e9e44", "#ff69b4", "#f6d3b3", "#2f5fd0", accessory=accessory, expression=expression))
        for accessory in ACCESSORIES
        for expression in ("smile", "neutral")
    ]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    assert any((picture == render_pixel(plain)).all() for picture in pictures)


def test_captions_name_what_the_portrait_has() -> None:
    portrait = Portrait(NAMED_COLORS["green"], NAMED_COLORS["pink"], "#f6d3b3", NAMED_COLORS["blue"], accessory="crown")
    assert plain_tags(portrait)[:3] == ("pink hair", "green background", "gold crown")
    rng = np.random.default_rng(0)
    for _ in range(100):
        caption, mentioned = varied_caption(portrait, rng)
        for region in ("hair", "background", "clothes"):
            colors = {tag_color(tag) for tag in caption.split(", ") if region in tag.split()} - {None}
            expected = {getattr(portrait, region)} if region in mentioned else set()
            assert colors <= expected, f"{caption!r} gives {region} the colours {colors}"
            assert bool(colors) == (region in mentioned), caption


@pytest.mark.parametrize(
    ("tag", "color"),
    [
        ("pink hair", "#ff69b4"),
        ("hair #123456", "#123456"),
        ("green background #2fa04a", "#2fa04a"),
        ("tan skin", "#b87a4b"),
        ("long hair", None),
    ],
)
def test_a_tag_speaks_of_one_colour(tag: str, color: str | None) -> None:
    assert tag_color(tag) == color


def test_held_out_portraits_are_a_sixteenth() -> None:
    rng = np.random.default_rng(3)
    share = np.mean([draw_portrait(rng).held_out for _ in range(4000)])
    assert 0.05 < share < 0.075, f"{share:.3f} are held out"
