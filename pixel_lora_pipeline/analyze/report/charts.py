"""The charts of the reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pixel_lora_pipeline.analyze.report.svg import ACCENT, FAINT, GOOD, INK, chart_style, inline_svg

_WIDTH: Final = 9.2
_PANELS_IN_A_ROW: Final = 3
# Epochs a tick, at most: more would run into each other.
_MOST_TICKS: Final = 16
# Fewest points that a score axis spans, so that noise does not look like a cliff.
_LEAST_SPAN: Final = 10.0


@dataclass(frozen=True)
class Course:
    """A score, 0-100, over the epochs, and what the convergence model makes of it.

    Attributes
    ----------
    scores
        Epoch to observed score; an epoch without a score is left out.
    intervals
        Epoch to 95 % interval over prompts, where there is one.
    fitted, fitted_intervals
        Epoch to expected score and its 80 % interval, of epochs to come as well.
    best_epoch, best_epoch_interval
        Where the run was best, and where its best may lie with 80 %.
    baseline
        Score of the baseline.
    planned_epochs
        Where the run is meant to end.
    is_over
        Whether the best epoch is taken to be that of the whole run.
    """

    scores: Mapping[int, float]
    intervals: Mapping[int, tuple[float, float]]
    fitted: Mapping[int, float]
    fitted_intervals: Mapping[int, tuple[float, float]]
    best_epoch: int | None
    best_epoch_interval: tuple[int, int] | None
    baseline: float | None
    planned_epochs: int | None
    is_over: bool


def progress_chart(course: Course) -> Markup:
    """Score over epochs with intervals, the fitted course, the turning point, and the baseline's score."""
    with chart_style():
        figure = Figure(figsize=(_WIDTH, 3.6), layout="constrained")
        axes = figure.subplots()
        last = max([*course.scores, *course.fitted, course.planned_epochs or 1])
        if course.best_epoch is not None and course.best_epoch_interval is not None:
            low, high = course.best_epoch_interval
            axes.axvspan(low - 0.35, high + 0.35, color=GOOD, alpha=0.12, lw=0)
        if course.baseline is not None:
            axes.axhline(course.baseline, color=FAINT, lw=1.4, ls=(0, (5, 4)))
            axes.annotate(
                f"baseline {course.baseline:.1f}",
                (0.0, course.baseline),
                xycoords=("axes fraction", "data"),
                xytext=(4, 4),
                textcoords="offset points",
                color=FAINT,
                fontsize=10,
            )
        if course.fitted:
            _plot_fitted(axes, course)
        for epoch, (below, above) in course.intervals.items():
            axes.plot([epoch, epoch], [below, above], color=INK, lw=1.1, alpha=0.55)
        axes.plot(list(course.scores), list(course.scores.values()), "o", color=INK, ms=5.5)
        if course.best_epoch is not None:
            height = course.fitted.get(course.best_epoch, course.scores.get(course.best_epoch))
            if height is not None:
                axes.plot([course.best_epoch], [height], "o", ms=13, mfc="none", mec=GOOD, mew=2.2)
            axes.annotate(
                f"{'turning point' if course.is_over else 'best so far'}: epoch {course.best_epoch}",
                (course.best_epoch, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, -4),
                textcoords="offset points",
                ha="right"
                if course.best_epoch > 0.75 * last
                else "left"
                if course.best_epoch < 0.25 * last
                else "center",
                va="top",
                color=GOOD,
                fontweight="bold",
            )
        _frame(axes, last, [*course.scores.values(), *course.fitted.values(), course.baseline])
        axes.set_xlabel("epoch")
        axes.set_ylabel("overall score, 0–100")
        best = "" if course.best_epoch is None else f" The best is epoch {course.best_epoch}."
        return inline_svg(figure, "progress", f"Overall score of {len(course.scores)} epochs.{best}")


def metric_charts(courses: Mapping[str, Mapping[int, float]], best_epoch: int | None) -> Markup:
    """Small charts of several scores of 0 to 100 over the epochs, all on one scale."""
    with chart_style():
        count = -(-len(courses) // _PANELS_IN_A_ROW)
        figure = Figure(figsize=(_WIDTH, 1.75 * count), layout="constrained")
        panels = figure.subplots(count, _PANELS_IN_A_ROW, sharex=True, sharey=True, squeeze=False).flat
        last = max((epoch for course in courses.values() for epoch in course), default=1)
        for (label, course), axes in zip(courses.items(), panels, strict=False):
            if best_epoch is not None:
                axes.axvline(best_epoch, color=GOOD, lw=1.2, alpha=0.6)
            axes.plot(list(course), list(course.values()), "-o", color=ACCENT, lw=1.8, ms=3.5)
            axes.set_title(label, fontsize=10.5, loc="left")
            axes.set_ylim(-4, 104)
            axes.set_yticks([0, 50, 100])
            axes.set_xlim(0.5, last + 0.5)
            axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        for axes in list(panels):
            axes.set_visible(False)
        return inline_svg(figure, "metrics", f"{', '.join(courses)} over the epochs.")


def _plot_fitted(axes: Axes, course: Course) -> None:
    """The fitted course with its interval: a line as far as it was trained, dashes from there on."""
    epochs = list(course.fitted)
    lows, highs = zip(*(course.fitted_intervals[epoch] for epoch in epochs), strict=True)
    axes.fill_between(epochs, lows, highs, color=ACCENT, alpha=0.13, lw=0)
    now = max(course.scores, default=epochs[0])
    trained = [epoch for epoch in epochs if epoch <= now]
    ahead = [*trained[-1:], *(epoch for epoch in epochs if epoch > now)]
    axes.plot(trained, [course.fitted[epoch] for epoch in trained], color=ACCENT, lw=2.2)
    axes.plot(ahead, [course.fitted[epoch] for epoch in ahead], color=ACCENT, lw=1.6, ls=(0, (2, 2)))


def _frame(axes: Axes, last: int, heights: Sequence[float | None]) -> None:
    """Axes that span the whole run and at least ten points, with room above for the label of the best epoch."""
    shown = [height for height in heights if height is not None]
    low, high = (min(shown), max(shown)) if shown else (0.0, 100.0)
    missing = max(0.0, _LEAST_SPAN - (high - low)) / 2
    room = 0.16 * (high - low + 2 * missing)
    axes.set_ylim(max(0.0, low - missing - room), min(110.0, high + missing + 1.8 * room))
    axes.set_xlim(0.4, last + 0.6)
    axes.xaxis.set_major_locator(MaxNLocator(_MOST_TICKS, integer=True))
