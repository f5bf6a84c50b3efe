"""Which values of a parameter are better by a finding, and which it should be moved away from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pixel_lora_pipeline.learn.impact_report.content import Better
from pixel_lora_pipeline.learn.impact_report.finding import Finding, effect_of
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import typed


@dataclass(frozen=True)
class Sides:
    """The two groups of runs that a finding compares.

    Attributes
    ----------
    low, high
        Rows of the run table.
    low_values, high_values
        For each parameter, the values that it had there.
    ends
        For each parameter, its values where the class is lowest and where it is highest.
    """

    low: Sequence[int]
    high: Sequence[int]
    low_values: Mapping[str, tuple[Any, ...]]
    high_values: Mapping[str, tuple[Any, ...]]
    ends: Mapping[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Advice:
    """A change, for each parameter of the class: from the values of the worse side to those of the better one.

    Attributes
    ----------
    is_high_better
        Whether the values of the finding's high side are the better ones.
    """

    to: Mapping[str, tuple[Any, ...]]
    away_from: Mapping[str, tuple[Any, ...]]
    is_high_better: bool


def sides_of(finding: Finding, table: RunTable) -> Sides:
    """Low and high side, with what was set there."""
    low, high = table.rows(finding.runs_low), table.rows(finding.runs_high)
    leader = leader_of(finding, table)
    levels = table.values(leader, [*low, *high])
    lowest, highest = (_at_level(finding, leader, levels[at], table) if levels else {} for at in (0, -1))
    return Sides(
        low,
        high,
        {name: table.values(name, low) for name in finding.parameters},
        {name: table.values(name, high) for name in finding.parameters},
        {name: (*lowest.get(name, ())[:1], *highest.get(name, ())[:1]) for name in finding.parameters},
    )


def advice_of(finding: Finding, sides: Sides, table: RunTable, better: Better) -> Advice | None:
    """What the finding advises; None where it shows no direction or where no direction is better.

    Of a threshold, a peak or a name all values of the better side are as good. In other forms it is the best value
    that was tried, against the worst.
    """
    if not finding.effect or better == "neither":
        return None
    is_high_better = (finding.effect > 0) == (better == "higher")
    if finding.encoding in ("threshold", "peak", "level"):
        good, bad = (sides.high_values, sides.low_values) if is_high_better else (sides.low_values, sides.high_values)
        return Advice(good, bad, is_high_better)
    leader = leader_of(finding, table)
    effects = effect_of(finding)
    known = [level for level in table.column(leader).levels if typed(level) in effects]
    if len(known) < 2:
        return None
    by_effect = sorted(known, key=lambda level: effects[typed(level)] * (1 if better == "higher" else -1))
    return Advice(
        _at_level(finding, leader, by_effect[-1], table),
        _at_level(finding, leader, by_effect[0], table),
        is_high_better,
    )


def leader_of(finding: Finding, table: RunTable) -> str:
    """The parameter of the class whose values the effects are listed by."""
    listed = set(effect_of(finding))
    return next(
        (name for name in finding.parameters if listed <= set(map(typed, table.column(name).levels))),
        finding.parameters[0],
    )


def _at_level(finding: Finding, leader: str, level: Any, table: RunTable) -> dict[str, tuple[Any, ...]]:
    column = table.column(leader)
    rows = np.flatnonzero(column.codes == column.levels.index(level)).tolist()
    return {name: (level,) if name == leader else table.values(name, rows) for name in finding.parameters}
