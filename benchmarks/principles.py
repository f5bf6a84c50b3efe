"""How many principles are right, and how many false ones get hard: `python benchmarks/principles.py [--worlds 100]`.

Histories are those of `training_histories.py`, the same number of every family. Each grows from 8 to 30 runs, three or
four at a time; after every step the evidence is computed anew and the principles are updated. What the evidence
believes beforehand is the folklore of each world, which is partly wrong.

Two ways to get hard principles are compared: a person approves every soft one without looking; or soft ones are broken
on purpose, in the best run so far, one run each, and only that decides. The first table asks how often such a run
deceives, if the principle makes no difference at all. A principle is false if the best value that it
forbids is truly better than the best that it allows, or if there is no difference. Intervals are 95 % (Wilson).

Ends with 1 if experiments make false principles hard in more than 5 % of the worlds.
"""

import argparse
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import binomtest
from training_histories import (
    FAMILIES,
    METRICS,
    SPACE,
    History,
    World,
    configurations_of,
    heavy_tails,
    imagined_history,
)

from pixel_lora_pipeline.learn import Principle, assess_parameters, update_principles
from pixel_lora_pipeline.learn.principle import EXPERIMENT_ODDS
from pixel_lora_pipeline.learn.trials import judge_trials
from pixel_lora_pipeline.whole_file import write_whole

UPDATES = (8, 11, 15, 18, 22, 26, 30)  # numbers of runs after which the principles are updated
LOOKS = (15, 30)
LAST = UPDATES[-1]
MAJOR = 2.0  # times the noise
MOST_FALSE = 0.05
NOTHING = 1e-9
START = datetime(2025, 6, 1, tzinfo=UTC)
RELIED_UPON = ("soft", "hard")
KNOWN, PRETENDED, MOST_LOOKS = 6, 2000, 5
GAPS = (2.0, 3.0, 4.0, 6.0)
WAYS = ("nobody experiments", "soft ones are broken on purpose")


def heavy_tails_in_units(random: np.random.Generator, noise: float) -> float:
    """As the family of that name, whose spoilt runs lose 10 to 30 points, at a noise of 3 points."""
    return heavy_tails(random, 3.0 * noise) / 3.0


NOISES: Mapping[str, Callable[[np.random.Generator, float], float]] = {
    "normal": lambda random, noise: float(random.normal(0, noise)),
    "heavy tails": heavy_tails_in_units,
}


@dataclass(frozen=True)
class Truth:
    """Of a principle: how much its best allowed value is better than its best forbidden one, and the mean difference.

    In units of the noise.
    """

    best: float
    mean: float

    @property
    def is_false(self) -> bool:
        return self.best < -NOTHING or abs(self.mean) <= NOTHING

    @property
    def is_backwards(self) -> bool:
        """False in the narrow sense: no difference, or the other way on average."""
        return self.mean <= NOTHING


def truth_of(principle: Principle, world: World, runs: pd.DataFrame) -> Truth:
    """By the true metric of every run, with each combination of the principle's values that was tried."""
    names = list(principle.parameters)
    tried = [dict(zip(names, values, strict=True)) for values in set(runs[names].itertuples(index=False, name=None))]
    configurations = configurations_of(runs)

    def value_of(setting: Mapping[str, Any]) -> float:
        return float(np.mean([world.evaluate({**each, **setting})[principle.metric] for each in configurations]))

    good = [value_of(setting) for setting in tried if principle.holds_for(setting) is True]
    bad = [value_of(setting) for setting in tried if principle.holds_for(setting) is False]
    noise = world.noise / world.scale
    return Truth((max(good) - max(bad)) / noise, float(np.mean(good) - np.mean(bad)) / noise)


@dataclass
class Followed:
    """A world, followed from its first to its last run.

    Attributes
    ----------
    soft_at, hard_at
        For each principle that ever was so, the number of runs then.
    left_at
        The number of runs at which a soft one was not relied upon any more for the first time.
    relied_upon
        At each look, the principles relied upon.
    n_experiments
        Runs that were made to break principles.
    """

    principles: dict[str, Principle] = field(default_factory=dict)
    soft_at: dict[str, int] = field(default_factory=dict)
    hard_at: dict[str, int] = field(default_factory=dict)
    left_at: dict[str, int] = field(default_factory=dict)
    relied_upon: dict[int, list[Principle]] = field(default_factory=dict)
    truths: dict[str, Truth] = field(default_factory=dict)
    n_experiments: int = 0


