"""Votes in a blind test, and what several judges' votes on one pair come to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from pixel_lora_pipeline.analyze.ab_plan import Kind

Choice = Literal["left", "right", "tie"]
Pairing: TypeAlias = tuple[int, int]
"""Two models by their places in the test, the lower first."""


@dataclass(frozen=True)
class Ballot:
    """One vote.

    Attributes
    ----------
    judge
        Who gave it.
    case
        On which prompt and seed, by its place in the test.
    left, right
        Whose images were there, by the models' places in the test.
    kind
        Why the pair was shown, see `Showing`.
    choice
        Which side is better.
    """

    judge: str
    case: int
    left: int
    right: int
    kind: Kind
    choice: Choice

    @property
    def pairing(self) -> Pairing:
        """The two models, in whatever order they were shown."""
        return min(self.left, self.right), max(self.left, self.right)

    @property
    def winner(self) -> int | None:
        """The model that was preferred; None for a tie."""
        return {"left": self.left, "right": self.right, "tie": None}[self.choice]


def majorities(ballots: Iterable[Ballot]) -> dict[Pairing, dict[int, int | None]]:
    """What the judges together prefer: for each two models, by case, the winner; None for a tie.

    The winner has more votes than the other; votes for a tie are for neither. So a case counts once, however many
    judges have seen it: what they say of the same two images is not independent. Controls are left out.
    """
    lead: dict[Pairing, dict[int, int]] = {}
    for ballot in ballots:
        if ballot.kind != "comparison":
            continue
        cases = lead.setdefault(ballot.pairing, {})
        first, _ = ballot.pairing
        step = 0 if ballot.winner is None else 1 if ballot.winner == first else -1
        cases[ballot.case] = cases.get(ballot.case, 0) + step
    return {
        pairing: {case: None if votes == 0 else pairing[votes < 0] for case, votes in cases.items()}
        for pairing, cases in lead.items()
    }
