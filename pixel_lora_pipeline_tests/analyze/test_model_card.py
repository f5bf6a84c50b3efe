"""What the user of a released checkpoint has to know is on its card, and nothing else gets on it."""

from dataclasses import replace
from datetime import UTC, datetime

import yaml

from pixel_lora_pipeline.analyze.comparison import compare
from pixel_lora_pipeline.analyze.issues import EpochImages, track_issues
from pixel_lora_pipeline.analyze.model_card import CardContent, model_card, trigger_words
from pixel_lora_pipeline.validate import ImageMeasurement, rollup
from pixel_lora_pipeline_tests.analyze.paintings import suite_of

IMAGES = suite_of("sprite", 6)
CONTENT = CardContent(
    run_name="portraits",
    epoch=6,
    file_name="portraits-epoch-6.safetensors",
    sha256="ab" * 32,
    base_model="v1-5-pruned-emaonly.safetensors",
    parameters={
        "network_dim": 16,
        "learning_rate": 2e-3,
        "img_count": 96,
        "tag_frequency": {"1_pixchar": {"pixel art portrait": 95, "pixchar": 96, "green hair": 9}},
    },
    metrics=rollup([ImageMeasurement.from_dict(i.metrics) for i in IMAGES if i.metrics], [i.prompt for i in IMAGES]),
    strength=0.8,
    suite="portraits 3f9a",
    example_prompt=IMAGES[0].prompt,
    issues=track_issues([EpochImages(1, suite_of("wrong background", 6))]),
    comparison=compare(IMAGES, suite_of("photo", 6)),
    released_at=datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
    released_by="ada",
)


def test_figures_trigger_words_and_strength_are_on_the_card() -> None:
    card = model_card(CONTENT)
    assert "Trigger words: `pixchar`, `pixel art portrait`" in card
    assert "Recommended strength: 0.8, at which it was measured" in card
    assert f"| Overall | {CONTENT.metrics['overall_score']:.1f} |" in card
    assert "Wrong background colour: 6 of 6 images" in card
    assert "Better than the baseline" in card
    assert "ab" * 32 in card
    assert IMAGES[0].prompt in card


def test_the_front_matter_is_what_hubs_read() -> None:
    _, matter, _ = model_card(CONTENT).split("---", 2)
    assert yaml.safe_load(matter) == {
        "tags": ["lora", "pixel-art"],
        "base_model": "v1-5-pruned-emaonly.safetensors",
        "instance_prompt": "pixchar, pixel art portrait",
    }


def test_trigger_words_are_what_nearly_all_captions_have_or_what_the_file_says() -> None:
    assert trigger_words({"metadata_trigger_phrase": " pixchar style "}) == ["pixchar style"]
    counted = {"img_count": 20, "tag_frequency": {"a": {"pixchar": 10, "blue": 3}, "b": {"pixchar": 10, "blue": 9}}}
    assert trigger_words(counted) == ["pixchar"]
    for untold in ({}, {"tag_frequency": "x", "img_count": 3}, {"tag_frequency": {"a": {"x": "y"}}, "img_count": 0}):
        assert trigger_words(untold) == []


def test_text_from_files_cannot_become_markup() -> None:
    hostile = "x`` <script>alert(1)</script> ](javascript:alert(2))\n---\n# Heading\n| a |"
    card = model_card(
        replace(
            CONTENT,
            run_name=hostile,
            base_model=hostile,
            released_by=hostile,
            parameters={"metadata_trigger_phrase": hostile, "optimizer_type": hostile},
            example_prompt=f"```\n{hostile}",
        )
    )
    _, matter, body = card.split("---\n", 2)
    assert yaml.safe_load(matter)["base_model"] == hostile
    outside = body.split("````text")[0] + body.split("````\n")[-1]
    assert "\n# Heading" not in outside
    assert outside.count("```x`` <script>alert(1)</script>") == outside.count("<script>") > 0
