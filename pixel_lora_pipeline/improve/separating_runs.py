"""Experiments that tell apart parameters which always, or nearly always, changed together."""

import math
from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.improve.configuration import as_written
from pixel_lora_pipeline.improve.draft import Base, Draft
from pixel_lora_pipeline.improve.goal import Goal
from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect
from pixel_lora_pipeline.improve.unexplored_parameters import is_data
from pixel_lora_pipeline.improve.wording import listed, told_change
from pixel_lora_pipeline.learn.verdict import HIGH_PROBABILITY, MODERATE_PROBABILITY

# Whether it is the one or the other is not worth a run unless the class acts this probably.
_MATTERS: Final = MODERATE_PROBABILITY


def separating_runs(
    base: Base, evidence: Mapping[str, pd.DataFrame], goal: Goal, configurations: Mapping[str, Mapping[str, Any]]
) -> list[Draft]:
    """One for each class, those first of which it matters most.

    Parameters
    ----------
    base
        The best configuration; the change is made there if it fits, else on the run that the evidence names.
    configurations
        Of each run.
    """
    drafts = [
        _draft(row, metric, _worth(row, metric, goal), base, goal, configurations)
        for metric, row in _rows(evidence)
        if _worth(row, metric, goal) > 0
    ]
    return sorted(drafts, key=lambda draft: -draft.score)


def _rows(evidence: Mapping[str, pd.DataFrame]) -> list[tuple[str, dict[str, Any]]]:
    """Of everything that is inseparable: exactly, or so nearly that it matters once it acts."""
    return [
        (metric, row)
        for metric, table in evidence.items()
        for row in table.to_dict("records")
        if row["separating_experiment"] is not None and row["pip"] >= _MATTERS
    ]


def _worth(row: Mapping[str, Any], metric: str, goal: Goal) -> float:
    """How much of the goal is at stake, in standard deviations, times the probability that the class acts."""
    weight = abs(goal.worth.get(metric, 0.0)) if metric != goal.metric else 1.0
    difference = float(row["separating_experiment"]["expected_difference"])
    if not math.isfinite(difference):
        return 0.0
    # Aliases are the case that no other run will ever solve; near ones come apart by themselves in time.
    return float(row["pip"]) * weight * abs(difference) / goal.scale * (1.0 if row["aliased"] else 0.5)


def _draft(
    row: Mapping[str, Any],
    metric: str,
    score: float,
    base: Base,
    goal: Goal,
    configurations: Mapping[str, Mapping[str, Any]],
) -> Draft:
    experiment, pip = row["separating_experiment"], float(row["pip"])
    changing, staying = experiment["separates"]
    fits = all(
        as_written(base.parameters.get(name)) == as_written(pair[0]) for name, pair in experiment["change"].items()
    )
    named = str(experiment["base_run"])
    start = base if fits or named not in configurations else Base(named, configurations[named])
    changes = {name: pair[1] for name, pair in experiment["change"].items()}
    difference = float(experiment["expected_difference"])
    promises = difference * (goal.sign if metric == goal.metric else goal.worth.get(metric, 0.0)) > 0
    together = "always" if row["aliased"] else "nearly always"
    return Draft(
        title=f"Tell {listed(changing)} from {listed(staying)}: {told_change(changes, start.parameters)}",
        rationale=(
            f"{listed([*changing, *staying])} {together} changed together, and act on {metric} with a probability of "
            f"{pip:.0%}. If it is {listed(changing)}, {metric} changes by {difference:+.3g} against {start.run}; "
            f"if not, it stays."
        ),
        source="alias",
        base=start,
        changes=changes,
        expected={metric: ExpectedEffect(difference / 2, min(difference, 0.0), max(difference, 0.0), "runs")},
        confidence=pip,
        score=score,
        # What can only get worse is worth knowing, but not before what may get better.
        priority="HIGH" if pip >= HIGH_PROBABILITY and promises else "MEDIUM",
        state="REQUIRES DATASET WORK" if any(is_data(name) for name in changes) else "PROPOSED",
    )