def follow(history: History, prior: Callable[[str], dict[str, float]], *, experiments: bool) -> Followed:
    followed, known = Followed(), list[Principle]()
    extra: list[dict[str, Any]] = []
    random = np.random.default_rng([history.runs.shape[0], int(experiments)])
    for n in UPDATES:
        runs = in_order(history.until(n).runs, extra)
        evidence = {
            metric: assess_parameters(runs, history.parameters, metric, prior=prior(metric)) for metric in METRICS
        }
        known = update_principles(known, evidence, runs, START + timedelta(days=2 * n))
        for principle in known:
            followed.principles[principle.id] = principle
            # What one step brought, it may also have taken again.
            statuses = {change.status for change in principle.changes}
            if "soft" in statuses:
                followed.soft_at.setdefault(principle.id, n)
            if "hard" in statuses:
                followed.hard_at.setdefault(principle.id, n)
            if principle.id in followed.soft_at and principle.status not in RELIED_UPON:
                followed.left_at.setdefault(principle.id, n)
        if n in LOOKS:
            followed.relied_upon[n] = [principle for principle in known if principle.status in RELIED_UPON]
        if experiments:
            made = list(broken(known, runs, history.world, random, len(extra)))
            extra += [{**run, "after": n} for run in made]
    followed.n_experiments = len(extra)
    followed.truths = {
        name: truth_of(followed.principles[name], history.world, history.runs) for name in followed.soft_at
    }
    return followed


