"""What is said of a parameter: impact, correlation, finding, recommendation, evidence, each in a sentence or two."""

import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pixel_lora_pipeline.analyze.report.frame import probability
from pixel_lora_pipeline.learn.impact_report.advice import Advice, Sides
from pixel_lora_pipeline.learn.impact_report.content import Better
from pixel_lora_pipeline.learn.impact_report.entry import by_belief, rule_about
from pixel_lora_pipeline.learn.impact_report.finding import TOLD, Finding
from pixel_lora_pipeline.learn.impact_report.phrases import ends_of, form, interval, reach, setting, setting_again, span
from pixel_lora_pipeline.learn.impact_report.run_table import RunTable
from pixel_lora_pipeline.learn.impact_report.shown import (
    counted,
    figure,
    joined,
    listed,
    p_value,
    percent,
    shown_name,
    shown_value,
    signed_figure,
    typed,
)
from pixel_lora_pipeline.learn.permutation_evidence import ALL_ORDERS
from pixel_lora_pipeline.learn.verdict import HIGH_EFFECT

# A rule that believes less than this says that the parameter does nothing to the picture.
_DISBELIEF: Final = 0.02
# How many orders there are of few configurations: p-values that rest on so many are exact.
_ALL_ORDERS: Final = frozenset(math.factorial(n) for n in range(1, ALL_ORDERS + 1))
_MOST_NEAR: Final = 6


def impact(finding: Finding, sides: Sides) -> str:
    """The category, how sure, how much."""
    metric = shown_name(finding.metric)
    if finding.category == "NONE":
        return f"NONE DETECTED on {metric}: nothing beyond {reach(finding)} with 95 %"
    return (
        f"{finding.category}: {form(finding, sides)} acts on {metric} with a probability of "
        f"{probability(finding.pip)}; {signed_figure(finding.effect)} ({interval(finding)})"
    )


def correlation(finding: Finding) -> str:
    """The roadmap's figures: r and p of the parameter alone, and q for display."""
    p = p_value("p", finding.p_exact)
    if finding.p_exact is not None:
        is_exact = finding.p_orders in _ALL_ORDERS
        p += f" over {'all ' if is_exact else ''}{finding.p_orders:,}{'' if is_exact else ' random'} orders"
    alone = f"{p}; for display only, {p_value('q', finding.q_bh)}"
    if finding.pearson_r is None:
        return f"none that is defined: its values have no order ({alone})"
    return f"{finding.pearson_r:+.2f}".replace("-", "−") + f" with {shown_name(finding.metric)} ({alone})"


def what_was_found(finding: Finding, sides: Sides) -> str:
    """The form and size of the effect in words."""
    metric = shown_name(finding.metric)
    if finding.category == "NONE":
        return f"No effect on {metric} larger than {reach(finding)} was found."
    told = _by_form(finding, sides, metric)
    return told if finding.category in TOLD else f"Not sure enough to build on; if anything, {told}"


def recommendation(finding: Finding, advice: Advice | None, table: RunTable, better: Better) -> str:
    """What to do about it."""
    names = by_belief(finding.parameters, finding.metric)
    if finding.category == "NONE":
        usual = listed(f"{shown_name(name)} = {shown_value(table.usual_value(name))}" for name in names)
        return f"Leave {usual}, as in most runs; tuning it does nothing for {shown_name(finding.metric)}."
    if advice is None:
        reason = "neither direction of the metric is better" if better == "neither" else "the direction is not clear"
        return f"No value is recommended: {reason}."
    change = f"{setting(names, advice.to)} instead of {setting_again(names, advice.away_from)}"
    together = ", changed together as so far" if len(names) > 1 else ""
    if finding.category not in TOLD:
        return f"Do not act on it yet. If you try one thing, then {change}{together}."
    return f"{'Prefer' if finding.holds_zero else 'Use'} {change}{together}."


def reason_of_rule(finding: Finding) -> str | None:
    """What the written rules say, with their source; None where none is about it."""
    rules = [(name, rule_about(name, finding.metric)) for name in by_belief(finding.parameters, finding.metric)]
    found = next(((name, rule) for name, rule in rules if rule is not None), None)
    if found is None:
        return None
    name, rule = found
    about = f"{shown_name(name)}: " if len(rules) > 1 else ""
    against = "Against what was expected. " if rule.probability < _DISBELIEF and finding.category in TOLD else ""
    return f"{against}{about}{rule.reason} ({rule.source})"


def evidence(finding: Finding, sides: Sides, advice: Advice | None, table: RunTable) -> str:
    """Which runs show it: the better group first."""
    values = table.metric(finding.metric)
    groups = [
        (each[np.isfinite(each)], settings)
        for each, settings in ((values[sides.low], sides.low_values), (values[sides.high], sides.high_values))
    ]
    if any(len(each) == 0 for each, _ in groups):
        return "The runs that it rests on are not in the table."
    if advice is not None and advice.is_high_better:
        groups.reverse()
    (first, settings), (second, other_settings) = groups
    names, metric = by_belief(finding.parameters, finding.metric), shown_name(finding.metric)
    here, there = setting(names, settings), setting_again(names, other_settings)
    if first.min() > second.max() or first.max() < second.min():
        word = "apart from" if advice is None else "better than"
        return (
            f"{len(first)}/{len(first)} runs with {here} ({metric} {span(first)}) are {word} "
            f"{len(second)}/{len(second)} with {there} ({span(second)})."
        )
    return (
        f"{metric} is {span(first)} (median {figure(float(np.median(first)))}) in {counted(len(first), 'run')} with "
        f"{here}, and {span(second)} (median {figure(float(np.median(second)))}) in {len(second)} with {there}. "
        "The two groups overlap."
    )


