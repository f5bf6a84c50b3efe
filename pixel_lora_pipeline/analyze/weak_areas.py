"""What an epoch is bad at: "fails on blue hair, works on pink", told from several images or not at all."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, Final, Literal

from scipy.special import stdtr, stdtrit

from pixel_lora_pipeline.analyze.tested_image import TestedImage, measured, question
from pixel_lora_pipeline.validate.colorspace import delta_e_hex
from pixel_lora_pipeline.validate.named_colors import NAMED_COLORS, SKIN_TONES

Strength = Literal["weak", "works", "unclear"]

# From here on the documents call a score good.
GOOD: Final = 70.0
# What one image shows may be an accident of its seed.
FEWEST_IMAGES: Final = 2
COVERAGE: Final = 0.95
# Below, most of what was asked for is not there.
_FAILS: Final = 50.0
# Named in a sentence as what works, at most.
_NAMED: Final = 3

_SCORES: Final[Mapping[str, tuple[str, ...]]] = {
    "hair": ("color_accuracy", "hair_color_accuracy"),
    "background": ("color_accuracy", "background_accuracy"),
    "skin": ("color_accuracy", "skin_accuracy"),
    "category": ("overall_score",),
}


@dataclass(frozen=True)
class Area:
    """The images of an epoch that have one thing in common.

    Attributes
    ----------
    attribute
        hair, background or skin (judged by their colour), accessory (by being there), category (by the overall
        score).
    value
        The colour's name, the accessory, the category; None for all images of the attribute together.
    mean
        Of the scores of 0 to 100 of its images.
    interval
        95 %; None where it cannot be told from so few images.
    elsewhere
        Mean of the other areas of the attribute; None where there is none.
    strength
        "weak": worse than the other areas (5 %, however many areas there are) and below good, or, of all images
        together, with all of the interval below good. "works": with all of the interval above.
    """

    attribute: str
    value: str | None
    mean: float
    interval: tuple[float, float] | None
    n_images: int
    n_prompts: int
    elsewhere: float | None
    strength: Strength

    @property
    def name(self) -> str:
        """As "blue hair", "crown", "long caption prompts"."""
        match self.attribute, self.value:
            case "accessory", value:
                return value or "accessories"
            case "category", value:
                return f"{value.replace('_', ' ')} prompts" if value else "all prompts"
            case attribute, value:
                return f"{value} {attribute}" if value else f"{attribute} colours"

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {**asdict(self), "name": self.name}


def find_areas(images: Iterable[TestedImage], categories: Mapping[str, str] | None = None) -> list[Area]:
    """Judge an epoch by what its prompts ask for; all images of an attribute first, then the worst area first.

    Parameters
    ----------
    images
        Of one epoch. Those that were not measured take no part.
    categories
        What a prompt tests, by its id.

    Notes
    -----
    Areas hold two to ten images, too few for a spread of their own: it is pooled over the areas of the attribute
    (as in the analysis of variance), and an area whose own is wider keeps that. Whether an area is worse than the
    others is a one-sided t test at 5 % divided by their number (Bonferroni), so that a suite with many colours does
    not find a weak one by chance. Images of one prompt with several seeds count each; `n_prompts` says how many
    prompts an area rests on.
    """
    scores: dict[str, dict[str, list[tuple[float, str]]]] = {}
    for image in images:
        for attribute, value, score in _scores(image, categories or {}):
            areas = scores.setdefault(attribute, {})
            areas.setdefault(value, []).append((score, question(image)[0]))
    return [area for attribute in sorted(scores) for area in _judged(attribute, scores[attribute])]


def weak_areas(areas: Iterable[Area]) -> list[Area]:
    """Those that are weak, the worst first."""
    return sorted((area for area in areas if area.strength == "weak"), key=lambda area: area.mean)


def sentences(areas: Sequence[Area]) -> list[str]:
    """One sentence for each weak area, the worst first; none where nothing is told to be weak."""
    return [_sentence(weak, areas) for weak in weak_areas(areas)]


def _scores(image: TestedImage, categories: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """Attribute, value and score of everything that one image is judged by."""
    evidence: Mapping[str, Any] = (image.metrics or {}).get("evidence") or {}
    expected: Mapping[str, Any] = evidence.get("expected") or {}
    values = {
        "hair": _color_name(expected.get("hair")),
        "background": _color_name(expected.get("background")),
        "skin": _skin_name(expected.get("skin")),
        "category": categories.get(image.prompt_id),
    }
    for attribute, value in values.items():
        score = measured(image, _SCORES[attribute])
        if value is not None and score is not None:
            yield attribute, value, score
    for name, sighting in (evidence.get("accessories") or {}).items():
        if sighting.get("presence") is not None:
            yield "accessory", name, float(sighting["presence"])


@cache
def _color_name(color: str | None) -> str | None:
    return color and min(NAMED_COLORS, key=lambda name: delta_e_hex(color, NAMED_COLORS[name]))


@cache
def _skin_name(color: str | None) -> str | None:
    return color and min(SKIN_TONES, key=lambda name: delta_e_hex(color, SKIN_TONES[name]))


def _judged(attribute: str, scores: Mapping[str, Sequence[tuple[float, str]]]) -> Iterator[Area]:
    values = {name: [score for score, _ in scored] for name, scored in scores.items()}
    means = {name: _mean(own) for name, own in values.items()}
    freedom = sum(map(len, values.values())) - len(values)
    pooled = math.sqrt(sum(_squares(own) for own in values.values()) / freedom) if freedom else None
    errors = {} if pooled is None else {name: _error(own, pooled) for name, own in values.items()}
    yield _altogether(attribute, [pair for scored in scores.values() for pair in scored])
    for name in sorted(values, key=lambda name: means[name]):
        others = [other for other in values if other != name]
        elsewhere = _mean([means[other] for other in others]) if others else None
        interval = _interval(means[name], errors[name], freedom) if errors and len(values[name]) > 1 else None
        strength: Strength = "unclear"
        if interval is not None and interval[0] >= GOOD:
            strength = "works"
        elif interval is not None and elsewhere is not None and means[name] < min(GOOD, elsewhere):
            of_others = math.hypot(*(errors[other] for other in others)) / len(others)
            gap = (elsewhere - means[name]) / max(math.hypot(errors[name], of_others), 1e-9)
            is_worse = stdtr(freedom, -gap) * len(values) < 1.0 - COVERAGE
            strength = "weak" if is_worse else "unclear"
        yield Area(
            attribute, name, means[name], interval, len(values[name]), _prompts(scores[name]), elsewhere, strength
        )


def _altogether(attribute: str, scored: Sequence[tuple[float, str]]) -> Area:
    """All images of an attribute; each prompt counts once, because they are what was drawn from all there could be."""
    by_prompt: dict[str, list[float]] = {}
    for score, prompt in scored:
        by_prompt.setdefault(prompt, []).append(score)
    means, n = [_mean(own) for own in by_prompt.values()], len(by_prompt)
    centre = _mean(means)
    interval = _interval(centre, math.sqrt(_squares(means) / (n - 1) / n), n - 1) if n >= FEWEST_IMAGES else None
    strength: Strength = "unclear"
    if interval is not None:
        strength = "weak" if interval[1] < GOOD else "works" if interval[0] >= GOOD else "unclear"
    return Area(attribute, None, centre, interval, len(scored), n, None, strength)


def _error(own: Sequence[float], pooled: float) -> float:
    """Standard error of an area's mean."""
    spread = math.sqrt(_squares(own) / (len(own) - 1)) if len(own) > 1 else 0.0
    return max(spread, pooled) / math.sqrt(len(own))


