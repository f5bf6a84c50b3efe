"""What the evidence says of one class of parameters and one metric, as plain values."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.learn.impact_report.shown import typed
from pixel_lora_pipeline.learn.verdict import HIGH_EFFECT

# The strongest first. A parameter that is known to do nothing comes before one of which nothing is known.
CATEGORIES: Final = ("CRITICAL", "HIGH", "MODERATE", "NONE", "INSUFFICIENT")
TOLD: Final = frozenset({"CRITICAL", "HIGH"})


@dataclass(frozen=True, eq=False)
class Finding:
    """A row of the evidence; `evidence.assess_parameters` says what each column means.

    Attributes
    ----------
    at
        Place of the metric among the metrics.
    by_value
        Each value with its effect; the values are those of the parameter that stands for the class.

    Everything that is not a finite number is None.
    """

    metric: str
    at: int
    parameters: tuple[str, ...]
    category: str
    is_selected: bool
    is_aliased: bool
    pip: float
    pip_flat: float | None
    prior: float | None
    encoding: str | None
    statement: str | None
    effect: float | None
    low: float | None
    high: float | None
    by_value: tuple[tuple[Any, float | None], ...]
    pearson_r: float | None
    p_exact: float | None
    q_bh: float | None
    p_orders: int
    n_runs: int
    n_configs: int
    n_low: int
    n_high: int
    runs_low: tuple[Any, ...]
    runs_high: tuple[Any, ...]
    metric_range: float | None
    noise_sd: float | None
    replicate_sd: float | None
    near_aliases: tuple[str, ...]
    least_effect: float | None
    runs_needed: int | None
    experiment: Mapping[str, Any] | None
    is_approximate: bool
    method_version: str

    @property
    def is_judged(self) -> bool:
        """Whether anything is said of an effect."""
        return self.effect is not None

    @property
    def share(self) -> float:
        """Size of the effect as a share of the metric's range, 0 if nothing is said of it."""
        return abs(self.effect) / self.metric_range if self.effect is not None and self.metric_range else 0.0

    @property
    def holds_zero(self) -> bool:
        """Whether the interval does."""
        return self.low is not None and self.high is not None and self.low <= 0 <= self.high

    @property
    def would_have_been_seen(self) -> bool:
        """Whether the runs would have shown an effect worth having, had there been one."""
        return self.least_effect is not None and self.least_effect <= HIGH_EFFECT * (self.metric_range or 0.0)

    @property
    def strength(self) -> tuple[Any, ...]:
        """Sorts findings, the strongest first: by category, then by metric, then by probability."""
        rank = CATEGORIES.index(self.category)
        return rank, not self.is_selected, not self.is_judged, self.at, -round(self.pip, 9), self.parameters


def findings_of(metric: str, at: int, evidence: pd.DataFrame) -> list[Finding]:
    """Read a table of evidence, whether fresh or out of a database."""
    return [_finding(metric, at, row) for row in evidence.to_dict("records")]


def _finding(metric: str, at: int, row: Mapping[str, Any]) -> Finding:
    return Finding(
        metric=metric,
        at=at,
        parameters=tuple(map(str, row["parameters"])),
        category=row["category"],
        is_selected=bool(row["selected"]),
        is_aliased=bool(row["aliased"]),
        pip=float(row["pip"]),
        pip_flat=_number(row["pip_flat"]),
        prior=_number(row["prior"]),
        encoding=_text(row["encoding"]),
        statement=_text(row["statement"]),
        effect=_number(row["effect"]),
        low=_number(row["effect_low"]),
        high=_number(row["effect_high"]),
        by_value=tuple((value, _number(effect)) for value, effect in (row["effect_by_value"] or {}).items()),
        pearson_r=_number(row["pearson_r"]),
        p_exact=_number(row["p_exact"]),
        q_bh=_number(row["q_bh"]),
        p_orders=int(_number(row["p_orders"]) or 0),
        n_runs=int(row["n_runs"]),
        n_configs=int(row["n_configs"]),
        n_low=int(row["n_low"]),
        n_high=int(row["n_high"]),
        runs_low=tuple(row["runs_low"]),
        runs_high=tuple(row["runs_high"]),
        metric_range=_number(row["metric_range"]),
        noise_sd=_number(row["noise_sd"]),
        replicate_sd=_number(row["replicate_sd"]),
        near_aliases=tuple(map(str, row["near_aliases"])),
        least_effect=_number(row["min_detectable_effect"]),
        runs_needed=_whole(row["runs_needed"]),
        experiment=row["separating_experiment"] if isinstance(row["separating_experiment"], Mapping) else None,
        is_approximate=bool(row["approximate"]),
        method_version=str(row["method_version"]),
    )


def effect_of(finding: Finding) -> dict[str, float]:
    """Effect of each value, by the value's text: a database has no other keys."""
    return {typed(value): effect for value, effect in finding.by_value if effect is not None}


def _number(value: Any) -> float | None:
    if value is None or value is pd.NA:
        return None
    number = float(value)
    return number if math.isfinite(number) else None


def _whole(value: Any) -> int | None:
    number = _number(value)
    return None if number is None else int(number)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
