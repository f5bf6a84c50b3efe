"""Runs and proposals in one table: what was tried, what came of it, and what might be tried next."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve.history_parameters import history_parameters
from pixel_lora_pipeline.improve.result_columns import result_columns
from pixel_lora_pipeline.learn.configurations import RUN_DATE, Configurations, read_configurations
from pixel_lora_pipeline.learn.domain_priors import domain_prior, usable_prior
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, ParameterColumn, read_parameter

# Older runs say least about the next one, and the time that a prediction takes grows with the cube of the number.
MOST_RUNS: Final = 300
_CONFIGURATION: Final = "configuration of the run"
# Where a run's name is looked for, as in `learn.configurations`.
_NAMES: Final = ("run_name", "run_id", "id")


@dataclass(frozen=True)
class Trials:
    """The configurations of a history.

    Attributes
    ----------
    configurations
        n rows; runs whose parameters are all the same are replicates and make one.
    prior
        Of each parameter, that it acts on the metric, by the written rules.
    repetitions
        float[r]: the metric of the runs that were made with exactly what is proposed.
    parts
        float[n, p]: other results of the runs, see `result_columns`; the mean over replicates. None of them if names of
        runs are there twice.
    """

    configurations: Configurations
    prior: Mapping[str, float]
    repetitions: Floats
    parts: Floats

    def __len__(self) -> int:
        return len(self.configurations)

    @property
    def metric(self) -> Floats:
        """float[n]."""
        return self.configurations.metric

    @property
    def n_runs(self) -> int:
        """Replicates included."""
        return int(self.configurations.n_rep.sum())

    @property
    def columns(self) -> tuple[ParameterColumn, ...]:
        """A column a parameter; of n rows."""
        return self.configurations.columns

    def beside(self, proposals: Sequence[Mapping[str, Any]]) -> tuple[ParameterColumn, ...]:
        """The same columns with a row more for each proposal; what a proposal does not name is not known of it."""
        columns = []
        for column in self.columns:
            tried = [None if code == MISSING else column.levels[code] for code in column.codes]
            proposed = [proposal.get(column.name) for proposal in proposals]
            columns.append(read_parameter(pd.Series([*tried, *proposed], dtype=object), column.name))
        return tuple(columns)


def read_trials(parameters: Mapping[str, Any], history: pd.DataFrame, metric: str) -> Trials:
    """Read the newest `MOST_RUNS` runs of a history; those without a finite metric are left out.

    Parameters
    ----------
    parameters
        What is proposed.
    history, metric
        As in `prediction.predict_trial_outcome`.

    Raises
    ------
    ValueError
        If the metric is not a column of the history, or not a number, or named as a parameter; if a column is there
        twice.
    """
    if metric not in history.columns:
        raise ValueError(f"the history has no column {metric} to predict, only {list(history.columns)}")
    names = history_parameters(parameters, history, metric)
    twice = history.columns[history.columns.duplicated()]
    if unclear := sorted({str(name) for name in twice} & {*names, metric}):
        raise ValueError(f"the history has several columns named {', '.join(unclear)}: keep one of each")
    runs = history.copy(deep=False)
    for name in names:
        if name not in runs.columns:
            runs[name] = None
    if len(runs) > MOST_RUNS:
        runs = _newest(runs[pd.to_numeric(runs[metric], errors="coerce").notna()])
    *alike, proposed = _alike(runs, parameters, names)
    runs[_CONFIGURATION] = alike
    configurations = read_configurations(runs, names, metric, _CONFIGURATION)
    same = runs[runs[_CONFIGURATION] == proposed]
    # A run that is in the table twice is no repetition, see `learn.configurations`.
    once = same[~same.astype(str).duplicated()] if "run_name" in same else same
    repetitions = pd.to_numeric(once[metric]).to_numpy(dtype=float, na_value=np.nan)
    return Trials(
        configurations=configurations,
        prior=usable_prior(domain_prior(names, metric), names),
        repetitions=repetitions[np.isfinite(repetitions)],
        parts=_parts(runs, configurations, result_columns(runs, names, metric)),
    )


def _newest(runs: pd.DataFrame) -> pd.DataFrame:
    """By their dates; the last of the table if it has none."""
    if RUN_DATE not in runs:
        return runs.tail(MOST_RUNS)
    dates = pd.to_datetime(runs[RUN_DATE], errors="coerce", utc=True)
    return runs.iloc[np.argsort(dates.to_numpy(), kind="stable")].tail(MOST_RUNS)


def _parts(runs: pd.DataFrame, configurations: Configurations, columns: Sequence[str]) -> Floats:
    n = len(configurations)
    named = next((name for name in _NAMES if name in runs), None)
    labels = pd.Index(runs.index if named is None else runs[named])
    if not columns or not labels.is_unique or n == 0:
        return np.zeros((n, 0))
    results = runs[list(columns)].astype(float).set_axis(labels)
    return np.array([results.loc[list(of)].mean().to_numpy() for of in configurations.runs])


def _alike(runs: pd.DataFrame, parameters: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The same text for runs with the same parameters; the last is that of what is proposed."""
    cells = [pd.Series([*runs[name], parameters.get(name)], dtype=object) for name in names]
    codes = [read_parameter(column, name).codes for column, name in zip(cells, names, strict=True)]
    # A text that can be no run's name: names would be read as the run that was repeated.
    return [f"configuration {tuple(int(column[row]) for column in codes)}" for row in range(len(runs) + 1)]
