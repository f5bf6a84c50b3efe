"""How probable each explanation of a failed run is: what the runs say, and what the rules say where runs are silent."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.alias_classes import ParameterClass, alias_classes
from pixel_lora_pipeline.learn.attribution import DRAWS, Attribution, attribute
from pixel_lora_pipeline.learn.candidate_causes import CandidateCauses, candidate_causes
from pixel_lora_pipeline.learn.configurations import Configurations, read_configurations
from pixel_lora_pipeline.learn.diagnosis_case import Case
from pixel_lora_pipeline.learn.diagnosis_rules import DiagnosisRule
from pixel_lora_pipeline.learn.domain_priors import FLAT
from pixel_lora_pipeline.learn.parameter_column import Floats
from pixel_lora_pipeline.learn.posterior import posterior_of
from pixel_lora_pipeline.learn.run_condition import is_known
from pixel_lora_pipeline.learn.run_position import Position, position_of
from pixel_lora_pipeline.train.taxonomy import ROADMAP_NAMES

# If a parameter acts, how probable it is that a value which a rule blames is a bad one; a rule is right about the
# direction more often than not, and the runs can overrule it. A value that a rule does not blame is as seldom bad.
DIRECTION: Final = 0.75
_EITHER_DIRECTION: Final = 0.5
# What a parameter that never varied costs, if it costs anything: half-normal, with this many standard deviations of
# the metric. Effects that make a run fail are larger than the usual difference between two runs.
_UNSEEN_COST: Final = 1.5
_SCALES: Final = (1.0, 10.0, 100.0)
# That something which nobody recorded always went along with the cause; no run can exclude it.
UNRECORDED: Final = 0.02


@dataclass(frozen=True)
class RootCauses:
    """The explanations of a failure, and what is needed to say why.

    Attributes
    ----------
    classes
        Parameters that the runs cannot tell apart, each an explanation.
    shares
        float[classes]: probability that a class cost this run most.
    chance, drift, unknown
        Probabilities that it was something that happened to this run only, something that changed with time, and
        nothing that is recorded. All together with `shares`, 1.
    judged
        bool[classes]: whether the runs say anything of a class. Else there is only what was believed.
    rules
        For each class, the rule of the highest prior that blames this run's value; None if none does.
    acts
        float[classes]: posterior probability that it acts at all.
    prior
        float[classes]: that it acts, beforehand.
    configurations, position, attribution
        The runs, this one's place among them, and what it lost.
    weights
        float[s, classes]: of the draws in which a class cost most.
    """

    classes: tuple[ParameterClass, ...]
    shares: Floats
    chance: float
    drift: float
    unknown: float
    judged: NDArray[np.bool_]
    rules: tuple[DiagnosisRule | None, ...]
    acts: Floats
    prior: Floats
    configurations: Configurations
    position: Position
    attribution: Attribution
    weights: Floats


def root_causes(case: Case, replicate_of: str | None) -> RootCauses:
    """Weigh the explanations of a case against each other.

    Parameters
    ----------
    case
        The failure.
    replicate_of
        As in `assess_parameters`.
    """
    configurations = _configurations(case, replicate_of)
    classes = tuple(alias_classes(configurations.columns))
    causes = candidate_causes(classes, case.prior, len(configurations), configurations.days)
    sign = 1.0 if case.metric is None or case.metric.higher_is_better else -1.0
    posterior = posterior_of(causes, sign * configurations.metric)
    row = next((at for at, names in enumerate(configurations.runs) if case.run_name in names), None)
    position = position_of(case.run, row, classes, causes)
    attribution = attribute(posterior, causes, sign * configurations.metric, position)
    can_tell = len(posterior.models.columns) > 1
    judged = np.array([can_tell and bool(own.any()) for own in causes.owned], dtype=bool)
    blames = tuple(_blame(members, case) for members in classes)
    lost = np.where(judged, attribution.lost, _unseen(case, classes, judged, causes, blames, configurations, sign))
    # Rows of draws: classes, then accident and drift.
    costs = np.column_stack([lost, attribution.accident, attribution.drift])
    root = np.where(costs.max(axis=1) > 0, costs.argmax(axis=1), costs.shape[1])
    weights = _direction_weights(attribution, judged, blames)
    if row is None:
        # All that is known of a failed run that was not measured: it is one of the worse.
        weights = weights * attribution.fails / float(weights @ attribution.fails)
    shares = (1 - UNRECORDED) * np.bincount(root, weights, minlength=costs.shape[1] + 1).astype(float)
    n = len(classes)
    return RootCauses(
        classes=classes,
        shares=shares[:n],
        chance=float(shares[n]),
        drift=float(shares[n + 1]),
        unknown=float(shares[n + 2]) + UNRECORDED,
        judged=judged,
        rules=tuple(blame.rule for blame in blames),
        acts=posterior.pip,
        prior=causes.given[:n],
        configurations=configurations,
        position=position,
        attribution=attribution,
        weights=weights[:, None] * (root[:, None] == np.arange(n)),
    )


@dataclass(frozen=True)
class _Blame:
    """What the rules say of a class: the one that blames the run's value, and how probable it is to be a bad one."""

    rule: DiagnosisRule | None
    is_bad: float


