"""What was tried already or is going to be, and what became of it: experiments are not made twice."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.configuration import configuration_of, fingerprint, number_of

# Under which names an experiment of the queue says what it is called, and what became of it.
_NAMES: Final = ("run_name", "title", "name", "id")
_STATES: Final = ("state", "status")
_FAILED: Final = "failed"


@dataclass(frozen=True)
class KnownTrial:
    """A configuration that was tried, or waits in the queue.

    Attributes
    ----------
    name
        Of the run or experiment.
    value
        Of the goal; None if there is no result.
    state
        Of an experiment, in lower case.
    is_failure
        Whether it failed, or ended on the worse side of half-way between the worst and the best run.
    """

    name: str
    value: float | None
    state: str | None
    is_failure: bool

    def says(self, metric: str) -> str:
        """As "run_007 had this configuration and failed: quality_score 4.2"."""
        became = "" if self.value is None else f": {metric} {self.value:.4g}"
        if self.is_failure:
            return f"{self.name} had this configuration and failed{became}"
        return f"{self.name} has this configuration already ({self.state or 'run'}{became})"


class KnownTrials:
    """All of them.

    Parameters
    ----------
    runs
        The history.
    parameters
        Its columns that are parameters.
    tried
        Experiments that are no runs of the history yet: mappings with `parameters`, a name and a state.
    metric, lower_is_better
        What runs are judged by.
    unset
        What the trainer does where a parameter is not given.
    """

    def __init__(
        self,
        runs: pd.DataFrame,
        parameters: Iterable[str],
        tried: Iterable[Mapping[str, Any]],
        metric: str,
        lower_is_better: bool,
        unset: Mapping[str, Any],
    ) -> None:
        self._unset = unset
        self._trials: dict[frozenset[tuple[str, str]], list[KnownTrial]] = {}
        names = list(parameters)
        values = [number_of(value) for value in runs[metric]] if metric in runs else [None] * len(runs)
        known = [value for value in values if value is not None]
        line = (min(known) + max(known)) / 2 if known else np.nan
        for at, run in enumerate(runs.to_dict("records")):
            value = values[at]
            state = next((str(run[name]).lower() for name in _STATES if isinstance(run.get(name), str)), None)
            is_worse = value is not None and min(known) < max(known) and (value > line) == lower_is_better
            trial = KnownTrial(str(run.get("run_name", at)), value, state, is_worse or state == _FAILED)
            self._add(configuration_of(run, names), trial)
        for experiment in tried:
            name = next((str(experiment[key]) for key in _NAMES if experiment.get(key)), "an experiment of the queue")
            state = next((str(experiment[key]).lower() for key in _STATES if experiment.get(key)), None)
            self._add(experiment["parameters"], KnownTrial(name, None, state, state == _FAILED))

    def like(self, parameters: Mapping[str, Any]) -> tuple[KnownTrial, ...]:
        """Trials of this configuration, whatever their seed; failures first."""
        found = self._trials.get(fingerprint(parameters, self._unset), [])
        return tuple(sorted(found, key=lambda trial: not trial.is_failure))

    @property
    def has_repetitions(self) -> bool:
        """Whether some configuration was run twice, so that the noise is known."""
        return any(sum(trial.value is not None for trial in trials) > 1 for trials in self._trials.values())

    def _add(self, parameters: Mapping[str, Any], trial: KnownTrial) -> None:
        self._trials.setdefault(fingerprint(parameters, self._unset), []).append(trial)
