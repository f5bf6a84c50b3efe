"""Which experiments are worth a training next: a few that differ, ranked, each with its reasons."""

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.better_values import better_values
from pixel_lora_pipeline.improve.configuration import SEED, as_written, configuration_of, fingerprint, number_of
from pixel_lora_pipeline.improve.diagnosed_fixes import by_run, diagnosed_fixes
from pixel_lora_pipeline.improve.draft import Base, Draft
from pixel_lora_pipeline.improve.first_tries import promising_parameters, screening
from pixel_lora_pipeline.improve.goal import Goal, read_goal
from pixel_lora_pipeline.improve.history_parameters import history_parameters
from pixel_lora_pipeline.improve.hypothesis import Hypothesis, ParameterChange, Priority
from pixel_lora_pipeline.improve.improving_runs import (
    MOST_CHANGES,
    improvements_together,
    searched_configurations,
    space_of,
)
from pixel_lora_pipeline.improve.known_trials import KnownTrials
from pixel_lora_pipeline.improve.observations import Belief
from pixel_lora_pipeline.improve.prediction import Prediction, predict_trial_outcome
from pixel_lora_pipeline.improve.run_cost import cost_usd, gpu_seconds
from pixel_lora_pipeline.improve.search_space import SearchSpace
from pixel_lora_pipeline.improve.separating_runs import separating_runs
from pixel_lora_pipeline.improve.starting_point import StartingPoint
from pixel_lora_pipeline.improve.unexplored_parameters import unset_values
from pixel_lora_pipeline.improve.verdict import Risk
from pixel_lora_pipeline.improve.wording import listed
from pixel_lora_pipeline.learn.explanations import Diagnosis

_PRIORITIES: Final[tuple[Priority, ...]] = ("HIGH", "MEDIUM", "LOW")
_RISKS: Final[tuple[Risk, ...]] = ("LOW", "MEDIUM", "HIGH")
# Experiments of which more than this share of the parameters is the same are versions of one.
_ALIKE: Final = 0.5
_REPETITION_CONFIDENCE: Final = 0.95  # that it will say how noisy a run is; the rest is that it dies
_REPETITION_SCORE: Final = 0.2
_RUN_NAME: Final = "run_name"
# What is expected to be better than the best run more probably than not.
_PROMISING: Final = 0.5


@dataclass(frozen=True)
class LeftOut:
    """An experiment that was not proposed, and why: which record or principle speaks against it."""

    title: str
    reason: str


@dataclass(frozen=True)
class Proposals:
    """Ranked experiments, those that were considered and left out, and where a training should start."""

    hypotheses: tuple[Hypothesis, ...]
    left_out: tuple[LeftOut, ...]
    starting_point: StartingPoint | None = None


def propose_experiments(
    history: pd.DataFrame,
    evidence_by_metric: Mapping[str, pd.DataFrame],
    diagnoses: Mapping[str, Sequence[Diagnosis]] | Sequence[Diagnosis] = (),
    principles: Sequence[Belief] = (),
    space: SearchSpace | str | Path | Mapping[str, Any] | None = None,
    *,
    metric: str = "quality_score",
    lower_is_better: Collection[str] = frozenset(),
    n: int = 5,
    tried: Iterable[Mapping[str, Any]] = (),
    seed: int = 0,
) -> list[Hypothesis]:
    """The experiments of `weigh_experiments`, the most urgent first."""
    return list(
        weigh_experiments(
            history,
            evidence_by_metric,
            diagnoses,
            principles,
            space,
            metric=metric,
            lower_is_better=lower_is_better,
            n=n,
            tried=tried,
            seed=seed,
        ).hypotheses
    )


