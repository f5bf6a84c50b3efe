"""Why a prediction is what it is, in a sentence or two for a person."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pixel_lora_pipeline.improve.basis import REPETITIONS, Basis
from pixel_lora_pipeline.improve.deciding_parameters import Change
from pixel_lora_pipeline.improve.outcome_models import MEAN
from pixel_lora_pipeline.improve.proposal_place import Beyond, Neighbour
from pixel_lora_pipeline.improve.trials import Trials
from pixel_lora_pipeline.improve.verdict import Verdict

_MOST_NAMES: Final = 3


def reason_of(
    trials: Trials,
    basis: Basis,
    verdict: Verdict,
    neighbours: Sequence[Neighbour],
    beyond: Sequence[Beyond],
    *,
    lower_is_better: bool,
) -> str:
    """The parameter that decides with the runs that show it, and the nearest run; then what was never tried.

    Parameters
    ----------
    trials
        What was tried.
    basis, verdict
        Of the proposal.
    neighbours, beyond
        See `proposal_place`.
    lower_is_better
        Whether the metric is better the lower it is.
    """
    if basis.model == MEAN:
        first = f"No model predicts unseen runs better than their mean, so this is the mean of {trials.n_runs} runs"
    elif basis.changes:
        first = _record(trials, verdict, basis.changes[0], lower_is_better)
    elif basis.model == REPETITIONS:
        first = f"This is the mean of {len(trials.repetitions)} runs of the same"
    else:
        first = f"Nothing that was tried instead of a single value would change what is predicted by {basis.model}"
    sentences = [f"{first}; {_nearest(neighbours[0])}."]
    if beyond:
        more = f" and {len(beyond) - 1} more" if len(beyond) > 1 else ""
        sentences.append(f"Beyond what was tried: {beyond[0].statement}{more}.")
    return " ".join(sentences)


def _nearest(neighbour: Neighbour) -> str:
    differs = neighbour.differs
    if not differs:
        return f"{_names(neighbour.runs)} ({neighbour.value:.3g}) had the same values"
    return f"the nearest run, {_names(neighbour.runs)} ({neighbour.value:.3g}), differs in {_names(differs)}"


def _record(trials: Trials, verdict: Verdict, change: Change, lower_is_better: bool) -> str:
    """How the runs with the deciding value ended, or that there are none."""
    value = f"{change.parameter} = {change.old}"
    gains = change.difference < 0 if lower_is_better else change.difference > 0
    instead = f"{change.parameter} = {change.new} is expected to change the result by {change.difference:+.3g}"
    [column] = [column for column in trials.columns if column.name == change.parameter]
    same = np.array([str(level) == str(change.old) for level in column.levels], dtype=bool)
    rows = np.flatnonzero(np.append(same, False)[column.codes])
    if len(rows) == 0:
        return f"{value} was not tried; {instead}"
    failed = (
        trials.metric[rows] > verdict.failure_line if lower_is_better else trials.metric[rows] < verdict.failure_line
    )
    runs = [name for row in rows for name in trials.configurations.runs[row]]
    counted = sum(len(trials.configurations.runs[row]) for row in (rows[failed] if gains else rows[~failed]))
    line = f"worse than {verdict.failure_line:.3g}" if gains else f"at {verdict.failure_line:.3g} or better"
    return f"{counted} of {len(runs)} runs with {value} ended {line} ({_names(runs)}), {instead}"


def _names(names: Sequence[Any]) -> str:
    shown = ", ".join(str(name) for name in names[:_MOST_NAMES])
    return shown if len(names) <= _MOST_NAMES else f"{shown} and {len(names) - _MOST_NAMES} more"
