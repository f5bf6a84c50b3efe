"""Rules that hold over all runs: stated by the evidence, confirmed by later runs, revoked when they fail."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

import pandas as pd

from pixel_lora_pipeline.learn.issue_resolution import courses_of
from pixel_lora_pipeline.learn.issue_rules import IssueRules
from pixel_lora_pipeline.learn.metric_evidence import MetricEvidence
from pixel_lora_pipeline.learn.parameter_rules import ParameterRules
from pixel_lora_pipeline.learn.principle import EXPERIMENT_ODDS, SURE, Principle, check_time, named
from pixel_lora_pipeline.learn.run_history import RunHistory

_STATED: Final = "stated by the evidence, with a probability of {:.2f}"


def update_principles(
    known: Sequence[Principle],
    evidence_by_metric: Mapping[str, pd.DataFrame],
    runs: pd.DataFrame,
    now: datetime,
    *,
    lower_is_better: Collection[str] = (),
    trajectories: pd.DataFrame | None = None,
) -> list[Principle]:
    """State new principles, and promote, demote or revoke the known ones by what the runs say now.

    A principle is proposed if its parameter is in the selected set of the evidence, with a probability of at least
    0.9, and is not an alias. It becomes soft with two confirming runs of different configurations that were run
    after it was stated, and hard when a person approves it (`approve`) or when runs that broke it on purpose, all
    else like a good run, got worse as it says (`EXPERIMENT_ODDS`). What ends it is written in it (`RevocationRule`).

    A revoked one is stated again only if new runs say so and none ever contradicted it. Called again with the same
    data, the function returns the same principles.

    Parameters
    ----------
    known
        What this function, `approve` or `revoke` returned before.
    evidence_by_metric
        For each metric, what `assess_parameters` returned for these runs. Principles of other metrics stay as they
        are.
    runs
        A row a run, with `run_name`, the parameters and the metrics; ordered by `run_date` if every run has one, else
        as given. Runs that are older than those already known when a principle was stated do not confirm it.
    now
        When this is; with a time zone.
    lower_is_better
        Metrics that should be low.
    trajectories
        Columns `run_name`, `epoch`, `issue`, `present`: what was wrong with each epoch of each run.

    Returns
    -------
    list of Principle
        The known ones in their order, then new ones. None is ever left out.

    Raises
    ------
    ValueError
        If a column is missing, a name is there twice, the tables are of different runs, or `now` has no time zone.
    """
    check_time(now)
    if twice := sorted({p.id for p in known if sum(other.id == p.id for other in known) > 1}):
        raise ValueError(f"principles {', '.join(twice)} are known twice: give each once")
    history = RunHistory.read(runs)
    courses = [] if trajectories is None else courses_of(trajectories)
    if strangers := sorted({course.run for course in courses} - set(history.names)):
        raise ValueError(f"trajectories is about {', '.join(strangers)}, which runs does not have")
    issues = IssueRules(courses, history)
    of_metric = {
        metric: ParameterRules(MetricEvidence.read(metric, table, history), metric in lower_is_better)
        for metric, table in evidence_by_metric.items()
    }
    principles: dict[str, Principle] = {}
    for principle in known:
        judge = issues if principle.form == "trajectory" else of_metric.get(principle.metric)
        principles[principle.id] = principle if judge is None else _reviewed(principle, judge, now)
    every: list[ParameterRules | IssueRules] = [*of_metric.values(), issues]
    for rules in every:
        for candidate in sorted(rules.stated(now), key=lambda candidate: (-candidate.pip, candidate.id)):
            _add(candidate, principles, rules.n_runs, now)
    return list(principles.values())


def _reviewed(principle: Principle, rules: ParameterRules | IssueRules, now: datetime) -> Principle:
    """A known principle, with the status that it has by now."""
    if principle.status == "revoked":
        return principle
    fresh = rules.refreshed(principle)
    if fresh is None:
        return principle
    if why := fresh.revocation.ends(fresh):
        return fresh.changed("revoked", why, now, rules.n_runs)
    if why := fresh.revocation.weakens(fresh):
        return fresh if fresh.status == "proposed" else fresh.changed("proposed", why, now, rules.n_runs)
    if fresh.status == "proposed" and not fresh.lacks():
        confirmed = f"a probability of {fresh.pip:.2f}, confirmed by {named(fresh.confirming_runs)}"
        fresh = fresh.changed("soft", confirmed, now, rules.n_runs)
    if fresh.status == "soft" and fresh.pip >= SURE and fresh.experiment_odds >= EXPERIMENT_ODDS:
        failed = f"broken on purpose in {named(fresh.breaking_runs)}, which got worse as it says"
        fresh = fresh.changed("hard", failed, now, rules.n_runs)
    return fresh


def _add(candidate: Principle, principles: dict[str, Principle], n_runs: int, now: datetime) -> None:
    """Take up what the evidence states, unless it is known or something better confirmed is said of the same."""
    rivals = [
        other
        for other in principles.values()
        if other.status != "revoked" and _subject(other) == _subject(candidate) and other.id != candidate.id
    ]
    # What is only proposed gives way once a run speaks against it.
    if any(other.status != "proposed" or not other.counter_examples for other in rivals):
        return
    before = principles.get(candidate.id)
    if before is None:
        stated = candidate.changed("proposed", _STATED.format(candidate.pip), now, n_runs)
    elif _may_return(before, n_runs):
        again = replace(candidate, first_stated_at=before.first_stated_at, changes=before.changes)
        stated = again.changed("proposed", f"stated again: {_STATED.format(candidate.pip)}", now, n_runs)
    else:
        return
    for other in rivals:
        principles[other.id] = other.changed("revoked", f"the runs now say: {candidate.statement}", now, n_runs)
    principles[candidate.id] = stated


def _may_return(principle: Principle, n_runs: int) -> bool:
    """Whether a revoked principle may be stated again: there are new runs, and nobody and no run refuted it."""
    last = principle.changes[-1]
    is_refuted = bool(principle.counter_examples or principle.refuting_runs or last.by)
    return last.status == "revoked" and n_runs > last.n_runs and not is_refuted


def _subject(principle: Principle) -> tuple[str, frozenset[str]]:
    """What it is about."""
    return principle.metric, frozenset(principle.parameters)
