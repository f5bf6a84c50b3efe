"""How often blind tests are right when they are looked at after every vote: `python benchmarks/ab_votes.py`.

People are simulated who prefer model B with a known probability. Each test ends with its first verdict or after 120
votes other than ties; `MOST_VOTES` of `ab_verdict` is that number. A winner of two equal models is a false positive.

The goal: at most 5 % false positives, and B found in at least 90 % of the tests at a win rate of 70 %. The contrasts
are what people usually do: an exact binomial test, or a posterior probability of 95 %, looked at after every vote.
The second table is about equal models where votes are not simply independent: several judges of the same prompts,
whose majorities change while they vote, and prompts that favour one model for everybody.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import beta, binomtest

from pixel_lora_pipeline.analyze import judge_ab
from pixel_lora_pipeline.analyze.ab_verdict import MOST_VOTES

WIN_RATES = (0.5, 0.55, 0.6, 0.65, 0.7, 0.8, 0.9)
SHARE_OF_TIES = 0.3
SEED = 20251110
LEVEL = 0.95
CASES = 60

MAX_FALSE = 0.05
MIN_POWER = {0.7: 0.9}

Rule = Callable[[int, int], str]


@cache  # thousands of tests come through the same counts
def by_evidence(wins_a: int, wins_b: int, judges: int = 1) -> str:
    return judge_ab(wins_a, wins_b, judges=judges).winner


@cache
def by_binomial_test(wins_a: int, wins_b: int) -> str:
    if wins_a + wins_b < 10 or binomtest(wins_b, wins_a + wins_b).pvalue >= 1 - LEVEL:
        return "undecided"
    return "B" if wins_b > wins_a else "A"


@cache
def by_posterior(wins_a: int, wins_b: int) -> str:
    better = float(beta.sf(0.5, wins_b + 1, wins_a + 1))
    if wins_a + wins_b < 10 or 1 - LEVEL < better < LEVEL:
        return "undecided"
    return "B" if better >= LEVEL else "A"


def ending(counts: Iterable[tuple[int, int]], rule: Rule) -> tuple[str, int]:
    """The first verdict of a test, and after how many looks it came."""
    looks = 0
    for looks, (wins_a, wins_b) in enumerate(counts, 1):
        if (winner := rule(wins_a, wins_b)) != "undecided":
            return winner, looks
    return "undecided", looks


def independent_votes(rng: np.random.Generator, win_rate: float) -> list[tuple[int, int]]:
    wins = np.cumsum(rng.random(MOST_VOTES) < win_rate)
    return [(number - int(won), int(won)) for number, won in enumerate(wins, 1)]


def with_ties(rng: np.random.Generator, win_rate: float) -> list[tuple[int, int]]:
    """The counts after every vote, of which many say nothing."""
    says = rng.random(2 * MOST_VOTES) >= SHARE_OF_TIES
    wins, votes = np.cumsum((rng.random(2 * MOST_VOTES) < win_rate) & says), np.cumsum(says)
    return [(int(n - won), int(won)) for n, won in zip(votes, wins, strict=True) if n <= MOST_VOTES]


def majorities(rng: np.random.Generator, n_judges: int, favours: NDArray[np.float64]) -> list[tuple[int, int]]:
    """Counts of cases by the majority of judges who vote in turns, each in an order of their own."""
    orders = [rng.permutation(len(favours)) for _ in range(n_judges)]
    lead = np.zeros(len(favours), int)
    counts, wins = [], [0, 0]
    for turn in range(len(favours)):
        for judge in rng.permutation(n_judges):
            case = orders[judge][turn]
            before = lead[case]
            lead[case] += 1 if rng.random() < favours[case] else -1
            for side, sign in enumerate((-1, 1)):
                wins[side] += int(sign * lead[case] > 0) - int(sign * before > 0)
            counts.append((wins[0], wins[1]))
    return counts


def judging(rng: np.random.Generator, n_judges: int, opinion: float) -> list[tuple[int, int]]:
    return majorities(rng, n_judges, equal_models(rng, opinion))


def equal_models(rng: np.random.Generator, opinion: float) -> NDArray[np.float64]:
    """How probably each case goes to B: as many favour it by `opinion` as favour A."""
    return rng.permutation(np.where(np.arange(CASES) < CASES / 2, 0.5 - opinion, 0.5 + opinion))


def power_table(tests: int, console: Console, missed: list[str]) -> Table:
    table = Table(
        "win rate", "B found", "A found", "no difference", "undecided", "votes (median)", "p < 0.05", "P > 95 %"
    )
    for win_rate in track(WIN_RATES, "win rates", console=console, transient=True):
        rng = np.random.default_rng(SEED)
        simulated = [independent_votes(rng, win_rate) for _ in range(tests)]
        endings = [ending(counts, by_evidence) for counts in simulated]
        shares = {
            name: sum(winner == name for winner, _ in endings) / tests for name in ("B", "A", "none", "undecided")
        }
        found = [looks for winner, looks in endings if winner in ("A", "B")]
        decided = [
            sum(ending(counts, rule)[0] in ("A", "B") for counts in simulated) / tests
            for rule in (by_binomial_test, by_posterior)
        ]
        table.add_row(
            f"{win_rate:.2f}",
            *(f"{share:.1%}" for share in shares.values()),
            f"{np.median(found):.0f}",
            *(f"{share:.1%}" for share in decided),
        )
        if win_rate == 0.5 and shares["A"] + shares["B"] > MAX_FALSE:
            missed.append(f"{shares['A'] + shares['B']:.1%} false positives, not {MAX_FALSE:.0%}")
        if win_rate in MIN_POWER and shares["B"] < MIN_POWER[win_rate]:
            missed.append(f"{shares['B']:.1%} found at {win_rate}, not {MIN_POWER[win_rate]:.0%}")
    table.title = f"Two models, {tests} tests each, looked at after every vote (contrasts: from the tenth on)"
    return table


def hardships(tests: int, console: Console, missed: list[str]) -> Table:
    rng = np.random.default_rng(SEED)
    settings: dict[str, tuple[int, Callable[[], list[tuple[int, int]]]]] = {
        f"{SHARE_OF_TIES:.0%} ties": (1, lambda: with_ties(rng, 0.5)),
        "prompts that clearly favour one model": (1, partial(judging, rng, 1, 0.4)),
    }
    for judges in (2, 3, 10, 30):
        for opinion, name in ((0.0, "no opinion"), (0.2, "often agree"), (0.4, "mostly agree")):
            settings[f"{judges} judges, {name}"] = judges, partial(judging, rng, judges, opinion)
    table = Table("equal models", "false positives", title="Votes that are not simply independent")
    for name, (judges, simulated) in track(settings.items(), "hardships", console=console, transient=True):
        rule = partial(by_evidence, judges=judges)
        number = tests // judges  # a test of many judges has as many more votes
        share = sum(ending(simulated(), rule)[0] in ("A", "B") for _ in range(number)) / number
        table.add_row(f"{name} ({number} tests)", f"{share:.1%}")
        if share > MAX_FALSE:
            missed.append(f"{name}: {share:.1%} false positives, not {MAX_FALSE:.0%}")
    return table


def several_judges(tests: int, console: Console) -> Table:
    """What more judges bring: of independent taste, and of a taste that they share."""
    rng = np.random.default_rng(SEED)
    table = Table("judges", "tastes of their own", "a taste that they share", title="B found at .70, 60 prompts")
    for judges in track((1, 2, 3, 10), "judges", console=console, transient=True):
        rule, number = partial(by_evidence, judges=judges), tests // judges
        own = [ending(majorities(rng, judges, np.full(CASES, 0.7)), rule)[0] for _ in range(number)]
        favours = (np.where(rng.random(CASES) < 0.75, 0.9, 0.1) for _ in range(number))  # 0.7 on average
        shared = [ending(majorities(rng, judges, each), rule)[0] for each in favours]
        table.add_row(str(judges), f"{own.count('B') / number:.1%}", f"{shared.count('B') / number:.1%}")
    return table


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tests", type=int, default=4000, help="of each setting")
    tests = parser.parse_args().tests
    console = Console(width=130)
    missed: list[str] = []
    console.print(power_table(tests, console, missed))
    console.print(hardships(tests, console, missed))
    console.print(several_judges(tests, console))
    for miss in missed:
        console.print(f"[red]missed[/red] {miss}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
