import dataclasses
import math

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.analyze import Convergence, detect_convergence

RISING = [50.0, 60, 68, 74, 78]
LEVEL = [50.0, 65, 72, 75, 75.2, 75.1, 75.3, 75.2]
FALLING = [80.0, 78, 74, 70, 65]
PEAKED = [55.0, 63, 70, 76, 80, 82, 79, 76]
PEAKED_LONG_AGO = [60.0, 70, 80, 75, 70, 65]


def table(scores: list[float], first: int = 1) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(first, first + len(scores)), "score": scores})


def noisy_peak(peak: int, epochs: int, noise: float, seed: int) -> list[float]:
    epoch = np.arange(1, epochs + 1)
    truth = 85 - 30 * np.clip((peak - epoch) / peak, 0, None) ** 1.7 - 1.5 * np.clip(epoch - peak, 0, None)
    return list(truth + np.random.default_rng(seed).normal(0, noise, epochs))


# The four answers that the TODO document asks for.


@pytest.mark.parametrize("planned", [None, 10])
@pytest.mark.parametrize(
    ("scores", "status", "trend"),
    [
        (RISING, "continue", "improving"),
        (LEVEL, "plateau", "stable"),
        (FALLING, "degrading", "declining"),
        (PEAKED_LONG_AGO, "degrading", "declining"),
        (PEAKED, "optimal", "declining"),
    ],
)
def test_each_of_the_four_answers_is_given_where_it_is_due(
    scores: list[float], status: str, trend: str, planned: int | None
) -> None:
    verdict = detect_convergence(table(scores), planned)
    assert (verdict.status, verdict.trend) == (status, trend), verdict.reason
    assert verdict.should_stop == (status != "continue")


def test_the_chart_has_the_rolling_average_of_three_epochs() -> None:
    curve = detect_convergence(table(RISING), 10).curve
    assert [point.rolling_average for point in curve[:3]] == [None, None, pytest.approx((50 + 60 + 68) / 3)]
    assert curve[4].rolling_average == pytest.approx((68 + 74 + 78) / 3)


def test_the_chart_goes_to_the_end_of_the_plan_and_is_less_sure_there() -> None:
    curve = detect_convergence(table(RISING), 10).curve
    assert [point.epoch for point in curve] == list(range(1, 11))
    assert [point.score for point in curve] == [*RISING, *[None] * 5]
    assert all(point.low <= point.fitted <= point.high for point in curve)
    assert curve[9].high - curve[9].low > 3 * (curve[3].high - curve[3].low)


def test_the_reason_names_the_best_epoch_and_the_chance_of_gain() -> None:
    verdict = detect_convergence(table(PEAKED), 10)
    assert verdict.reason.startswith(f"Stop: epoch {verdict.best_epoch} is the best")
    assert f"{verdict.probability_of_gain:.0%}" in verdict.reason


# When a stop is never recommended.


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("scores", [RISING, LEVEL, FALLING])
def test_with_fewer_than_three_epochs_it_says_so_and_goes_on(scores: list[float], count: int) -> None:
    verdict = detect_convergence(table(scores[:count]), 10)
    assert (verdict.status, verdict.should_stop) == ("continue", False)
    assert ("needs 3" if count else "no epoch has a score") in verdict.reason


@pytest.mark.parametrize("slope", [1.0, 2.0, 5.0])
def test_scores_that_keep_rising_are_never_stopped(slope: float) -> None:
    scores = [20 + slope * epoch for epoch in range(1, 17)]
    for seen in range(1, 17):
        verdict = detect_convergence(table(scores[:seen]), 16)
        assert not verdict.should_stop, f"after epoch {seen}: {verdict.reason}"
        assert verdict.best_epoch == seen


@pytest.mark.parametrize("peak", [3, 6, 10])
@pytest.mark.parametrize("seed", range(3))
def test_no_stop_while_the_last_two_epochs_hold_a_new_best(peak: int, seed: int) -> None:
    scores = noisy_peak(peak, 14, 2.0, seed)
    for seen in range(3, 15):
        verdict = detect_convergence(table(scores[:seen]), 14)
        if verdict.should_stop:
            fitted = [point.fitted for point in verdict.curve[:seen]]
            assert max(fitted[-2:]) <= max(fitted[:-2]) + 1, f"after epoch {seen}: {verdict.reason}"
            records = np.maximum.accumulate(scores[:seen])
            assert not (records[-1] > records[-2] > records[-3] and records[-1] > records[-3] + 1)