def _configurations(case: Case, replicate_of: str | None) -> Configurations:
    if case.metric is None:
        # Rules can be weighed without any measurement.
        runs = case.runs.iloc[:0].assign(no_metric=np.zeros(0))
        return read_configurations(runs, case.parameters, "no_metric", None)
    return read_configurations(case.runs, case.parameters, case.metric.column, replicate_of)


def _blame(members: ParameterClass, case: Case) -> _Blame:
    situation = case.situation
    names = {ROADMAP_NAMES.get(name, name) for name in members.names}
    about = [rule for rule in case.rules if rule.parameter in names and is_known(situation.get(rule.parameter))]
    blaming = [rule for rule in about if rule.holds(situation)]
    if blaming:
        return _Blame(max(blaming, key=lambda rule: rule.prior), DIRECTION)
    return _Blame(None, 1 - DIRECTION if about else _EITHER_DIRECTION)


def _direction_weights(attribution: Attribution, judged: NDArray[np.bool_], blames: Sequence[_Blame]) -> Floats:
    """float[s]: prior of the signs in a draw, sum 1."""
    is_bad = np.where(judged, [blame.is_bad for blame in blames], _EITHER_DIRECTION)
    of_bad = np.log(is_bad / _EITHER_DIRECTION)
    of_good = np.log((1 - is_bad) / _EITHER_DIRECTION)
    costs = attribution.lost > 0
    logs = (costs * of_bad + (attribution.acts & ~costs) * of_good).sum(axis=1)
    weights = np.exp(logs - logs.max())
    return np.asarray(weights / weights.sum())


def _unseen(
    case: Case,
    classes: Sequence[ParameterClass],
    judged: NDArray[np.bool_],
    causes: CandidateCauses,
    blames: Sequence[_Blame],
    configurations: Configurations,
    sign: float,
) -> Floats:
    """float[s, classes]: what settings that the runs say nothing of may have cost, drawn from beliefs alone.

    Of those that somebody believes to act; any of the others is as good as something that is not recorded.
    """
    random = np.random.default_rng(1)
    size = _typical_cost(configurations.metric, sign)
    costs = np.zeros((DRAWS, len(classes)))
    for at, members in enumerate(classes):
        believed = causes.given[at] >= FLAT or blames[at].rule is not None
        if judged[at] or not believed or not any(is_known(case.run.get(name)) for name in members.names):
            continue
        is_bad = random.random(DRAWS) < causes.given[at] * blames[at].is_bad
        costs[:, at] = is_bad * np.abs(random.normal(0, size, DRAWS))
    return costs


def _typical_cost(metric: Floats, sign: float) -> float:
    """Of something that all runs have in common: it cannot have cost more than the best of them still lacks."""
    if len(metric) < 2 or np.ptp(metric) == 0:
        return 1.0
    typical = _UNSEEN_COST * float(metric.std(ddof=1))
    if metric.min() < 0:
        return typical
    top = next((scale for scale in _SCALES if metric.max() <= scale), math.inf)
    lacking = float(top - metric.max()) if sign > 0 else float(metric.min())
    # A little is lacking even where noise took the best run to the end of the scale.
    return max(min(typical, lacking), 0.01 * typical)
