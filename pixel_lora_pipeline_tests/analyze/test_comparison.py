"""Two checkpoints on what both were asked: how far apart, how surely, and when nothing can be said."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import ttest_rel

from pixel_lora_pipeline.analyze.comparison import METRICS, Comparison, Difference, compare
from pixel_lora_pipeline.analyze.report import ReportImage
from pixel_lora_pipeline_tests.analyze.paintings import painted, suite_of, with_metrics


def of(comparison: Comparison, key: str) -> Difference:
    return next(difference for difference in comparison.differences if difference.key == key)


def scored(scores: list[float], seed: int = 1) -> list[ReportImage]:
    """Images of as many prompts as there are scores."""
    return [with_metrics(painted(number, seed=seed), overall_score=score) for number, score in enumerate(scores)]


def test_sprites_are_better_than_photographs_in_style_and_not_in_the_background() -> None:
    comparison = compare(suite_of("sprite"), suite_of("photo"))
    assert comparison.verdict == "better", comparison.sentence
    assert of(comparison, "pixel_art_purity").verdict == "better"
    assert of(comparison, "photorealistic").verdict == "better", "fewer photographs are better"
    assert of(comparison, "background_accuracy").verdict in ("same", "unclear")
    assert compare(suite_of("photo"), suite_of("sprite")).verdict == "worse"


def test_the_interval_is_that_of_the_paired_t_test() -> None:
    rng = np.random.default_rng(1)
    ours, theirs = rng.normal(80, 8, 9), rng.normal(75, 8, 9)
    main = compare(scored(list(ours)), scored(list(theirs))).differences[0]
    expected = ttest_rel(ours, theirs).confidence_interval(0.95)
    assert main.difference == pytest.approx((ours - theirs).mean())
    assert main.interval == pytest.approx((expected.low, expected.high))


def test_seeds_of_one_prompt_do_not_make_the_interval_narrower() -> None:
    rng = np.random.default_rng(2)
    ours, theirs = list(rng.normal(80, 8, 6)), list(rng.normal(75, 8, 6))
    once = compare(scored(ours), scored(theirs)).differences[0]
    repeated = compare(
        [image for seed in range(1, 9) for image in scored(ours, seed)],
        [image for seed in range(1, 9) for image in scored(theirs, seed)],
    ).differences[0]
    assert repeated.interval == pytest.approx(once.interval)
    assert (repeated.n_prompts, repeated.n_images) == (6, 48)


def test_only_what_both_were_asked_counts_and_the_rest_is_said() -> None:
    renamed = replace(painted(3), prompt_id="prompt_00")
    reworded = replace(painted(4), prompt="something else")
    older = replace(painted(5), metrics_version="0")
    comparison = compare(
        [painted(0), painted(1), renamed, reworded, painted(5), painted(6, "black")],
        [painted(0), painted(2), painted(3), painted(4), older, painted(6)],
    )
    assert comparison.n_images == 2, "prompt 0, and prompt 3, whose id does not matter"
    assert comparison.left_out == {
        "image is black": 1,
        "measured by different versions of the metrics": 2,
        "only the epoch has it": 2,
        "only the baseline has it": 3,
    }


def test_too_few_prompts_are_said_to_be_too_few() -> None:
    four = compare(scored([90.0] * 4), scored([50.0, 51.0, 52.0, 53.0]))
    assert four.verdict == "too few prompts"
    assert "5 are needed" in four.sentence
    one = compare([painted(0, seed=seed) for seed in range(1, 9)], [painted(0, "photo", seed) for seed in range(1, 9)])
    assert one.verdict == "too few prompts", "eight seeds of one prompt are still one prompt"
    assert "one prompt says nothing about others" in one.sentence
    assert of(one, "overall_score").interval is None


def test_nothing_in_common_is_no_error() -> None:
    comparison = compare(scored([80.0]), [])
    assert comparison.n_images == 0
    assert "no measured image in common" in comparison.sentence


def test_the_same_images_are_the_same() -> None:
    comparison = compare(suite_of("sprite"), suite_of("sprite"))
    assert comparison.verdict == "same"
    assert all(difference.verdict in ("same", "too few prompts") for difference in comparison.differences)


def test_what_cannot_be_told_on_either_side_is_left_out_of_that_metric_alone() -> None:
    ours = [with_metrics(image, accessory_accuracy=None) for image in suite_of("sprite")]
    comparison = compare(ours, suite_of("photo"))
    assert of(comparison, "accessory_accuracy").n_images == 0
    assert of(comparison, "accessory_accuracy").difference is None
    assert of(comparison, "overall_score").n_images == 11


def test_with_many_metrics_chance_finds_few_differences() -> None:
    rng = np.random.default_rng(3)
    images = suite_of("sprite")
    keys = [metric.path[-1] for metric in METRICS if metric.scale == 1.0]

    def noisy() -> list[ReportImage]:
        return [with_metrics(image, **dict(zip(keys, rng.normal(70, 10, len(keys)), strict=True))) for image in images]

    trials = 200
    alarms = 0
    for _ in range(trials):
        others = compare(noisy(), noisy()).differences[1:]
        alarms += any(difference.verdict in ("better", "worse") for difference in others)
    # 5 % by design; 24 of 200 is four standard deviations above.
    assert alarms < 24, f"{alarms} of {trials} comparisons of equals found a difference"
