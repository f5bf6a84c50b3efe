"""What is learnt from all runs together, from what is stored of them to what is stored of that."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.analyze.issues import DEFINITIONS
from pixel_lora_pipeline.analyze.rollup_issues import rollup_issues
from pixel_lora_pipeline.learn import Diagnosis, Principle, assess_parameters, diagnose, update_principles
from pixel_lora_pipeline.learn.impact_report import ImpactContent, impact_report, report_stem
from pixel_lora_pipeline.notify.messages import weekly_report
from pixel_lora_pipeline.store import NothingEvaluatedError, Store
from pixel_lora_pipeline.training_history import (
    CONFIGURATION,
    LOWER_IS_BETTER,
    TrainingHistory,
    describe_run,
)
from pixel_lora_pipeline.whole_file import write_whole

# A cause that is less probable is no reason to change anything.
_WORTH_A_STEP: Final = 0.3


class UnknownPrincipleError(LookupError):
    """No principle has that id."""


@dataclass(frozen=True)
class DiagnosedRun:
    """Why a run has the issues that it has.

    Attributes
    ----------
    epoch
        The last measured one, of which it is said.
    issues
        Those that are there: `issue`, `label`, `state`, and more where images were judged.
    causes
        For each issue its explanations, the most probable first.
    """

    run_name: str
    epoch: int
    issues: tuple[dict[str, Any], ...]
    causes: tuple[tuple[Diagnosis, ...], ...]

    @property
    def next_steps(self) -> list[str]:
        """What to do, the surest first; each once."""
        first = [found[0] for found in self.causes if found and found[0].confidence >= _WORTH_A_STEP]
        ordered = sorted(first, key=lambda diagnosis: -diagnosis.confidence)
        return list(dict.fromkeys(diagnosis.recommendation for diagnosis in ordered if diagnosis.recommendation))

    def to_documents(self) -> list[dict[str, Any]]:
        """The issues with their causes as JSON-ready values: `training_runs.root_cause_diagnosis`."""
        return [
            {**issue, "causes": [diagnosis.to_dict() for diagnosis in found]}
            for issue, found in zip(self.issues, self.causes, strict=True)
        ]


def assess_history(history: TrainingHistory) -> dict[str, pd.DataFrame]:
    """For each metric, the evidence of all runs about each parameter, as `assess_parameters` returns it."""
    return {
        metric: assess_parameters(history.runs, history.parameters, metric, replicate_of=CONFIGURATION)
        for metric in history.metrics
    }


def learn_evidence(store: Store, history: TrainingHistory) -> dict[str, pd.DataFrame]:
    """Assess the parameters anew and store the evidence in place of what was there."""
    evidence = assess_history(history)
    store.knowledge.record_evidence({metric: table.to_dict("records") for metric, table in evidence.items()})
    return evidence


def learn_principles(store: Store, history: TrainingHistory, evidence: Mapping[str, pd.DataFrame]) -> list[Principle]:
    """State, promote, demote and revoke principles by what the runs say now, and store all of them."""
    ended = history.trajectories["run_name"].isin(history.runs["run_name"])
    with store.knowledge.principles_to_oneself():
        principles = update_principles(
            [Principle.from_dict(document) for document in store.knowledge.principles()],
            evidence,
            history.runs,
            datetime.now(UTC),
            lower_is_better=LOWER_IS_BETTER,
            trajectories=history.trajectories[ended],
        )
        store.knowledge.record_principles([principle.to_dict() for principle in principles])
    return principles


def decide_on_principle(store: Store, principle_id: str, decision: Callable[[Principle], Principle]) -> Principle:
    """Store what a person decides on a principle, and return it as it is then.

    Parameters
    ----------
    decision
        What makes of the stored principle the decided one, as `approve` and `revoke` do.

    Raises
    ------
    UnknownPrincipleError
        If there is none of this id.
    ValueError
        If `decision` refuses.
    """
    with store.knowledge.principles_to_oneself():
        known = {document["id"]: document for document in store.knowledge.principles()}
        if principle_id not in known:
            raise UnknownPrincipleError(f"there is no principle {principle_id}: see `pixel-lora principles`.")
        decided = decision(Principle.from_dict(known[principle_id]))
        store.knowledge.record_principles([decided.to_dict()])
    return decided


def diagnose_run(store: Store, history: TrainingHistory, run_name: str | None = None) -> DiagnosedRun:
    """Explain the issues that a run has at its last measured epoch, and store the explanation.

    Parameters
    ----------
    run_name
        None for the run whose checkpoint came last.

    Raises
    ------
    UnknownRunError
        If there is no such run.
    NothingEvaluatedError
        If no epoch of it is measured.
    """
    run = store.conclusions.run(run_name)
    latest = store.conclusions.latest_issues(run.run_id)
    if latest is None:
        raise NothingEvaluatedError(f"no epoch of {run.run_name} is measured yet: there is nothing to explain.")
    described = describe_run(store, run.run_name, latest.epoch, latest.metrics)
    issues = _issues(latest.epoch, latest.metrics, latest.issues)
    causes = [
        tuple(
            diagnose(
                issue,
                described,
                history.runs,
                parameters=history.parameters,
                replicate_of=CONFIGURATION,
                trajectories=history.trajectories,
            )
        )
        for issue in issues
    ]
    diagnosed = DiagnosedRun(run.run_name, latest.epoch, tuple(issues), tuple(causes))
    store.conclusions.record_diagnosis(run.run_id, latest.epoch_id, diagnosed.to_documents(), diagnosed.next_steps)
    return diagnosed


def _issues(epoch: int, metrics: Mapping[str, Any], judged: Sequence[Mapping[str, Any]] | None) -> list[dict[str, Any]]:
    """The issues that images show; where none were judged, those that the rollup tells of."""
    if judged is not None:
        return [dict(issue) for issue in judged]
    labels = {definition.key: definition.label for definition in DEFINITIONS}
    return [
        {"issue": key, "label": labels[key], "state": "persisting", "epoch": epoch}
        for key, present in rollup_issues(metrics).items()
        if present
    ]


def write_impact_report(
    store: Store,
    folder: Path,
    history: TrainingHistory,
    evidence: Mapping[str, pd.DataFrame],
    period: tuple[date, date] | None = None,
) -> Path:
    """Write the parameter impact report, and return the page's path; markdown and JSON lie beside it.

    Parameters
    ----------
    folder
        Of all reports.
    period
        First and last day of a report that comes by itself, of which people are told; None on demand.
    """
    previous = store.knowledge.last_report()
    content = ImpactContent(
        evidence=evidence,
        runs=history.runs,
        created_at=datetime.now(UTC),
        period=period,
        principles=store.knowledge.principles(),
        previous=None if previous is None else previous.document,
        better=dict.fromkeys(LOWER_IS_BETTER, "lower"),
    )
    report = impact_report(content)
    target = folder / "parameter_impact"
    target.mkdir(parents=True, exist_ok=True)
    stem = report_stem(report.document)
    write_whole(target / f"{stem}.json", report.json.encode())
    write_whole(target / f"{stem}.md", report.markdown.encode())
    page = target / f"{stem}.html"
    write_whole(page, report.html.encode())
    news = [] if period is None else [weekly_report(period[0], report.document["summary"], page)]
    store.knowledge.record_report(page, report.document, news)
    return page
