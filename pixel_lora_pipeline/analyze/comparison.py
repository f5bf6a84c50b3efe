"""Two checkpoints on the same prompts and seeds: how far apart they are, and whether that can be told from chance."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal

from scipy.special import stdtrit
from scipy.stats import false_discovery_control, t

from pixel_lora_pipeline.analyze.tested_image import Question, TestedImage, measured, question

Verdict = Literal["better", "worse", "same", "unclear", "too few prompts"]

COVERAGE: Final = 0.95
# With scores that scatter, Student's interval covers 95 % from two prompts on. With scores that flip between 0 and
# 100 it covers 55 % with two prompts, 78 % with three, 90 % with four and 93 % with five (40,000 simulated pairs of
# checkpoints each; nine in ten images right against one in two); false alarms stay below 5 % throughout.
FEWEST_PROMPTS: Final = 5
# Half a point on either side is one point in all, the gain for which training on is worth while.
SAME_WITHIN: Final = 0.5


@dataclass(frozen=True)
class Metric:
    """One number of an image, and which way is good.

    Attributes
    ----------
    path
        Where it is in the measurements of an image.
    scale
        What makes points of 0 to 100 of it: 100 for truth values, whose means are then shares in percent.
    """

    key: str
    label: str
    path: tuple[str, ...]
    higher_is_better: bool = True
    scale: float = 1.0


MAIN_METRIC: Final = Metric("overall_score", "Overall", ("overall_score",))
METRICS: Final = (
    MAIN_METRIC,
    Metric("color_accuracy", "Colour accuracy", ("color_accuracy", "overall_color_accuracy")),
    Metric("background_accuracy", "Background", ("color_accuracy", "background_accuracy")),
    Metric("hair_accuracy", "Hair colour", ("color_accuracy", "hair_color_accuracy")),
    Metric("hair_two_toned", "Two-toned hair, %", ("color_accuracy", "hair_is_two_toned"), False, 100.0),
    Metric("accessory_accuracy", "Accessories", ("color_accuracy", "accessory_accuracy")),
    Metric("color_purity", "Colour purity", ("color_accuracy", "color_purity_score")),
    Metric("style_quality", "Style quality", ("style_quality", "overall_style_score")),
    Metric("pixel_art_purity", "Pixel-art purity", ("style_quality", "pixel_art_purity")),
    Metric("edge_sharpness", "Edge sharpness", ("style_quality", "edge_sharpness")),
    Metric("photorealistic", "Photorealistic, %", ("style_quality", "is_photorealistic"), False, 100.0),
)


@dataclass(frozen=True)
class Difference:
    """One metric of an epoch, less the same of the baseline, in points of 0 to 100.

    Attributes
    ----------
    epoch, baseline
        Means over the prompts of both; None where nothing could be told on both sides.
    difference
        Mean over prompts of the mean over seeds of the paired differences.
    interval
        95 % Student interval of the difference over prompts; None with fewer than two.
    verdict
        Which of the two is better. Of the metrics beside the main one, "better" and "worse" are said only where
        they also stand up to the number of metrics that were looked at (Benjamini and Hochberg, 5 %).
    """

    key: str
    label: str
    higher_is_better: bool
    epoch: float | None
    baseline: float | None
    difference: float | None
    interval: tuple[float, float] | None
    n_prompts: int
    n_images: int
    verdict: Verdict


@dataclass(frozen=True)
class Comparison:
    """All metrics of an epoch against a baseline, on what both have; the first difference is the main one's.

    `left_out` counts the images of either side that take no part, by reason.
    """

    differences: tuple[Difference, ...]
    n_prompts: int
    n_images: int
    left_out: dict[str, int]
    verdict: Verdict
    sentence: str

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return asdict(self)


def compare(
    epoch_images: Iterable[TestedImage], baseline_images: Iterable[TestedImage], *, baseline: str = "the baseline"
) -> Comparison:
    """Compare two checkpoints by the images that both have of the same prompt and seed.

    Each prompt counts once, whatever its number of seeds: images of one prompt resemble each other, and counting
    them apart would make intervals too narrow. Images that could not be measured, that only one side has, or that
    were measured by different versions of the metrics take no part. Of several images of one question the last
    counts.

    Parameters
    ----------
    baseline
        What the other side is called in the sentence.

    References
    ----------
    Benjamini and Hochberg (1995), "Controlling the False Discovery Rate", doi:10.1111/j.2517-6161.1995.tb02031.x
    """
    pairs, left_out = _paired(epoch_images, baseline_images)
    raw = [_difference(metric, pairs) for metric in METRICS]
    differences = tuple(_judged(raw))
    main = differences[0]
    return Comparison(
        differences=differences,
        n_prompts=len({pair[0].prompt for pair in pairs}),
        n_images=len(pairs),
        left_out=dict(left_out),
        verdict=main.verdict,
        sentence=_sentence(main, baseline),
    )


_Pair = tuple[TestedImage, TestedImage]


def _paired(epoch: Iterable[TestedImage], baseline: Iterable[TestedImage]) -> tuple[list[_Pair], Counter[str]]:
    left_out: Counter[str] = Counter()
    sides: list[dict[Question, TestedImage]] = []
    for images in (epoch, baseline):
        usable: dict[Question, TestedImage] = {}
        for image in images:
            if image.metrics is None:
                left_out["not measured" if image.fault is None else f"image is {image.fault}"] += 1
            else:
                usable[question(image)] = image
        sides.append(usable)
    ours, theirs = sides
    pairs = []
    for asked in ours.keys() & theirs.keys():
        pair = ours[asked], theirs[asked]
        if pair[0].metrics_version != pair[1].metrics_version:
            left_out["measured by different versions of the metrics"] += 2
        else:
            pairs.append(pair)
    left_out["only the epoch has it"] = len(ours.keys() - theirs.keys())
    left_out["only the baseline has it"] = len(theirs.keys() - ours.keys())
    pairs.sort(key=lambda pair: question(pair[0]))
    return pairs, +left_out


def _difference(metric: Metric, pairs: Sequence[_Pair]) -> tuple[Difference, float | None]:
    """The difference with a verdict as if it were the only one, and its p value."""
    by_prompt: dict[str, list[tuple[float, float]]] = {}
    for ours, theirs in pairs:
        values = measured(ours, metric.path), measured(theirs, metric.path)
        if values[0] is not None and values[1] is not None:
            by_prompt.setdefault(ours.prompt, []).append((metric.scale * values[0], metric.scale * values[1]))
    n, images = len(by_prompt), sum(len(values) for values in by_prompt.values())
    if n == 0:
        empty = Difference(
            metric.key, metric.label, metric.higher_is_better, None, None, None, None, 0, 0, "too few prompts"
        )
        return empty, None
    means = [
        (_mean([own for own, _ in values]), _mean([other for _, other in values])) for values in by_prompt.values()
    ]
    gaps = [own - other for own, other in means]
    centre = _mean(gaps)
    interval, p_value = _student(gaps) if n > 1 else (None, None)
    difference = Difference(
        key=metric.key,
        label=metric.label,
        higher_is_better=metric.higher_is_better,
        epoch=_mean([own for own, _ in means]),
        baseline=_mean([other for _, other in means]),
        difference=centre,
        interval=interval,
        n_prompts=n,
        n_images=images,
        verdict=_verdict(interval, n, metric.higher_is_better),
    )
    return difference, p_value


def _student(gaps: Sequence[float]) -> tuple[tuple[float, float], float]:
    """95 % interval of the mean, and the two-sided p value of its being zero."""
    n, centre = len(gaps), _mean(gaps)
    error = math.sqrt(math.fsum((gap - centre) ** 2 for gap in gaps) / (n - 1) / n)
    reach = float(stdtrit(n - 1, 0.5 + COVERAGE / 2)) * error
    if error == 0.0:
        return (centre, centre), 1.0 if centre == 0.0 else 0.0
    return (centre - reach, centre + reach), 2.0 * float(t.sf(abs(centre / error), n - 1))


def _verdict(interval: tuple[float, float] | None, n: int, higher_is_better: bool) -> Verdict:
    if interval is None or n < FEWEST_PROMPTS:
        return "too few prompts"
    low, high = interval
    if low >= -SAME_WITHIN and high <= SAME_WITHIN:
        return "same"
    if low > 0.0:
        return "better" if higher_is_better else "worse"
    if high < 0.0:
        return "worse" if higher_is_better else "better"
    return "unclear"


def _judged(raw: Sequence[tuple[Difference, float | None]]) -> Iterable[Difference]:
    """The main difference as it is; of the others, what does not stand up to their number becomes unclear."""
    yield raw[0][0]
    tested = [p for difference, p in raw[1:] if p is not None and difference.n_prompts >= FEWEST_PROMPTS]
    adjusted = iter(false_discovery_control(tested)) if tested else iter(())
    for difference, p in raw[1:]:
        if p is None or difference.n_prompts < FEWEST_PROMPTS:
            yield difference
        elif next(adjusted) > 1.0 - COVERAGE and difference.verdict in ("better", "worse"):
            yield replace(difference, verdict="unclear")
        else:
            yield difference


def _sentence(main: Difference, baseline: str) -> str:
    if main.difference is None:
        return "The two have no measured image in common: no prompt and seed was evaluated for both."
    counted = f"{main.n_prompts} prompt{'s' * (main.n_prompts != 1)}, {main.n_images} pairs of images"
    if main.interval is None:
        return (
            f"{_points(main.difference)} points on the only prompt that both have ({counted}): "
            "one prompt says nothing about others."
        )
    low, high = main.interval
    measure = f"{_points(main.difference)} points, 95 % interval {_points(low)} to {_points(high)}; {counted}"
    return {
        "better": f"Better than {baseline} ({measure}).",
        "worse": f"Worse than {baseline} ({measure}).",
        "same": f"As good as {baseline}, to within half a point ({measure}).",
        "unclear": f"Not to be told from {baseline} ({measure}).",
        "too few prompts": f"Too few prompts for a verdict, {FEWEST_PROMPTS} are needed ({measure}).",
    }[main.verdict]


def _points(value: float) -> str:
    return f"{value:+.1f}".replace("-", "−")


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
