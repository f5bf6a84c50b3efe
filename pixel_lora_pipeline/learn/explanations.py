"""Explanations of a failure as a person reads them: cause, confidence, what to change, and the runs that say so."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, Literal

import numpy as np

from pixel_lora_pipeline.learn.diagnosis_case import Case
from pixel_lora_pipeline.learn.diagnosis_rules import DiagnosisRule
from pixel_lora_pipeline.learn.expected_progress import ExpectedProgress
from pixel_lora_pipeline.learn.historical_evidence import HistoricalEvidence, Line, Side, sentence_of, sides_of
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, ParameterColumn
from pixel_lora_pipeline.learn.root_cause import RootCauses
from pixel_lora_pipeline.learn.run_position import level_of

Kind = Literal["parameter", "progress", "chance", "drift", "unknown"]

# Causes that are less probable are not listed.
LEAST: Final = 0.05
NOT_CONVERGED: Final = "Not converged yet: past runs had it at this epoch, and lost it later"
# A value that gains nearly what the best one does is as good, and then the one that is known best is recommended.
_AS_GOOD: Final = 0.8
_DECIMALS: Final = 4  # of a probability; the draws say no more


@dataclass(frozen=True)
class Change:
    """What to set otherwise in the next run; `gain` is what that should win back, in units of the metric."""

    parameter: str
    before: Any
    after: Any
    gain: float


@dataclass(frozen=True)
class Diagnosis:
    """One explanation of a failure.

    Attributes
    ----------
    kind
        "parameter"; "progress" if the issue is normal at this epoch; "chance" if something happened to this run
        only; "drift" if results changed with time, whatever was set; "unknown" if nothing recorded explains it.
    cause
        A sentence.
    parameter
        To blame; None unless the kind is "parameter".
    parameters
        All that always changed together with it, itself included: it may be any of them.
    confidence
        Probability that this is what cost the run most. Those of all diagnoses of an issue add up to at most 1.
    recommendation
        A sentence.
    change
        The same as values; None if there is nothing to set.
    evidence
        The past runs.
    prior
        Probability that this kind of cause acts, before the runs were looked at; None if nobody gave one.
    source
        Where the rule behind it is written; None if only the runs say it.
    issue
        That it explains.
    """

    kind: Kind
    cause: str
    parameter: str | None
    parameters: tuple[str, ...]
    confidence: float
    recommendation: str
    change: Change | None
    evidence: HistoricalEvidence
    prior: float | None
    source: str | None
    issue: str

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values: an element of `training_runs.root_cause_diagnosis`."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


@dataclass(frozen=True)
class Suspect:
    """A class of parameters that may be to blame, and the one that stands for it.

    Attributes
    ----------
    at
        Its place.
    column
        The parameter: the one that a rule blames, or that is believed most.
    level
        The run's, `MISSING` if it has none.
    gains
        float[levels]: what each value would have changed; None if the runs do not say.
    """

    at: int
    column: ParameterColumn
    level: int
    gains: Floats | None

    @staticmethod
    def of(at: int, case: Case, causes: RootCauses) -> "Suspect":
        """The class at this place."""
        members, rule = causes.classes[at], causes.rules[at]
        blamed = None if rule is None else rule.parameter
        column = max(
            members.columns,
            key=lambda each: (each.name == blamed, case.prior[each.name], each is members.leader),
        )
        row = causes.position.row
        level = level_of(case.run.get(column.name), column) if row is None else int(column.codes[row])
        if not causes.judged[at]:
            return Suspect(at, column, level, None)
        gains = causes.attribution.gains(at, column, causes.weights[:, at])
        # In products, the average run with this run's value is not quite this run.
        return Suspect(at, column, level, gains if level == MISSING else gains - gains[level])


def blame(suspect: Suspect, case: Case, causes: RootCauses, line: Line | None, lasting: float) -> Diagnosis:
    """The diagnosis that a parameter is to blame.

    Parameters
    ----------
    suspect
        The parameter.
    case, causes
        The failure, and how probable each explanation of it is.
    line
        By which past runs are counted; None if none has the metric.
    lasting
        Probability that the issue does not go away by itself.
    """
    at, name = suspect.at, suspect.column.name
    others = [each for each in causes.classes[at].names if each != name]
    rule, value = _agreeing(causes.rules[at], suspect), case.run.get(name)
    evidence = _historical_evidence(suspect, value, causes, line)
    change = _change(suspect, rule, value)
    if rule is not None:
        cause = rule.explains(value)
    elif suspect.gains is None or line is None:
        cause = f"{name} = {_shown(value)}: believed to act, and the runs say nothing of it"
    else:
        moved = "lowers" if line.higher_is_better else "raises"
        cause = f"{name} = {_shown(value)} {moved} {line.metric} by about {evidence.cost:.2g}"
    if others:
        cause += f" (or {', '.join(others)}, which always changed together with it)"
    return Diagnosis(
        kind="parameter",
        cause=f"{cause}.",
        parameter=name,
        parameters=causes.classes[at].names,
        confidence=_probability(causes.shares[at] * lasting),
        recommendation=_recommendation(name, change, others),
        change=change,
        evidence=evidence,
        prior=float(causes.prior[at]),
        source=None if rule is None else rule.source,
        issue=case.issue,
    )


def _agreeing(rule: DiagnosisRule | None, suspect: Suspect) -> DiagnosisRule | None:
    """The rule, unless the runs that blame the parameter say that what it recommends is no better."""
    if rule is None or rule.to is None or suspect.gains is None:
        return rule
    wanted = level_of(rule.to, suspect.column)
    return rule if wanted in (MISSING, suspect.level) or suspect.gains[wanted] > 0 else None


def _historical_evidence(suspect: Suspect, value: Any, causes: RootCauses, line: Line | None) -> HistoricalEvidence:
    n_runs = int(causes.configurations.n_rep.sum())
    column, at = suspect.column, suspect.at
    if line is None or n_runs == 0:
        return HistoricalEvidence("No run has a measurement of it: this is what the rules say.")
    sides: tuple[Side, ...] = ()
    if suspect.gains is None:
        sentence = f"{n_runs} runs say nothing of {column.name}."
        if len(column.levels) == 1:
            sides = sides_of(column, suspect.level, np.zeros(1), causes.configurations, line)
            sentence = sentence_of(sides, line)
            if _exactly(value, column) == MISSING:
                sentence = f"All {len(sides[0])} other runs have {sides[0].statement}: none had {_shown(value)}."
        return HistoricalEvidence(sentence, sides, line, n_runs)
    sentence = f"{n_runs} runs: what it costs depends on how other parameters are set."
    if suspect.gains.max() > 0:
        sides = sides_of(column, suspect.level, suspect.gains, causes.configurations, line)
        sentence = sentence_of(sides, line)
    weights = causes.weights[:, at] / causes.weights[:, at].sum()
    lost = causes.attribution.lost[:, at]
    low, high = np.quantile(lost, (0.025, 0.975), weights=weights, method="inverted_cdf")
    return HistoricalEvidence(
        sentence=sentence,
        sides=sides,
        line=line,
        n_runs=n_runs,
        probability_acts=float(causes.acts[at]),
        cost=float(weights @ lost),
        cost_low=float(low),
        cost_high=float(high),
    )


def _change(suspect: Suspect, rule: DiagnosisRule | None, value: Any) -> Change | None:
    column, gains = suspect.column, suspect.gains
    if gains is None or gains.max() <= 0:
        return None if rule is None or rule.to is None else Change(column.name, value, rule.to, math.nan)
    as_good = np.flatnonzero(gains >= _AS_GOOD * gains.max())
    wanted = MISSING if rule is None or rule.to is None else _exactly(rule.to, column)
    counts = np.bincount(column.codes[column.known], minlength=len(column.levels))
    best = wanted if wanted in as_good else int(max(as_good, key=lambda level: (counts[level], gains[level])))
    return Change(column.name, value, column.levels[best], float(gains[best]))


def _exactly(value: Any, column: ParameterColumn) -> int:
    level = level_of(value, column)
    is_there = level != MISSING and (column.numbers is None or math.isclose(column.numbers[level], float(value)))
    return level if is_there else MISSING


def _recommendation(name: str, change: Change | None, others: Sequence[str]) -> str:
    if change is None:
        return f"Try another value of {name} in the next run, and change nothing else."
    before, after = change.before, change.after
    is_number = not isinstance(after, bool | str) and not isinstance(before, bool | str)
    if is_number and isinstance(after, int | float) and isinstance(before, int | float):
        sentence = f"{'Increase' if after > before else 'Reduce'} {name} from {_shown(before)} to {_shown(after)}."
    else:
        sentence = f"Set {name} to {_shown(after)} instead of {_shown(before)}."
    if others:
        sentence += (
            f" Leave {', '.join(others)} as {'it is' if len(others) == 1 else 'they are'}: that tells them apart."
        )
    return sentence


def wait(progress: ExpectedProgress, rule: DiagnosisRule | None, case: Case) -> Diagnosis:
    """The diagnosis that the issue is normal at its epoch."""
    gone, n = len(progress.gone), len(progress.gone) + len(progress.stayed)
    until = progress.gone_by or (None if rule is None else rule.wait_until)
    if n == 0:
        sentence = "No past run was followed from such an epoch on: this is what the rules say."
    else:
        ended = "" if progress.gone_by is None else f", by epoch {_span(progress.gone_by)}"
        sentence = (
            f"{gone} of {n} past runs that had it at epoch {case.epoch} lost it{ended} "
            f"(this one, too: {progress.low:.0%} to {progress.high:.0%})."
        )
    sides = (Side("went on after this epoch", progress.gone, progress.stayed),) if n else ()
    advice = "Continue training" if until is None else f"Continue training to epoch {_span(until)}"
    return Diagnosis(
        kind="progress",
        cause=f"{NOT_CONVERGED if rule is None else rule.cause}.",
        parameter=None,
        parameters=(),
        confidence=_probability(progress.probability),
        recommendation=f"{advice}, and look again.",
        change=None,
        evidence=HistoricalEvidence(sentence, sides, n_runs=n),
        prior=None if rule is None else rule.prior,
        source=None if rule is None else rule.source,
        issue=case.issue,
    )


def leave_open(case: Case, causes: RootCauses, lasting: float) -> list[Diagnosis]:
    """The diagnoses that no recorded parameter is to blame."""
    n_runs = int(causes.configurations.n_rep.sum())
    told = f"{n_runs} {'run' if n_runs == 1 else 'runs'}"
    if case.metric is not None:
        told += f", by {case.metric.column}"
        told += ", which measures a run as a whole" if case.is_told_by_overall else ""
    texts: tuple[tuple[Kind, float, str, str, str], ...] = (
        (
            "unknown",
            causes.unknown,
            "No recorded parameter explains it.",
            "Change one thing at a time in the next runs, and record what else may differ: data, captions, versions.",
            f"{told}: no parameter's values go with it." if n_runs else "There is no run to compare with.",
        ),
        (
            "chance",
            causes.chance,
            "Something happened to this run only: an unlucky seed, or a fault.",
            "Repeat the run with another seed before anything is changed.",
            f"{told}: this one is worse than any of its parameters explains.",
        ),
        (
            "drift",
            causes.drift,
            "Results changed with time, whatever was set.",
            "Repeat an earlier configuration, to see whether versions or data changed.",
            f"{told}: they go with the date.",
        ),
    )
    return [
        Diagnosis(
            kind=kind,
            cause=cause,
            parameter=None,
            parameters=(),
            confidence=_probability(share * lasting),
            recommendation=recommendation,
            change=None,
            evidence=HistoricalEvidence(sentence, n_runs=n_runs),
            prior=None,
            source=None,
            issue=case.issue,
        )
        for kind, share, cause, recommendation, sentence in texts
        if kind == "unknown" or share >= LEAST
    ]


def _probability(value: float) -> float:
    return min(max(round(float(value), _DECIMALS), 0.0), 1.0)


def _span(epochs: tuple[int, int]) -> str:
    return str(epochs[0]) if epochs[0] == epochs[1] else f"{epochs[0]}–{epochs[1]}"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    """JSON's values: no number that is not finite, no type of NumPy."""
    if isinstance(value, np.generic):
        value = value.item()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