def notes(
    finding: Finding, others: Sequence[Finding], advised: Mapping[str, Advice], experiment: str | None
) -> list[str]:
    """What a reader has to know before acting: aliases, near aliases, doubts, trade-offs."""
    together = joined(by_belief(finding.parameters, finding.metric))
    if finding.category == "NONE":
        return [f"{together} always changed together."] if finding.is_aliased else []
    told = []
    if finding.is_aliased:
        told.append(f"{together} always changed together: it may be any of them.")
    if finding.near_aliases:
        nearly = listed(map(shown_name, finding.near_aliases), most=_MOST_NEAR)
        told.append(f"Nearly always changed together with {nearly}: part of it may be theirs.")
    if experiment is not None:
        told.append(f"To find out: {experiment}")
    if finding.category in TOLD and finding.holds_zero:
        told.append("That it acts is probable; how much, and in which direction, is not: the interval holds 0.")
    if finding.category in TOLD and min(finding.n_low, finding.n_high) == 1:
        told.append("One of the two sides is a single configuration, which may be an accident.")
    if finding.category == "MODERATE":
        told.append(what_is_missing(finding))
    return told + _trade_offs(finding, others, advised)


def on_other_metrics(finding: Finding, others: Sequence[Finding]) -> list[str]:
    """A sentence for each further metric on which it acts, and one for all on which it does not, or may not."""
    sure = [other for other in others if other.category in TOLD]
    none = [other for other in others if other.category == "NONE"]
    open_ones = [other for other in others if other.category in ("MODERATE", "INSUFFICIENT") and other.is_judged]
    silent = [other for other in others if not other.is_judged]
    told = [
        f"{_about(other, finding)}: {other.category}, {probability(other.pip)}, {signed_figure(other.effect)} "
        f"({interval(other)})."
        for other in sure
    ]
    if none:
        told.append(f"No effect on {listed(f'{_about(other, finding)}, {reach(other)}' for other in none)}.")
    if open_ones:
        unsure = listed(f"{_about(other, finding)} ({probability(other.pip)})" for other in open_ones)
        told.append(f"Open on {unsure}.")
    if silent:
        told.append(f"Not known on {listed(_about(other, finding) for other in silent)}.")
    return told


def what_is_missing(finding: Finding) -> str:
    """Why there is no verdict, in a sentence."""
    if finding.would_have_been_seen:
        seen = f"An effect of {percent(HIGH_EFFECT)} of the range would have been seen"
        return f"{seen}; whether it has a smaller one is open."
    if finding.runs_needed is None:
        return "More runs of this kind would not settle it: they scatter too much."
    more = counted(finding.runs_needed, "more configuration")
    return f"It takes about {more} to find an effect of {percent(HIGH_EFFECT)} of the range."


def _by_form(finding: Finding, sides: Sides, metric: str) -> str:
    names = by_belief(finding.parameters, finding.metric)
    size = figure(abs(finding.effect or 0.0))
    is_rise = (finding.effect or 0.0) > 0
    higher, rises = ("higher", "rises") if is_rise else ("lower", "falls")
    match finding.encoding:
        case "threshold" | "level":
            high, low = setting(names, sides.high_values), setting_again(names, sides.low_values)
            return f"{metric} is {higher} by {size} with {high} than with {low}."
        case "peak":
            return f"{metric} is {higher} by {size} at {setting(names, sides.high_values)} than at both ends."
        case "product":
            through = shown_name(finding.statement or "")
            return f"{metric} {rises} by {size} {ends_of(finding, sides)}, most probably through {through}."
    return f"{metric} {rises} by {size} {ends_of(finding, sides)}."


def _about(other: Finding, finding: Finding) -> str:
    """The metric, and the parameters if they are others."""
    metric = shown_name(other.metric)
    return metric if set(other.parameters) == set(finding.parameters) else f"{metric} ({joined(other.parameters)})"


def _trade_offs(finding: Finding, others: Sequence[Finding], advised: Mapping[str, Advice]) -> list[str]:
    here = advised.get(finding.metric)
    told = []
    for other in others:
        there = advised.get(other.metric)
        if here and there and finding.category in TOLD and other.category in TOLD and _conflict(here, there):
            wanted = setting(by_belief(other.parameters, other.metric), there.to)
            told.append(f"A trade-off: {shown_name(other.metric)} is better with {wanted} ({other.category}).")
    return told


def _conflict(here: Advice, there: Advice) -> bool:
    shared = here.to.keys() & there.to.keys()
    return any(not set(map(typed, here.to[name])) & set(map(typed, there.to[name])) for name in shared)
