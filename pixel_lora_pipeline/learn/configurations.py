"""Runs become configurations: what was trained several times with different seeds counts once.

Seeds are not independent evidence about a parameter: three runs of one configuration say how noisy a result is, not
three times what the configuration is worth.
"""

from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, Integers, ParameterColumn, read_parameter

# Where a run's name is looked for; the table's index if there is none of these.
_NAMES: Final = ("run_name", "run_id", "id")
RUN_DATE: Final = "run_date"


@dataclass(frozen=True)
class Configurations:
    """What was tried, and what came of it; a row a configuration.

    Attributes
    ----------
    columns
        One a parameter, in the order of their names. A value in which the replicates of a configuration differ, as
        their seed, is not known of the configuration.
    metric
        float[n]: mean over the replicates.
    n_rep
        int[n]: how many runs each configuration has.
    runs
        Names of each configuration's runs.
    days
        float[n]: when they were run, in days; NaN where not known, None if the table does not say.
    metric_range
        Largest minus smallest metric of a single run; effects are judged by it.
    replicate_variance
        Of a single run around the mean of its replicates, pooled; None without replicates.
    """

    columns: tuple[ParameterColumn, ...]
    metric: Floats
    n_rep: Integers
    runs: tuple[tuple[Any, ...], ...]
    days: Floats | None
    metric_range: float
    replicate_variance: float | None

    def __len__(self) -> int:
        return len(self.metric)


def read_configurations(
    runs: pd.DataFrame, parameters: list[str], metric: str, replicate_of: str | None
) -> Configurations:
    """Read a table of runs; rows without a finite metric are left out.

    The result does not depend on the order of rows or parameters.

    Parameters
    ----------
    runs, parameters, metric, replicate_of
        As in `assess_parameters`.

    Raises
    ------
    ValueError
        If a column is missing or there twice, or if the metric is not a number.
    """
    parameters = list(dict.fromkeys(parameters))
    _check(runs, parameters, metric, replicate_of)
    scored = runs[np.isfinite(_numbers(runs[metric], metric))]
    if "run_name" in scored:
        scored = scored[~(scored.astype(str).duplicated() & scored["run_name"].notna())]
    columns = [read_parameter(scored[name], name) for name in sorted(parameters)]
    days = _days(scored) if RUN_DATE in scored and RUN_DATE not in parameters else None
    values, names = _numbers(scored[metric], metric), _run_names(scored)
    group = np.arange(len(scored)) if replicate_of is None else _replicates(scored, replicate_of, columns)
    members = _members(group)
    means = np.array([values[rows].mean() for rows in members], dtype=float)
    columns = [_of_configurations(column, group, len(members)) for column in columns]
    # A fixed order of rows, whatever the table's: random permutations and sums then come out the same.
    order = np.lexsort([*(column.codes for column in reversed(columns)), means])
    freedom = len(values) - len(members)
    return Configurations(
        columns=tuple(column.with_codes(column.codes[order]) for column in columns),
        metric=means[order],
        n_rep=np.array([len(members[at]) for at in order], dtype=np.int64),
        runs=tuple(tuple(sorted((names[row] for row in members[at]), key=str)) for at in order),
        days=None if days is None else np.array([days[members[at]].mean() for at in order]),
        metric_range=float(np.ptp(values)) if len(values) else 0.0,
        replicate_variance=float(((values - means[group]) ** 2).sum() / freedom) if freedom else None,
    )


def _members(group: Integers) -> list[Integers]:
    """The rows of each configuration."""
    order = np.argsort(group, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(group[order])) + 1) if len(group) else []


def _check(runs: pd.DataFrame, parameters: list[str], metric: str, replicate_of: str | None) -> None:
    wanted = [*parameters, metric, *([] if replicate_of is None else [replicate_of])]
    if missing := [name for name in wanted if name not in runs.columns]:
        raise ValueError(f"runs has no column {', '.join(map(str, missing))}, only {list(runs.columns)}")
    if twice := sorted({name for name in wanted if isinstance(runs[name], pd.DataFrame)}):
        raise ValueError(f"runs has several columns named {', '.join(twice)}: keep one of each")
    if metric in parameters:
        raise ValueError(f"{metric} is the metric and cannot be one of the parameters: take it out of parameters")


def _numbers(values: pd.Series, metric: str) -> Floats:
    try:
        return np.asarray(pd.to_numeric(values).to_numpy(dtype=float, na_value=np.nan))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the metric {metric} is not a number in every row: {error}") from error


def _days(runs: pd.DataFrame) -> Floats:
    dates = pd.to_datetime(runs[RUN_DATE], errors="coerce", utc=True)
    days = (dates - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
    return np.asarray(days.to_numpy(dtype=float, na_value=np.nan))


def _run_names(runs: pd.DataFrame) -> list[Any]:
    named = next((name for name in _NAMES if name in runs), None)
    labels = runs.index if named is None else runs[named]
    return [getattr(label, "item", lambda label=label: label)() for label in labels]


def _replicates(runs: pd.DataFrame, replicate_of: str, columns: list[ParameterColumn]) -> Integers:
    """int[n]: the configuration of each row.

    Rows that name the same thing belong together. What they name may itself be a row that names nothing: the run
    that was repeated, by its name or its index. It belongs to them unless its parameters say otherwise.
    """
    of = runs[replicate_of]
    named = of.notna().to_numpy()
    links: list[tuple[int, int]] = []
    first: dict[str, int] = {}
    for row in np.flatnonzero(named).tolist():
        links.append((row, first.setdefault(_identity(of.iloc[row]), row)))
    for identity in (*(runs[name] for name in _NAMES if name in runs), runs.index):
        for row, label in enumerate(identity):
            repeat = first.get(_identity(label))
            if repeat is not None and not named[row] and all(_agree(column, row, repeat) for column in columns):
                links.append((row, repeat))
    ends = np.array(links, dtype=np.int64).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(len(runs), len(runs)))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _identity(label: object) -> str:
    """The same for 3 and 3.0: a column of numbers with empty cells holds floats."""
    return str(float(label)) if isinstance(label, Real) else str(label)


def _agree(column: ParameterColumn, row: int, other: int) -> bool:
    here, there = column.codes[row], column.codes[other]
    # A seed is what replicates differ in.
    return here == there or MISSING in (here, there) or column.name == "seed"


def _of_configurations(column: ParameterColumn, group: NDArray[np.int64], n: int) -> ParameterColumn:
    lowest, highest = np.full(n, np.iinfo(np.int64).max), np.full(n, MISSING)
    known = column.known
    np.minimum.at(lowest, group[known], column.codes[known])
    np.maximum.at(highest, group[known], column.codes[known])
    return column.with_codes(np.where(lowest == highest, highest, MISSING))
