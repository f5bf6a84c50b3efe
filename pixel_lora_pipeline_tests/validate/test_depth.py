"""Early epochs get a glance, decisive ones a thorough look."""

import pytest

from pixel_lora_pipeline.validate import depth_for


def test_ten_epochs_follow_the_plan() -> None:
    assert [depth_for(epoch, 10) for epoch in range(1, 11)] == [
        "quick",
        "quick",
        "quick",
        "quick",
        "medium",
        "quick",
        "full",
        "medium",
        "medium",
        "medium",
    ]


@pytest.mark.parametrize("planned", [1, 2, 3, 5, 8, 10, 13, 20, 37, 100])
def test_every_length_has_one_thorough_look_around_seven_tenths(planned: int) -> None:
    depths = [depth_for(epoch, planned) for epoch in range(1, planned + 1)]
    assert depths.count("full") == 1, depths
    assert abs((depths.index("full") + 1) / planned - 0.7) <= 0.5 / planned + 1e-9 or planned < 3, depths
    after = depths[depths.index("full") + 1 :]
    assert set(after) <= {"medium"}, f"overtraining would go unnoticed: {depths}"
    if planned >= 10:
        assert depths.count("quick") >= planned / 2, f"little is saved: {depths}"


def test_what_is_not_known_is_looked_at_rather_more_than_less() -> None:
    assert depth_for(None, None) == "full"
    assert depth_for(None, 10) == "full"
    assert depth_for(7, None) == "full"
    assert depth_for(25, 10) == "medium"


@pytest.mark.parametrize(("epoch", "planned"), [(0, 10), (-1, None), (1, 0)])
def test_epochs_are_counted_from_one(epoch: int, planned: int | None) -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        depth_for(epoch, planned)
