"""Gaussian processes that are averaged: each as probable as it explains the outcomes, each leaving one out exactly.

The outcomes are taken to be a mean, a random function of the configuration with covariance K and noise of λ times its
typical variance, all times an unknown scale. Mean and scale have flat priors and are integrated out; what remains of K
and λ is a list, and is averaged over. So predictions are mixtures of Student distributions, and whatever can be had
from all n outcomes can be had from n − 1 in closed form: leaving one out costs nothing.

References
----------
.. [1] Rasmussen, Williams, "Gaussian Processes for Machine Learning", 2006, §2.7 (mean integrated out), §5.4.2
       (leave-one-out by the inverse of the covariance).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import logsumexp

from pixel_lora_pipeline.learn.parameter_column import Floats

# Of a batch's numbers; larger ones gain nothing.
_BATCH: Final = 2_000_000
# Shares of the outcomes' variance that are rounding.
_ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Kernels:
    """Covariances that are equally complicated.

    Attributes
    ----------
    matrices
        float[m, n + q, n + q].
    log_prior
        float[m].
    noises
        The ratios λ that each of them is tried with.
    """

    matrices: Floats
    log_prior: Floats
    noises: tuple[float, ...]


@dataclass(frozen=True)
class Forecast:
    """What a model says.

    Attributes
    ----------
    left_out_mean, left_out_sd
        float[n]: of each configuration, from all others.
    mean, sd
        float[q]: of a run of each proposal.
    """

    left_out_mean: Floats
    left_out_sd: Floats
    mean: Floats
    sd: Floats


def mean_forecast(metric: Floats, n_proposals: int) -> Forecast:
    """The mean of all others, whatever the configuration; of two outcomes or more."""
    n = len(metric)
    others = (metric.sum() - metric) / (n - 1)
    variances = np.array([np.delete(metric, at).var(ddof=1) if n > 2 else metric.var(ddof=1) for at in range(n)])
    return Forecast(
        left_out_mean=others,
        left_out_sd=np.sqrt(variances * n / (n - 1)),
        mean=np.full(n_proposals, metric.mean()),
        sd=np.full(n_proposals, metric.std(ddof=1) * np.sqrt(1 + 1 / n)),
    )


def averaged_forecast(kernels: Iterable[Kernels], metric: Floats) -> Forecast | None:
    """Average over all kernels and noises; None if none of them tells the tried configurations apart.

    Parameters
    ----------
    kernels
        Of n tried and q proposed configurations.
    metric
        float[n], three or more that are not all the same.
    """
    middle, scale = metric.mean(), np.ptp(metric)
    parts = [part for each in kernels for part in _batches(each, (metric - middle) / scale)]
    if not parts:
        return None
    evidence = np.concatenate([part.evidence for part in parts])
    left_out = np.concatenate([part.left_out_evidence for part in parts])
    means, variances = _mixture(
        np.exp(evidence - logsumexp(evidence))[:, None],
        np.concatenate([part.means for part in parts]),
        np.concatenate([part.variances for part in parts]),
    )
    left_out_means, left_out_variances = _mixture(
        np.exp(left_out - logsumexp(left_out, axis=0)),
        np.concatenate([part.left_out_means for part in parts]),
        np.concatenate([part.left_out_variances for part in parts]),
    )
    return Forecast(
        left_out_mean=middle + scale * left_out_means,
        left_out_sd=scale * np.sqrt(left_out_variances),
        mean=middle + scale * means,
        sd=scale * np.sqrt(variances),
    )


@dataclass(frozen=True)
class _Part:
    """Of m processes: evidence float[m]; means and variances float[m, q]; the same for each outcome left out."""

    evidence: Floats
    means: Floats
    variances: Floats
    left_out_evidence: Floats
    left_out_means: Floats
    left_out_variances: Floats


def _batches(kernels: Kernels, metric: Floats) -> list[_Part]:
    n, rows = len(metric), kernels.matrices.shape[1]
    tried = kernels.matrices[:, :n, :n]
    # Mean squared deviation of a function's values from their mean, over the configurations that were tried.
    typical = (np.einsum("mii->m", tried) - tried.sum(axis=(1, 2)) / n) / (n - 1)
    kept = np.flatnonzero(typical > _ROUNDING)
    step = max(1, _BATCH // rows**2)
    return [
        _part(kernels.matrices[at] / typical[at, None, None], kernels.log_prior[at], noise, metric)
        for began in range(0, len(kept), step)
        for at in [kept[began : began + step]]
        for noise in kernels.noises
    ]


def _part(matrices: Floats, log_prior: Floats, noise: float, metric: Floats) -> _Part:
    n = len(metric)
    inverse = np.linalg.inv(matrices[:, :n, :n] + noise * np.eye(n))
    weights = inverse.sum(axis=2)
    total = weights.sum(axis=1)
    # The inverse on what is left when the mean is integrated out.
    precision = inverse - weights[:, :, None] * weights[:, None, :] / total[:, None, None]
    pulled = precision @ metric
    least = _ROUNDING * float(((metric - metric.mean()) ** 2).sum())
    squares = np.maximum(pulled @ metric, least)
    own = np.einsum("mii->mi", precision)
    left_out_squares = np.maximum(squares[:, None] - pulled**2 / own, least)
    half_log = log_prior + np.linalg.slogdet(inverse)[1] / 2 - np.log(total) / 2
    mean = (weights @ metric) / total
    across = matrices[:, :n, n:]
    solved = inverse @ across
    around = np.einsum("mii->mi", matrices[:, n:, n:]) + noise - np.einsum("miq,miq->mq", across, solved)
    around += (1 - np.einsum("mi,miq->mq", weights, across)) ** 2 / total[:, None]
    return _Part(
        evidence=half_log - (n - 1) / 2 * np.log(squares),
        means=mean[:, None] + np.einsum("miq,mi->mq", solved, metric - mean[:, None]),
        variances=(squares / (n - 1))[:, None] * around,
        left_out_evidence=half_log[:, None] - np.log(own) / 2 - (n - 2) / 2 * np.log(left_out_squares),
        left_out_means=metric - pulled / own,
        left_out_variances=left_out_squares / (n - 2) / own,
    )


def _mixture(weights: Floats, means: Floats, variances: Floats) -> tuple[Floats, Floats]:
    mean = (weights * means).sum(axis=0)
    return mean, (weights * (variances + (means - mean) ** 2)).sum(axis=0)
