"""The models that may predict an outcome, from the one that knows nothing of parameters to those that know too much.

Which of them is right differs from history to history, and with few runs nobody can know beforehand. Each one is an
average over Gaussian processes (see `process_average`), so that all can be judged in the same way.
"""

import math
from collections.abc import Callable, Iterator
from itertools import combinations
from typing import Final

import numpy as np
from scipy.special import expit, logit

from pixel_lora_pipeline.improve.likeness import Causes, mixed_kernel, rough_kernel, straight_kernel
from pixel_lora_pipeline.improve.process_average import Forecast, Kernels, averaged_forecast, mean_forecast
from pixel_lora_pipeline.learn.beliefs import ABUNDANCE, TRUST
from pixel_lora_pipeline.learn.domain_priors import FLAT
from pixel_lora_pipeline.learn.parameter_column import Floats

MEAN: Final = "mean of the runs"
FEW_CAUSES: Final = "few causes"

# Noise of a run in units of what the parameters do altogether: from nearly none to as much, or more.
_NOISES: Final = (0.03, 0.1, 0.3, 1.0)
_FEW_NOISES: Final = (0.1, 0.4)
_LENGTHS: Final = (0.5, 2.0)
# How fast the likeness of two configurations falls: by this many e-foldings if they differ in everything.
_FOLDINGS: Final = (2.0, 6.0)
# Of the variance that is due to the few causes, where there are some.
_OF_THE_FEW: Final = 0.8
_MOST_OF_THE_FEW: Final = 2
# Multiplications that looking for the few causes may take; with more configurations, fewer sets are looked at.
_MOST_WORK: Final = 3e9


def forecasts(causes: Causes, metric: Floats) -> dict[str, Forecast]:
    """What every model says, the simplest first.

    Parameters
    ----------
    causes
        With n tried and q proposed rows.
    metric
        float[n], two or more.
    """
    n_proposals = len(causes.columns[0].codes) - causes.n if causes.columns else 1
    found = {MEAN: mean_forecast(metric, n_proposals)}
    if len(metric) < 3 or np.ptp(metric) == 0 or not causes.is_varied.any():
        return found
    for name in _MODELS:
        forecast = forecast_by(name, causes, metric)
        if forecast is not None:
            found[name] = forecast
    return found


def forecast_by(model: str, causes: Causes, metric: Floats) -> Forecast | None:
    """What one of the models says that know the parameters; None if it cannot tell the tried configurations apart."""
    return averaged_forecast(_MODELS[model](causes), metric)


def _weights(causes: Causes) -> tuple[Floats, Floats]:
    """float[c] twice, sum 1: every parameter the same, and by the written rules. Products follow from them."""
    of_parameters = np.where(causes.is_product, 0.0, 1.0)
    believed = of_parameters * causes.prior
    return of_parameters / of_parameters.sum(), believed / believed.sum()


def _equally_probable(matrices: list[Floats], noises: tuple[float, ...]) -> Kernels:
    return Kernels(np.array(matrices), np.zeros(len(matrices)), noises)


def _straight_lines(causes: Causes) -> Iterator[Kernels]:
    of_each = np.array([straight_kernel(column, causes.n) for column in causes.columns])
    yield _equally_probable([np.tensordot(weights, of_each, 1) for weights in _weights(causes)], (*_NOISES, 3.0))


def _sums_of_effects(causes: Causes) -> Iterator[Kernels]:
    for length in _LENGTHS:
        of_each = np.array([rough_kernel(column, causes.n, length) for column in causes.columns])
        yield _equally_probable([np.tensordot(weights, of_each, 1) for weights in _weights(causes)], _NOISES)


def _like_configurations(causes: Causes) -> Iterator[Kernels]:
    """The likeness in all parameters together is the product of the single ones."""
    for length in _LENGTHS:
        unlike = np.array([1 - rough_kernel(column, causes.n, length) for column in causes.columns])
        matrices = []
        for weights in _weights(causes):
            distance = np.tensordot(weights, unlike, 1)
            matrices += [np.exp(-folding * distance) for folding in _FOLDINGS]
        yield _equally_probable(matrices, _NOISES)


def _few_causes(causes: Causes) -> Iterator[Kernels]:
    """A few parameters or products do most, the others a little; every set of them is looked at.

    Their prior is that of the evidence about parameters, see `learn.beliefs`.
    """
    of_each = np.array([mixed_kernel(column, causes.n) for column in causes.columns])
    rest = np.tensordot(np.mean(_weights(causes), axis=0), of_each, 1)
    varied = np.flatnonzero(causes.is_varied)
    log_odds = logit(causes.prior[varied]) + math.log(ABUNDANCE)
    flat = np.full(len(varied), logit(FLAT) + math.log(ABUNDANCE))
    for size in range(_MOST_OF_THE_FEW + 1):
        count = math.comb(len(varied), size)
        if count == 0 or (size and count * len(_FEW_NOISES) * len(rest) ** 3 > _MOST_WORK):
            return
        sets = np.array(list(combinations(range(len(varied)), size)), dtype=np.int64).reshape(count, size)
        log_prior = np.logaddexp(
            *(
                math.log(trust) + odds[sets].sum(axis=1) + np.log1p(-expit(odds)).sum()
                for trust, odds in ((TRUST, log_odds), (1 - TRUST, flat))
            )
        )
        matrices = np.broadcast_to(rest, (1, *rest.shape))
        if size:
            of_the_few = of_each[varied[sets]].mean(axis=1)
            matrices = (1 - _OF_THE_FEW) * rest + _OF_THE_FEW * of_the_few
        yield Kernels(matrices, log_prior, _FEW_NOISES)


_MODELS: Final[dict[str, Callable[[Causes], Iterator[Kernels]]]] = {
    "straight lines": _straight_lines,
    "sum of effects": _sums_of_effects,
    FEW_CAUSES: _few_causes,
    "like configurations": _like_configurations,
}
