"""What a prediction rests on: repetitions of the same configuration, or the model that is best on all others."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from pixel_lora_pipeline.improve.conformal_interval import Outlook, outlook_of, student_reach
from pixel_lora_pipeline.improve.deciding_parameters import Change, deciding_changes, seen_changes
from pixel_lora_pipeline.improve.likeness import causes_of
from pixel_lora_pipeline.improve.model_choice import choose_model
from pixel_lora_pipeline.improve.outcome_models import FEW_CAUSES, MEAN, forecasts
from pixel_lora_pipeline.improve.partial_results import PARTS, forecast_by_parts
from pixel_lora_pipeline.improve.trials import Trials
from pixel_lora_pipeline.learn.parameter_column import ParameterColumn

REPETITIONS: Final = "repetitions of the run"
# From here on, what was run before says more about its next repetition than any model of its parameters does.
_ENOUGH: Final = 2
# Degrees of freedom of the noise below which a model, if there can be one, has the narrower interval.
_FREE: Final = 3
# Configurations of which nothing can be learnt but the mean.
_FEWEST: Final = 2


@dataclass(frozen=True)
class Basis:
    """A prediction before it is judged.

    Attributes
    ----------
    outlook
        Of the proposal.
    model, skill
        See `prediction.Prediction`.
    noise
        By how much a repetition of a run differs, typically; in units of the metric.
    changes
        Of single parameters, by which the prediction would change most.
    """

    outlook: Outlook
    model: str
    skill: float
    noise: float
    changes: list[Change]


def basis_of(trials: Trials, proposal: Mapping[str, Any], columns: Sequence[ParameterColumn], level: float) -> Basis:
    """Predict a proposal.

    Parameters
    ----------
    trials
        Two configurations or more, or one of which the proposal is a repetition.
    proposal
        Parameters.
    columns
        Of the configurations and the proposal, see `Trials.beside`.
    level
        Of the interval.
    """
    variance = trials.configurations.replicate_variance
    freedom = trials.n_runs - len(trials)
    if variance is not None and len(trials.repetitions) >= _ENOUGH and (freedom >= _FREE or len(trials) <= _FEWEST):
        return _by_repetitions(trials, columns, variance, level)
    return _by_model(trials, proposal, columns, variance, level)


def _by_repetitions(trials: Trials, columns: Sequence[ParameterColumn], variance: float, level: float) -> Basis:
    """The mean of the repetitions; the noise is that of all configurations that were repeated."""
    same, count = trials.repetitions, len(trials.repetitions)
    freedom = trials.n_runs - len(trials)
    half_width = student_reach(freedom, level) * math.sqrt(variance * (1 + 1 / count))
    # Each repetition from the others, and from the mean of the other configurations.
    errors = np.abs(same - same.mean()).sum() * count / (count - 1)
    total = float(trials.metric @ trials.configurations.n_rep)
    others = trials.n_runs - count
    of_mean = np.abs(same - (total - same.sum()) / others).sum() if others else 0.0
    return Basis(
        outlook=Outlook(float(same.mean()), half_width, level, freedom),
        model=REPETITIONS,
        skill=float(1 - errors / of_mean) if of_mean > 0 else 0.0,
        noise=math.sqrt(variance),
        changes=seen_changes(trials, columns),
    )


def _by_model(
    trials: Trials,
    proposal: Mapping[str, Any],
    columns: Sequence[ParameterColumn],
    variance: float | None,
    level: float,
) -> Basis:
    values = trials.metric
    causes = causes_of(trials, columns)
    found = forecasts(causes, values)
    if FEW_CAUSES in found:
        by_parts = forecast_by_parts(causes, values, trials.parts)
        found |= {PARTS: by_parts} if by_parts is not None else {}
    chosen = choose_model(found, values)
    # What decides is told of the metric itself.
    explained = FEW_CAUSES if chosen.name == PARTS else chosen.name
    averaged_out = 1 - float((1 / trials.configurations.n_rep).mean())
    # Without repetitions, the typical error for configurations that were left out says what a repetition may differ by.
    typical = float(np.median(np.abs(chosen.forecast.left_out_mean - values)))
    return Basis(
        outlook=outlook_of(chosen.forecast, values, 0, level, (variance or 0.0) * averaged_out),
        model=chosen.name,
        skill=chosen.skill,
        noise=typical if variance is None else math.sqrt(variance),
        changes=[] if explained == MEAN else deciding_changes(trials, proposal, columns, explained),
    )
