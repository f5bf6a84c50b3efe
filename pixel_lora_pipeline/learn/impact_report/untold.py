"""What the runs cannot tell, why, and which run would."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from pixel_lora_pipeline.learn.impact_report.entry import Entry
from pixel_lora_pipeline.learn.impact_report.finding import Finding
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import (
    counted,
    figure,
    joined,
    listed,
    number_of,
    percent,
    shown_name,
    shown_value,
)
from pixel_lora_pipeline.learn.verdict import HIGH_EFFECT, NONE_SIDE

Why = Literal["never known", "never varied", "different in every run", "too few runs", "metric never varied", "open"]


def why_untold(finding: Finding) -> Why:
    """Why a finding says nothing, or too little."""
    if finding.n_configs == 0:
        return "never known"
    if finding.encoding is None:
        return "never varied" if len(finding.by_value) < 2 else "different in every run"
    if finding.is_judged:
        return "open"
    return "too few runs" if finding.metric_range else "metric never varied"


def untold(entries: Sequence[Entry], table: RunTable) -> dict[str, Any]:
    """Parameters of which nothing, or not enough, can be said, by the reason."""
    groups: dict[Why, list[Entry]] = {}
    for entry in entries:
        if entry.section == "untold":
            groups.setdefault(why_untold(entry.lead), []).append(entry)
    return {
        "never_varied": [
            {"parameter": name, "value": shown_value(table.usual_value(name))}
            for entry in groups.get("never varied", ())
            for name in entry.parameters
        ],
        "never_known": _names(groups.get("never known", ())),
        "different_in_every_run": _names(groups.get("different in every run", ())),
        "not_judged": _names([*groups.get("too few runs", ()), *groups.get("metric never varied", ())]),
        "open": [_open(entry) for entry in groups.get("open", ())],
    }


def experiments(entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """Runs that would tell parameters apart: of what matters most first, and the cheapest first."""
    found: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
    for entry in entries:
        candidates = [
            each
            for each in (entry.lead, *entry.others)
            if each.experiment and each.is_judged and each.category != "NONE"
        ]
        if not candidates:
            continue
        finding = candidates[0]
        experiment = finding.experiment
        assert experiment is not None  # noqa: S101 - chosen above
        told = {
            "parameters": list(finding.parameters),
            "metric": finding.metric,
            "category": finding.category,
            "sentence": experiment_sentence(finding),
            "base_run": str(experiment["base_run"]),
            "change": {str(name): [shown_value(value) for value in pair] for name, pair in _changes(experiment)},
            "separates": [[str(name) for name in group] for group in experiment["separates"]],
            "expected_difference": number_of(experiment["expected_difference"]),
            "runs": int(experiment["runs"]),
            "cost": int(experiment["cost"]),
        }
        rank, *_ = finding.strength
        order = rank, int(experiment["cost"]), int(experiment["runs"]), -finding.pip, joined(finding.parameters)
        key = f"{told['base_run']} {told['change']}"
        if key not in found or order < found[key][0]:
            found[key] = order, told
    return [told for _, told in sorted(found.values(), key=lambda pair: pair[0])]


def experiment_sentence(finding: Finding) -> str | None:
    """The separating experiment in words: what to run, and what each result would mean."""
    experiment = finding.experiment
    if experiment is None or not finding.is_judged:
        return None
    changes = [
        f"{shown_name(name)} = {shown_value(pair[1])} instead of {shown_value(pair[0])}"
        for name, pair in _changes(experiment)
    ]
    changed, stays = (listed(map(shown_name, group), "or") for group in experiment["separates"])
    expected = number_of(experiment["expected_difference"]) or 0.0
    moves = f"{'falls' if expected < 0 else 'rises'} by about {figure(abs(expected))}"
    return (
        f"Repeat {shown_name(experiment['base_run'])} with {listed(changes)}, all else as it was. If "
        f"{shown_name(finding.metric)} {moves}, it is {changed}; if it stays, {stays}. "
        f"{_price(int(experiment['runs']), int(experiment['cost']))}"
    )


def detectable(finding: Finding) -> str:
    """What the runs would have shown, and how many more it takes."""
    if finding.least_effect is None:
        return "–"
    share = f" ({percent(finding.least_effect / finding.metric_range)})" if finding.metric_range else ""
    return f"{figure(finding.least_effect)}{share}"


def _open(entry: Entry) -> dict[str, Any]:
    lead = entry.lead
    return {
        "title": entry.title,
        "parameters": list(entry.parameters),
        "metric": lead.metric,
        "pip": lead.pip,
        "n_low": lead.n_low,
        "n_high": lead.n_high,
        "least_effect": lead.least_effect,
        "detectable": detectable(lead),
        "runs_needed": lead.runs_needed,
        "needed": _needed(lead),
        "because": _because(lead),
    }


def _needed(finding: Finding) -> str:
    if finding.runs_needed is None:
        return "over 1,000"
    # Where this many should have been enough already, nobody knows how many it takes.
    return f"at least {finding.runs_needed}" if finding.would_have_been_seen else f"{finding.runs_needed:,}"


def _because(finding: Finding) -> str:
    parts = []
    if finding.is_aliased:
        parts.append("always changed together")
    if finding.near_aliases:
        parts.append(f"nearly always changed with {listed(map(shown_name, finding.near_aliases), most=3)}")
    side = min(finding.n_low, finding.n_high)
    if side < NONE_SIDE:
        parts.append(f"only {counted(side, 'configuration')} on one side")
    if parts:
        return listed(parts)
    if finding.would_have_been_seen:
        return f"over {percent(HIGH_EFFECT)} would have been seen; less is not excluded"
    return "the results scatter too much for so few runs"


def _names(entries: Iterable[Entry]) -> list[str]:
    return [name for entry in entries for name in entry.parameters]


def _changes(experiment: Mapping[str, Any]) -> list[tuple[str, Sequence[Any]]]:
    return [(str(name), pair) for name, pair in experiment["change"].items()]


def _price(runs: int, cost: int) -> str:
    extra = "" if cost <= 1 else f", and as much work on the dataset as {counted(cost - 1, 'run')}"
    return f"It takes {counted(runs, 'such run')}{extra}."
