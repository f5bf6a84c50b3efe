"""Runs that are worth choosing when more than one thing matters: better, faster, cheaper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ACCEPTABLE: Final = 0.1
"""Share of the best value of the first goal that may be given up for the others."""


@dataclass(frozen=True)
class Goal:
    """Something that a run should be good at.

    Attributes
    ----------
    column
        Of the table of runs.
    better
        Which direction is.
    gain
        What an improvement is called: "better", "faster", "cheaper".
    standard_error
        Of a value, in its units: a difference that is no larger decides nothing. 0 for what is simply counted.
    """

    column: str
    better: Literal["higher", "lower"]
    gain: str
    standard_error: float = 0.0


@dataclass(frozen=True)
class Choice:
    """A run to choose, and why.

    Attributes
    ----------
    name
        "best quality", "knee" or "cheapest acceptable".
    run_name
        The run's.
    sentence
        What it gains and gives up against the best in the first goal.
    values
        Of each goal, by column.
    """

    name: str
    run_name: str
    sentence: str
    values: Mapping[str, float]


@dataclass(frozen=True)
class ParetoFront:
    """What `pareto_front` found.

    Attributes
    ----------
    table
        A row a run for which every goal is known, the best in the first goal first: `run_name`, the goals' columns,
        `on_front`, `dominated_by` (the run that is better beyond chance; None on the front).
    choices
        A run may be chosen for several reasons; then it stands under the first.
    left_out
        Runs of which some goal is not known.
    """

    table: pd.DataFrame
    choices: tuple[Choice, ...]
    left_out: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return {
            "runs": self.table.astype(object).where(self.table.notna(), None).to_dict("records"),
            "choices": [{**vars(choice), "values": dict(choice.values)} for choice in self.choices],
            "left_out": list(self.left_out),
        }


def pareto_front(runs: pd.DataFrame, goals: Sequence[Goal], *, acceptable: float = ACCEPTABLE) -> ParetoFront:
    """Find the runs to which no other is preferable, and name those that stand for something.

    A run is preferable to another if it is better by more than the standard error of the difference in some goal, and
    not worse by more than that in any. Because such small differences add up, this is not transitive; so of the runs
    that no other beats outright, the one that is beaten most clearly is taken away again and again, until none is.

    Parameters
    ----------
    runs
        A row a run, with `run_name` and the goals' columns. Give the mean of replicates.
    goals
        The first is what the others are weighed against.
    acceptable
        Share of the best value of the first goal that "cheapest acceptable" may give up.

    Raises
    ------
    ValueError
        If there are fewer than two goals, a column is missing, or `acceptable` is no share.
    """
    if len(goals) < 2:
        raise ValueError(f"{len(goals)} goal: with one, the best run is the best. Name at least two")
    if missing := [name for name in ("run_name", *(goal.column for goal in goals)) if name not in runs]:
        raise ValueError(f"runs has no column {', '.join(missing)}, only {list(runs.columns)}")
    if not 0 <= acceptable < 1:
        raise ValueError(f"acceptable is {acceptable}: give a share of the best value, 0 to 1")
    columns = [goal.column for goal in goals]
    numbers = runs[["run_name", *columns]].astype(dict.fromkeys(columns, float)).replace([np.inf, -np.inf], np.nan)
    known = numbers.dropna().sort_values([columns[0], "run_name"], ascending=[goals[0].better == "lower", True])
    left_out = tuple(str(name) for name in numbers.loc[~numbers.index.isin(known.index), "run_name"])
    signs = np.array([1.0 if goal.better == "higher" else -1.0 for goal in goals])
    values = known[columns].to_numpy() * signs
    errors = np.array([goal.standard_error for goal in goals]) * np.sqrt(2)
    beaten_by = _beaten_by(values, errors)
    names = known["run_name"].astype(str).to_list()
    table = known.assign(
        on_front=[by is None for by in beaten_by],
        dominated_by=[None if by is None else names[by] for by in beaten_by],
    ).reset_index(drop=True)
    return ParetoFront(table, _choices(table[table["on_front"]], goals, acceptable), left_out)


def _beaten_by(values: Floats, errors: Floats) -> list[int | None]:
    """For each row of float[n, goals], larger being better, the row that is preferable to it; None on the front."""
    beaten: list[int | None] = [None] * len(values)
    for at, row in enumerate(values):
        outright = np.flatnonzero((values >= row).all(axis=1) & (values > row).any(axis=1))
        if len(outright):
            beaten[at] = int(outright[np.argmax(values[outright, 0])])
    while True:
        left = [at for at, by in enumerate(beaten) if by is None]
        margins = [
            (_margin(values[one] - values[other], errors), one, other) for one in left for other in left if one != other
        ]
        margin, one, other = max(margins, default=(0.0, 0, 0), key=lambda entry: (entry[0], -entry[2]))
        if margin <= 0:
            return beaten
        beaten[other] = one


def _margin(gain: Floats, errors: Floats) -> float:
    """By how many standard errors one run is preferable to another; 0 if it is not."""
    if (gain < -errors).any() or not (gain > errors).any():
        return 0.0
    clear = gain > errors
    return float(np.max(gain[clear] / np.where(errors[clear] > 0, errors[clear], gain[clear])))


def _choices(front: pd.DataFrame, goals: Sequence[Goal], acceptable: float) -> tuple[Choice, ...]:
    if front.empty:
        return ()
    first = goals[0]
    best = front.iloc[0]
    values = np.column_stack(
        [front[goal.column].to_numpy() * (1.0 if goal.better == "higher" else -1.0) for goal in goals]
    )
    span = np.ptp(values, axis=0)
    lost = (values.max(axis=0) - values) / np.where(span > 0, span, 1.0)
    knee = front.iloc[int(np.argmin(np.sqrt((lost**2).sum(axis=1))))]
    tolerated = abs(best[first.column]) * acceptable
    good_enough = front[(front[first.column] - best[first.column]).abs() <= tolerated]
    price = goals[-1]
    cheapest = good_enough.sort_values(price.column, ascending=price.better == "lower", kind="stable").iloc[0]
    chosen: dict[str, Choice] = {}
    for name, row in (("best quality", best), ("knee", knee), ("cheapest acceptable", cheapest)):
        run_name = str(row["run_name"])
        if run_name not in chosen:
            figures = {goal.column: float(row[goal.column]) for goal in goals}
            chosen[run_name] = Choice(name, run_name, _sentence(row, best, goals), figures)
    return tuple(chosen.values())


def _sentence(row: pd.Series, best: pd.Series, goals: Sequence[Goal]) -> str:
    if row["run_name"] == best["run_name"]:
        return f"The best in {goals[0].column}."
    parts = []
    for goal in goals:
        before, after = float(best[goal.column]), float(row[goal.column])
        change = abs(after - before) / abs(before) if before else float("nan")
        if after == before or change != change:
            continue
        improved = (after > before) == (goal.better == "higher")
        share = f"{100 * change:.0f} %"
        parts.append(f"{share} {goal.gain}" if improved else f"{share} less good in {goal.column}")
    return f"Against {best['run_name']}: {', '.join(parts) or 'the same'}."
