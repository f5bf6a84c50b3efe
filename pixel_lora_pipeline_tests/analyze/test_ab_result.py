"""What people's votes come to: one say a pair, whoever they are, and how far they can be relied upon."""

import numpy as np
import pytest

from pixel_lora_pipeline.analyze.ab_ballot import Ballot, Choice, majorities
from pixel_lora_pipeline.analyze.ab_metric_agreement import metric_agreement
from pixel_lora_pipeline.analyze.ab_plan import plan_showings
from pixel_lora_pipeline.analyze.ab_result import ab_result
from pixel_lora_pipeline_tests.analyze.paintings import painted, with_metrics

PROMPTS = [f"prompt {number // 2}" for number in range(60)]


def votes(judge: str, strengths: list[float], seed: int, prompts: list[str] = PROMPTS) -> list[Ballot]:
    """Of somebody who prefers models in proportion to their strengths and sees that equals are equal."""
    rng = np.random.default_rng(seed)
    given = []
    for shown in plan_showings(prompts, len(strengths), seed):
        left, right = strengths[shown.left], strengths[shown.right]
        choice: Choice = "tie" if shown.kind == "same" else "left" if rng.random() < left / (left + right) else "right"
        given.append(Ballot(judge, shown.case, shown.left, shown.right, shown.kind, choice))
    return given


def test_the_better_model_is_named_and_the_sentence_says_how_sure_that_is() -> None:
    result = ab_result(votes("ann", [1, 4], seed=1), PROMPTS, 2)
    (duel,) = result.duels
    assert (result.winner, duel.winner) == (1, 1)
    assert duel.wins_second > duel.wins_first
    assert duel.wins_first + duel.wins_second + duel.ties == 60
    assert result.headline.startswith("Use Model B (9") and result.headline.endswith("% confidence)")


def test_many_judges_of_the_same_pairs_are_no_more_pairs() -> None:
    one = votes("ann", [1, 1], seed=3)[:12]
    crowd = [Ballot(f"judge {n}", b.case, b.left, b.right, b.kind, b.choice) for n in range(30) for b in one]
    alone, together = ab_result(one, PROMPTS, 2), ab_result(crowd, PROMPTS, 2)
    assert together.duels[0].verdict.win_rate == alone.duels[0].verdict.win_rate
    assert together.duels[0].verdict.e_value < alone.duels[0].verdict.e_value
    assert together.votes == 30 * alone.votes
    assert len(together.judges) == 30


def test_the_majority_of_a_pair_decides_and_ties_are_for_neither() -> None:
    def ballot(judge: str, left: int, choice: Choice) -> Ballot:
        return Ballot(judge, 0, left, 1 - left, "comparison", choice)

    assert majorities([ballot("a", 0, "left"), ballot("b", 1, "right"), ballot("c", 0, "right")]) == {(0, 1): {0: 0}}
    assert majorities([ballot("a", 0, "left"), ballot("b", 1, "left")]) == {(0, 1): {0: None}}
    assert majorities([ballot("a", 0, "tie"), ballot("b", 1, "left")]) == {(0, 1): {0: 1}}


def test_controls_are_no_votes_on_the_models() -> None:
    given = votes("ann", [1, 4], seed=1)
    compared = [ballot for ballot in given if ballot.kind == "comparison"]
    assert len(given) == 72
    assert ab_result(given, PROMPTS, 2).duels == ab_result(compared, PROMPTS, 2).duels


def test_a_judge_who_always_takes_the_left_is_noticed_and_an_honest_one_is_not() -> None:
    honest = votes("honest", [1, 3], seed=1)
    lazy = [Ballot("lazy", b.case, b.left, b.right, b.kind, "left") for b in votes("lazy", [1, 1], seed=2)]
    result = ab_result([*honest, *lazy], PROMPTS, 2)
    ann, bob = result.judges
    assert (ann.judge, bob.judge) == ("honest", "lazy")
    assert not ann.sides.is_suspicious and ann.sides_of_equals.ties == 6
    assert bob.sides.is_suspicious and bob.sides_of_equals.left == 6
    assert bob.repeats == 6 and bob.consistency == 0, "the sides of a repeat are swapped"
    assert result.sides.left == ann.sides.left + bob.sides.left


