"""Experiments that remove what a run was found to suffer from."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.improve.draft import Base, Draft
from pixel_lora_pipeline.improve.following_parameters import with_followers
from pixel_lora_pipeline.improve.goal import Goal
from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect
from pixel_lora_pipeline.improve.wording import listed, told_change
from pixel_lora_pipeline.learn.explanations import Diagnosis

# Causes that are less probable are no reason to spend a run on.
_LEAST: Final = 0.2
# Causes that are this probable are removed all at once: the run would go on suffering from the others.
_SURE: Final = 0.5
_HIGH: Final = 0.5


def diagnosed_fixes(diagnoses: Sequence[Diagnosis], base: Base, goal: Goal, runs: pd.DataFrame) -> list[Draft]:
    """Experiments on a diagnosed run, the surest first.

    Where several causes are sure, the first experiment removes them together. After that comes each change alone.
    """
    by_parameter: dict[str, list[Diagnosis]] = {}
    for diagnosis in sorted(diagnoses, key=lambda diagnosis: -diagnosis.confidence):
        if diagnosis.kind == "parameter" and diagnosis.change is not None and diagnosis.confidence >= _LEAST:
            by_parameter.setdefault(diagnosis.change.parameter, []).append(diagnosis)
    # Two members of a class that always changed together are one cause.
    causes: list[list[Diagnosis]] = []
    for found in by_parameter.values():
        if not any(set(found[0].parameters) & set(other[0].parameters) for other in causes):
            causes.append(found)
    sure = [found for found in causes if found[0].confidence >= _SURE]
    groups = ([sure] if len(sure) > 1 else []) + [[found] for found in causes]
    return [_draft(group, base, goal, runs) for group in groups]


def _draft(group: Sequence[Sequence[Diagnosis]], base: Base, goal: Goal, runs: pd.DataFrame) -> Draft:
    asked = {found[0].change.parameter: found[0].change.after for found in group if found[0].change is not None}
    changes = with_followers(asked, base.parameters, runs)
    issues = list(dict.fromkeys(diagnosis.issue.replace("_", " ") for found in group for diagnosis in found))
    first = [found[0] for found in group]
    confidence = min(diagnosis.confidence for diagnosis in first)
    expected = _expected(group)
    gain = sum(goal.worth.get(metric, 0.0) * effect.mean for metric, effect in expected.items())
    if goal.metric in expected:
        gain = max(gain, goal.sign * expected[goal.metric].mean)
    rationale = " ".join(f"{diagnosis.cause} {diagnosis.evidence.sentence}" for diagnosis in first)
    return Draft(
        title=f"Fix {listed(issues)}: {told_change(asked, base.parameters)}",
        rationale=f"{rationale} {base.run} has {listed(issues)}." if base.run else rationale,
        source="diagnosis",
        base=base,
        changes=changes,
        expected=expected,
        confidence=confidence,
        score=confidence + gain / goal.scale,
        priority="HIGH" if confidence >= _HIGH else "MEDIUM",
        focus=frozenset(asked),
    )


def _expected(group: Sequence[Sequence[Diagnosis]]) -> dict[str, ExpectedEffect]:
    """What is won back of each metric that tells an issue."""
    effects: dict[str, ExpectedEffect] = {}
    for found in group:
        for diagnosis in found:
            evidence, change = diagnosis.evidence, diagnosis.change
            if evidence.line is None or change is None or not _is_finite(change.gain, evidence.cost):
                continue
            sign = 1 if evidence.line.higher_is_better else -1
            # The interval is that of what the best value would have won; the change may win a part of it.
            ends = sorted((sign * _number(evidence.cost_low), sign * _number(evidence.cost_high)))
            mean = sign * change.gain
            new = ExpectedEffect(mean, min(ends[0], mean), max(ends[1], mean), "runs")
            old = effects.get(evidence.line.metric)
            effects[evidence.line.metric] = new if old is None or abs(new.mean) > abs(old.mean) else old
    return effects


def _is_finite(*values: Any) -> bool:
    return all(isinstance(value, int | float) and abs(value) < float("inf") for value in values)


def _number(value: float | None) -> float:
    return 0.0 if value is None else float(value)


def by_run(
    diagnoses: "Mapping[str, Sequence[Diagnosis]] | Sequence[Diagnosis]", newest: str | None
) -> dict[str, list[Diagnosis]]:
    """Diagnoses of each run; those of no named run are the newest run's."""
    if isinstance(diagnoses, Mapping):
        return {str(run): list(found) for run, found in diagnoses.items()}
    return {} if newest is None or not diagnoses else {newest: list(diagnoses)}