def weigh_experiments(
    history: pd.DataFrame,
    evidence_by_metric: Mapping[str, pd.DataFrame],
    diagnoses: Mapping[str, Sequence[Diagnosis]] | Sequence[Diagnosis] = (),
    principles: Sequence[Belief] = (),
    space: SearchSpace | str | Path | Mapping[str, Any] | None = None,
    *,
    metric: str = "quality_score",
    lower_is_better: Collection[str] = frozenset(),
    n: int = 5,
    tried: Iterable[Mapping[str, Any]] = (),
    seed: int = 0,
    starting_point: StartingPoint | None = None,
) -> Proposals:
    """Propose what to run next, from everything that is known; the same for the same arguments.

    One experiment of each kind comes before a second one of any: what removes a diagnosed cause, what the evidence
    or the search expects to be better, what tells aliases apart, what was never tried, work on the data, and a
    repetition of the best configuration while nothing is known of the noise. What was run before is not proposed
    again, nor what breaks a hard principle.

    Parameters
    ----------
    history
        A row a run: `run_name`, parameters, metrics; of them `gpu_seconds`, `total_training_time` and `cost_usd` tell
        what a run costs. With `run_date`, the newest run is the last by it, else the last row.
    evidence_by_metric
        For each metric, the table of `learn.assess_parameters`. May be empty.
    diagnoses
        Run → what `learn.diagnose` said of all its issues; a plain sequence is of the newest run.
    principles
        Whatever has `status`, `effect` and `holds_for(parameters)`, as `learn.Principle`.
    space
        What may be set, as in `suggest`. With it, parameters that were never varied are tried in groups. Without it,
        the roadmap's space.
    metric
        To improve.
    lower_is_better
        Metrics that should be low.
    n
        How many at most; there are fewer if less is worth proposing.
    tried
        Experiments that are no runs of the history: mappings with `parameters`, and `title` and `state` if they have
        them. Those that failed, and those that wait.
    seed
        Of everything that is drawn.
    starting_point
        Where a training should start. Its experiments answer a question only together: all of them are among the n, or
        none.

    Raises
    ------
    ValueError
        If the history has runs and no column of the metric, or if the space cannot be read.
    """
    if len(history) and metric not in history:
        raise ValueError(f"history has no column {metric!r}, only {list(map(str, history.columns))}: name the metric")
    situation = _read(history, evidence_by_metric, principles, space, metric, lower_is_better, tried)
    chosen: list[Draft] = []
    left_out: dict[str, LeftOut] = {}
    arms = () if starting_point is None else starting_point.arms
    if refused := [(arm, reason) for arm in arms if (reason := situation.objection(arm)) is not None]:
        left_out.update({arm.title: LeftOut(arm.title, reason) for arm, reason in refused})
        arms = ()
    for draft in _in_turn(_kinds(situation, diagnoses, n, seed)):
        if len(chosen) >= n - len(arms):
            break
        reason = situation.objection(draft)
        if reason is not None:
            left_out.setdefault(draft.title, LeftOut(draft.title, reason))
        elif not any(_are_alike(draft, other) for other in chosen):
            chosen.append(draft)
    found = [situation.finished(draft) for draft in (*chosen, *arms)]
    found.sort(key=lambda hypothesis: (_PRIORITIES.index(hypothesis.priority), -hypothesis.score, hypothesis.title))
    return Proposals(tuple(found), tuple(left_out.values()), starting_point)