def test_a_run_that_ends_while_improving_is_not_called_converged() -> None:
    verdict = detect_convergence(table([50, 58, 65, 71, 76, 80]), 6)
    assert (verdict.status, verdict.probability_of_gain) == ("continue", 0.0)
    assert "still improving" in verdict.reason


# Which epoch is the best.


def test_a_lucky_score_does_not_make_the_best_epoch() -> None:
    scores = noisy_peak(8, 14, 0.0, 0)
    scores[12] = max(scores) + 1.0  # far behind the peak, among clearly lower neighbours
    verdict = detect_convergence(table(scores), 14)
    assert verdict.best_epoch is not None
    assert abs(verdict.best_epoch - 8) <= 2, verdict.reason


def test_the_best_epoch_is_one_that_was_evaluated() -> None:
    scores = table(noisy_peak(6, 12, 0.5, 1))
    seen = scores[scores["epoch"] % 4 == 0]
    verdict = detect_convergence(seen, 12)
    assert verdict.best_epoch in (4, 8)
    assert verdict.best_epoch_interval is not None
    low, high = verdict.best_epoch_interval
    assert low <= 6 <= high, "an epoch without a score may be the best, and the interval says so"


@pytest.mark.parametrize("scores", [RISING, LEVEL, FALLING, PEAKED])
def test_the_interval_holds_the_best_epoch_and_stays_in_the_plan(scores: list[float]) -> None:
    verdict = detect_convergence(table(scores), 12)
    assert verdict.best_epoch is not None and verdict.best_epoch_interval is not None
    low, high = verdict.best_epoch_interval
    assert 1 <= low <= verdict.best_epoch <= high <= 12


def test_scores_from_many_images_weigh_more_than_scores_from_few() -> None:
    scores = [60.0, 70, 76, 90, 80, 79, 77, 75]
    few = table(scores).assign(n_images=[16, 16, 16, 1, 16, 16, 16, 16])
    many = table(scores).assign(n_images=16)

    def fitted(results: pd.DataFrame) -> float:
        return detect_convergence(results, 8).curve[3].fitted

    assert fitted(few) < fitted(many) - 2, "a single image's outlier moves the curve less"


# What past runs say.


def test_past_runs_that_peaked_later_make_a_gain_more_likely() -> None:
    scores = table([50, 60, 67, 70, 71, 70.5])
    late = [table(noisy_peak(14, 16, 1.0, seed)) for seed in range(8)]
    early = [table(noisy_peak(4, 16, 1.0, seed)) for seed in range(8)]
    gains = [detect_convergence(scores, 16, past).probability_of_gain for past in (early, (), late)]
    assert gains == sorted(gains) and gains[2] > gains[0] + 0.1, gains


def test_of_a_past_run_the_best_epoch_is_enough() -> None:
    scores = table([50, 60, 67, 70, 71, 70.5])
    early, late = (detect_convergence(scores, 16, [peak] * 8).probability_of_gain for peak in (4, 14))
    assert late > early + 0.1


# What real tables look like.


def test_the_order_of_the_rows_does_not_matter() -> None:
    results = pd.concat([table(PEAKED), table(PEAKED[3:6], first=4).add([0, 0.7])]).assign(n_images=[*range(1, 12)])
    expected = detect_convergence(results, 10)
    for seed in range(5):
        assert detect_convergence(results.sample(frac=1, random_state=seed), 10) == expected


def test_the_same_scores_always_give_the_same_verdict() -> None:
    assert detect_convergence(table(PEAKED), 10) == detect_convergence(table(PEAKED), 10)


def test_evaluations_of_an_epoch_are_averaged_by_their_images() -> None:
    twice = pd.DataFrame({"epoch": [1, 2, 2, 3], "score": [60.0, 70, 76, 75], "n_images": [4, 4, 12, 4]})
    point = detect_convergence(twice, 5).curve[1]
    assert (point.score, point.n_images) == (pytest.approx(74.5), 16)


