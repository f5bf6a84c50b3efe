"""A measurement's colours as a list that a person can read: what was expected, what was found, how far apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from pixel_lora_pipeline.validate.colorspace import delta_e_hex
from pixel_lora_pipeline.validate.measurement import ImageMeasurement

SCORE_KEYS: Final = {
    "background": "background_accuracy",
    "hair": "hair_color_accuracy",
    "second_hair": "hair_color_accuracy",
    "skin": "skin_accuracy",
    "lips": "lips_accuracy",
}
"""The key of each region's score in `color_accuracy`; an accessory's score is its presence.

Hair that is to have two colours has one score for both.
"""

# Hex of each tone with its share of the region, where that is known.
Found: TypeAlias = tuple[tuple[str, float | None], ...]

_NO_FIGURE: Final = {"presence": None, "hex": None, "reason": "no figure found that could wear it"}


@dataclass(frozen=True)
class ColorFinding:
    """One region or accessory of one image.

    Attributes
    ----------
    is_named : bool
        Whether the prompt names it; only then it has a score.
    expected : str or None
        Hex that the prompt gives it; None where it gives none.
    found : tuple of (str, float or None)
        Hex of each tone, with its share of the region where that is known; the main tone first.
    delta_e : float or None
        CIEDE2000 between the expected colour and the main tone.
    score : float or None
        0-100.
    reason : str or None
        Why there is no score; None where there is one.
    """

    name: str
    is_named: bool
    expected: str | None
    found: Found
    delta_e: float | None
    score: float | None
    reason: str | None


def color_findings(measurement: ImageMeasurement) -> list[ColorFinding]:
    """Background, hair, skin and lips, as far as they were named or found, then the accessories that were named.

    A second colour of the hair is listed where the prompt names one; each tone that was found then stands beside the
    colour that it comes closer to.
    """
    evidence = measurement.evidence
    expected: dict[str, Any] = evidence["expected"]
    regions = {name: _found(evidence, name) for name in SCORE_KEYS if name != "second_hair"}
    if "second_hair" in expected:
        regions["hair"], regions["second_hair"] = _dealt_out(regions["hair"], expected)
    findings = []
    for name, key in SCORE_KEYS.items():
        found = regions.get(name, ())
        if name in expected or found:
            score = measurement.color_accuracy[key]
            reason = _why_not(name, name in expected, bool(found))
            findings.append(_finding(name, name in expected, expected.get(name), found, score, reason))
    for name, color in expected.get("accessories", {}).items():
        sighting = evidence["accessories"].get(name, _NO_FIGURE)
        seen = () if sighting["hex"] is None else ((sighting["hex"], None),)
        findings.append(_finding(name, True, color, seen, sighting["presence"], sighting["reason"]))
    return findings


def _found(evidence: dict[str, Any], name: str) -> Found:
    seen = evidence.get(name)
    if name == "hair":
        return tuple((tone["hex"], tone["share"]) for tone in seen or ())
    color = seen["hex"] if isinstance(seen, dict) else seen
    return () if color is None else ((color, None),)


def _dealt_out(tones: Found, expected: Mapping[str, str]) -> tuple[Found, Found]:
    """Tones of the hair beside the first and beside the second colour that it is to have, at most one each."""
    wanted = expected.get("hair"), expected["second_hair"]

    def distance(color: str | None, tone: tuple[str, float | None]) -> float:
        return 0.0 if color is None else delta_e_hex(color, tone[0])

    if len(tones) == 1:
        is_second = distance(wanted[1], tones[0]) < distance(wanted[0], tones[0])
        return ((), tones) if is_second else (tones, ())
    orders = [tones, tones[::-1]]
    best = min(orders, key=lambda order: sum(map(distance, wanted, order)))
    return best[:1], best[1:]


def _why_not(name: str, is_named: bool, is_found: bool) -> str:
    if not is_named:
        return "the prompt does not name it"
    region = name.replace("_", " ")
    return f"the {region} cannot be told from what is beside it" if is_found else f"no {region} found"


def _finding(
    name: str,
    is_named: bool,
    expected: str | None,
    found: Found,
    score: float | None,
    reason: str | None,
) -> ColorFinding:
    distance = delta_e_hex(expected, found[0][0]) if expected is not None and found else None
    return ColorFinding(name, is_named, expected, found, distance, score, None if score is not None else reason)
