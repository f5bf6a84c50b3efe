"""An experiment that is proposed, with everything that a person needs to decide about it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from pixel_lora_pipeline.improve.prediction import Prediction
from pixel_lora_pipeline.improve.verdict import Risk

Source = Literal["diagnosis", "evidence", "search", "unexplored", "data", "alias", "replicate", "starting point"]
Priority = Literal["HIGH", "MEDIUM", "LOW"]
State = Literal["PROPOSED", "PENDING DATA", "REQUIRES DATASET WORK"]


@dataclass(frozen=True)
class ParameterChange:
    """What is set otherwise than in the run that an experiment is based on; None is a value that is not known."""

    parameter: str
    before: Any
    after: Any


@dataclass(frozen=True)
class ExpectedEffect:
    """By how much a metric is expected to change against the run that an experiment is based on.

    Attributes
    ----------
    mean
        The chance of no effect included.
    low, high
        Between which it lies with about 95 % if there is an effect, with `basis` "runs"; or what is believed of it.
    basis
        "runs", "search" (the surrogate of the search), or "belief" (a document says so, no run does).
    """

    mean: float
    low: float
    high: float
    basis: Literal["runs", "search", "belief"]


@dataclass(frozen=True)
class Estimate:
    """A cost with its 90 % interval, and how many runs it rests on."""

    value: float
    low: float
    high: float
    n_runs: int


@dataclass(frozen=True)
class Hypothesis:
    """An experiment to run.

    Attributes
    ----------
    title
        What to do, and what for.
    rationale
        A sentence or two that name the evidence and the runs.
    source
        Where the idea comes from.
    changes
        What to set otherwise than in `based_on`; several if they belong together.
    based_on
        The run that is changed; None if there is none.
    parameters
        The whole configuration to run, as far as it is known.
    expected
        Metric → effect.
    confidence
        Probability that it does what the title says.
    priority
        In which part of the queue it belongs.
    score
        By which it was ranked: expected gain of the metric that is to be improved, and worth of what will be known
        afterwards, in standard deviations of the runs.
    gpu_seconds, cost_usd
        None where nothing is known.
    risk, risk_reason
        That it fails, and why.
    state
        In which it should enter the queue.
    prediction
        Of the metric that is to be improved; None if none can be made.
    breaks
        Soft principles that it goes against.
    """

    title: str
    rationale: str
    source: Source
    changes: tuple[ParameterChange, ...]
    based_on: str | None
    parameters: dict[str, Any]
    expected: dict[str, ExpectedEffect]
    confidence: float
    priority: Priority
    score: float
    gpu_seconds: Estimate | None
    cost_usd: Estimate | None
    risk: Risk
    risk_reason: str
    state: State
    prediction: Prediction | None
    breaks: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values; what is not finite is None."""
        return {
            field.name: _plain(getattr(self, field.name)) for field in fields(self) if field.name != "prediction"
        } | {"prediction": None if self.prediction is None else _plain(self.prediction.to_dict())}


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)
