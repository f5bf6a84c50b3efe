"""The verdict of a parameter impact report: what matters most, and how much can be told at all."""

from collections.abc import Sequence
from statistics import median
from typing import Any, Final

from pixel_lora_pipeline.analyze.report import Headline
from pixel_lora_pipeline.learn.impact_report.entry import Entry
from pixel_lora_pipeline.learn.impact_report.finding import TOLD, Finding
from pixel_lora_pipeline.learn.impact_report.shown import counted, figure, listed, percent, shown_name, signed_figure

FEW_RUNS: Final = 8
"""Below this, evidence is called thin whatever it says: not even a clear threshold reaches p < 0.05 at 7 runs."""

_MOST_NAMED: Final = 3


def headline(entries: Sequence[Entry], n_runs: int) -> Headline:
    """What matters most, and how sure that is."""
    told = [entry for entry in entries if entry.lead.category in TOLD]
    perhaps = [entry for entry in entries if entry.lead.category == "MODERATE"]
    if n_runs == 0:
        return Headline("No run has been evaluated yet", "open", None, "")
    if not any(entry.lead.is_judged for entry in entries):
        return Headline(f"{counted(n_runs, 'run')} can tell nothing yet", "open", None, "")
    if not told:
        if not perhaps:
            return Headline("The runs do not show what matters", "open", None, "")
        return _of(f"Nothing is sure yet; most likely {perhaps[0].title}", "open", perhaps[0])
    leader = told[0]
    if leader.lead.category == "CRITICAL":
        return _of(f"{leader.title} matters most", "go on", leader)
    return _of(f"{leader.title} probably matters most", "go on", leader)


def reason(entries: Sequence[Entry], findings: Sequence[Finding], n_runs: int, main: str | None) -> str:
    """Sentences below the headline: the strongest findings, and how much can be told."""
    if n_runs == 0:
        return "As soon as runs are evaluated, this report says which parameters made the difference."
    parts = []
    told = [entry for entry in entries if entry.lead.category in TOLD]
    if told:
        named = [
            f"{entry.title} moves {shown_name(entry.lead.metric)} by {signed_figure(entry.lead.effect)} "
            f"({entry.lead.category})"
            for entry in told
        ]
        parts.append(f"{listed(named, most=_MOST_NAMED)}.")
    parts.append(how_much_can_be_told(entries, findings, n_runs, main))
    return " ".join(parts)


def how_much_can_be_told(entries: Sequence[Entry], findings: Sequence[Finding], n_runs: int, main: str | None) -> str:
    """How many parameters have a verdict, and what these runs could have shown."""
    decided = sum(entry.lead.category in ("CRITICAL", "HIGH", "NONE") for entry in entries)
    once = ", those that always changed together counted once" if any(e.lead.is_aliased for e in entries) else ""
    sentence = f"{counted(n_runs, 'run')} settle {decided} of {counted(len(entries), 'parameter')}{once}."
    if n_runs < FEW_RUNS:
        sentence = f"This rests on fewer than {FEW_RUNS} runs: take it as a hint. {sentence}"
    least = [each for each in findings if each.metric == main and each.least_effect is not None and each.metric_range]
    if not least:
        return sentence
    size = median(float(each.least_effect or 0.0) for each in least)
    share = size / float(least[0].metric_range or 1.0)
    return (
        f"{sentence} On {shown_name(main)}, a typical parameter's effect below about {figure(size)} "
        f"({percent(share)} of its range) would go unseen."
    )


def _of(text: str, tone: Any, entry: Entry) -> Headline:
    return Headline(text, tone, entry.lead.pip, f"that {entry.title} acts on {shown_name(entry.lead.metric)}")