def test_a_sure_judge_repeats_what_they_said() -> None:
    (ann,) = ab_result(votes("ann", [1, 1e9], seed=1), PROMPTS, 2).judges
    assert (ann.repeats, ann.repeated_alike, ann.consistency) == (6, 6, 1.0)


def test_when_too_few_pairs_are_left_that_is_said() -> None:
    prompts = PROMPTS[:12]
    undecided = ab_result(votes("ann", [1, 1], seed=5, prompts=prompts), prompts, 2)
    assert undecided.headline.startswith("Undecided yet: about ")
    assert undecided.headline.endswith("In this test no pair is left: make another one with more prompts or seeds.")
    early = ab_result(votes("ann", [1, 1], seed=5)[:3], PROMPTS, 2)
    assert early.duels[0].open_cases == 57 or early.duels[0].open_cases == 58
    nothing = ab_result([], PROMPTS, 2)
    assert (nothing.votes, nothing.ranking, nothing.winner, nothing.duels[0].verdict.win_rate) == (0, (), None, None)


def test_more_than_two_models_are_ranked_with_intervals_that_hold_the_truth() -> None:
    strengths = [1.0, 2.0, 6.0]
    result = ab_result(votes("ann", strengths, seed=4), PROMPTS, 3)
    assert [rank.model for rank in result.ranking] == [2, 1, 0]
    for rank in result.ranking:
        others = [strength for model, strength in enumerate(strengths) if model != rank.model]
        own = strengths[rank.model]
        truth = sum(own / (own + other) for other in others) / 2
        assert rank.low < truth < rank.high, (rank, truth)
    assert result.ranking[0].p_best > 0.9
    assert sum(rank.p_best for rank in result.ranking) == pytest.approx(1)


def test_the_winner_of_many_has_won_every_duel() -> None:
    clear = ab_result(votes("ann", [1, 1, 50], seed=4), PROMPTS, 3)
    assert clear.winner == 2
    assert clear.headline.startswith("Use Model C (9")
    assert {duel.verdict.sentence.split(" (")[0] for duel in clear.duels if duel.winner == 2} == {"Use Model C"}
    split = ab_result(votes("ann", [1, 50, 50], seed=4), PROMPTS, 3)
    assert split.winner is None
    assert "is ahead" in split.headline


def test_a_model_that_lost_everything_still_has_a_rank() -> None:
    ranking = ab_result(votes("ann", [1, 1e9, 1e18], seed=4), PROMPTS, 3).ranking
    assert [rank.model for rank in ranking] == [2, 1, 0]
    accuracy = 1e-6  # of the fit; with votes as clear as these, every resample says the same
    assert all(0 <= rank.low <= rank.share + accuracy <= rank.high + 2 * accuracy <= 1 for rank in ranking), ranking


def test_metrics_are_compared_with_people_and_the_number_of_pairs_is_told() -> None:
    good = [with_metrics(painted(1), overall_score=80.0 + number) for number in range(20)]
    bad = [with_metrics(painted(1), overall_score=60.0 + number) for number in range(20)]
    preferences = [(good[n], bad[n]) for n in range(18)] + [(bad[n], good[n]) for n in (18, 19)]
    overall = metric_agreement([*preferences, (good[0], good[0])])[0]
    assert (overall.key, overall.n, overall.agreed, overall.undecided) == ("overall_score", 20, 18, 1)
    assert overall.share == 0.9
    assert overall.interval[0] < 0.9 < overall.interval[1] and overall.is_informative
    nothing = metric_agreement([])[0]
    assert (nothing.n, nothing.share, nothing.interval, nothing.is_informative) == (0, None, (0.0, 1.0), False)
