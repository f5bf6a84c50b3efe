"""Principles about parameters, by the evidence about one metric."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.metric_evidence import MetricEvidence
from pixel_lora_pipeline.learn.parameter_column import Floats, Integers
from pixel_lora_pipeline.learn.principle import SURE, Principle, principle_id
from pixel_lora_pipeline.learn.stated_conditions import StatedCondition, stated_conditions
from pixel_lora_pipeline.learn.trials import difference, judge_trials
from pixel_lora_pipeline.learn.verdict import CRITICAL_SIDE


@dataclass(frozen=True)
class ParameterRules:
    """What the evidence about a metric says of principles, new and known.

    Attributes
    ----------
    evidence
        About the metric.
    lower_is_better
        Whether the metric should be low.
    """

    evidence: MetricEvidence
    lower_is_better: bool

    @property
    def n_runs(self) -> int:
        """Runs with the metric."""
        return len(self.evidence.results)

    def stated(self, now: datetime) -> Iterator[Principle]:
        """What the evidence alone says by now, not yet with a status."""
        found: dict[str, Principle] = {}
        for row in self.evidence.rows:
            if not row["selected"] or row["aliased"] or row["pip"] < SURE or not isinstance(row["encoding"], str):
                continue
            for said in stated_conditions(row, self.evidence):
                principle = self.refreshed(self._blank(said, now))
                if principle is not None and self._is_stated(principle):
                    found.setdefault(principle.id, principle)
        yield from found.values()

    def refreshed(self, principle: Principle) -> Principle | None:
        """A principle with what the runs say of it now; None if they do not judge it."""
        condition = principle.condition
        if condition is None:
            return None
        rows = [self.evidence.row_of(name) for name in condition.parameters]
        judged = [row for row in rows if row is not None and isinstance(row["encoding"], str)]
        if len(judged) < len(rows):
            return None
        holds, fails = self._sides(principle)
        adjusted = self._better(self.evidence.adjusted(condition.parameters))
        sd = float(judged[0]["noise_sd"])
        effect = difference(holds, fails, adjusted, sd)
        trials = judge_trials(
            holds=holds,
            fails=fails,
            is_later=self.evidence.is_later_than(principle.known_runs),
            results=self._better(self.evidence.results),
            adjusted=adjusted,
            configuration=self._configuration,
            otherwise=self.evidence.scored.alike(set(self.evidence.parameters) - set(condition.parameters)),
            sd=sd,
        )
        return replace(
            principle,
            pip=min(float(row["pip"]) for row in judged),
            effect=None if effect is None else effect.mean,
            effect_low=None if effect is None else effect.low,
            effect_high=None if effect is None else effect.high,
            aliases=_aliases(condition.parameters, judged),
            confirming_runs=self._names(trials.confirming),
            counter_examples=self._names(trials.against),
            breaking_runs=self._names(trials.breaking),
            refuting_runs=self._names(trials.refuting),
            experiment_odds=trials.breaking_odds,
            evidence_runs=self._names(np.flatnonzero(holds | fails).tolist()),
        )

    def _is_stated(self, principle: Principle) -> bool:
        sides = self._sides(principle)
        fewest = min(len(np.unique(self._configuration[side])) for side in sides)
        return (
            principle.pip >= SURE
            and not principle.aliases
            and principle.effect is not None
            and principle.effect > 0
            and fewest >= CRITICAL_SIDE
        )

    def _blank(self, said: StatedCondition, now: datetime) -> Principle:
        condition, metric = said.condition, self.evidence.metric
        does = "lowers" if self.lower_is_better else "raises"
        trend = ""
        if said.form == "trend":
            trend = f", the {'lower' if condition.holds.intervals[0][0] is None else 'higher'} the better"
        content = {"factors": condition.factors, "holds": condition.holds.to_dict(), "does": does}
        return Principle(
            id=principle_id(metric, content),
            statement=f"{condition} {does} {metric}{trend}",
            form=said.form,
            metric=metric,
            lower_is_better=self.lower_is_better,
            condition=condition,
            first_stated_at=now,
            known_runs=self.evidence.history.names,
        )

    @cached_property
    def _configuration(self) -> Integers:
        return self.evidence.scored.alike(self.evidence.parameters)

    @cached_property
    def _records(self) -> list[dict[str, Any]]:
        table = self.evidence.scored.table[list(self.evidence.parameters)]
        return [{str(name): value for name, value in row.items()} for row in table.to_dict("records")]

    def _sides(self, principle: Principle) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        held = [principle.holds_for(row) for row in self._records]
        return np.array([side is True for side in held]), np.array([side is False for side in held])

    def _better(self, values: Floats) -> Floats:
        return -values if self.lower_is_better else values

    def _names(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.evidence.scored.names[at] for at in rows)


def _aliases(parameters: tuple[str, ...], rows: list[Mapping[str, Any]]) -> tuple[str, ...]:
    """What these parameters cannot be told from; of a product, that may be its own factors."""
    aliased = {name for row in rows if row["aliased"] for name in row["parameters"]}
    return tuple(sorted(aliased - set(parameters) if len(parameters) == 1 else aliased))
