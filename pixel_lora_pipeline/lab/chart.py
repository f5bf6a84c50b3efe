"""Charts of scores over epochs as positions, which a template draws: sharp at every width, and readable as a table."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Final, TypeAlias

MOST_SERIES: Final = 6
"""As many as colours that a colour-blind person tells apart on paper and on black (Okabe and Ito 2008, lab.css)."""

_LEAST_SPAN: Final = 10.0  # points; smaller differences are mostly noise and shall look small
_MOST_TICKS: Final = 12

Scale: TypeAlias = Callable[[float], float]


@dataclass(frozen=True)
class Point:
    """A score of an epoch, with its interval where it has one."""

    epoch: int
    score: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Series:
    """Scores of one run.

    Attributes
    ----------
    fitted
        The course behind them, with the band in which it lies with 80 %.
    """

    label: str
    points: Sequence[Point]
    fitted: Sequence[Point] = ()


@dataclass(frozen=True)
class Dot:
    """A point as it is drawn, in percent of the plot from its left and its top."""

    x: float
    y: float
    low: float | None
    high: float | None
    point: Point


@dataclass(frozen=True)
class DrawnSeries:
    """A series as it is drawn: dots, and its lines as points of SVG polygons in a plot of 100 by 100."""

    label: str
    dots: Sequence[Dot]
    line: str
    band: str


@dataclass(frozen=True)
class Chart:
    """What a template draws.

    Attributes
    ----------
    rows, columns
        Grid lines: place in percent, and label.
    best
        Left and right end, in percent, of the epochs among which the best one is.
    """

    title: str
    series: Sequence[DrawnSeries]
    rows: Sequence[tuple[float, str]]
    columns: Sequence[tuple[float, str]]
    best: tuple[float, float] | None


def progress_chart(
    title: str, series: Sequence[Series], planned_epochs: int | None = None, best: tuple[int, int] | None = None
) -> Chart | None:
    """A chart of scores, 0 to 100, over epochs; None where there is no score to show."""
    epochs = [point.epoch for one in series for point in one.points]
    if not epochs:
        return None
    scores = [
        value
        for one in series
        for point in (*one.points, *one.fitted)
        for value in (point.score, point.low, point.high)
        if value is not None
    ]
    bottom, top = _range(min(scores), max(scores))
    first = min(epochs)
    last = max([*epochs, *([planned_epochs] if planned_epochs else [])])
    span = max(1, last - first)

    def across(epoch: float) -> float:
        return round(100 * (epoch - first) / span, 3) if last > first else 50.0

    def down(score: float) -> float:
        return round(100 * (top - score) / (top - bottom), 3)

    return Chart(
        title=title,
        series=[_drawn(one, across, down) for one in series],
        rows=[(down(tick), f"{tick:g}") for tick in _ticks(bottom, top)],
        columns=[(across(epoch), str(epoch)) for epoch in _whole_ticks(first, last)],
        best=None if best is None else (across(max(first, best[0] - 0.5)), across(min(last, best[1] + 0.5))),
    )


def sparkline(scores: Sequence[tuple[int, float]]) -> str:
    """A course as points of a polyline in a plot of 100 by 100; empty where there are no two scores."""
    if len(scores) < 2:
        return ""
    bottom, top = _range(min(score for _, score in scores), max(score for _, score in scores))
    first, last = scores[0][0], scores[-1][0]
    return " ".join(
        f"{100 * (epoch - first) / (last - first):.1f},{100 * (top - score) / (top - bottom):.1f}"
        for epoch, score in scores
    )


def _drawn(series: Series, across: Scale, down: Scale) -> DrawnSeries:
    course = series.fitted or series.points
    banded = [point for point in series.fitted if point.low is not None and point.high is not None]
    upper = [f"{across(point.epoch)},{down(point.high or 0.0)}" for point in banded]
    lower = [f"{across(point.epoch)},{down(point.low or 0.0)}" for point in reversed(banded)]
    return DrawnSeries(
        label=series.label,
        dots=[
            Dot(
                across(point.epoch),
                down(point.score),
                None if point.low is None else down(point.low),
                None if point.high is None else down(point.high),
                point,
            )
            for point in series.points
        ],
        line=" ".join(f"{across(point.epoch)},{down(point.score)}" for point in course),
        band=" ".join(upper + lower) if len(banded) > 1 else "",
    )


def _range(low: float, high: float) -> tuple[float, float]:
    """Whole tens or fives around the scores, at least `_LEAST_SPAN` apart and within 0 to 100."""
    bottom, top = 5.0 * floor(low / 5), 5.0 * ceil(high / 5)
    if top - bottom < _LEAST_SPAN:
        bottom, top = bottom - 5, top + 5
    return max(0.0, min(bottom, 90.0)), min(100.0, max(top, 10.0))


def _ticks(bottom: float, top: float) -> list[float]:
    step = next(step for step in (5.0, 10.0, 20.0, 25.0) if (top - bottom) / step <= 5)
    return [step * number for number in range(ceil(bottom / step), floor(top / step) + 1)]


def _whole_ticks(first: int, last: int) -> list[int]:
    step = next(step for step in _steps() if (last - first) / step < _MOST_TICKS)
    return [epoch for epoch in range(first, last + 1) if epoch % step == 0 or step == 1]


def _steps() -> Iterator[int]:
    size = 1
    while True:
        yield from (size, 2 * size, 5 * size)
        size *= 10
