"""A training that stops saving epochs before its end is noticed, and only that."""

import pytest

from pixel_lora_pipeline.train.silence import FORGOTTEN_SECONDS, silent_for

HOUR = 3600.0


@pytest.mark.parametrize(
    ("saved_at", "now", "silent"),
    [
        ([0.0, HOUR, 2 * HOUR], 4.9 * HOUR, False),
        ([0.0, HOUR, 2 * HOUR], 5.1 * HOUR, True),
        ([2 * HOUR, 0.0, HOUR], 5.1 * HOUR, True),
        ([0.0, 20.0, 40.0], 600.0, False),
        ([0.0, 20.0, 40.0], 1000.0, True),
        ([0.0], 5 * HOUR, False),
        ([], 5 * HOUR, False),
        ([0.0, 20.0, 40.0], FORGOTTEN_SECONDS + 100, False),
        ([0.0, 30 * HOUR], 130 * HOUR, True),
    ],
)
def test_silence_is_measured_by_the_pace_before(saved_at: list[float], now: float, silent: bool) -> None:
    seconds = silent_for(saved_at, now)
    assert (seconds is not None) is silent
    assert seconds is None or seconds == now - max(saved_at)
