"""Why a run failed: ranked causes with their probability, what to change, and the past runs that say so."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.diagnosis_case import Case, read_case
from pixel_lora_pipeline.learn.diagnosis_rules import DiagnosisRule
from pixel_lora_pipeline.learn.expected_progress import ExpectedProgress, check_trajectories, expected_progress
from pixel_lora_pipeline.learn.explanations import LEAST, Diagnosis, Suspect, blame, leave_open, wait
from pixel_lora_pipeline.learn.historical_evidence import Line, line_between
from pixel_lora_pipeline.learn.root_cause import RootCauses, root_causes

if TYPE_CHECKING:
    from pixel_lora_pipeline.analyze.issues import Issue


def diagnose(
    issue: "str | Mapping[str, Any] | Issue",
    run: Mapping[str, Any] | pd.Series,
    history: pd.DataFrame,
    evidence: pd.DataFrame | None = None,
    *,
    parameters: Sequence[str] | None = None,
    metric: str | None = None,
    replicate_of: str | None = None,
    trajectories: pd.DataFrame | None = None,
) -> list[Diagnosis]:
    """Explain a failure of a run by all runs together and by the written rules.

    The runs are suspects by Bayesian variable selection, as in `assess_parameters`, and every model that may be right
    says what each parameter cost this run, see `attribution`. The rules (`diagnosis_rules.toml`) say which values are
    believed to be bad: they shift the odds, and speak alone where the runs are silent.

    Parameters
    ----------
    issue
        Key of an issue (`analyze.issues`); or the name of the column of `history` that is too low, or, for what is
        better low, too high; or a mapping with `issue` and, as far as known, `epoch` and `state`.
    run
        The failed run: its parameters, its results and its `run_name` as far as known.
    history
        A row a run, as for `assess_parameters`; with or without the failed run, whose row may lack the metric.
    evidence
        Of `assess_parameters`, for a metric of the issue; it says which parameters are considered, and what was
        believed of them. With a column `metric`, for several metrics. Without it, the written beliefs.
    parameters
        Columns that may be to blame; else those of `evidence`, or those that look like settings.
    metric
        The column that tells the issue; else found by its name, see `diagnosis_rules.toml`.
    replicate_of
        As in `assess_parameters`.
    trajectories
        A row a run, epoch and issue: `run_name`, `epoch`, `issue`, `present`. With it, past runs say whether the issue
        is normal at its epoch, and goes away.

    Returns
    -------
    list of Diagnosis
        The most probable first. One without a parameter says how probable it is that nothing recorded is to blame;
        if it comes first, that is the diagnosis. Empty for an issue that is resolved.

    Raises
    ------
    ValueError
        If the issue is neither known nor a column, or if a column is missing, there twice, or not a number.
    """
    if trajectories is not None:
        check_trajectories(trajectories)
    case = read_case(issue, run, history, evidence, parameters, metric)
    if case.state == "resolved":
        return []
    causes = root_causes(case, replicate_of)
    line = _line(case, causes)
    suspects = [Suspect.of(at, case, causes) for at in np.flatnonzero(causes.shares >= LEAST).tolist()]
    progress, rule = _progress(case, causes, suspects, trajectories)
    lasting = 1.0 if progress is None else 1 - progress.probability
    found = [blame(each, case, causes, line, lasting) for each in suspects]
    if progress is not None:
        found.append(wait(progress, rule, case))
    found += leave_open(case, causes, lasting)
    return sorted(found, key=lambda it: (-round(it.confidence, 9), it.kind, it.parameter or ""))


def _line(case: Case, causes: RootCauses) -> Line | None:
    if case.metric is None:
        return None
    values = causes.configurations.metric
    return line_between(case.metric.column, values, case.value, higher_is_better=case.metric.higher_is_better)


def _progress(
    case: Case, causes: RootCauses, suspects: Sequence[Suspect], trajectories: pd.DataFrame | None
) -> tuple[ExpectedProgress | None, DiagnosisRule | None]:
    if case.epoch is None:
        return None, None
    about = (rule for rule in case.rules if rule.parameter is None and rule.holds(case.situation))
    rule = max(about, key=lambda rule: rule.prior, default=None)
    likeness = _likeness(causes, suspects)
    believed = None if rule is None else rule.prior
    return expected_progress(trajectories, case.issue, case.run_name, case.epoch, likeness, believed), rule


def _likeness(causes: RootCauses, suspects: Sequence[Suspect]) -> dict[Any, float]:
    """How far each past run had the same chances as this one: not, if it lacked what is probably to blame."""
    alike = np.ones(len(causes.configurations))
    for each in suspects:
        share = causes.shares[each.at]
        if each.gains is not None:
            is_better = each.gains > each.gains.max() / 2
            alike *= 1 - share * np.append(is_better, False)[each.column.codes]
    return {name: float(alike[at]) for at, names in enumerate(causes.configurations.runs) for name in names}
