"""What judges of a blind test are shown tells them nothing, and enough about them."""

from collections import Counter

import pytest

from pixel_lora_pipeline.analyze.ab_plan import BALANCED_BLOCK, Showing, plan_showings

PROMPTS = [f"prompt {number // 2}" for number in range(40)]  # twenty, with two seeds each


def comparisons(plan: tuple[Showing, ...]) -> list[Showing]:
    return [showing for showing in plan if showing.kind == "comparison"]


@pytest.mark.parametrize("n_models", [2, 3, 5])
@pytest.mark.parametrize("seed", range(5))
def test_every_pair_is_compared_once_with_balanced_sides_and_a_tenth_of_controls(n_models: int, seed: int) -> None:
    plan = plan_showings(PROMPTS, n_models, seed)
    compared = comparisons(plan)
    duels = n_models * (n_models - 1) // 2
    assert len({(one.case, *sorted((one.left, one.right))) for one in compared}) == len(compared) == 40 * duels
    for first in range(n_models):
        for second in range(first + 1, n_models):
            on_left = [one.left == first for one in compared if {one.left, one.right} == {first, second}]
            for start in range(0, len(on_left), BALANCED_BLOCK):
                assert sum(on_left[start : start + BALANCED_BLOCK]) == BALANCED_BLOCK / 2
    counts = Counter(showing.kind for showing in plan)
    assert counts["repeat"] == counts["same"] == len(compared) / 10
    for place, showing in enumerate(plan):
        if showing.kind == "repeat":
            first_look = Showing(showing.case, showing.right, showing.left, "comparison")
            assert plan.index(first_look) < place - 3, "the repeat comes while the pair is still in memory"
        assert (showing.left == showing.right) == (showing.kind == "same")


def test_whoever_stops_early_has_judged_every_prompt_and_duel_alike() -> None:
    compared = comparisons(plan_showings(PROMPTS, 3, seed=1))
    assert len({PROMPTS[one.case] for one in compared[:20]}) == 20
    assert {one.case for one in compared[:40]} == set(range(40))
    duels = Counter(tuple(sorted((one.left, one.right))) for one in compared[:40])
    assert max(duels.values()) - min(duels.values()) <= 1


def test_judges_get_plans_of_their_own_that_can_be_repeated() -> None:
    assert plan_showings(PROMPTS, 2, seed=1) == plan_showings(PROMPTS, 2, seed=1)
    assert plan_showings(PROMPTS, 2, seed=1) != plan_showings(PROMPTS, 2, seed=2)


def test_a_test_of_very_few_images_has_no_controls_and_one_of_nothing_is_refused() -> None:
    assert [showing.kind for showing in plan_showings(["a", "b"], 2, seed=1)] == ["comparison"] * 2
    with pytest.raises(ValueError, match="1 models on 2 cases cannot be compared"):
        plan_showings(["a", "b"], 1, seed=1)
    with pytest.raises(ValueError, match="2 models on 0 cases"):
        plan_showings([], 2, seed=1)
