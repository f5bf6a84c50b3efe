"""Early epochs get a glance, decisive ones a thorough look, and those between which the choice is open a finer one."""

import pytest

from pixel_lora_pipeline.validate.depth import DEPTHS, PLAN, Depth, depth_for, epochs_to_deepen, share_saved


def looks(planned: int, plan: tuple[Depth, ...] = PLAN) -> list[Depth]:
    return [depth_for(epoch, planned, plan) for epoch in range(1, planned + 1)]


def test_ten_epochs_follow_the_plan() -> None:
    assert looks(10) == [
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
    depths = looks(planned)
    assert depths.count("full") == 1, depths
    assert abs((depths.index("full") + 1) / planned - 0.7) <= 0.5 / planned + 1e-9 or planned < 3, depths
    after = depths[depths.index("full") + 1 :]
    assert set(after) <= {"medium"}, f"overtraining would go unnoticed: {depths}"
    if planned >= 10:
        assert depths.count("quick") >= planned / 2, f"little is saved: {depths}"


@pytest.mark.parametrize("planned", [1, 4, 10, 33])
@pytest.mark.parametrize("depth", DEPTHS)
def test_a_plan_of_one_depth_holds_for_every_epoch(depth: Depth, planned: int) -> None:
    assert looks(planned, (depth,)) == [depth] * planned


def test_a_plan_of_ones_own_is_stretched_and_compressed() -> None:
    plan: tuple[Depth, ...] = ("quick", "medium", "full", "medium")
    assert looks(4, plan) == list(plan)
    assert looks(8, plan) == ["quick", "quick", "quick", "medium", "medium", "full", "medium", "medium"]
    assert looks(2, plan) == ["medium", "full"]
    with pytest.raises(ValueError, match="at least one"):
        depth_for(1, 10, ())


def test_what_is_not_known_is_looked_at_rather_more_than_less() -> None:
    assert depth_for(None, None) == "full"
    assert depth_for(None, 10) == "full"
    assert depth_for(7, None) == "full"
    assert depth_for(25, 10) == "medium"


def test_numbers_that_cannot_be_right_do_not_keep_an_epoch_from_being_looked_at() -> None:
    assert depth_for(0, 1) == depth_for(1, 1)
    assert depth_for(7, 0) == depth_for(7, None)
    assert depth_for(-3, 10) == "quick"


def test_while_a_training_rises_nothing_is_looked_at_again() -> None:
    depths = dict(enumerate(looks(10), start=1))
    assert epochs_to_deepen(depths, (6, 10), probability_of_gain=0.9) == {}


def test_epochs_that_may_be_the_best_are_looked_at_further_step_by_step_until_the_choice_is_made_fully() -> None:
    depths = dict(enumerate(looks(10), start=1))
    first = epochs_to_deepen(depths, (5, 8), probability_of_gain=0.1)
    assert first == {6: "medium"}, "the least known is looked at first"
    second = epochs_to_deepen(depths | first, (5, 7), probability_of_gain=0.1)
    assert second == {5: "full", 6: "full"}
    assert epochs_to_deepen(depths | first | second, (5, 7), probability_of_gain=0.1) == {}


def test_a_single_candidate_needs_no_finer_look() -> None:
    assert epochs_to_deepen({1: "quick", 2: "quick", 4: "quick"}, (2, 3), probability_of_gain=0.0) == {}


def test_the_plan_of_the_documents_saves_nearly_three_quarters() -> None:
    images = {"quick": 1, "medium": 5, "full": 15}
    assert share_saved(looks(10), images) == pytest.approx(1 - (5 * 1 + 4 * 5 + 15) / 150)  # type: ignore[arg-type]
    assert share_saved(["full"] * 7, images) == 0.0  # type: ignore[arg-type]
    assert share_saved([], images) == 0.0  # type: ignore[arg-type]
