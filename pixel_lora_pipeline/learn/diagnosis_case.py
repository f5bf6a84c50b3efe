"""A question about a failed run, in whatever form it is asked, read into one."""

import difflib
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from pixel_lora_pipeline.learn.diagnosis_rules import (
    EPOCH,
    ISSUE_STATE,
    OVERALL,
    DiagnosisRule,
    TellingMetric,
    issue_metrics,
    issues_told_by,
    rules_about,
    telling_metric,
)
from pixel_lora_pipeline.learn.domain_priors import domain_prior
from pixel_lora_pipeline.learn.failed_run import all_runs, as_number, scalar
from pixel_lora_pipeline.learn.likely_settings import is_numeric, likely_settings
from pixel_lora_pipeline.learn.run_condition import is_known
from pixel_lora_pipeline.train.taxonomy import ROADMAP_NAMES, run_taxonomy

if TYPE_CHECKING:
    from pixel_lora_pipeline.analyze.issues import Issue


@dataclass(frozen=True)
class Case:
    """A failure of a run, and the runs to compare it with.

    Attributes
    ----------
    issue
        As it was asked for.
    metric
        The column that tells it; None if no run has one.
    is_told_by_overall
        Whether that column measures the run as a whole, for want of a better one.
    epoch, state
        Of the issue, as far as known.
    run_name, run
        The run, and all that is known of it.
    parameters
        Columns of `runs` that may be to blame.
    prior
        For each of them, the probability that it acts on the metric.
    rules
        The written rules about the issue.
    situation
        What their conditions are about: the run's parameters by Kohya's names, the epoch and the state of the issue.
    runs
        All runs, this one included.
    """

    issue: str
    metric: TellingMetric | None
    is_told_by_overall: bool
    epoch: int | None
    state: str | None
    run_name: Any
    run: Mapping[str, Any]
    parameters: list[str]
    prior: dict[str, float]
    rules: tuple[DiagnosisRule, ...]
    situation: Mapping[str, Any]
    runs: pd.DataFrame

    @property
    def value(self) -> float | None:
        """The run's value of the metric, as far as known."""
        value = None if self.metric is None else as_number(self.run.get(self.metric.column))
        return None if value is None or not math.isfinite(value) else value


def read_case(
    issue: "str | Mapping[str, Any] | Issue",
    run: Mapping[str, Any] | pd.Series,
    history: pd.DataFrame,
    evidence: pd.DataFrame | None,
    parameters: Sequence[str] | None,
    metric: str | None,
) -> Case:
    """Read the question; the arguments are those of `diagnose`.

    Raises
    ------
    ValueError
        If the issue is neither known nor a column, or if something that was named is not there.
    """
    key, epoch, state = _issue(issue)
    asked = {str(name): scalar(value) for name, value in run.items()}
    runs, run_name, known = all_runs(history, asked, run.name if isinstance(run, pd.Series) else None)
    if epoch is None and is_known(asked.get(EPOCH)):
        epoch = _whole(asked[EPOCH])
    told, issues, is_overall = _told(key, runs, evidence, metric)
    rules = rules_about(issues)
    evidence = _of_metric(evidence, told)
    chosen = _parameters(parameters, evidence, runs, asked, told)
    # A rule may be about a setting that only this run has a record of.
    chosen += sorted(
        {rule.parameter for rule in rules if rule.parameter is not None and is_known(asked.get(rule.parameter))}
        - {*chosen, *map(str, history.columns)}
    )
    situation = {**_by_kohya_names(known), EPOCH: epoch, ISSUE_STATE: state}
    believed = domain_prior(chosen, key if told is None or is_overall else told.column)
    return Case(
        issue=key,
        metric=told,
        is_told_by_overall=is_overall,
        epoch=epoch,
        state=state,
        run_name=run_name,
        run=known,
        parameters=chosen,
        prior={**_raised(believed, rules, situation), **_stated(evidence, chosen)},
        rules=rules,
        situation=situation,
        runs=runs.reindex(columns=list(dict.fromkeys([*runs.columns, *chosen]))),
    )


