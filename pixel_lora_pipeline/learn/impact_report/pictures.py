"""What the charts show, as plain values: forest of effects, probabilities by metric, effects value by value."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from pixel_lora_pipeline.learn.impact_report.advice import leader_of
from pixel_lora_pipeline.learn.impact_report.entry import Entry, by_belief
from pixel_lora_pipeline.learn.impact_report.finding import Finding, effect_of
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import joined, shown_value, typed
from pixel_lora_pipeline.learn.parameter_column import ParameterColumn

# More would be read by nobody, and the table has them all.
_MOST_ROWS: Final = 24
_MOST_PANELS: Final = 6
_MOST_POINTS: Final = 300
# Up to so many values are drawn at equal distances: 16, 32, 64 and 128 would else run into each other.
_MOST_EQUALLY_SPACED: Final = 8


def forest_rows(entries: Sequence[Entry]) -> dict[str, Any]:
    """Effects that are more than nothing, as shares of the metric's range, with their intervals."""
    shown = [
        finding
        for entry in entries
        for finding in (entry.lead, *entry.others)
        if finding.category in ("CRITICAL", "HIGH", "MODERATE") and finding.metric_range
    ]
    distinct = list({id(finding): finding for finding in shown}.values())
    return {"rows": [_forest_row(each) for each in distinct[:_MOST_ROWS]], "left_out": len(distinct[_MOST_ROWS:])}


def heatmap_rows(entries: Sequence[Entry], metrics: Sequence[str]) -> dict[str, Any]:
    """Probability by parameter and metric; parameters of which anything can be said, the most important first."""
    judged = [entry for entry in entries if entry.lead.is_judged]
    rows = []
    for entry in judged[:_MOST_ROWS]:
        found: dict[str, Finding] = {}
        for finding in (entry.lead, *entry.others):
            found.setdefault(finding.metric, finding)
        row = [found.get(metric) for metric in metrics]
        rows.append(
            {
                "title": entry.title,
                "pip": [each.pip if each is not None and each.is_judged else None for each in row],
                "categories": [each.category if each is not None and each.is_judged else None for each in row],
            }
        )
    return {"metrics": list(metrics), "rows": rows, "left_out": len(judged[_MOST_ROWS:])}


def partial_effects(entries: Sequence[Entry], table: RunTable) -> list[dict[str, Any]]:
    """For the most important parameters, what each value does to the metric, and the runs that had it."""
    shown = [entry.lead for entry in entries if entry.section in ("critical", "secondary")]
    return [_partial_effect(finding, table) for finding in shown[:_MOST_PANELS]]


def _forest_row(finding: Finding) -> dict[str, Any]:
    scale = 1.0 / (finding.metric_range or 1.0)
    return {
        "title": joined(by_belief(finding.parameters, finding.metric)),
        "metric": finding.metric,
        "category": finding.category,
        "effect": finding.effect,
        "interval": [finding.low, finding.high],
        "shares": [None if value is None else value * scale for value in (finding.effect, finding.low, finding.high)],
    }


def _partial_effect(finding: Finding, table: RunTable) -> dict[str, Any]:
    names = by_belief(finding.parameters, finding.metric)
    column, values = table.column(names[0]), table.metric(finding.metric)
    effects, places = _effects_by_level(finding, column, table), _places(column)
    rows = np.flatnonzero(column.known & np.isfinite(values))
    drawn = (
        rows[np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _MOST_POINTS)).astype(int))] if len(rows) else []
    )
    return {
        "parameter": names[0],
        "together_with": list(names[1:]),
        "metric": finding.metric,
        "category": finding.category,
        "is_ordered": column.is_ordered,
        "average": float(values[rows].mean()) if len(rows) else None,
        "values": [
            {"value": shown_value(level), "place": place, "effect": effect}
            for level, place, effect in zip(column.levels, places, effects, strict=True)
        ],
        "points": [
            {"run": table.names[row], "place": places[column.codes[row]], "metric": float(values[row])} for row in drawn
        ],
    }


def _effects_by_level(finding: Finding, column: ParameterColumn, table: RunTable) -> list[float | None]:
    """The effects are listed by the values of one parameter of the class: what its aliases had there."""
    leader, effects = table.column(leader_of(finding, table)), effect_of(finding)
    by_code = {int(code): row for row, code in enumerate(column.codes)}
    listed = [leader.codes[by_code[code]] for code in range(len(column.levels))]
    return [effects.get(typed(leader.levels[code])) if code >= 0 else None for code in listed]


def _places(column: ParameterColumn) -> list[float]:
    if column.positions is None or len(column.levels) <= _MOST_EQUALLY_SPACED:
        return [float(at) for at in range(len(column.levels))]
    return [float(position) for position in column.positions]
