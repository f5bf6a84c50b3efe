"""Bradley-Terry strengths and the ranking by them."""

import numpy as np
import pytest

from pixel_lora_pipeline.analyze.ab_ranking import bradley_terry, rank_models

PRIOR = 0.5


def test_of_two_models_the_strengths_are_the_odds() -> None:
    first, second = bradley_terry(np.array([[0.0, 30.0], [10.0, 0.0]]))
    assert first / second == pytest.approx((30 + PRIOR) / (10 + PRIOR))
    assert first * second == pytest.approx(1)


def test_every_model_wins_as_often_as_its_strength_says() -> None:
    wins = np.random.default_rng(3).integers(0, 25, (6, 6)).astype(float)
    np.fill_diagonal(wins, 0)
    strengths = bradley_terry(wins)
    with_prior = wins + PRIOR * (1 - np.eye(6))
    comparisons = with_prior + with_prior.T
    expected = (comparisons * strengths[:, None] / (strengths[:, None] + strengths[None, :])).sum(axis=1)
    # The condition of the largest likelihood, which has no other solution.
    assert expected == pytest.approx(with_prior.sum(axis=1), rel=1e-6)


def test_many_tests_at_once_are_ranked_as_each_alone() -> None:
    wins = np.random.default_rng(4).integers(0, 9, (5, 4, 4)).astype(float)
    assert bradley_terry(wins) == pytest.approx(np.stack([bradley_terry(one) for one in wins]))


def test_a_model_that_never_loses_is_finitely_stronger() -> None:
    strengths = bradley_terry(np.array([[0.0, 40.0, 40.0], [0.0, 0.0, 20.0], [0.0, 20.0, 0.0]]))
    assert np.isfinite(strengths).all()
    assert strengths[0] > 10 * strengths[1]
    assert strengths[1] == pytest.approx(strengths[2])


def test_a_better_model_comes_first_and_equal_ones_are_not_told_apart() -> None:
    prompts = tuple(f"prompt {case // 2}" for case in range(40))
    rng = np.random.default_rng(5)
    wins = {
        (0, 1): {case: int(rng.random() < 0.5) for case in range(40)},
        (0, 2): {case: 2 if rng.random() < 0.8 else 0 for case in range(40)},
        (1, 2): {case: 2 if rng.random() < 0.8 else 1 for case in range(40)},
    }
    ranks = rank_models(wins, prompts, 3)
    assert ranks[0].model == 2
    assert ranks[0].low > 0.5
    assert ranks[0].p_best > 0.95
    assert ranks[1].low < ranks[2].share, "the interval of one holds the other"
