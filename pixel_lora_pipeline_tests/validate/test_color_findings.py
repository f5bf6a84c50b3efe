"""Findings list what the prompt names and what was found of it, side by side."""

from dataclasses import replace

import pytest

from pixel_lora_pipeline.validate import Expectation, measure_image
from pixel_lora_pipeline.validate.color_findings import SCORE_KEYS, ColorFinding, color_findings
from pixel_lora_pipeline.validate.expectation import REGIONS
from pixel_lora_pipeline_tests.validate.sprites import BACKGROUND, HAIR, enlarged, portrait

BLUE = "#2f5fd0"
TWO_COLORS = Expectation(background=BACKGROUND, hair=HAIR, second_hair=BLUE)


def findings_of(expectation: Expectation, **painted: str) -> dict[str, ColorFinding]:
    measured = measure_image(enlarged(portrait(**painted), 4), expectation)
    return {finding.name: finding for finding in color_findings(measured)}


def test_every_region_that_a_prompt_can_name_has_a_score() -> None:
    assert set(SCORE_KEYS) == set(REGIONS)


@pytest.mark.parametrize("expectation", [TWO_COLORS, replace(TWO_COLORS, hair=BLUE, second_hair=HAIR)])
def test_a_second_colour_of_the_hair_stands_beside_the_tone_that_comes_closer(expectation: Expectation) -> None:
    findings = findings_of(expectation, second_hair=BLUE)
    for name in ("hair", "second_hair"):
        finding = findings[name]
        assert finding.is_named
        assert [color for color, _ in finding.found] == [finding.expected]
        assert finding.score == pytest.approx(100.0)


@pytest.mark.parametrize(
    ("painted", "present", "missing"), [(HAIR, "hair", "second_hair"), (BLUE, "second_hair", "hair")]
)
def test_a_colour_of_the_hair_that_is_not_there_has_nothing_found(painted: str, present: str, missing: str) -> None:
    findings = findings_of(TWO_COLORS, hair=painted)
    assert [color for color, _ in findings[present].found] == [painted]
    assert findings[missing].found == ()
    assert findings[missing].score is not None and findings[missing].score <= 50.0


def test_hair_of_one_colour_lists_no_second() -> None:
    findings = findings_of(replace(TWO_COLORS, second_hair=None), second_hair=BLUE)
    assert "second_hair" not in findings
    assert len(findings["hair"].found) == 2, "what was found besides must still be seen"
