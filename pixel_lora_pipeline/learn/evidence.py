"""Which parameters matter, and how sure that is: the evidence of all runs about each of them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import pearsonr

from pixel_lora_pipeline.learn.alias_classes import ParameterClass, alias_classes, near_aliases
from pixel_lora_pipeline.learn.candidate_causes import candidate_causes
from pixel_lora_pipeline.learn.configurations import Configurations, read_configurations
from pixel_lora_pipeline.learn.detectability import minimum_detectable_effect, noise_sd, runs_needed
from pixel_lora_pipeline.learn.domain_priors import domain_prior, usable_prior
from pixel_lora_pipeline.learn.effects import ModelAverage
from pixel_lora_pipeline.learn.findings import Findings, findings_of
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn
from pixel_lora_pipeline.learn.permutation_evidence import marginal_evidence
from pixel_lora_pipeline.learn.posterior import posterior_of
from pixel_lora_pipeline.learn.separating_experiment import separating_experiment
from pixel_lora_pipeline.learn.variable_selection import EXHAUSTIVE_SIZE
from pixel_lora_pipeline.learn.verdict import HIGH_EFFECT, Category, Interval, categorise, reported_interval, select

# Changes with whatever changes a verdict.
METHOD_VERSION: Final = "2"

COLUMNS: Final = (
    *("parameters", "category", "selected", "aliased", "reason", "pip", "pip_flat", "prior"),
    *("encoding", "statement", "threshold", "effect", "effect_low", "effect_high", "effect_by_value"),
    *("pearson_r", "p_exact", "p_minp", "q_bh", "p_orders"),
    *("n_runs", "n_configs", "n_low", "n_high", "runs_low", "runs_high", "evidence_runs"),
    *("metric_range", "noise_sd", "replicate_sd", "near_aliases", "min_detectable_effect", "runs_needed"),
    *("separating_experiment", "approximate", "method_version"),
)
_SUREST: Final = 0.994  # more would be shown as 100 %
_MOST_VALUES: Final = 24  # of a parameter, for which an effect is listed
_DECIDED: Final = ("CRITICAL", "HIGH", "NONE")


def assess_parameters(
    runs: pd.DataFrame,
    parameters: list[str],
    metric: str,
    *,
    prior: dict[str, float] | None = None,
    replicate_of: str | None = None,
) -> pd.DataFrame:
    """Judge by all runs together which parameters act on a metric.

    Histories of trainings are not experiments: what did well is copied, and several things are changed at once, so
    that parameters without any effect go with the metric too. Therefore the verdict rests on all parameters at once
    (Bayesian variable selection, see `variable_selection`) and on what was believed of them beforehand. Correlations
    and permutation p-values of single parameters are there to be shown.

    Parameters
    ----------
    runs
        A row a run. Cells of parameters may be numbers, booleans, texts or empty (not known); rows without a metric
        are left out. A column `run_name`, `run_id` or `id` names the runs, else the index does. With a column
        `run_date`, a drift of the results over time is one of the explanations that parameters compete with.
    parameters
        Columns to judge.
    metric
        Column to explain, in whatever units; larger may be better or worse.
    prior
        For each parameter, the probability that it acts on the metric; 0.02 for those that are left out. Without it,
        the written domain rules (`domain_priors.toml`) that apply to a metric of this name. It is not trusted blindly,
        see `beliefs`.
    replicate_of
        Column that says which runs are repetitions of one configuration: the same value for all of them, or the
        name of the run that was repeated. They count as one. Without it, every run counts as a configuration of its
        own.

    Returns
    -------
    DataFrame
        A row for each class of parameters that the runs cannot tell apart; the most probable first, those that cannot
        be judged last.

        ``parameters`` (list), ``category`` (CRITICAL, HIGH, MODERATE, NONE, INSUFFICIENT; see `verdict.categorise`),
        ``selected`` (in the set with at most 10 % expected false discoveries), ``aliased`` (several parameters that
        always changed together), ``reason`` (a sentence).

        ``pip``, ``pip_flat``: posterior inclusion probability, by the prior and by the data alone (every parameter
        0.10 beforehand); equal to the prior where nothing can be told. ``prior``: the probability beforehand.
        ``encoding`` (linear, threshold, peak, level, or product, see `derived_features`), ``statement`` ("network_dim
        > 32"), ``threshold`` (the largest value below it): the form that is most probable.

        ``effect``: on the metric from the lowest to the highest value (for a threshold from the runs below it to
        those above, for a peak from the ends to it, for a name from the others to it), averaged over models, the
        chance of none included. ``effect_low``, ``effect_high``: 95 % interval of the effect if there is one, extended
        to 0 unless its sign is 95 % sure. ``effect_by_value`` (dict): how each value differs from the average run. All
        NaN where nothing can be told.

        ``pearson_r`` (NaN for names), ``p_exact`` (all orders up to 7 configurations, else 5000 random ones),
        ``p_minp`` (Westfall-Young), ``q_bh`` (Benjamini-Hochberg), ``p_orders`` (how many p rests on): of the
        parameter alone.

        ``n_runs``, ``n_configs``: in which the parameter is known; ``n_low``, ``n_high``, ``runs_low``,
        ``runs_high``: configurations and names of runs on each side of the form; ``evidence_runs``: both.
        ``metric_range``: over single runs. ``noise_sd``: of a configuration; ``replicate_sd``: of a run among its
        replicates.

        ``near_aliases`` (list): parameters of other classes that nearly always changed with it.
        ``min_detectable_effect``: what these runs would have shown with 80 % power, had the parameter been varied
        independently of all others. ``runs_needed``: how many more configurations it takes to find an effect of 8 %
        of the range, at least one without a verdict; 0 once there is one, empty if a thousand would not do.
        ``separating_experiment`` (dict or None): the cheapest run that would tell aliases, or near ones, apart, see
        `SeparatingExperiment`.

        ``approximate``: True if not all models with up to three causes were looked at, but the promising ones only.
        ``method_version``.

    Raises
    ------
    ValueError
        If a column is missing or there twice, if the metric is not a number, or if `prior` holds something that is
        not a probability.
    """
    probabilities = usable_prior(domain_prior(parameters, metric) if prior is None else prior, parameters)
    configurations = read_configurations(runs, parameters, metric, replicate_of)
    classes = alias_classes(configurations.columns)
    causes = candidate_causes(classes, probabilities, len(configurations), configurations.days)
    posterior = posterior_of(causes, configurations.metric)
    average = ModelAverage(causes.candidates, configurations.metric, posterior.models, posterior.log_weights)
    findings = [
        findings_of(at, members, causes, posterior, average, configurations) for at, members in enumerate(classes)
    ]
    marginal = marginal_evidence([members.leader for members in classes], configurations.metric)
    is_judged = np.array([found.effect is not None for found in findings], dtype=bool)
    selected = np.zeros(len(classes), dtype=bool)
    selected[is_judged] = select(posterior.pip[is_judged])
    is_approximate = posterior.models.exhaustive_size < min(EXHAUSTIVE_SIZE, len(configurations) - 3)
    near = near_aliases(classes)
    rows = [
        {
            "parameters": list(members.names),
            "aliased": len(members.columns) > 1,
            "pip_flat": float(posterior.pip_flat[at]),
            "prior": float(causes.given[at]),
            **_verdict(findings[at], bool(selected[at]), members, configurations),
            "pearson_r": _pearson(members.leader, configurations.metric),
            "p_exact": marginal.p[at],
            "p_minp": marginal.p_minimum[at],
            "q_bh": marginal.q[at],
            "p_orders": marginal.orders,
            "near_aliases": list(near[at]),
            "separating_experiment": _separating(members, near[at], configurations, probabilities, findings[at]),
            "approximate": is_approximate,
            "method_version": METHOD_VERSION,
        }
        for at, members in enumerate(classes)
    ]
    order = sorted(
        range(len(rows)), key=lambda at: (not is_judged[at], -round(float(posterior.pip[at]), 12), classes[at].names)
    )
    return pd.DataFrame([rows[at] for at in order], columns=list(COLUMNS)).astype({"runs_needed": "Int64"})


def _verdict(
    findings: Findings, selected: bool, members: ParameterClass, configurations: Configurations
) -> dict[str, Any]:
    form, effect, leader = findings.form, findings.effect, members.leader
    interval = Interval(math.nan, math.nan, math.nan)
    category: Category = "INSUFFICIENT"
    sd, least, needed = math.nan, math.nan, None
    if effect is not None:
        interval = reported_interval(findings.pip, effect)
        category = categorise(
            pip=findings.pip,
            selected=selected,
            interval=interval,
            metric_range=configurations.metric_range,
            n_low=form.n_low,
            n_high=form.n_high,
        )
        sd = noise_sd(effect.sd, configurations.replicate_variance, float(configurations.n_rep.mean()))
        least = minimum_detectable_effect(form.n_low, form.n_high, sd)
        wanted = HIGH_EFFECT * configurations.metric_range
        needed = 0 if category in _DECIDED else runs_needed(form.n_low, form.n_high, sd, wanted)
    low, high = _runs(form.low, configurations), _runs(form.high, configurations)
    variance = configurations.replicate_variance
    return {
        "category": category,
        "selected": selected,
        "reason": _reason(category, findings, interval, members, configurations),
        "pip": findings.pip,
        "encoding": form.kind,
        "statement": form.statement,
        "threshold": form.threshold,
        "effect": interval.mean,
        "effect_low": interval.low,
        "effect_high": interval.high,
        "effect_by_value": _shown(leader, findings.by_level),
        "n_runs": int(configurations.n_rep[leader.known].sum()),
        "n_configs": int(leader.known.sum()),
        "n_low": form.n_low,
        "n_high": form.n_high,
        "runs_low": low,
        "runs_high": high,
        "evidence_runs": low + high,
        "metric_range": configurations.metric_range,
        "noise_sd": sd,
        "replicate_sd": math.nan if variance is None else math.sqrt(variance),
        "min_detectable_effect": least,
        "runs_needed": pd.NA if needed is None else needed,
    }


def _reason(
    category: Category,
    findings: Findings,
    interval: Interval,
    members: ParameterClass,
    configurations: Configurations,
) -> str:
    """One or two sentences for a person."""
    name = " | ".join(members.names)
    if len(configurations) == 0:
        return f"{name}: no run has this metric."
    if not members.is_varied:
        return f"{name} never varied: it cannot be judged."
    if findings.form.kind is None:
        return f"{name} is different in every run: it cannot be judged."
    if configurations.metric_range == 0:
        return "The metric is the same in every run: nothing can be judged."
    if findings.effect is None:
        return f"{len(configurations)} configurations are too few to judge anything."
    low, high = findings.form.n_low, findings.form.n_high
    counts = f"{low} configuration{'s' * (low != 1)} against {high}"
    sure = f"It acts with a probability of {_percent(findings.pip)}"
    told = {
        "CRITICAL": f"{sure} and changes the metric by {interval.mean:+.3g} ({counts}).",
        "HIGH": f"{sure} and changes the metric by {interval.mean:+.3g} ({counts}).",
        "MODERATE": f"{sure}: not enough to build on ({counts}).",
        "NONE": f"No effect beyond ±{max(-interval.low, interval.high):.2g} ({counts}).",
        "INSUFFICIENT": f"The runs say little. {sure} ({counts}).",
    }[category]
    together = f" {name} always changed together: it may be any of them." if len(members.columns) > 1 else ""
    return f"{told}{together}"


def _percent(probability: float) -> str:
    """Never certainty: it is a model's, and from few runs."""
    return "more than 99%" if probability > _SUREST else f"{probability:.0%}"


def _shown(column: ParameterColumn, by_level: tuple[float, ...]) -> dict[Any, float]:
    """By value; of many, some that are evenly spread over the levels."""
    shown = np.unique(np.linspace(0, len(by_level) - 1, min(len(by_level), _MOST_VALUES)).round().astype(int))
    return {column.levels[at]: by_level[at] for at in shown}


def _runs(rows: NDArray[np.bool_], configurations: Configurations) -> list[Any]:
    return [name for row in np.flatnonzero(rows) for name in configurations.runs[row]]


def _pearson(column: ParameterColumn, metric: Floats) -> float:
    known = column.known
    if column.numbers is None or not column.is_varied or np.ptp(metric[known]) == 0:
        return math.nan
    return float(pearsonr(column.numbers[column.codes[known]], metric[known]).statistic)


def _separating(
    members: ParameterClass,
    near: Sequence[str],
    configurations: Configurations,
    prior: Mapping[str, float],
    findings: Findings,
) -> dict[str, Any] | None:
    effects = [0.0 if math.isnan(effect) else effect for effect in findings.by_level]
    experiment = separating_experiment(members, near, configurations, prior, effects)
    return None if experiment is None else experiment.to_dict()
