"""All figures and sentences of the report as JSON values: page and markdown say what stands here."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from pixel_lora_pipeline.analyze.report.document import json_ready
from pixel_lora_pipeline.learn.impact_report import wording
from pixel_lora_pipeline.learn.impact_report.advice import Advice, Sides, advice_of, sides_of
from pixel_lora_pipeline.learn.impact_report.changes import changes_since
from pixel_lora_pipeline.learn.impact_report.content import Better, ImpactContent
from pixel_lora_pipeline.learn.impact_report.entry import Entry, entries_of
from pixel_lora_pipeline.learn.impact_report.finding import TOLD, Finding, findings_of
from pixel_lora_pipeline.learn.impact_report.headline import headline, reason
from pixel_lora_pipeline.learn.impact_report.interactions import interactions
from pixel_lora_pipeline.learn.impact_report.method import method
from pixel_lora_pipeline.learn.impact_report.phrases import form
from pixel_lora_pipeline.learn.impact_report.pictures import forest_rows, heatmap_rows, partial_effects
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import shown_value
from pixel_lora_pipeline.learn.impact_report.untold import experiment_sentence, experiments, untold

SCHEMA: Final = 1
"""Of the document; a report can be compared with an earlier one of the same schema only."""

_SIGNIFICANT_DIGITS: Final = 6
# Parameters in the table of runs: those with a verdict.
_MOST_COLUMNS: Final = 10
_MOST_RECOMMENDED: Final = 3
# In the table of runs, and of those that a finding rests on: the newest.
_MOST_RUNS: Final = 500


def impact_document(content: ImpactContent) -> dict[str, Any]:
    """Everything that the report says."""
    metrics = list(content.evidence)
    table = RunTable(content.runs, metrics)
    findings = [
        finding
        for at, (metric, evidence) in enumerate(content.evidence.items())
        for finding in findings_of(metric, at, evidence)
    ]
    entries = entries_of(findings)
    sections = {
        name: [_entry(entry, table, content.better) for entry in entries if entry.section == name]
        for name in ("critical", "secondary", "non_critical")
    }
    separating = experiments(entries)
    principles = [_principle(principle) for principle in content.principles]
    changes = changes_since(content.previous, SCHEMA, table.names, findings, principles)
    verdict = {**asdict(headline(entries, len(table))), "reason": reason(entries, findings, len(table), _main(metrics))}
    document: dict[str, Any] = json_ready(
        {
            "schema": SCHEMA,
            "kind": "parameter_impact",
            "created_at": content.created_at.isoformat(timespec="seconds"),
            "period": None if content.period is None else [day.isoformat() for day in content.period],
            "summary": f"{verdict['text']}. {changes['sentence']}",
            "verdict": verdict,
            "recommendations": _recommendations(sections, separating),
            "metrics": metrics,
            "n_runs": len(table),
            **sections,
            "untold": untold(entries, table),
            "experiments": separating,
            "changes": changes,
            "interactions": interactions(findings, table),
            "principles": principles,
            "method": method(findings, metrics),
            "forest": forest_rows(entries),
            "heatmap": heatmap_rows(entries, metrics),
            "partial_effects": partial_effects(entries, table),
            "run_names": table.names,
            "runs": _runs(table, metrics, sections),
            "findings": [_figures(finding) for finding in sorted(findings, key=lambda each: each.strength)],
        },
        rounded=_rounded,
    )
    return document


def _entry(entry: Entry, table: RunTable, better: Mapping[str, Better]) -> dict[str, Any]:
    lead = entry.lead
    direction = better.get(lead.metric, "higher")
    sides = sides_of(lead, table)
    advised = _advised(entry, sides, table, better)
    advice = advised.get(lead.metric)
    return {
        "title": entry.title,
        "parameters": list(entry.parameters),
        "category": lead.category,
        "metric": lead.metric,
        "form": form(lead, sides),
        "impact": wording.impact(lead, sides),
        "correlation": wording.correlation(lead),
        "finding": wording.what_was_found(lead, sides),
        "recommendation": wording.recommendation(lead, advice, table, direction),
        "rule": wording.reason_of_rule(lead),
        "evidence": wording.evidence(lead, sides, advice, table),
        "notes": wording.notes(lead, entry.others, advised, experiment_sentence(lead)),
        "on_other_metrics": wording.on_other_metrics(lead, entry.others),
        "change": None
        if advice is None
        else {
            name: {"from": _shown(advice.away_from.get(name, ())), "to": _shown(advice.to.get(name, ()))}
            for name in entry.parameters
        },
        "runs_low": _side(sides.low, sides.low_values),
        "runs_high": _side(sides.high, sides.high_values),
        "figures": _figures(lead),
    }


def _side(rows: Sequence[int], values: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """A group of runs, by their places in `run_names`."""
    return {
        "values": {name: _shown(of) for name, of in values.items()},
        "n": len(rows),
        "rows": list(rows[-_MOST_RUNS:]),
    }


def _advised(entry: Entry, sides: Sides, table: RunTable, better: Mapping[str, Better]) -> dict[str, Advice]:
    """By metric; the strongest finding of each."""
    found = [(entry.lead, sides)]
    found += [(other, sides_of(other, table)) for other in entry.others if other.category in TOLD]
    advised: dict[str, Advice] = {}
    for finding, compared in found:
        advice = advice_of(finding, compared, table, better.get(finding.metric, "higher"))
        if advice is not None:
            advised.setdefault(finding.metric, advice)
    return advised


def _figures(finding: Finding) -> dict[str, Any]:
    """The evidence's own columns."""
    return {
        "metric": finding.metric,
        "parameters": list(finding.parameters),
        "category": finding.category,
        "selected": finding.is_selected,
        "aliased": finding.is_aliased,
        "pip": finding.pip,
        "pip_flat": finding.pip_flat,
        "prior": finding.prior,
        "encoding": finding.encoding,
        "statement": finding.statement,
        "effect": finding.effect,
        "interval": [finding.low, finding.high],
        "effect_by_value": [{"value": shown_value(value), "effect": effect} for value, effect in finding.by_value],
        "pearson_r": finding.pearson_r,
        "p_exact": finding.p_exact,
        "q_bh": finding.q_bh,
        "p_orders": finding.p_orders,
        "n_runs": finding.n_runs,
        "n_configs": finding.n_configs,
        "n_low": finding.n_low,
        "n_high": finding.n_high,
        "metric_range": finding.metric_range,
        "near_aliases": list(finding.near_aliases),
        "min_detectable_effect": finding.least_effect,
        "runs_needed": finding.runs_needed,
    }


