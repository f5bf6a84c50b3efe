"""A verdict on blind votes holds however often it is looked at."""

from functools import cache

import numpy as np
import pytest

from pixel_lora_pipeline.analyze import judge_ab
from pixel_lora_pipeline.analyze.ab_verdict import DECISIVE, MOST_VOTES

TESTS = 200

judged = cache(judge_ab)  # many tests come through the same counts


def share_won(win_rate: float, seed: int) -> tuple[float, float]:
    """Of simulated tests that are looked at after every vote: those with a winner, and those won by B."""
    votes = np.random.default_rng(seed).random((TESTS, MOST_VOTES)) < win_rate
    winners = []
    for test in votes.cumsum(axis=1):
        verdicts = (judged(n - int(wins), int(wins)) for n, wins in enumerate(test, 1))
        winners.append(next((verdict.winner for verdict in verdicts if verdict.winner in ("A", "B")), None))
    return sum(winner is not None for winner in winners) / TESTS, winners.count("B") / TESTS


def test_equal_models_rarely_get_a_winner_though_every_vote_is_looked_at() -> None:
    decided, _ = share_won(0.5, seed=1)
    assert decided <= 0.05, decided


def test_a_clear_preference_is_found() -> None:
    _, found = share_won(0.7, seed=2)
    assert found >= 0.9, found


def test_the_models_are_treated_alike() -> None:
    one, other = judge_ab(30, 8, 3), judge_ab(8, 30, 3)
    assert (one.winner, other.winner) == ("A", "B")
    assert one.e_value == pytest.approx(other.e_value)
    assert one.p_better == pytest.approx(1 - other.p_better)
    assert other.sentence.startswith("Use Model B (9")
    assert other.interval[0] < 30 / 38 < other.interval[1]


def test_ties_change_nothing_but_how_long_it_takes() -> None:
    without, with_ties = judge_ab(6, 10), judge_ab(6, 10, 16)
    assert without.e_value == with_ties.e_value
    assert without.winner == with_ties.winner == "undecided"
    assert with_ties.votes_needed > 1.5 * without.votes_needed


def test_what_is_needed_decides_if_people_go_on_as_they_did() -> None:
    verdict = judge_ab(6, 14)
    rate = 14.5 / 21
    wins = 14 + verdict.votes_needed * rate
    later = judge_ab(round(20 + verdict.votes_needed - wins), round(wins) + 1)
    assert later.e_value >= DECISIVE
    assert f"about {verdict.votes_needed} more votes" in verdict.sentence


def test_an_end_without_a_winner_is_said() -> None:
    assert judge_ab(60, 60).winner == "none"
    assert judge_ab(60, 60).confidence > 0.9
    assert judge_ab(60, 60).votes_needed == 0
    assert judge_ab(0, 0).winner == "undecided"
    assert judge_ab(0, 0).win_rate is None
    assert judge_ab(0, 2000).winner == "B"


def test_what_is_no_count_is_refused() -> None:
    with pytest.raises(ValueError, match="wins_b is -1"):
        judge_ab(1, -1)
    with pytest.raises(ValueError, match=r"ties is 0\.5"):
        judge_ab(1, 1, 0.5)  # type: ignore[arg-type]
