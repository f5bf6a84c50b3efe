"""Which of two models people prefer, by blind votes that may be looked at as often as one likes."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from scipy.special import betaln
from scipy.stats import beta, binomtest

Winner = Literal["A", "B", "none", "undecided"]

DECISIVE: Final = 20.0
"""Evidence from which on a model has won: 1 / 0.05, so that equal models get a winner in at most 5 % of all tests."""

MOST_VOTES: Final = 120
"""Votes other than ties after which a test ends: a win rate of 70 % would have been found in nine of ten by then."""

NO_DIFFERENCE: Final = (0.4, 0.6)
"""Win rates that mean nothing in practice: one vote in five or less is decided by the model."""

_LEVEL: Final = 0.95
_LARGEST: Final = 700.0  # of a logarithm; beyond, a float overflows, and nobody needs to be surer


@dataclass(frozen=True)
class ABVerdict:
    """What the votes say.

    Attributes
    ----------
    winner
        "A" or "B"; "none" if there is no meaningful difference; "undecided" while more votes may tell.
    confidence
        0-1. With a winner or none yet: that the models differ, valid however often it was looked at. With "none":
        the posterior probability that the win rate lies in `NO_DIFFERENCE`.
    win_rate
        Share of B's wins among the votes that are no ties; None without such a vote.
    interval
        95 % Wilson interval of it; (0, 1) without a vote.
    e_value
        Evidence that the models differ: how much more probable the votes are if they do; see `judges`.
    votes_needed
        About how many more votes, ties included, until a decision if people go on voting as they did; 0 when decided.
    p_better
        Posterior probability that B is better, from a uniform prior; for reading along, looking at it again and again
        makes it too sure.
    sentence
        For people.
    """

    winner: Winner
    confidence: float
    win_rate: float | None
    interval: tuple[float, float]
    e_value: float
    votes_needed: int
    p_better: float
    sentence: str


def judge_ab(
    wins_a: int, wins_b: int, ties: int = 0, *, judges: int = 1, names: tuple[str, str] = ("A", "B")
) -> ABVerdict:
    """Judge a blind comparison of two models on the same prompts and seeds.

    Ties say nothing on who is better and are left out of the test, as in a sign test. The evidence is the ratio of
    the votes' probability under a Jeffreys mixture of all win rates to that under one half. It is an e-process: were
    the models equal, the chance that it ever reached `DECISIVE`, looked at after every vote, is at most 1 / `DECISIVE`
    [1]_. Votes have to be independent: of several judges' votes on one prompt, give the majority.

    Raises
    ------
    ValueError
        If a count is negative or no whole number.

    References
    ----------
    .. [1] Ramdas, Grünwald, Vovk, Shafer, "Game-theoretic statistics and safe anytime-valid inference", Statistical
       Science 38 (2023), doi:10.1214/23-STS894.
    """
    for name, count in (("wins_a", wins_a), ("wins_b", wins_b), ("ties", ties)):
        if int(count) != count or count < 0:
            raise ValueError(f"{name} is {count}: votes are counted from 0")
    if judges < 1:
        raise ValueError(f"judges is {judges}: somebody has voted")
    decisive = wins_a + wins_b
    chances = 1 + math.log2(judges)
    e_value = _evidence(wins_a, wins_b) / chances
    p_better = float(beta.sf(0.5, wins_b + 1, wins_a + 1))
    interval = _wilson(wins_b, decisive)
    confidence = 1.0 - min(1.0, 1.0 / e_value)
    winner: Winner = "undecided"
    if e_value >= DECISIVE:
        winner = "B" if wins_b > wins_a else "A"
    elif decisive >= MOST_VOTES or (NO_DIFFERENCE[0] <= interval[0] and interval[1] <= NO_DIFFERENCE[1]):
        winner = "none"
        low, high = beta.cdf(NO_DIFFERENCE, wins_b + 0.5, wins_a + 0.5)
        confidence = float(high - low)
    needed = _votes_needed(wins_a, wins_b, ties, chances) if winner == "undecided" else 0
    return ABVerdict(
        winner=winner,
        confidence=confidence,
        win_rate=wins_b / decisive if decisive else None,
        interval=interval,
        e_value=e_value,
        votes_needed=needed,
        p_better=p_better,
        sentence=_sentence(winner, names, confidence, needed),
    )


def _evidence(wins: float, losses: float) -> float:
    log = betaln(wins + 0.5, losses + 0.5) - betaln(0.5, 0.5) + (wins + losses) * math.log(2)
    return math.exp(min(float(log), _LARGEST))


def _wilson(wins: int, votes: int) -> tuple[float, float]:
    if votes == 0:
        return 0.0, 1.0
    interval = binomtest(wins, votes).proportion_ci(_LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def _votes_needed(wins_a: int, wins_b: int, ties: int, chances: float) -> int:
    """Until the votes decide, if they go on as the posterior means of win rate and share of ties say."""
    wins, losses = max(wins_a, wins_b), min(wins_a, wins_b)
    decisive = wins + losses
    rate = (wins + 0.5) / (decisive + 1)
    more = 1
    while (
        decisive + more < MOST_VOTES and _evidence(wins + more * rate, losses + more * (1 - rate)) < DECISIVE * chances
    ):
        more += 1
    return math.ceil(more * (decisive + ties + 1) / (decisive + 1))


def _sentence(winner: Winner, names: tuple[str, str], confidence: float, needed: int) -> str:
    if winner == "none":
        return "No meaningful difference: people prefer neither clearly enough to matter."
    if winner == "undecided":
        return f"Undecided yet: about {needed} more vote{'s' if needed != 1 else ''} if people go on as so far."
    # What was promised at the limit, not more digits than the votes have.
    name = names[winner == "B"]
    return f"Use Model {name} ({math.floor(100 * min(confidence, 0.999))}% confidence)"