def _recommendations(
    sections: Mapping[str, Sequence[Mapping[str, Any]]], separating: Sequence[Mapping[str, Any]]
) -> list[str]:
    """The first steps: what is sure enough to act on, then the run that would tell most."""
    sure = [entry for name in ("critical", "secondary") for entry in sections[name] if entry["category"] in TOLD]
    steps = [
        f"{entry['recommendation']} ({entry['category']}, {entry['metric']})" for entry in sure[:_MOST_RECOMMENDED]
    ]
    worth = [each for each in separating if each["category"] != "INSUFFICIENT"]
    return [*steps, *(f"Next experiment: {each['sentence']}" for each in worth[:1])]


def _runs(
    table: RunTable, metrics: Sequence[str], sections: Mapping[str, Sequence[Mapping[str, Any]]]
) -> dict[str, Any]:
    told = [name for key in ("critical", "secondary") for entry in sections[key] for name in entry["parameters"]]
    columns = list(dict.fromkeys(told))[:_MOST_COLUMNS]
    first = max(0, len(table) - _MOST_RUNS)
    return {
        "first": first,
        "parameters": columns,
        "rows": [
            {
                "name": table.names[row],
                "date": table.dates[row],
                "metrics": [float(table.metric(metric)[row]) for metric in metrics],
                "parameters": [_cell(table, parameter, row) for parameter in columns],
            }
            for row in range(first, len(table))
        ],
    }


def _cell(table: RunTable, parameter: str, row: int) -> str:
    column = table.column(parameter)
    return shown_value(column.levels[column.codes[row]]) if column.known[row] else "–"


def _principle(principle: Mapping[str, Any]) -> dict[str, str]:
    return {key: str(principle.get(key) or "") for key in ("statement", "status", "reason")}


def _main(metrics: Sequence[str]) -> str | None:
    return metrics[0] if metrics else None


def _shown(values: Sequence[Any]) -> list[str]:
    return [shown_value(value) for value in values]


def _rounded(value: float) -> float:
    return float(f"{value:.{_SIGNIFICANT_DIGITS}g}")
