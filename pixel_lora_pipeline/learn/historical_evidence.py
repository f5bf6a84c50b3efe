"""What past runs show of a cause, in a form that can be read, counted again, and clicked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.configurations import Configurations
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, ParameterColumn

# A value is good if it would gain more than this share of what the best one would.
_GOOD: Final = 0.5
_DIGITS: Final = 3


@dataclass(frozen=True)
class Line:
    """What counts as having kept a metric: as good as `value`, which lies half-way from the run to the best one.

    Attributes
    ----------
    metric
        Its name.
    value
        In units of the metric.
    higher_is_better
        Else, runs kept it that lie below.
    """

    metric: str
    value: float
    higher_is_better: bool

    @property
    def statement(self) -> str:
        """As "pixel_art_purity ≥ 62"."""
        return f"{self.metric} {'≥' if self.higher_is_better else '≤'} {self.value:g}"


@dataclass(frozen=True)
class Side:
    """Runs whose values of a parameter are alike.

    Attributes
    ----------
    statement
        As "network_dim ≤ 32".
    kept, failed
        Names of the runs on either side of the line.
    """

    statement: str
    kept: tuple[Any, ...]
    failed: tuple[Any, ...]

    def __len__(self) -> int:
        return len(self.kept) + len(self.failed)


@dataclass(frozen=True)
class HistoricalEvidence:
    """What a diagnosis rests on.

    Attributes
    ----------
    sentence
        For a person.
    sides
        The runs with better values of the parameter, and those with values such as this run's; empty where there
        is nothing to compare.
    line
        By which runs are counted; None if no run has the metric.
    n_runs
        Runs that have the metric.
    probability_acts
        Posterior probability that the parameter acts on the metric at all; None if that was not judged.
    cost, cost_low, cost_high
        What the cause costs this run if it is the root cause, in units of the metric: mean and 95 % interval; NaN
        where the runs do not say.
    """

    sentence: str
    sides: tuple[Side, ...] = ()
    line: Line | None = None
    n_runs: int = 0
    probability_acts: float | None = None
    cost: float = math.nan
    cost_low: float = math.nan
    cost_high: float = math.nan

    def __str__(self) -> str:
        return self.sentence


def line_between(metric: str, values: Floats, of_run: float | None, *, higher_is_better: bool) -> Line | None:
    """Half-way from the run to the best one; None without any values.

    From the worst one if the run's value is not known, or is no worse than half-way itself.
    """
    if len(values) == 0:
        return None
    best, worst = (values.max(), values.min()) if higher_is_better else (values.min(), values.max())
    is_bad = of_run is not None and abs(of_run - best) > abs(worst - best) / 2
    middle = (best + (of_run if is_bad else worst)) / 2
    return Line(metric, float(f"{middle:.{_DIGITS}g}"), higher_is_better)


def sides_of(
    column: ParameterColumn, level: int, gains: Floats, configurations: Configurations, line: Line
) -> tuple[Side, ...]:
    """The runs with values that would have gained much, and the others, to which this run belongs.

    Parameters
    ----------
    column
        The parameter.
    level
        Of the run.
    gains
        float[levels]: what each value would have gained, see `Attribution.gains`.
    configurations
        That `column` is of.
    line
        What counts as kept.
    """
    better = gains > _GOOD * gains.max()
    if level != MISSING:
        better[level] = False
    return tuple(
        _side(column, chosen, configurations, line)
        for chosen in (better, ~better)
        if (chosen[column.codes] & column.known).any()
    )


def sentence_of(sides: Sequence[Side], line: Line) -> str:
    """As "5 of 5 runs with network_dim ≤ 32 kept purity ≥ 62; 3 of 3 with network_dim ≥ 64 did not"."""
    if len(sides) == 1:
        [side] = sides
        return f"All {len(side)} runs have {side.statement}: there is nothing to compare with."
    better, others = sides
    counted = (
        f"{len(better.kept)} of {len(better)} {_runs(len(better))} with {better.statement} kept {line.statement}; "
        f"{len(others.failed)} of {len(others)} with {others.statement} did not."
    )
    if len(better.kept) * len(others) > len(others.kept) * len(better):
        return counted
    return f"{counted} Counted alone the runs do not show it; with the other parameters taken into account they do."


def _side(column: ParameterColumn, levels: NDArray[np.bool_], configurations: Configurations, line: Line) -> Side:
    rows = np.flatnonzero(np.append(levels, False)[column.codes])
    is_kept = configurations.metric >= line.value if line.higher_is_better else configurations.metric <= line.value
    kept = [name for row in rows if is_kept[row] for name in configurations.runs[row]]
    failed = [name for row in rows if not is_kept[row] for name in configurations.runs[row]]
    return Side(_statement(column, levels), tuple(sorted(kept, key=str)), tuple(sorted(failed, key=str)))


def _statement(column: ParameterColumn, levels: NDArray[np.bool_]) -> str:
    chosen = np.flatnonzero(levels)
    values = [_shown(column.levels[at]) for at in chosen]
    if len(chosen) == 1:
        return f"{column.name} = {values[0]}"
    if column.is_ordered and chosen[0] == 0 and chosen[-1] == len(chosen) - 1:
        return f"{column.name} ≤ {values[-1]}"
    if column.is_ordered and chosen[-1] == len(levels) - 1 and chosen[0] == len(levels) - len(chosen):
        return f"{column.name} ≥ {values[0]}"
    return f"{column.name} in ({', '.join(values)})"


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _runs(count: int) -> str:
    return "run" if count == 1 else "runs"
