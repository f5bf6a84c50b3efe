"""How far each judge of a blind test can be relied upon."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scipy.stats import binomtest

from pixel_lora_pipeline.analyze.ab_ballot import Ballot

# One judge in a hundred without any leaning would be suspected: few enough to ask that one.
_SUSPICIOUS: Final = 0.01


@dataclass(frozen=True)
class SideBias:
    """How often one side was preferred although no side is better.

    Attributes
    ----------
    left, right, ties
        Votes.
    p_value
        Two-sided exact binomial test of the votes that are no ties against one half; 1 without such a vote.
    """

    left: int
    right: int
    ties: int
    p_value: float

    @property
    def is_suspicious(self) -> bool:
        """Whether chance alone would do so less than once in a hundred times."""
        return self.p_value < _SUSPICIOUS


@dataclass(frozen=True)
class JudgeRecord:
    """What is known of one judge.

    Attributes
    ----------
    votes
        On pairs of different models that were shown for the first time.
    ties
        Of these.
    repeats, repeated_alike
        Pairs that were shown a second time with the sides swapped, and those of them that were judged alike.
    sides_of_equals
        Of pairs that showed one image twice.
    sides
        Of all pairs: models change sides, so that each side should win one half of the votes that are no ties.
    """

    judge: str
    votes: int
    ties: int
    repeats: int
    repeated_alike: int
    sides_of_equals: SideBias
    sides: SideBias

    @property
    def consistency(self) -> float | None:
        """Share of the repeated pairs that were judged alike; None where none was repeated."""
        return self.repeated_alike / self.repeats if self.repeats else None


def judge_records(ballots: Sequence[Ballot]) -> tuple[JudgeRecord, ...]:
    """The record of everybody who voted, by name."""
    by_judge: dict[str, list[Ballot]] = {}
    for ballot in ballots:
        by_judge.setdefault(ballot.judge, []).append(ballot)
    return tuple(_record(judge, given) for judge, given in sorted(by_judge.items()))


def side_bias(ballots: Sequence[Ballot]) -> SideBias:
    """Count sides and test whether one of them is preferred."""
    left, right, ties = (sum(ballot.choice == side for ballot in ballots) for side in ("left", "right", "tie"))
    p_value = float(binomtest(left, left + right).pvalue) if left + right else 1.0
    return SideBias(left, right, ties, p_value)


def _record(judge: str, ballots: Sequence[Ballot]) -> JudgeRecord:
    first = {(ballot.case, ballot.pairing): ballot.winner for ballot in ballots if ballot.kind == "comparison"}
    # A first vote that was taken back and not given again leaves its repeat with nothing to be compared with.
    repeats = [ballot for ballot in ballots if ballot.kind == "repeat" and (ballot.case, ballot.pairing) in first]
    return JudgeRecord(
        judge=judge,
        votes=len(first),
        ties=sum(winner is None for winner in first.values()),
        repeats=len(repeats),
        repeated_alike=sum(ballot.winner == first[ballot.case, ballot.pairing] for ballot in repeats),
        sides_of_equals=side_bias([ballot for ballot in ballots if ballot.kind == "same"]),
        sides=side_bias(ballots),
    )
