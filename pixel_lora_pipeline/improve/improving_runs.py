"""Experiments that are expected to be better than the best run: by the evidence, and by the search."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pandas as pd
from scipy.stats import norm

from pixel_lora_pipeline.improve.better_values import BetterValue
from pixel_lora_pipeline.improve.configuration import as_written, is_known
from pixel_lora_pipeline.improve.draft import Base, Draft
from pixel_lora_pipeline.improve.following_parameters import with_followers
from pixel_lora_pipeline.improve.goal import Goal
from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect
from pixel_lora_pipeline.improve.incumbent import Incumbent, best_so_far
from pixel_lora_pipeline.improve.landscape import survey
from pixel_lora_pipeline.improve.observations import Belief
from pixel_lora_pipeline.improve.search import Suggestion, propose
from pixel_lora_pipeline.improve.search_space import SearchSpace
from pixel_lora_pipeline.improve.wording import listed, told_change

# Changes that are made at once: more of them say less about each.
MOST_CHANGES: Final = 6
# Of a search: what probably matters most. A dozen runs tell nothing of more dimensions, and each costs time.
_MOST_DIMENSIONS: Final = 8
_HIGH_GAIN: Final = 0.25  # standard deviations of the runs
_HIGH_CONFIDENCE: Final = 0.5
_MOST_RUNS: Final = 3
_UNKNOWN: Final = 0.5
_ROUNDING: Final = 1e-9


def improvements_together(found: Sequence[BetterValue], base: Base, goal: Goal, runs: pd.DataFrame) -> list[Draft]:
    """All that the runs say is better, at once; then each of it alone."""
    groups = [list(found)] if len(found) > 1 else []
    return [_improvement(group, base, goal, runs) for group in [*groups, *([value] for value in found)]]


def _improvement(group: Sequence[BetterValue], base: Base, goal: Goal, runs: pd.DataFrame) -> Draft:
    asked = {name: value for found in group for name, value in found.changes.items()}
    gain = sum(found.gain for found in group)
    # What promises most counts most.
    confidence = sum(found.gain * found.pip for found in group) / gain
    effects: dict[str, ExpectedEffect] = {}
    for found in group:
        for metric, effect in found.effects.items():
            old = effects.get(metric, ExpectedEffect(0.0, 0.0, 0.0, "runs"))
            effects[metric] = ExpectedEffect(
                old.mean + effect.mean, old.low + effect.low, old.high + effect.high, "runs"
            )
    says = [
        f"{listed(sorted(found.changes))} acts on {found.metric} with a probability of {found.pip:.0%} "
        f"({len(found.runs)} runs: {listed(found.runs, _MOST_RUNS)})"
        for found in group
    ]
    is_high = confidence >= _HIGH_CONFIDENCE and gain >= _HIGH_GAIN * goal.scale
    return Draft(
        title=f"Improve {goal.metric}: {told_change(asked, base.parameters)}",
        rationale=f"Better than {base.run}, by what the runs say: {'; '.join(says)}.",
        source="evidence",
        base=base,
        changes=with_followers(asked, base.parameters, runs),
        expected=effects,
        confidence=confidence,
        score=gain / goal.scale,
        priority="HIGH" if is_high else "MEDIUM",
        focus=frozenset(asked),
    )


def searched_configurations(
    space: SearchSpace,
    base: Base,
    evidence: Mapping[str, pd.DataFrame],
    goal: Goal,
    runs: pd.DataFrame,
    principles: Sequence[Belief],
    count: int,
    seed: int,
) -> list[Draft]:
    """What the search would run next, in the parameters of the space that probably matter most."""
    within = _deciding(space, evidence, goal)
    fixed = {name: value for name, value in base.parameters.items() if name not in within.parameters}
    landscape = survey(
        within,
        runs if goal.metric in runs else runs.iloc[:0],
        principles,
        metric=goal.metric,
        lower_is_better=goal.lower_is_better,
        fixed=fixed,
        seed=seed,
    )
    best = best_so_far(landscape)
    return [_searched(found, best, within, base, goal, runs) for found in propose(landscape, count, seed=seed)]


def _searched(
    found: Suggestion, best: Incumbent | None, space: SearchSpace, base: Base, goal: Goal, runs: pd.DataFrame
) -> Draft:
    changes = {
        name: value
        for name, value in found.parameters.items()
        if as_written(space.parameters[name].filled(base.parameters.get(name))) != as_written(value)
    }
    told = told_change(changes, base.parameters if base.run is not None else None)
    draft = Draft(
        title=f"Look elsewhere: {told}",
        rationale="Too few runs to learn from: this configuration is as unlike them as the space allows.",
        source="search",
        base=base,
        changes=with_followers(changes, base.parameters, runs),
        expected={},
        confidence=_UNKNOWN,
        score=0.0,
        priority="MEDIUM",
        focus=frozenset(changes),
    )
    if best is None or found.expected is None or found.deviation is None or found.improvement is None:
        return draft
    change, reach = found.expected - best.expected, float(norm.ppf(0.975)) * found.deviation
    confidence = float(norm.cdf(goal.sign * change, scale=max(found.deviation, _ROUNDING * goal.scale)))
    score = found.improvement / goal.scale
    return replace(
        draft,
        title=f"Follow the search: {told}",
        rationale=(
            f"Of all configurations of {listed(space.names, len(space.names))}, this one has most room to exceed the "
            f"best: {goal.metric} {found.expected:.4g} ± {reach:.2g}. {best.reason}"
        ),
        expected={goal.metric: ExpectedEffect(change, change - reach, change + reach, "search")},
        confidence=confidence,
        score=score,
        priority="HIGH" if confidence >= _HIGH_CONFIDENCE and score >= _HIGH_GAIN else "MEDIUM",
    )


def space_of(runs: pd.DataFrame, parameters: Sequence[str]) -> SearchSpace | None:
    """The roadmap's space as far as the runs tell of it, widened by what they tried; None if they tell nothing.

    Parameters
    ----------
    parameters
        Columns of `runs` that are parameters.
    """
    space = SearchSpace.default()
    if not len(runs):
        return space
    found: dict[str, Any] = {}
    for name, parameter in space.parameters.items():
        tried = [value for value in runs[name] if is_known(value)] if name in parameters else []
        if not tried and parameter.unset is None:
            continue
        found[name] = parameter
    return SearchSpace(parameters=found) if found else None


def _deciding(space: SearchSpace, evidence: Mapping[str, pd.DataFrame], goal: Goal) -> SearchSpace:
    weights = dict.fromkeys(space.names, 0.0)
    for metric, table in evidence.items():
        weight = 1.0 if metric == goal.metric else min(goal.worth.get(metric, 0.0), 1.0)
        for row in table.to_dict("records"):
            for name in row["parameters"]:
                if name in weights:
                    weights[name] = max(weights[name], weight * float(row["pip"]) / len(row["parameters"]))
    chosen = sorted(space.names, key=lambda name: -weights[name])[:_MOST_DIMENSIONS]
    return SearchSpace(parameters={name: space.parameters[name] for name in space.names if name in chosen})
