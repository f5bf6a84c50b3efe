"""What is said of earlier predictions once their runs have ended."""

import json
import math

import numpy as np
import pytest

from pixel_lora_pipeline.improve import PredictedOutcome, calibrate


def outcomes(n: int, error: float, half_width: float, seed: int = 0) -> list[PredictedOutcome]:
    """Runs around 70 ± 8 that were predicted with normal errors."""
    random = np.random.default_rng(seed)
    observed = random.normal(70, 8, n)
    predicted = observed + random.normal(0, error, n)
    return [
        PredictedOutcome(float(mean), (float(mean - half_width), float(mean + half_width)), 0.9, 70.0, float(value))
        for mean, value in zip(predicted, observed, strict=True)
    ]


def test_a_few_outcomes_are_not_enough_yet() -> None:
    found = calibrate(outcomes(9, 2, 3.3))
    assert found.verdict == "not enough yet: 9 of 10 predictions have an outcome"
    assert found.coverage is found.skill is found.within_5 is None
    assert calibrate([]).n == 0
    json.dumps(calibrate([]).to_dict(), allow_nan=False)


def test_honest_predictions_are_called_so() -> None:
    found = calibrate(outcomes(80, error=2, half_width=1.645 * 2))
    assert found.coverage is not None and found.skill is not None
    assert found.coverage.low < 0.9 < found.coverage.high
    assert found.skill.low > 0.5
    assert "better than the mean" in found.verdict and "intervals hold" in found.verdict


@pytest.mark.parametrize(("half_width", "word"), [(0.5, "too narrow"), (12.0, "too wide")])
def test_intervals_that_do_not_hold_are_called_so(half_width: float, word: str) -> None:
    assert word in calibrate(outcomes(80, error=2, half_width=half_width)).verdict


def test_predictions_that_are_worse_than_the_mean_are_called_so() -> None:
    assert "worse than the mean" in calibrate(outcomes(80, error=25, half_width=40)).verdict


def test_shares_are_counted_in_percent_of_the_outcome() -> None:
    pairs = [PredictedOutcome(predicted, (0, 200), 0.9, 100, 100) for predicted in [101, 104.9, 106, 114, 116] * 2]
    found = calibrate(pairs)
    assert found.within_5 is not None and found.within_15 is not None and found.skill is not None
    assert (found.within_5.value, found.within_15.value) == (0.4, 0.8)
    assert found.within_5.low < 0.4 < found.within_5.high
    assert found.skill.value == 0, "the mean was never wrong, so nothing was gained"


def test_what_was_not_predicted_or_has_no_outcome_is_left_out() -> None:
    pairs = outcomes(12, 2, 3.3)
    pairs += [PredictedOutcome(math.nan, (-math.inf, math.inf), 0.9, math.nan, 70), *outcomes(0, 1, 1)]
    found = calibrate(pairs)
    assert found.n == 12
    json.dumps(found.to_dict(), allow_nan=False)
