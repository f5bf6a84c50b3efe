"""The charts of the parameter impact report."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from pixel_lora_pipeline.analyze.report.svg import ACCENT, FAINT, INK, LINE, chart_style, inline_svg
from pixel_lora_pipeline.learn.impact_report.shown import figure, listed, shown_name, signed_figure

_WIDTH: Final = 9.2
_PANELS_IN_A_ROW: Final = 3
_LONGEST_LABEL: Final = 34
_MOST_TICKS: Final = 7
_MOST_UPRIGHT: Final = 6  # names of metrics that stand beside each other
# Told apart by shape and by filling as well as by colour.
_MARKERS: Final[Mapping[str, dict[str, Any]]] = {
    "CRITICAL": {"marker": "D", "color": INK, "markerfacecolor": INK, "markersize": 7.5},
    "HIGH": {"marker": "o", "color": ACCENT, "markerfacecolor": ACCENT, "markersize": 7.5},
    "MODERATE": {"marker": "o", "color": FAINT, "markerfacecolor": "none", "markersize": 7.5, "markeredgewidth": 1.6},
}
# Of the range: intervals that reach further end in an arrow.
_FURTHEST: Final = 1.0
# The strongest shade; a number must stay readable on it, in light and in dark.
_DEEPEST: Final = 0.5


def forest_chart(forest: Mapping[str, Any]) -> Markup | None:
    """Effects with their 95 % intervals, as shares of each metric's range; None without any."""
    rows = forest["rows"]
    if not rows:
        return None
    points = [abs(row["shares"][0]) for row in rows]
    ends = [abs(end) for row in rows for end in row["shares"][1:]]
    reach = max(1.15 * max(points), min(1.05 * max(ends), _FURTHEST), 0.05)
    with chart_style():
        figure_ = Figure(figsize=(_WIDTH, 0.9 + 0.36 * len(rows)), layout="constrained")
        axes = figure_.subplots()
        axes.axvline(0, color=FAINT, lw=1)
        for at, row in enumerate(rows):
            _forest_line(axes, at, row, reach)
        axes.set_yticks(range(len(rows)), [f"{_label(row['title'])} → {_label(row['metric'])}" for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(-1.06 * reach, 1.06 * reach)
        axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:+.0f} %".replace("-", "−").replace("+0 ", "0 "))
        axes.grid(axis="y", visible=False)
        axes.grid(axis="x", visible=True)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel("effect from the low to the high side, of the metric's range")
        told = [f"{row['title']} on {shown_name(row['metric'])} {signed_figure(row['effect'])}" for row in rows]
        return inline_svg(figure_, "forest", f"Effects with 95 % intervals: {listed(told, most=8)}.")


def heatmap_chart(heatmap: Mapping[str, Any]) -> Markup | None:
    """Probability that each parameter acts on each metric; None without any."""
    rows, metrics = heatmap["rows"], heatmap["metrics"]
    if not rows:
        return None
    with chart_style():
        figure_ = Figure(figsize=(_WIDTH, 0.8 + 0.34 * len(rows)), layout="constrained")
        axes = figure_.subplots()
        for at, row in enumerate(rows):
            for column, (pip, category) in enumerate(zip(row["pip"], row["categories"], strict=True)):
                _heatmap_cell(axes, column, at, pip, category)
        axes.set_xlim(-0.5, len(metrics) - 0.5)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        is_crowded = len(metrics) > _MOST_UPRIGHT
        axes.set_xticks(
            range(len(metrics)),
            [_label(metric, 24) if is_crowded else _two_lines(metric) for metric in metrics],
            rotation=35 if is_crowded else 0,
            ha="left" if is_crowded else "center",
        )
        axes.set_yticks(range(len(rows)), [_label(row["title"]) for row in rows])
        axes.xaxis.tick_top()
        axes.tick_params(length=0, labelcolor=INK)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return inline_svg(
            figure_,
            "heatmap",
            f"Probability that each of {len(rows)} parameters acts on {listed(map(shown_name, metrics))}.",
        )


def partial_effects_chart(panels: Sequence[Mapping[str, Any]]) -> Markup | None:
    """What each value does to the metric, with the runs; None without any."""
    if not panels:
        return None
    with chart_style():
        n_rows = -(-len(panels) // _PANELS_IN_A_ROW)
        figure_ = Figure(figsize=(_WIDTH, 2.7 * n_rows), layout="constrained")
        grid = figure_.subplots(n_rows, _PANELS_IN_A_ROW, squeeze=False).flat
        for panel, axes in zip(panels, grid, strict=False):
            _partial_effect(axes, panel)
        for axes in list(grid):
            axes.set_visible(False)
        told = [f"{shown_name(panel['metric'])} by {shown_name(panel['parameter'])}" for panel in panels]
        return inline_svg(figure_, "partial", f"{listed(told)}, value by value.")


def _forest_line(axes: Axes, at: int, row: Mapping[str, Any], reach: float) -> None:
    style = _MARKERS[row["category"]]
    point, low, high = row["shares"]
    axes.plot([max(low, -reach), min(high, reach)], [at, at], color=style["color"], lw=1.8)
    for end, is_cut, marker in ((-reach, low < -reach, "<"), (reach, high > reach, ">")):
        if is_cut:
            axes.plot([end], [at], marker=marker, color=style["color"], markersize=7, linestyle="none")
    axes.plot([point], [at], linestyle="none", **style)
    axes.annotate(
        f"{signed_figure(row['effect'])}  ({signed_figure(row['interval'][0])} to {signed_figure(row['interval'][1])})",
        (1.01, at),
        xycoords=("axes fraction", "data"),
        va="center",
        fontsize=9.5,
        color=INK,
    )


def _heatmap_cell(axes: Axes, column: int, row: int, pip: float | None, category: str | None) -> None:
    shade = 0.0 if pip is None else _DEEPEST * pip
    axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor=ACCENT, alpha=shade, lw=0))
    axes.add_patch(Rectangle((column - 0.48, row - 0.46), 0.96, 0.92, facecolor="none", edgecolor=LINE, lw=0.8))
    is_strong = category in ("CRITICAL", "HIGH")
    axes.text(
        column,
        row,
        "·" if pip is None else f"{pip:.2f}",
        ha="center",
        va="center",
        fontsize=10,
        fontweight="bold" if is_strong else "normal",
        color=INK if pip is not None and pip >= 0.1 else FAINT,
    )


