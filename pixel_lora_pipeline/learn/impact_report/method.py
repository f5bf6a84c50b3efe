"""How the report was made, and what it cannot know."""

from collections.abc import Sequence
from typing import Any

from pixel_lora_pipeline.learn.impact_report.finding import Finding
from pixel_lora_pipeline.learn.impact_report.shown import counted, figure, listed, percent, shown_name
from pixel_lora_pipeline.learn.verdict import (
    CRITICAL_EFFECT,
    CRITICAL_SIDE,
    FALSE_DISCOVERIES,
    HIGH_EFFECT,
    HIGH_PROBABILITY,
    MODERATE_PROBABILITY,
    NO_EFFECT,
    NONE_SIDE,
)


def method(findings: Sequence[Finding], metrics: Sequence[str]) -> dict[str, Any]:
    """Numbers of runs, versions, approximations, and what the words and figures mean."""
    approximate = sorted({finding.metric for finding in findings if finding.is_approximate})
    versions = sorted({finding.method_version for finding in findings})
    per_metric = [_metric(metric, [each for each in findings if each.metric == metric]) for metric in metrics]
    texts = {
        "Verdict": (
            "Bayesian variable selection over all parameters together, with what the written rules say of each "
            "parameter as the probability beforehand. Parameters that changed together in every run are one "
            "hypothesis; runs that repeat a configuration count once."
        ),
        "Words": (
            f"CRITICAL: among the causes with at most {percent(FALSE_DISCOVERIES)} expected false ones, an effect of "
            f"{percent(CRITICAL_EFFECT)} of the metric's range or more, an interval without 0, {CRITICAL_SIDE} "
            f"configurations on each side. HIGH: a probability of {percent(HIGH_PROBABILITY)} and "
            f"{percent(HIGH_EFFECT)} of the range. MODERATE: a probability of {percent(MODERATE_PROBABILITY)}. NONE: "
            f"the whole interval within ±{percent(NO_EFFECT)} of the range, {NONE_SIDE} configurations on each side. "
            "Everything else is open."
        ),
        "Effects": (
            "From the lowest to the highest value, or across a threshold, averaged over all models, the chance of no "
            "effect included. The interval is that of the effect if there is one, and reaches to 0 unless the sign is "
            "95 % sure."
        ),
        "Correlation, p, q": (
            "For display only: of each parameter alone, whatever else was changed. p is that of the largest rank "
            "statistic over all thresholds and values, q the same after Benjamini and Hochberg. In histories of "
            "trainings most small p-values are false, because habits go along with success."
        ),
        "Limits": (
            "Past runs are no experiment: what was never varied, or never varied apart, cannot be known. A cause that "
            "nobody recorded may stand behind a recorded one."
        ),
        "Approximation": (
            f"For {listed(map(shown_name, approximate))} the promising models were searched, not all of them."
            if approximate
            else "None: all models with up to three causes were looked at."
        ),
        "Version of the method": listed(versions) or "–",
    }
    return {"versions": versions, "approximate": approximate, "metrics": per_metric, "texts": texts}


def _metric(metric: str, findings: Sequence[Finding]) -> dict[str, Any]:
    widest = max(findings, key=lambda each: each.n_runs, default=None)
    if widest is None:
        return {
            "metric": metric,
            "n_runs": 0,
            "n_configs": 0,
            "range": None,
            "replicate_sd": None,
            "sentence": "no run",
        }
    scatter = "" if widest.replicate_sd is None else f", repeated runs scatter by {figure(widest.replicate_sd)}"
    return {
        "metric": metric,
        "n_runs": widest.n_runs,
        "n_configs": widest.n_configs,
        "range": widest.metric_range,
        "replicate_sd": widest.replicate_sd,
        "sentence": f"{counted(widest.n_runs, 'run')} of {counted(widest.n_configs, 'configuration')}, "
        f"range {figure(widest.metric_range)}{scatter}",
    }
