"""What a judge of a blind test is shown, in which order and on which side."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any, Final, Literal

Kind = Literal["comparison", "repeat", "same"]

BALANCED_BLOCK: Final = 4
"""Comparisons of two models after which each of them was as often on the left as on the right."""

CONTROLLED_STRETCH: Final = 10
"""Comparisons for which there are one repeated pair and one pair of equals: a tenth of each."""


@dataclass(frozen=True)
class Showing:
    """Two images beside each other.

    Attributes
    ----------
    case
        Which prompt and seed, by its place in the test.
    left, right
        Whose images, by the models' places in the test.
    kind
        "comparison", the first look at this pair; "repeat", the second, with the sides swapped; "same", one image
        twice.
    """

    case: int
    left: int
    right: int
    kind: Kind

    def to_dict(self) -> dict[str, Any]:
        """As it is stored."""
        return asdict(self)


def plan_showings(prompts: Sequence[str], n_models: int, seed: int) -> tuple[Showing, ...]:
    """Plan what one judge sees: every pair of models once on every case, and a tenth each of two controls.

    Whoever stops early has still judged evenly: no prompt comes a second time, under another seed or for other
    models, before all were there. Sides are random and balanced in blocks of `BALANCED_BLOCK` comparisons of the same
    two models. In every stretch of `CONTROLLED_STRETCH` comparisons an early one is repeated late, and one image
    is shown beside itself.

    Parameters
    ----------
    prompts
        The prompt of each case; cases of one prompt differ in their seed.
    n_models
        At least 2.
    seed
        Of everything random; another one for every judge.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    if n_models < 2 or not prompts:
        raise ValueError(f"{n_models} models on {len(prompts)} cases cannot be compared: it takes 2 and 1 at least.")
    chance = random.Random(seed)  # noqa: S311 - the plan is stored where judges cannot look; it need not be secret
    comparisons = _with_sides(_ordered(prompts, n_models, chance), chance)
    shown: list[Showing] = []
    for start in range(0, len(comparisons), CONTROLLED_STRETCH):
        stretch = comparisons[start : start + CONTROLLED_STRETCH]
        is_long_enough = len(stretch) >= CONTROLLED_STRETCH / 2  # so that controls are a tenth when it is rounded
        shown += _with_controls(stretch, len(prompts), n_models, chance) if is_long_enough else stretch
    return tuple(shown)


def _ordered(prompts: Sequence[str], n_models: int, chance: random.Random) -> list[tuple[int, tuple[int, int]]]:
    """Cases with two models each: rounds of all cases, and within a round each prompt before any comes again."""
    pairings = list(combinations(range(n_models), 2))
    chance.shuffle(pairings)
    cases = list(range(len(prompts)))
    chance.shuffle(cases)
    seen: Counter[str] = Counter()
    turn = {}
    for case in cases:
        turn[case] = seen[prompts[case]]
        seen[prompts[case]] += 1
    rounds = [
        (number, turn[case], chance.random(), case, pairings[(place + number) % len(pairings)])
        for number in range(len(pairings))
        for place, case in enumerate(cases)
    ]
    return [(case, pairing) for _, _, _, case, pairing in sorted(rounds)]


def _with_sides(ordered: Sequence[tuple[int, tuple[int, int]]], chance: random.Random) -> list[Showing]:
    sides = {pairing: _balanced(chance) for _, pairing in ordered}
    return [
        Showing(case, *(pairing if next(sides[pairing]) else pairing[::-1]), kind="comparison")
        for case, pairing in ordered
    ]


def _balanced(chance: random.Random) -> Iterator[bool]:
    while True:
        block = [True, False] * (BALANCED_BLOCK // 2)
        chance.shuffle(block)
        yield from block


def _with_controls(stretch: Sequence[Showing], n_cases: int, n_models: int, chance: random.Random) -> Iterator[Showing]:
    third = len(stretch) // 3
    repeated = stretch[chance.randrange(third)]
    repeat = Showing(repeated.case, repeated.right, repeated.left, "repeat")
    model = chance.randrange(n_models)
    same = Showing(chance.randrange(n_cases), model, model, "same")
    same_after = chance.randrange(len(stretch))
    repeat_after = chance.randrange(len(stretch) - third, len(stretch))
    for place, showing in enumerate(stretch):
        yield showing
        if place == same_after:
            yield same
        if place == repeat_after:
            yield repeat