def _issue(issue: "str | Mapping[str, Any] | Issue") -> tuple[str, int | None, str | None]:
    if isinstance(issue, str):
        return issue, None, None
    fields = issue if isinstance(issue, Mapping) else issue.to_dict()
    key = fields.get("issue", fields.get("key"))
    if not isinstance(key, str):
        raise ValueError(f"the issue {dict(fields)!r} does not say which: give its key as `issue` or `key`")
    epoch = fields.get(EPOCH)
    return key, None if epoch is None else _whole(epoch), fields.get("state")


def _told(
    key: str, runs: pd.DataFrame, evidence: pd.DataFrame | None, metric: str | None
) -> tuple[TellingMetric | None, frozenset[str], bool]:
    """The column that tells the issue, the issues whose rules count, and whether it is the run as a whole."""
    is_issue = key in issue_metrics()
    if metric is not None:
        if metric not in runs:
            raise ValueError(f"history has no column {metric}, only {list(runs.columns)}")
        issues, higher = issues_told_by(metric)
        return TellingMetric(metric, higher), frozenset({key}) if is_issue else issues, False
    measured = [name for name in runs.columns if name not in run_taxonomy() and is_numeric(runs[name])]
    if evidence is not None and "metric" in evidence:
        measured = [name for name in measured if name in set(evidence["metric"])] or measured
    if not is_issue:
        if key in runs:
            issues, higher = issues_told_by(key)
            return TellingMetric(key, higher), issues, False
        known = [*issue_metrics(), *measured]
        close = difflib.get_close_matches(key, known, n=3)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known are {', '.join(known)}"
        raise ValueError(f"{key!r} is neither an issue nor a column of history: {hint}")
    if key in measured:
        # A score goes beyond the 1 of a share.
        return TellingMetric(key, bool(pd.to_numeric(runs[key]).astype(float).max() > 1)), frozenset({key}), False
    told = telling_metric(key, measured)
    if told is not None:
        return told, frozenset({key}), False
    overall = (name for last in OVERALL for name in measured if name.rpartition(".")[2] == last)
    found = next(overall, None)
    return None if found is None else TellingMetric(found, True), frozenset({key}), found is not None


def _of_metric(evidence: pd.DataFrame | None, told: TellingMetric | None) -> pd.DataFrame | None:
    if evidence is None:
        return None
    if "parameters" not in evidence:
        raise ValueError(f"evidence has no column parameters, only {list(evidence.columns)}: see `assess_parameters`")
    if told is None or "metric" not in evidence:
        return evidence
    return evidence[evidence["metric"] == told.column]


def _parameters(
    given: Sequence[str] | None,
    evidence: pd.DataFrame | None,
    runs: pd.DataFrame,
    asked: Mapping[str, Any],
    told: TellingMetric | None,
) -> list[str]:
    if given is not None:
        if missing := [name for name in given if name not in runs]:
            raise ValueError(f"history has no column {', '.join(missing)}, only {list(runs.columns)}")
        return list(dict.fromkeys(given))
    if evidence is not None and len(evidence):
        names = dict.fromkeys(name for members in evidence["parameters"] for name in members)
        return [name for name in names if name in runs]
    return list(likely_settings(runs, asked, told))


def _raised(
    believed: Mapping[str, float], rules: Sequence[DiagnosisRule], situation: Mapping[str, Any]
) -> dict[str, float]:
    """The written beliefs, of parameters that a rule blames at least its own."""
    raised = dict(believed)
    for rule in rules:
        if rule.parameter in raised and rule.holds(situation):
            raised[rule.parameter] = max(rule.prior, raised[rule.parameter])
    return raised


def _stated(evidence: pd.DataFrame | None, parameters: Collection[str]) -> dict[str, float]:
    """What was believed when the evidence was gathered; of aliases, that any of them acts."""
    if evidence is None or "prior" not in evidence:
        return {}
    return {
        name: 1 - (1 - float(probability)) ** (1 / len(members))
        for members, probability in zip(evidence["parameters"], evidence["prior"], strict=True)
        for name in members
        if name in parameters
    }


def _by_kohya_names(values: Mapping[str, Any]) -> dict[str, Any]:
    renamed = {ROADMAP_NAMES[name]: value for name, value in values.items() if name in ROADMAP_NAMES}
    return {**renamed, **values}


def _whole(value: Any) -> int:
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the epoch {value!r} is not a number") from error
