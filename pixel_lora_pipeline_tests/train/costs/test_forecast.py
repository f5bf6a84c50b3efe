"""A forecast says how it was made, and has an interval only where days tell how much they differ."""

from datetime import UTC, date, datetime, timedelta

import numpy as np

from pixel_lora_pipeline.train.costs.forecast import forecast

NOVEMBER = date(2026, 11, 1)
NOW = datetime(2026, 11, 21, tzinfo=UTC)  # ten days are left


def days(*costs: float) -> dict[date, float]:
    """What the days before today have cost."""
    return {NOW.date() - timedelta(days=len(costs) - at): cost for at, cost in enumerate(costs)}


def test_days_to_come_are_expected_to_be_like_those_before() -> None:
    found = forecast(40.0, days(*[2.0] * 20), NOVEMBER, NOW)
    assert found is not None and (found.expected, found.low, found.high) == (60.0, 60.0, 60.0)
    assert "10.0 days to come at the mean of the 20 days before today, $2.00 a day" in found.how


def test_days_on_which_nothing_was_used_count_as_days() -> None:
    found = forecast(10.0, days(10.0, *[0.0] * 9), NOVEMBER, NOW)
    assert found is not None and found.expected == 20.0


def test_a_few_days_give_no_interval_and_none_no_forecast() -> None:
    few = forecast(6.0, days(1.0, 2.0, 3.0), NOVEMBER, NOW)
    assert few is not None and (few.expected, few.low) == (26.0, None) and "needs 7 days" in few.how
    assert forecast(6.0, {NOW.date(): 6.0}, NOVEMBER, NOW) is None
    assert forecast(6.0, days(1.0), date(2026, 10, 1), NOW) is None, "that month is over"


def test_four_intervals_of_five_hold_what_really_comes() -> None:
    random, held = np.random.default_rng(7), 0
    for _ in range(400):
        costs = random.gamma(2.0, 3.0, 30)
        found = forecast(float(costs[:20].sum()), days(*costs[:20]), NOVEMBER, NOW)
        assert found is not None and found.low is not None and found.high is not None
        held += found.low <= costs.sum() <= found.high
    assert 0.72 <= held / 400 <= 0.88, f"{held} of 400"
