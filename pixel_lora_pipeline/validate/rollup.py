"""The measurements of one epoch's images as one row: means, intervals, and scores of each prompt."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from scipy.special import stdtrit

from pixel_lora_pipeline.validate.color_accuracy import color_accuracy_score
from pixel_lora_pipeline.validate.measurement import ImageMeasurement

# An epoch is called two-toned if more than half of its images with recognisable hair are.
_MOST: Final = 0.5
_COVERAGE: Final = 0.95

# Where a number of an epoch comes from in the measurements of its images.
_Source = tuple[str, ...]
_COLOR: Final[Mapping[str, _Source]] = {
    "background_accuracy": ("color_accuracy", "background_accuracy"),
    "hair_accuracy": ("color_accuracy", "hair_color_accuracy"),
    "accessory_accuracy": ("color_accuracy", "accessory_accuracy"),
    "skin_accuracy": ("color_accuracy", "skin_accuracy"),
    "lips_accuracy": ("color_accuracy", "lips_accuracy"),
    "color_purity": ("color_accuracy", "color_purity_score"),
    "overall": ("color_accuracy", "overall_color_accuracy"),
}
_STYLE: Final[Mapping[str, _Source]] = {
    "edge_sharpness": ("style_quality", "edge_sharpness"),
    "pixel_art_purity": ("style_quality", "pixel_art_purity"),
    "photorealism_score": ("style_quality", "photorealism_score"),
    "dithering_quality": ("style_quality", "dithering_quality"),
    "overall": ("style_quality", "overall_style_score"),
}
# What spoils the work of a painter of pixels, in images with a grid: counts and percentages that are no scores.
_CRAFT: Final[Mapping[str, _Source]] = {
    name: ("style_quality", name)
    for name in ("off_grid", "orphan_pixels", "jaggies", "banding", "palette_drift", "off_palette")
}
_PALETTE_SIZE: Final[_Source] = ("style_quality", "color_palette_size")
_PHOTOREALISTIC: Final[_Source] = ("style_quality", "is_photorealistic")
_TWO_TONED: Final[_Source] = ("color_accuracy", "hair_is_two_toned")
_COHERENCE: Final[_Source] = ("grid", "coherence")
_OVERALL: Final[_Source] = ("overall_score",)
_OF_A_PROMPT: Final[Mapping[str, _Source]] = {
    "background_accuracy": _COLOR["background_accuracy"],
    "hair_accuracy": _COLOR["hair_accuracy"],
    "hair_two_toned_share": _TWO_TONED,
    "accessory_accuracy": _COLOR["accessory_accuracy"],
    "color_accuracy": _COLOR["overall"],
    "pixel_art_purity": _STYLE["pixel_art_purity"],
    "style_quality": _STYLE["overall"],
    "overall_score": _OVERALL,
}
# Shares and coherences lie in 0-1 and need more digits than scores of 0-100.
_DIGITS: Final = 2
_DIGITS_OF_SHARE: Final = 4


def rollup(measurements: Sequence[ImageMeasurement], prompt_ids: Sequence[str] | None = None) -> dict[str, Any]:
    """Summarise the images of one epoch in the shape of `epoch_results.quantitative_metrics`.

    Each prompt counts once, whatever its number of seeds: means are over prompts of means over images, and leave
    out what could not be told. An interval is the 95 % Student interval of that mean over prompts, cut to the range
    of the score; None with fewer than two prompts.

    Parameters
    ----------
    measurements
        One an image.
    prompt_ids
        The prompt of each image; without them each image counts as a prompt of its own.

    Returns
    -------
    dict
        `color_accuracy` and `style_quality` with the documented keys and some more, `overall_score` (0-100, the
        mean of the images'), `color_accuracy_score` (1-10), `grid_coherence` (0-1), `intervals` (low and high
        of each), `prompts` (scores by prompt), `n_images`, `n_prompts`, `metrics_version`.

    Raises
    ------
    ValueError
        If there is no image, if the lengths differ, or if the images were measured by different versions.
    """
    if not measurements:
        raise ValueError("An epoch without images has no metrics. Generate its test images first.")
    ids = [str(number) for number in range(len(measurements))] if prompt_ids is None else list(prompt_ids)
    if len(ids) != len(measurements):
        raise ValueError(f"There are {len(measurements)} measurements and {len(ids)} prompt ids. Give one for each.")
    versions = sorted({measurement.version for measurement in measurements})
    if len(versions) > 1:
        raise ValueError(
            f"Images measured by versions {', '.join(versions)} of the metrics do not compare. Measure all again."
        )
    by_prompt: dict[str, list[Mapping[str, Any]]] = {}
    for prompt_id, measurement in zip(ids, measurements, strict=True):
        by_prompt.setdefault(prompt_id, []).append(measurement.to_dict())
    groups = list(by_prompt.values())

    two_toned, colors = _mean(_means(groups, _TWO_TONED)), _mean(_means(groups, _PALETTE_SIZE))
    return {
        "color_accuracy": {
            **_scores(groups, _COLOR),
            "hair_two_toned": None if two_toned is None else two_toned > _MOST,
            "hair_two_toned_share": _round(two_toned, _DIGITS_OF_SHARE),
        },
        "style_quality": {
            **_scores(groups, _STYLE),
            **_scores(groups, _CRAFT),
            "color_palette_size": None if colors is None else round(colors),
            "photorealistic_share": _round(_mean(_means(groups, _PHOTOREALISTIC)), _DIGITS_OF_SHARE),
        },
        "overall_score": _round(_mean(_means(groups, _OVERALL))),
        "color_accuracy_score": _round(color_accuracy_score(_mean(_means(groups, _COLOR["overall"])))),
        "grid_coherence": _round(_mean(_means(groups, _COHERENCE)), _DIGITS_OF_SHARE),
        "intervals": {
            "color_accuracy": {key: _interval(_means(groups, source)) for key, source in _COLOR.items()},
            "style_quality": {key: _interval(_means(groups, source)) for key, source in _STYLE.items()},
            "overall_score": _interval(_means(groups, _OVERALL)),
        },
        "prompts": {
            prompt_id: {
                "n_images": len(group),
                **{key: _round(_mean(_told(group, source)), _DIGITS_OF_SHARE) for key, source in _OF_A_PROMPT.items()},
            }
            for prompt_id, group in by_prompt.items()
        },
        "n_images": len(measurements),
        "n_prompts": len(groups),
        "metrics_version": versions[0],
    }


def _scores(groups: list[list[Mapping[str, Any]]], sources: Mapping[str, _Source]) -> dict[str, float | None]:
    return {key: _round(_mean(_means(groups, source))) for key, source in sources.items()}


def _means(groups: list[list[Mapping[str, Any]]], source: _Source) -> list[float]:
    """The mean over the images of each prompt, for prompts where anything could be told."""
    means = (_mean(_told(group, source)) for group in groups)
    return [mean for mean in means if mean is not None]


def _told(group: list[Mapping[str, Any]], source: _Source) -> list[float]:
    """What could be told of the images of one prompt."""
    values = []
    for metrics in group:
        value: Any = metrics
        for key in source:
            value = value.get(key)  # of older versions of the metrics not every number is known
        if value is not None:
            values.append(float(value))
    return values


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _interval(means: list[float]) -> list[float] | None:
    centre = _mean(means)
    if centre is None or len(means) < 2:
        return None
    deviation = math.sqrt(math.fsum((mean - centre) ** 2 for mean in means) / (len(means) - 1))
    reach = float(stdtrit(len(means) - 1, 0.5 + _COVERAGE / 2)) * deviation / math.sqrt(len(means))
    return [round(max(0.0, centre - reach), _DIGITS), round(min(100.0, centre + reach), _DIGITS)]


def _round(value: float | None, digits: int = _DIGITS) -> float | None:
    return None if value is None else round(value, digits)