def in_order(runs: pd.DataFrame, extra: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The history, with each experiment after the runs that it followed."""
    if not extra:
        return runs
    made = pd.DataFrame(extra)
    both = pd.concat([runs.assign(after=range(1, len(runs) + 1)), made], ignore_index=True)
    ordered = both.sort_values("after", kind="stable").drop(columns="after")
    dates = pd.Series(pd.date_range("2025-06-01", periods=len(ordered), freq="D"), index=ordered.index)
    return ordered.assign(run_date=dates).reset_index(drop=True)


def broken(
    known: Sequence[Principle], runs: pd.DataFrame, world: World, random: np.random.Generator, made: int
) -> Iterator[dict[str, Any]]:
    """For each soft principle that nobody has broken, the best run that keeps to it, with a value that does not."""
    for principle in known:
        if principle.status != "soft" or principle.breaking_runs:
            continue
        kept = [at for at, each in enumerate(configurations_of(runs)) if principle.holds_for(each) is True]
        best = max(kept, key=lambda at: float(runs[principle.metric].iloc[at]))
        base = configurations_of(runs)[best]
        changes = [
            {**base, name: value}
            for name in principle.parameters
            for value in dict.fromkeys(runs[name])
            if principle.holds_for({**base, name: value}) is False
        ]
        if changes:
            configuration = changes[int(random.integers(len(changes)))]
            yield {"run_name": f"experiment_{made:03d}", **configuration, **world.observe(configuration, random)}
            made += 1


def majors(history: History, n: int) -> Iterator[tuple[str, str, bool]]:
    """Metric, parameter, and whether it is an alias, of the major causes among the first n runs."""
    runs, world = history.until(n).runs, history.world
    tied = {name for group in world.aliases for name in group}
    for metric in METRICS:
        for name in SPACE:
            if world.influence(name, metric, runs) * world.scale > MAJOR * world.noise:
                yield metric, name, name in tied


def share(hits: Sequence[bool]) -> str:
    if not hits:
        return "–"
    interval = binomtest(sum(hits), len(hits)).proportion_ci(method="wilson")
    return f"{sum(hits) / len(hits):.3f} [dim]{interval.low:.3f}–{interval.high:.3f}, {sum(hits)} of {len(hits)}[/dim]"


def shuffled(history: History, number: int) -> Callable[[str], dict[str, float]]:
    """The world's beliefs, of the wrong parameters."""

    def prior(metric: str) -> dict[str, float]:
        given = history.world.prior(metric)
        values = np.random.default_rng([number, METRICS.index(metric)]).permutation(list(given.values()))
        return dict(zip(given, values.tolist(), strict=True))

    return prior


def false_alarms(gap: float, disturb: Callable[[np.random.Generator, float], float], looks: int) -> float:
    """How often breaking a principle that makes no difference makes it hard, at whichever look.

    The runs known before seem to differ by `gap` times the noise, because of something else; those that break the
    principle are as good as the good ones, but for the noise.
    """
    random, alarms = np.random.default_rng(0), 0
    holds = np.arange(2 * KNOWN + looks) < KNOWN
    is_later = np.arange(len(holds)) >= 2 * KNOWN
    configuration = np.arange(len(holds))
    for _ in range(PRETENDED):
        results = np.array([disturb(random, 1.0) for _ in holds]) - gap * (~holds & ~is_later)
        # It is the best run that is broken.
        otherwise = np.where(is_later, np.argmax(np.where(holds, results, -np.inf)), configuration)
        for look in range(1, looks + 1):
            seen = slice(0, 2 * KNOWN + look)
            trials = judge_trials(
                holds=holds[seen],
                fails=~holds[seen],
                is_later=is_later[seen],
                results=results[seen],
                adjusted=results[seen],
                configuration=configuration[seen],
                otherwise=otherwise[seen],
                sd=1.0,
            )
            if trials.breaking_odds >= EXPERIMENT_ODDS:
                alarms += 1
                break
    return alarms / PRETENDED


def report_false_alarms(console: Console) -> None:
    table = Table(
        title=f"A principle that makes no difference gets hard after being broken ({PRETENDED} each)",
        title_justify="left",
    )
    for column in ("apparent effect", "noise", "one run", f"up to {MOST_LOOKS} runs"):
        table.add_column(column)
    for label, disturb in NOISES.items():
        for gap in GAPS:
            table.add_row(
                f"{gap:g} × noise", label, *(f"{false_alarms(gap, disturb, looks):.4f}" for looks in (1, MOST_LOOKS))
            )
    console.print(table)


@dataclass(frozen=True)
class Row:
    """One world, in one of the ways."""

    family: str
    way: str
    followed: Followed
    found: dict[int, list[tuple[bool, bool]]]  # at each look: of every major cause, whether found, whether an alias


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shuffled", action="store_true", help="beliefs of the wrong parameters")
    parser.add_argument(
        "--kept", type=Path, help="folder in which worlds are kept, so that a run that is cut off goes on"
    )
    options = parser.parse_args()
    console = Console(width=150)
    report_false_alarms(console)
    rows: list[Row] = []
    families = list(FAMILIES)
    for number in track(range(options.worlds), console=console, disable=not sys.stdout.isatty()):
        family = families[number % len(families)]
        history = imagined_history(family, LAST, options.seed + number // len(families))
        prior = shuffled(history, number) if options.shuffled else history.world.prior
        rows += kept_rows(options.kept, (options.seed, options.shuffled, number), family, history, prior)
        if not sys.stdout.isatty():
            print(f"{number + 1} of {options.worlds} worlds", file=sys.stderr, flush=True)
    report(rows, console)
    decided = [any(is_false_hard(row.followed)) for row in rows if row.way == WAYS[1]]
    if np.mean(decided) > MOST_FALSE:
        console.print(f"[red]missed[/red] worlds with a false principle that experiments made hard: {share(decided)}")
        return 1
    return 0


def kept_rows(
    folder: Path | None,
    world: tuple[int, bool, int],
    family: str,
    history: History,
    prior: Callable[[str], dict[str, float]],
) -> list[Row]:
    """What became of a world in both ways; read from the folder if it was followed before."""
    file = None if folder is None else folder / ("_".join(map(str, world)) + ".pickle")
    if file is not None and file.exists():
        rows: list[Row] = pickle.loads(file.read_bytes())  # noqa: S301 - written by this program
        return rows
    rows = []
    for way in WAYS:
        followed = follow(history, prior, experiments=way == WAYS[1])
        rows.append(Row(family, way, followed, {n: list(found(history, n, followed)) for n in LOOKS}))
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, pickle.dumps(rows))
    return rows


def found(history: History, n: int, followed: Followed) -> Iterator[tuple[bool, bool]]:
    for metric, name, is_alias in majors(history, n):
        right = [p for p in followed.relied_upon[n] if p.metric == metric and not followed.truths[p.id].is_false]
        yield any(name in p.parameters for p in right), is_alias


def is_false_hard(followed: Followed) -> list[bool]:
    return [followed.truths[name].is_false for name in followed.hard_at]


def report(rows: Sequence[Row], console: Console) -> None:
    table = Table(title=f"Principles over {len(rows) // len(WAYS)} worlds, up to {LAST} runs", title_justify="left")
    table.add_column("")
    for way in WAYS:
        table.add_column(way)
    for label, figure in FIGURES.items():
        table.add_row(label, *(figure([row for row in rows if row.way == way]) for way in WAYS))
    console.print(table)
    by_family = Table(title="By family, experiments decide", title_justify="left")
    for column in (
        "family",
        "false of the soft",
        "worlds with a false soft",
        "worlds with a false hard",
        "recall at 30",
    ):
        by_family.add_column(column)
    for family in FAMILIES:
        own = [row for row in rows if row.family == family and row.way == WAYS[1]]
        if own:
            by_family.add_row(
                family,
                share([truth.is_false for row in own for truth in row.followed.truths.values()]),
                share([any(truth.is_false for truth in row.followed.truths.values()) for row in own]),
                share([any(is_false_hard(row.followed)) for row in own]),
                share([hit for row in own for hit, _ in row.found[LAST]]),
            )
    console.print(by_family)
    for row in rows:
        for name, truth in row.followed.truths.items():
            if truth.is_false:
                principle = row.followed.principles[name]
                console.print(
                    f"[dim]false, {row.family}, {row.way}: {principle.statement} (truly {truth.best:+.2f} at best, "
                    f"{truth.mean:+.2f} on average, times the noise), soft at {row.followed.soft_at[name]} runs, "
                    f"hard at {row.followed.hard_at.get(name, '–')}, left at {row.followed.left_at.get(name, '–')}; "
                    f"in the end {principle.status}: {principle.reason}[/dim]"
                )


def soft(rows: Sequence[Row]) -> Iterator[tuple[Followed, str, Truth]]:
    return ((row.followed, name, truth) for row in rows for name, truth in row.followed.truths.items())


def durations(rows: Sequence[Row]) -> str:
    """How long a false one is relied upon."""
    false = [(followed, name) for followed, name, truth in soft(rows) if truth.is_false]
    runs = [followed.left_at[name] - followed.soft_at[name] for followed, name in false if name in followed.left_at]
    ended = f"median {np.median(runs):g} runs, " if runs else ""
    return f"{ended}{len(runs)} of {len(false)} left before run {LAST}"


FIGURES: Mapping[str, Callable[[Sequence[Row]], str]] = {
    "worlds with a false principle, approved blindly": lambda rows: share(
        [any(truth.is_false for truth in row.followed.truths.values()) for row in rows]
    ),
    "… with no effect or the reverse": lambda rows: share(
        [any(truth.is_backwards for truth in row.followed.truths.values()) for row in rows]
    ),
    "… that costs more than the noise": lambda rows: share(
        [any(truth.best < -1 or truth.is_backwards for truth in row.followed.truths.values()) for row in rows]
    ),
    "worlds with a false hard one by experiment": lambda rows: share(
        [any(is_false_hard(row.followed)) for row in rows]
    ),
    "false of the soft": lambda rows: share([truth.is_false for _, _, truth in soft(rows)]),
    "false of the hard by experiment": lambda rows: share(
        [truth.is_false for followed, name, truth in soft(rows) if name in followed.hard_at]
    ),
    "true soft that got hard by experiment": lambda rows: share(
        [name in followed.hard_at for followed, name, truth in soft(rows) if not truth.is_false]
    ),
    "true soft that were given up at some time": lambda rows: share(
        [name in followed.left_at for followed, name, truth in soft(rows) if not truth.is_false]
    ),
    **{
        f"major causes relied upon at {n}": lambda rows, n=n: share([hit for row in rows for hit, _ in row.found[n]])  # type: ignore[misc]
        for n in LOOKS
    },
    **{
        f"… that are no alias, at {n}": lambda rows, n=n: share(  # type: ignore[misc]
            [hit for row in rows for hit, is_alias in row.found[n] if not is_alias]
        )
        for n in LOOKS
    },
    "soft a world": lambda rows: f"{np.mean([len(row.followed.soft_at) for row in rows]):.1f}",
    "experiments a world": lambda rows: f"{np.mean([row.followed.n_experiments for row in rows]):.1f}",
    "how long a false one was relied upon": durations,
}


if __name__ == "__main__":
    sys.exit(main())
