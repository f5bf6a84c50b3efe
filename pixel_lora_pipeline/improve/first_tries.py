"""Experiments with what no run has tried: promising parameters one by one, several at once, and work on the data."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.better_values import BetterValue
from pixel_lora_pipeline.improve.configuration import as_written, is_known, number_of
from pixel_lora_pipeline.improve.draft import Base, Draft
from pixel_lora_pipeline.improve.following_parameters import with_followers
from pixel_lora_pipeline.improve.goal import Goal
from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect, State
from pixel_lora_pipeline.improve.search_space import SearchSpace
from pixel_lora_pipeline.improve.unexplored_parameters import Idea, applicable, is_data
from pixel_lora_pipeline.improve.wording import listed, shown, told_change

# Parameters whose effect is documented, by the steps of `learn/domain_priors.toml`.
_BELIEVED: Final = 0.3
# So many are tried at once: if one of several that are as probable to act as not does, a single run shows it.
_GROUP: Final = 4
_MEDIUM: Final = 0.3


def promising_parameters(base: Base, goal: Goal, runs: pd.DataFrame, metrics: Sequence[str]) -> list[Draft]:
    """One for each idea of `unexplored_parameters.toml` that applies, the most promising first.

    Parameters
    ----------
    metrics
        Those that are measured.
    """
    return [_promising(idea, after, base, goal, runs, metrics) for idea, after in applicable(base.parameters, runs)]


def _promising(idea: Idea, after: Any, base: Base, goal: Goal, runs: pd.DataFrame, metrics: Sequence[str]) -> Draft:
    metric = idea.metric_of(metrics)
    shown_by = metric or goal.metric
    changes = with_followers({idea.parameter: after}, base.parameters, runs)
    present = _mean(runs, base.run, shown_by)
    gain = [share * abs(present) if math.isfinite(present) else 0.0 for share in idea.gain]
    sign = goal.sign if shown_by == goal.metric else 1
    mean = idea.prior * (gain[0] + gain[1]) / 2
    low, high = sorted((sign * min(gain[0], 0.0), sign * gain[1]))
    waits = idea.needs_metric and metric is None
    tells = f" No run has a measurement of {listed(idea.metrics)} yet, by which it could be told." if waits else ""
    present_value = base.parameters.get(idea.parameter, idea.unset)
    whose = "The present data have" if idea.kind == "data" else _all(runs, base)
    state: State = "REQUIRES DATASET WORK" if idea.kind == "data" else "PENDING DATA" if waits else "PROPOSED"
    low_priority = idea.kind == "data" or idea.prior < _MEDIUM
    return Draft(
        title=f"{_instruction(idea.parameter, present_value, after)} {idea.purpose}",
        rationale=f"{whose} {idea.parameter} = {shown(present_value)}. {idea.reason}{tells} ({idea.source})",
        source=idea.kind,
        base=base,
        changes=changes,
        expected={shown_by: ExpectedEffect(sign * mean, low, high, "belief")} if math.isfinite(present) else {},
        confidence=idea.prior,
        score=idea.prior * (1 + idea.gain[1]),
        priority="LOW" if low_priority else "MEDIUM",
        state=state,
    )


def screening(
    base: Base,
    improvements: Sequence[BetterValue],
    evidence: Mapping[str, pd.DataFrame],
    goal: Goal,
    runs: pd.DataFrame,
    space: SearchSpace,
    seed: int,
) -> list[Draft]:
    """Experiments that change several parameters at once which no run has varied.

    With many parameters of which few act, changing them one by one takes as many runs as there are; changed in groups,
    most of them are known by one. What the runs already say to be better is set as well. The values are those of the
    search space that are farthest from the present one.

    References
    ----------
    .. [1] Watson, "A study of the group screening method", Technometrics 3, 1961, doi:10.1080/00401706.1961.10489958
    """
    random = np.random.default_rng([seed, 2])
    believed = sorted(_believed(evidence, goal, runs, space).items(), key=lambda item: (-item[1], item[0]))
    values = {name: _farthest(space, name, base.parameters.get(name), random) for name, _ in believed}
    beliefs = {name: probability for name, probability in believed if values[name] is not None}
    better = {name: value for found in improvements for name, value in found.changes.items()}
    drafts = []
    for data in (False, True):
        names = [name for name in beliefs if is_data(name) == data]
        n_groups = math.ceil(len(names) / _GROUP)
        # Every n-th: the most believed ones are spread over the groups.
        for group in (names[at::n_groups] for at in range(n_groups)):
            drafts.append(_screen(group, values, beliefs, better, base, data))
    return sorted(drafts, key=lambda draft: -draft.score)


def _screen(
    group: Sequence[str],
    values: Mapping[str, Any],
    beliefs: Mapping[str, float],
    better: Mapping[str, Any],
    base: Base,
    data: bool,
) -> Draft:
    tried = {name: values[name] for name in group}
    probability = 1 - math.prod(1 - beliefs[name] for name in group)
    with_better = f", with what the runs say is better ({told_change(better, base.parameters)})" if better else ""
    many = len(group) > 1
    return Draft(
        title=f"{'Screen' if many else 'Try'} {listed(group)}: {told_change(tried, base.parameters)}",
        rationale=(
            f"No run has varied {listed(group)}, and each is believed to act with {_BELIEVED:.0%} or more: "
            f"one of them does with {probability:.0%}{with_better}. "
            + (f"A clear difference from {base.run} is then traced to one of them by halving." if many else "")
        ).strip(),
        source="data" if data else "unexplored",
        base=base,
        changes={**better, **tried},
        expected={},
        confidence=probability / 2,  # nobody knows the direction
        score=probability / 2,
        priority="LOW" if data else "MEDIUM",
        state="REQUIRES DATASET WORK" if data else "PROPOSED",
        focus=frozenset(group),
    )


def _believed(
    evidence: Mapping[str, pd.DataFrame], goal: Goal, runs: pd.DataFrame, space: SearchSpace
) -> dict[str, float]:
    """Parameters that no run has varied, and how probably they act on the goal or on the best part of it."""
    found: dict[str, float] = {}
    for metric, table in evidence.items():
        if metric != goal.metric and metric not in goal.worth:
            continue
        for row in table.to_dict("records"):
            name = row["parameters"][0]
            is_alone = len(row["parameters"]) == 1 and name in space.parameters
            if is_alone and row["prior"] >= _BELIEVED and _n_values(runs, name) <= 1:
                weight = 1.0 if metric == goal.metric else goal.worth[metric] * _spread(runs, metric) / goal.scale
                # Of a parameter that acts on several parts, each counts.
                found[name] = 1 - (1 - found.get(name, 0.0)) * (1 - min(weight, 1.0) * row["prior"])
    return found


def _farthest(space: SearchSpace, name: str, present: Any, random: np.random.Generator) -> Any:
    """The value that is farthest from the present one; of equally far ones any. None if there is no other."""
    parameter = space.parameters[name]
    others = [value for value in parameter.values if as_written(value) != as_written(present)]
    if not others:
        return None
    place = parameter.place(parameter.filled(present))
    if not parameter.is_ordered or math.isnan(place):
        return others[int(random.integers(len(others)))]
    distances = [abs(parameter.place(value) - place) for value in others]
    far = [value for value, distance in zip(others, distances, strict=True) if distance == max(distances)]
    return far[int(random.integers(len(far)))]


def _n_values(runs: pd.DataFrame, name: str) -> int:
    return len({as_written(value) for value in runs[name] if is_known(value)}) if name in runs else 0


def _spread(runs: pd.DataFrame, metric: str) -> float:
    found = pd.to_numeric(runs[metric], errors="coerce").std(ddof=0)
    return float(found) if math.isfinite(found) else 0.0


def _mean(runs: pd.DataFrame, run: str | None, metric: str) -> float:
    if run is None or metric not in runs:
        return math.nan
    found = pd.to_numeric(runs.loc[runs["run_name"].astype(str) == run, metric], errors="coerce").mean()
    return float(found)


def _all(runs: pd.DataFrame, base: Base) -> str:
    return f"All {len(runs)} runs have" if len(runs) > 1 else f"{base.run or 'No run'} has"


def _instruction(parameter: str, before: Any, after: Any) -> str:
    one, other = number_of(before), number_of(after)
    if one is None or other is None or isinstance(before, bool | str):
        return f"Set {parameter} to {shown(after)}"
    if one == 0:
        return f"Add {parameter}={shown(after)}"
    return f"{'Increase' if other > one else 'Reduce'} {parameter} from {shown(before)} to {shown(after)}"