def test_an_evaluation_that_is_listed_twice_counts_once() -> None:
    results = table(PEAKED).assign(n_images=8)
    assert detect_convergence(pd.concat([results, results]), 10) == detect_convergence(results, 10)


@pytest.mark.parametrize("failed", [math.nan, math.inf, None])
def test_an_evaluation_that_failed_counts_like_an_epoch_that_is_missing(failed: float | None) -> None:
    results = table(PEAKED)
    with_failure = results.astype({"score": object})
    with_failure.loc[3, "score"] = failed
    assert detect_convergence(with_failure, 10) == detect_convergence(results.drop(index=3), 10)


def test_other_columns_and_any_index_are_fine() -> None:
    results = table(PEAKED).assign(run="portrait").set_index("run")
    assert detect_convergence(results, 10) == detect_convergence(table(PEAKED), 10)


def test_adding_points_to_every_score_changes_only_the_level() -> None:
    low, high = (detect_convergence(table([score + shift for score in PEAKED]), 10) for shift in (-30.0, 0.0))
    assert (low.status, low.best_epoch, low.best_epoch_interval) == (
        high.status,
        high.best_epoch,
        high.best_epoch_interval,
    )
    assert low.probability_of_gain == pytest.approx(high.probability_of_gain, abs=1e-6)
    assert low.curve[4].fitted + 30 == pytest.approx(high.curve[4].fitted)


@pytest.mark.parametrize("planned", [3, None, 16, 40, 1000])
def test_any_plan_is_looked_at(planned: int | None) -> None:
    verdict = detect_convergence(table(RISING), planned)
    assert verdict.curve[-1].epoch >= len(RISING)
    assert len(verdict.curve) < 80
    assert 0 <= verdict.probability_of_gain <= 1


def test_equal_scores_are_no_reason_to_fail() -> None:
    assert detect_convergence(table([0.0] * 8), 10).status == "plateau"
    assert detect_convergence(table([100.0] * 8), 10).status == "plateau"


# Runs that diverged.


def test_a_run_that_diverged_is_stopped_and_its_later_scores_do_not_count() -> None:
    scores = [*RISING, 95.0, 96.0]
    verdict = detect_convergence(table(scores), 10, diverged_at=6)
    assert (verdict.status, verdict.should_stop, verdict.best_epoch) == ("degrading", True, 5)
    assert verdict.probability_of_gain == 0.0
    assert "diverged" in verdict.reason and "epoch 6" in verdict.reason


def test_a_run_that_diverged_before_its_first_score_has_no_best_epoch() -> None:
    verdict = detect_convergence(table(RISING), 10, diverged_at=1)
    assert (verdict.status, verdict.should_stop) == ("degrading", True)
    assert verdict.best_epoch is None and verdict.best_epoch_interval is None


# Input that means something else than it says.


@pytest.mark.parametrize(
    ("results", "complaint"),
    [
        (pd.DataFrame({"epoch": [1, 2]}), "no column score"),
        (table(RISING, first=0), "epoch 0"),
        (pd.DataFrame({"epoch": [1, 2.5], "score": [50, 60]}), r"epoch 2\.5"),
        (pd.DataFrame({"epoch": [1, math.nan], "score": [50, 60]}), "epoch nan"),
        (table(RISING).assign(n_images=0), "0 images"),
        (table([0.5, 0.6, 0.7]), "not shares"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(results: pd.DataFrame, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        detect_convergence(results, 10)


def test_bad_numbers_of_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="planned_epochs is 0"):
        detect_convergence(table(RISING), 0)
    with pytest.raises(ValueError, match="diverged_at is 0"):
        detect_convergence(table(RISING), 10, diverged_at=0)
    with pytest.raises(ValueError, match="a list with a table for each run"):
        detect_convergence(table(RISING), 10, table(PEAKED))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"past_runs\[1\]"):
        detect_convergence(table(RISING), 10, [table(PEAKED), pd.DataFrame({"epoch": [1]})])


def test_a_verdict_cannot_be_changed() -> None:
    verdict = detect_convergence(table(RISING), 10)
    assert isinstance(verdict, Convergence)
    with pytest.raises(dataclasses.FrozenInstanceError):
        verdict.should_stop = True  # type: ignore[misc]
