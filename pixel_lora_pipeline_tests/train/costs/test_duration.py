import pytest

from pixel_lora_pipeline.train.costs.duration import told_duration


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (720, "12 min"), (5400, "1.5 h")],
)
def test_durations_are_told_in_their_own_unit(seconds: float, told: str) -> None:
    assert told_duration(seconds) == told
