"""What a blind test says so far: who is preferred, how sure that is, and how far its judges can be relied upon."""

import math
import string
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

from pixel_lora_pipeline.analyze.ab_ballot import Ballot, majorities
from pixel_lora_pipeline.analyze.ab_judges import JudgeRecord, SideBias, judge_records, side_bias
from pixel_lora_pipeline.analyze.ab_ranking import Rank, rank_models
from pixel_lora_pipeline.analyze.ab_verdict import ABVerdict, judge_ab


@dataclass(frozen=True)
class Duel:
    """Two models of a test.

    Attributes
    ----------
    first, second
        By their places in the test; `verdict.winner` "A" is the first, "B" the second.
    wins_first, wins_second, ties
        Cases, each once, by the majority of its judges.
    open_cases
        That nobody has judged yet.
    """

    first: int
    second: int
    wins_first: int
    wins_second: int
    ties: int
    open_cases: int
    verdict: ABVerdict

    @property
    def winner(self) -> int | None:
        """The model that has won; None if there is no winner, or none yet."""
        return {"A": self.first, "B": self.second}.get(self.verdict.winner)

    @property
    def sentence(self) -> str:
        """For people."""
        if self.verdict.winner != "undecided" or self.verdict.votes_needed <= self.open_cases:
            return self.verdict.sentence
        left = "no pair is" if self.open_cases == 0 else f"only {self.open_cases} are"
        return f"{self.verdict.sentence} In this test {left} left: make another one with more prompts or seeds."


@dataclass(frozen=True)
class ABResult:
    """All that can be said of a test.

    Attributes
    ----------
    duels
        Every two models.
    ranking
        Of more than two models, the best first; empty without a vote.
    judges
        Of those whose votes count.
    sides, sides_of_equals
        Of all of them together, see `JudgeRecord`.
    votes
        First looks at pairs of different models, of all judges.
    headline
        One sentence.
    """

    n_models: int
    duels: tuple[Duel, ...]
    ranking: tuple[Rank, ...]
    judges: tuple[JudgeRecord, ...]
    sides: SideBias
    sides_of_equals: SideBias
    votes: int
    headline: str

    @property
    def winner(self) -> int | None:
        """The model that has won against all the others."""
        return next(
            (
                model
                for model in range(self.n_models)
                if all(duel.winner == model for duel in self.duels if model in (duel.first, duel.second))
            ),
            None,
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            **asdict(self),
            "winner": self.winner,
            "duels": [{**asdict(duel), "winner": duel.winner, "sentence": duel.sentence} for duel in self.duels],
            "judges": [{**asdict(judge), "consistency": judge.consistency} for judge in self.judges],
        }


def letter(model: int) -> str:
    """What a model is called in a test: A, B, …"""
    return string.ascii_uppercase[model]


def ab_result(ballots: Sequence[Ballot], prompts: Sequence[str], n_models: int) -> ABResult:
    """Analyse a test; it may be looked at as often as one likes.

    Each case (a prompt with a seed) counts once, by the majority of its judges. The verdict is on the test's own
    prompts, of which the cases are a sample: on these, cases are independent though seeds of one prompt resemble each
    other, because a prompt that favours one model for all seeds makes the count scatter less and not more.

    With more than two models the winner has won every duel. Each duel names a wrong model with 2.5 % at most; that one
    beats the best of the others wrongly has therefore at most 2.5 % for each of them.

    Parameters
    ----------
    ballots
        Of the judges that count; votes that were taken back are not among them.
    prompts
        The prompt of each case.
    """
    decided = majorities(ballots)
    judges = len({ballot.judge for ballot in ballots}) or 1
    duels = tuple(
        _duel(pairing, list(decided.get(pairing, {}).values()), len(prompts), judges)
        for pairing in combinations(range(n_models), 2)
    )
    result = ABResult(
        n_models=n_models,
        duels=duels,
        ranking=rank_models(decided, tuple(prompts), n_models) if decided and n_models > 2 else (),
        judges=judge_records(ballots),
        sides=side_bias(ballots),
        sides_of_equals=side_bias([ballot for ballot in ballots if ballot.kind == "same"]),
        votes=sum(ballot.kind == "comparison" for ballot in ballots),
        headline="",
    )
    return replace(result, headline=_headline(result))


def _duel(pairing: tuple[int, int], winners: Sequence[int | None], n_cases: int, judges: int) -> Duel:
    first, second = pairing
    wins_first, wins_second, ties = (winners.count(model) for model in (first, second, None))
    return Duel(
        first=first,
        second=second,
        wins_first=wins_first,
        wins_second=wins_second,
        ties=ties,
        open_cases=n_cases - len(winners),
        verdict=judge_ab(wins_first, wins_second, ties, judges=judges, names=(letter(first), letter(second))),
    )


def _headline(result: ABResult) -> str:
    if len(result.duels) == 1:
        return result.duels[0].sentence
    if (winner := result.winner) is not None:
        own = [duel for duel in result.duels if winner in (duel.first, duel.second)]
        surest = math.floor(100 * min(0.999, *(duel.verdict.confidence for duel in own)))
        return f"Use Model {letter(winner)} ({surest}% confidence): it has won against each of the others."
    leader = f"Model {letter(result.ranking[0].model)} is ahead. " if result.ranking else ""
    undecided = [duel for duel in result.duels if duel.verdict.winner == "undecided"]
    if not undecided:
        return f"{leader}No model has won against all the others, and more votes will hardly change that."
    needed = sum(duel.verdict.votes_needed for duel in undecided)
    return f"{leader}Undecided yet: about {needed} more votes for {len(undecided)} of {len(result.duels)} duels."