@dataclass(frozen=True)
class _Situation:
    """Everything that is known before an experiment is thought of."""

    runs: pd.DataFrame
    evidence: Mapping[str, pd.DataFrame]
    goal: Goal
    configurations: Mapping[str, dict[str, Any]]
    best: Base
    newest: str | None
    known: KnownTrials
    hard: tuple[Belief, ...]
    soft: tuple[Belief, ...]
    principles: tuple[Belief, ...]
    space: SearchSpace | None
    space_was_given: bool
    unset: Mapping[str, Any]

    def objection(self, draft: Draft) -> str | None:
        """Why an experiment is not to be proposed; None if nothing speaks against it."""
        if broken := [rule for rule in self.hard if rule.holds_for(draft.parameters) is False]:
            return f"it breaks a hard principle: {listed([_statement(rule) for rule in broken])}"
        before = self.known.like(draft.parameters)
        if not draft.is_repetition and before:
            return before[0].says(self.goal.metric)
        return None if draft.is_repetition or draft.changes else "it changes nothing"

    def finished(self, draft: Draft) -> Hypothesis:
        """A draft with prediction, cost and risk."""
        prediction = self._prediction(draft)
        breaks = tuple(_statement(rule) for rule in self.soft if rule.holds_for(draft.parameters) is False)
        risk, reason = _risk(prediction, breaks)
        is_doubtful = bool(breaks) or (prediction is not None and prediction.recommendation == "SKIP")
        return Hypothesis(
            title=draft.title,
            rationale=draft.rationale,
            source=draft.source,
            changes=tuple(
                ParameterChange(name, self._before(draft.base, name), after) for name, after in draft.changes.items()
            ),
            based_on=draft.base.run,
            parameters=draft.parameters,
            expected=dict(draft.expected),
            confidence=float(np.clip(draft.confidence, 0, 1)),
            priority=_lower(draft.priority) if is_doubtful else draft.priority,
            score=float(draft.score),
            gpu_seconds=gpu_seconds(draft.parameters, self.runs),
            cost_usd=cost_usd(draft.parameters, self.runs),
            risk=risk,
            risk_reason=reason,
            state=draft.state,
            prediction=prediction,
            breaks=breaks,
        )

    def _before(self, base: Base, name: str) -> Any:
        """What a parameter was; what the trainer does where it was not given."""
        return None if base.run is None else base.parameters.get(name, self.unset.get(name))

    def _prediction(self, draft: Draft) -> Prediction | None:
        if not any(number_of(value) is not None for value in self.runs.get(self.goal.metric, ())):
            return None
        return predict_trial_outcome(
            draft.parameters, self.runs, self.goal.metric, lower_is_better=self.goal.lower_is_better
        )


def _read(
    history: pd.DataFrame,
    evidence: Mapping[str, pd.DataFrame],
    principles: Sequence[Belief],
    space: SearchSpace | str | Path | Mapping[str, Any] | None,
    metric: str,
    lower_is_better: Collection[str],
    tried: Iterable[Mapping[str, Any]],
) -> _Situation:
    runs = history.sort_values("run_date", kind="stable") if "run_date" in history else history
    runs = runs.reset_index(drop=True)
    if _RUN_NAME not in runs:
        runs = runs.assign(run_name=[f"run {at + 1}" for at in range(len(runs))])
    named = {name for table in evidence.values() for row in table["parameters"] for name in row}
    names = sorted(({*history_parameters({}, runs, metric)} | (named & set(runs.columns))) - {metric, *evidence})
    if SEED in runs:
        names.append(SEED)
    configurations = {str(run[_RUN_NAME]): configuration_of(run, names) for run in runs.to_dict("records")}
    hard = tuple(rule for rule in principles if rule.status == "hard")
    goal = read_goal(metric, runs, list(evidence), lower_is_better)
    unset = unset_values()
    return _Situation(
        runs=runs,
        evidence=evidence,
        goal=goal,
        configurations=configurations,
        best=_best(runs, goal, configurations, hard, unset),
        newest=str(runs[_RUN_NAME].iloc[-1]) if len(runs) else None,
        known=KnownTrials(runs, names, tried, metric, goal.lower_is_better, unset),
        hard=hard,
        soft=tuple(rule for rule in principles if rule.status == "soft"),
        principles=tuple(principles),
        space=space_of(runs, names) if space is None else SearchSpace.of(space),
        space_was_given=space is not None,
        unset=unset,
    )


def _best(
    runs: pd.DataFrame,
    goal: Goal,
    configurations: Mapping[str, dict[str, Any]],
    hard: Sequence[Belief],
    unset: Mapping[str, Any],
) -> Base:
    """The run with the best configuration, repetitions averaged; one that keeps to what is hard, if there is one."""
    if not len(runs):
        return Base()
    values: dict[Any, list[float]] = {}
    for run in runs.to_dict("records"):
        if (value := number_of(run.get(goal.metric))) is not None:
            values.setdefault(fingerprint(configurations[str(run[_RUN_NAME])], unset), []).append(goal.sign * value)

    def rank(name: str) -> tuple[bool, float]:
        configuration = configurations[name]
        results = values.get(fingerprint(configuration, unset))
        keeps = all(rule.holds_for(configuration) is not False for rule in hard)
        return keeps, -math.inf if results is None else float(np.mean(results))

    name = max((str(run) for run in runs[_RUN_NAME]), key=rank)
    return Base(name, configurations[name])


