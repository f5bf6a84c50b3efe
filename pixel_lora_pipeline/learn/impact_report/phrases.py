"""Pieces of the sentences: settings, forms, spans and intervals."""

from collections.abc import Mapping, Sequence
from typing import Any

from pixel_lora_pipeline.learn.impact_report.advice import Sides
from pixel_lora_pipeline.learn.impact_report.entry import by_belief
from pixel_lora_pipeline.learn.impact_report.finding import Finding
from pixel_lora_pipeline.learn.impact_report.shown import (
    figure,
    joined,
    listed,
    listed_values,
    number_of,
    percent,
    shown_name,
    shown_value,
    signed_figure,
)
from pixel_lora_pipeline.learn.parameter_column import Floats


def form(finding: Finding, sides: Sides) -> str:
    """In which form the parameters act: "network_dim > 32 | network_alpha > 16"; their names, where it is none."""
    names = by_belief(finding.parameters, finding.metric)
    match finding.encoding if finding.category != "NONE" else None:
        case "threshold":
            return " | ".join(_threshold(name, sides) for name in names)
        case "level":
            return " | ".join(setting([name], sides.high_values) for name in names)
        case "peak":
            return " | ".join(_peak(name, sides) for name in names)
        case "product":
            return shown_name(finding.statement or joined(names))
    return joined(names)


def ends_of(finding: Finding, sides: Sides) -> str:
    """As "from network_dim = 16 to 128"."""
    names = by_belief(finding.parameters, finding.metric)
    first, last = ({name: ends[at:][:1] for name, ends in sides.ends.items()} for at in (0, 1))
    return f"from {setting(names, first)} to {setting_again(names, last)}"


def _peak(name: str, sides: Sides) -> str:
    top = sides.high_values[name]
    word = "near" if all(number_of(value) is not None for value in top) else "="
    return f"{shown_name(name)} {word} {listed_values(top)}"


def _threshold(name: str, sides: Sides) -> str:
    low, high = sides.low_values[name], sides.high_values[name]
    numbers = [[number for value in side if (number := number_of(value)) is not None] for side in (low, high)]
    if all(numbers) and max(numbers[0]) < min(numbers[1]):
        return f"{shown_name(name)} > {shown_value(max(numbers[0]))}"
    if all(numbers) and min(numbers[0]) > max(numbers[1]):
        return f"{shown_name(name)} < {shown_value(min(numbers[0]))}"
    return f"{shown_name(name)} = {listed_values(high)}"


def setting(names: Sequence[str], values: Mapping[str, tuple[Any, ...]]) -> str:
    """As "network_dim = 64 or 128 (with network_alpha = 32 or 64)"."""
    return f"{shown_name(names[0])} = {setting_again(names, values)}"


def setting_again(names: Sequence[str], values: Mapping[str, tuple[Any, ...]]) -> str:
    """The same where the parameter was named just before: "64 or 128 (with network_alpha = 32 or 64)"."""
    first, *others = (listed_values(values.get(name, ())) or "–" for name in names)
    if not others:
        return first
    return f"{first} (with {listed(f'{shown_name(n)} = {v}' for n, v in zip(names[1:], others, strict=True))})"


def span(values: Floats) -> str:
    """As "92.2 to 94.4"."""
    low, high = figure(float(values.min())), figure(float(values.max()))
    return low if low == high else f"{low} to {high}"


def interval(finding: Finding) -> str:
    """As "95 %: −32 to −28; 73 % of the range"."""
    if finding.low is None or finding.high is None:
        return "no interval"
    between = f"95 %: {signed_figure(finding.low)} to {signed_figure(finding.high)}"
    return f"{between}; {percent(finding.share)} of the range"


def reach(finding: Finding) -> str:
    """How large an effect may be in either direction: "±0.58 (3 % of the range)"."""
    furthest = max(-(finding.low or 0.0), finding.high or 0.0)
    share = f" ({percent(furthest / finding.metric_range)} of the range)" if finding.metric_range else ""
    return f"±{figure(furthest)}{share}"
