"""Changes of single parameters that the runs say are for the better."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.configuration import as_written, is_known
from pixel_lora_pipeline.improve.goal import Goal
from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect

# A gain that is smaller, in standard deviations of the goal over the runs, is not worth a change.
LEAST_GAIN: Final = 0.02


@dataclass(frozen=True)
class BetterValue:
    """A change of one parameter, or of several that always changed together.

    Attributes
    ----------
    changes
        Parameter → value.
    gain
        By how much the goal gets better, the chance of no effect included; in its units, always positive.
    effects
        Metric → its own change.
    pip
        Posterior inclusion probability of the parameter for the metric that says most.
    metric
        That one.
    runs
        Names of the runs that speak for it.
    """

    changes: dict[str, Any]
    gain: float
    effects: dict[str, ExpectedEffect]
    pip: float
    metric: str
    runs: tuple[str, ...]


def better_values(
    base: Mapping[str, Any], evidence: Mapping[str, pd.DataFrame], goal: Goal, runs: pd.DataFrame
) -> list[BetterValue]:
    """What to change on a configuration, the greatest gain first; each parameter at most once.

    Only values that some run had are considered: what lies beyond is for `unexplored_parameters` and `search`.

    Parameters
    ----------
    base
        The configuration.
    evidence
        For each metric a table of `learn.assess_parameters`.
    """
    found = _by_change(base, evidence, goal, runs)
    chosen: list[BetterValue] = []
    for value in sorted(found, key=lambda value: (-value.gain, sorted(value.changes))):
        if value.gain >= LEAST_GAIN * goal.scale and not any(value.changes.keys() & of.changes for of in chosen):
            chosen.append(value)
    return chosen


def effect_between(row: Mapping[str, Any], before: Any, after: Any) -> ExpectedEffect | None:
    """What evidence says of going from one value to another; None if it does not say.

    Parameters
    ----------
    row
        Of the table of `learn.assess_parameters`.
    """
    by_value = {as_written(value): effect for value, effect in row["effect_by_value"].items()}
    here, there = by_value.get(as_written(before)), by_value.get(as_written(after))
    if here is None or there is None or not math.isfinite(there - here):
        return None
    mean, whole = float(there - here), float(row["effect"])
    if not math.isfinite(whole) or whole == 0:
        return ExpectedEffect(mean, min(mean, 0.0), max(mean, 0.0), "runs")
    # The interval is of the whole effect, from one end to the other; a part of the way has a part of it.
    ends = sorted((mean / whole * float(row["effect_low"]), mean / whole * float(row["effect_high"])))
    return ExpectedEffect(mean, min(ends[0], mean), max(ends[1], mean), "runs")


def _by_change(
    base: Mapping[str, Any], evidence: Mapping[str, pd.DataFrame], goal: Goal, runs: pd.DataFrame
) -> list[BetterValue]:
    changes: dict[tuple[tuple[str, str], ...], dict[str, Any]] = {}
    effects: dict[tuple[tuple[str, str], ...], dict[str, ExpectedEffect]] = {}
    rows: dict[tuple[tuple[str, str], ...], dict[str, Mapping[str, Any]]] = {}
    for metric, table in evidence.items():
        for row in table.to_dict("records"):
            leader = leader_of(row, base)
            if leader is None:
                continue
            for value in row["effect_by_value"]:
                effect = effect_between(row, base[leader], value)
                change = _together(row["parameters"], leader, value, base, runs)
                if effect is None or not change:
                    continue
                key = tuple(sorted((name, as_written(after)) for name, after in change.items()))
                changes[key] = change
                effects.setdefault(key, {})[metric] = effect
                rows.setdefault(key, {})[metric] = row
    return [_better_value(changes[key], effects[key], rows[key], goal) for key in changes]


def _better_value(
    change: dict[str, Any], effects: dict[str, ExpectedEffect], rows: Mapping[str, Mapping[str, Any]], goal: Goal
) -> BetterValue:
    of_parts = {name: weight * effects[name].mean for name, weight in goal.worth.items() if name in effects}
    direct = goal.sign * effects[goal.metric].mean if goal.metric in effects else 0.0
    gain = goal.share * sum(of_parts.values()) + (1 - goal.share) * direct
    says = {**{name: goal.share * part for name, part in of_parts.items()}, goal.metric: (1 - goal.share) * direct}
    metric = max((name for name in says if name in rows), key=lambda name: abs(says[name]), default=next(iter(rows)))
    shown = {name: effect for name, effect in effects.items() if name in goal.worth or name == goal.metric}
    if goal.metric in effects:
        told = effects[goal.metric]
        mean = goal.sign * gain
        shown[goal.metric] = ExpectedEffect(mean, min(told.low, mean), max(told.high, mean), "runs")
    return BetterValue(
        changes=change,
        gain=gain,
        effects=shown,
        pip=float(rows[metric]["pip"]),
        metric=metric,
        runs=tuple(str(name) for name in rows[metric]["evidence_runs"]),
    )


def leader_of(row: Mapping[str, Any], base: Mapping[str, Any]) -> str | None:
    """The parameter of a class whose values its effects are told by, if the configuration has one of them."""
    by_value = {as_written(value) for value in row["effect_by_value"]}
    if len(by_value) < 2:
        return None
    return next((name for name in row["parameters"] if as_written(base.get(name)) in by_value), None)


def _together(
    parameters: list[str], leader: str, value: Any, base: Mapping[str, Any], runs: pd.DataFrame
) -> dict[str, Any]:
    """The change of a whole class: its members always changed together, and all go to where one run had them."""
    cells = [as_written(cell) == as_written(value) for cell in runs[leader]]
    there = runs[cells]
    found: dict[str, Any] = {}
    for name in parameters:
        after = next((cell for cell in there[name] if is_known(cell)), None)
        if after is not None and as_written(after) != as_written(base.get(name)):
            found[name] = after.item() if isinstance(after, np.generic) else after
    return found