def _kinds(
    situation: _Situation, diagnoses: Mapping[str, Sequence[Diagnosis]] | Sequence[Diagnosis], n: int, seed: int
) -> list[list[Draft]]:
    """Experiments of each kind, the best of each first; the kinds in the order in which they get a place."""
    best, goal, runs, evidence = situation.best, situation.goal, situation.runs, situation.evidence
    if best.run is None:
        return [_searched(situation, n, seed)]
    fixes = [
        draft
        for run, found in by_run(diagnoses, situation.newest).items()
        for draft in diagnosed_fixes(found, Base(run, situation.configurations.get(run, {})), goal, runs)
    ]
    better = better_values(best.parameters, evidence, goal, runs)[:MOST_CHANGES]
    improving = [*improvements_together(better, best, goal, runs)[:1], *_searched(situation, 2, seed)]
    improving.sort(key=lambda draft: -draft.score)
    measured = [name for name in runs.columns if number_of(runs[name].dropna().iloc[-1:].squeeze()) is not None]
    ideas = promising_parameters(best, goal, runs, measured)
    if situation.space_was_given and situation.space is not None:
        ideas = screening(best, better, evidence, goal, runs, situation.space, seed) + ideas
    first, data = ([draft for draft in ideas if draft.source == kind] for kind in ("unexplored", "data"))
    # What the evidence says is an expected gain; a search may also go where it knows little.
    promising = [draft for draft in improving if draft.source == "evidence" or draft.confidence >= _PROMISING]
    return [
        fixes,
        promising,
        separating_runs(best, evidence, goal, situation.configurations),
        first,
        data,
        [] if situation.known.has_repetitions else [_repetition(best, goal)],
        [draft for draft in improving if draft not in promising],
    ]


def _searched(situation: _Situation, count: int, seed: int) -> list[Draft]:
    if situation.space is None:
        return []
    return searched_configurations(
        situation.space,
        situation.best,
        situation.evidence,
        situation.goal,
        situation.runs,
        situation.principles,
        count,
        seed,
    )


def _repetition(best: Base, goal: Goal) -> Draft:
    """The best configuration with another seed."""
    seed = number_of(best.parameters.get(SEED))
    return Draft(
        title=f"Repeat {best.run} with another seed",
        rationale=(
            f"{best.run} is the best by {goal.metric}, and no configuration was run twice: nobody knows how much of a "
            f"difference is chance. Every other verdict gets better by it."
        ),
        source="replicate",
        base=best,
        changes={SEED: 1 if seed is None else int(seed) + 1},
        expected={},
        confidence=_REPETITION_CONFIDENCE,
        score=_REPETITION_SCORE,
        priority="MEDIUM",
        is_repetition=True,
    )


def _in_turn(kinds: Sequence[Sequence[Draft]]) -> Iterator[Draft]:
    """The first of each kind, then the second of each."""
    for place in range(max((len(drafts) for drafts in kinds), default=0)):
        yield from (drafts[place] for drafts in kinds if place < len(drafts))


def _are_alike(one: Draft, other: Draft) -> bool:
    changes = {(name, as_written(value)) for name, value in one.parameters.items()}
    if changes == {(name, as_written(value)) for name, value in other.parameters.items()}:
        return True
    # Where nothing was run, every experiment sets everything.
    if one.base.run is None:
        return False
    shared, both = one.subject & other.subject, one.subject | other.subject
    return len(shared) > _ALIKE * len(both)


def _risk(prediction: Prediction | None, breaks: Sequence[str]) -> tuple[Risk, str]:
    risk: Risk = "MEDIUM" if prediction is None else prediction.risk
    reason = "No run has a result yet: nothing can be predicted." if prediction is None else prediction.reason
    if breaks:
        risk = max(risk, "MEDIUM", key=_RISKS.index)
        reason = f"{reason} It goes against what held so far: {listed(breaks)}."
    return risk, reason


def _lower(priority: Priority) -> Priority:
    return _PRIORITIES[min(_PRIORITIES.index(priority) + 1, len(_PRIORITIES) - 1)]


def _statement(rule: Belief) -> str:
    return str(getattr(rule, "statement", rule))