def _interval(centre: float, error: float, freedom: int) -> tuple[float, float]:
    reach = float(stdtrit(freedom, 0.5 + COVERAGE / 2)) * error
    return max(0.0, centre - reach), min(100.0, centre + reach)


def _sentence(weak: Area, areas: Iterable[Area]) -> str:
    verb = "Fails on" if weak.mean < _FAILS else "Is weak on"
    low, high = weak.interval or (0.0, 100.0)
    images = f"{weak.n_images} image{'s' * (weak.n_images > 1)} of {weak.n_prompts} prompt{'s' * (weak.n_prompts > 1)}"
    told = f"{verb} {weak.name}: {weak.mean:.0f} of 100 (95 %: {low:.0f} to {high:.0f}; {images})"
    best = [area for area in areas if area.attribute == weak.attribute and area.strength == "works" and area.value]
    best = sorted(best, key=lambda area: -area.mean)[:_NAMED]
    return f"{told}; works on {', '.join(area.name for area in best)}." if best and weak.value else f"{told}."


def _prompts(scored: Sequence[tuple[float, str]]) -> int:
    return len({prompt for _, prompt in scored})


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _squares(values: Sequence[float]) -> float:
    centre = _mean(values)
    return math.fsum((value - centre) ** 2 for value in values)