def _partial_effect(axes: Axes, panel: Mapping[str, Any]) -> None:
    values, points, average = panel["values"], panel["points"], panel["average"]
    places = [value["place"] for value in values]
    gap = min((b - a for a, b in pairwise(places)), default=1.0)
    # Runs of one value stand beside each other, at places that are the same every time.
    axes.plot(
        [point["place"] + 0.28 * gap * _spread(at) for at, point in enumerate(points)],
        [point["metric"] for point in points],
        "o",
        color=FAINT,
        ms=4,
        alpha=0.75,
    )
    told = [(value["place"], average + value["effect"]) for value in values if value["effect"] is not None]
    if told and average is not None:
        line = "-" if panel["is_ordered"] else "none"
        axes.plot(*zip(*told, strict=True), linestyle=line, marker="s", color=ACCENT, lw=2, ms=6)
    step = max(1, math.ceil(len(values) / _MOST_TICKS))
    shown = values[::step]
    labels = [_label(value["value"], 9) for value in shown]
    is_crowded = sum(map(len, labels)) > 26
    axes.set_xticks([value["place"] for value in shown], labels)
    axes.tick_params(axis="x", labelsize=9, labelrotation=30 if is_crowded else 0)
    axes.tick_params(axis="y", labelsize=9)
    margin = 0.5 * gap if len(places) < 3 else 0.35 * gap
    axes.set_xlim(places[0] - margin, places[-1] + margin)
    axes.yaxis.set_major_formatter(lambda value, _: figure(value))
    axes.set_title(_label(panel["metric"], 30), fontsize=10.5, loc="left")
    along = f"\nwith {_label(listed(map(shown_name, panel['together_with'])), 30)}" if panel["together_with"] else ""
    axes.set_xlabel(f"{_label(panel['parameter'])}{along}", fontsize=9.5)


def _spread(at: int) -> float:
    """Numbers between −1 and 1 that fill the space evenly (the golden ratio's multiples)."""
    return 2 * ((at * 0.6180339887498949) % 1) - 1


def _two_lines(metric: str) -> str:
    """Broken after the underscore that is nearest to the middle."""
    name = _label(metric, 26)
    breaks = [at + 1 for at, character in enumerate(name) if character in "_ ."]
    if len(name) < 14 or not breaks:
        return name
    middle = min(breaks, key=lambda at: abs(at - len(name) / 2))
    return f"{name[:middle]}\n{name[middle:]}"


def _label(text: Any, most: int = _LONGEST_LABEL) -> str:
    name = shown_name(text)
    return name if len(name) <= most else f"{name[: most - 1]}…"
