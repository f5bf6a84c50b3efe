"""How probable each parameter is to act, given the runs."""

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pixel_lora_pipeline.learn.beliefs import Beliefs, doubted, undoubted
from pixel_lora_pipeline.learn.candidate_causes import CandidateCauses
from pixel_lora_pipeline.learn.parameter_column import Floats
from pixel_lora_pipeline.learn.variable_selection import Models, search_models


@dataclass(frozen=True)
class Posterior:
    """What the runs say of every class.

    Attributes
    ----------
    models
        That were looked at.
    log_weights
        float[m]: logarithm of each model's posterior probability.
    pip
        float[classes]: posterior inclusion probability, that a class acts in any form, products included.
    pip_flat
        float[classes]: the same with every parameter equally probable beforehand.
    by_column
        float[p]: posterior probability of each form.
    """

    models: Models
    log_weights: Floats
    pip: Floats
    pip_flat: Floats
    by_column: Floats


def posterior_of(causes: CandidateCauses, metric: Floats) -> Posterior:
    """Search the models, and weigh them by the beliefs and by the flat ones."""
    given, flat = doubted(causes.given, causes.flat, causes.is_nuisance), undoubted(causes.flat)
    models = search_models(causes.candidates, metric, given.log_odds)
    log_weights, flat_weights = (_log_weights(models, causes, beliefs) for beliefs in (given, flat))
    return Posterior(
        models=models,
        log_weights=log_weights,
        pip=_inclusion(models, log_weights, causes, causes.given),
        pip_flat=_inclusion(models, flat_weights, causes, causes.flat),
        by_column=models.by_column(np.exp(log_weights), causes.owned.shape[1]),
    )


def _log_weights(models: Models, causes: CandidateCauses, beliefs: Beliefs) -> Floats:
    weights = models.log_evidence + beliefs.log_prior(models, causes.candidates)
    return np.asarray(weights - logsumexp(weights))


def _inclusion(models: Models, log_weights: Floats, causes: CandidateCauses, prior: Floats) -> Floats:
    """float[classes]: the prior where nothing was learnt."""
    weights = np.exp(log_weights)
    by_column = models.by_column(weights, causes.owned.shape[1])
    found = prior[: len(causes.owned)].copy()
    for at, (own, owned) in enumerate(zip(causes.own, causes.owned, strict=True)):
        if len(weights) > 1 and own.any():
            # A model has at most one form of a cause, but may have a product of it as well.
            is_alone = own.sum() == owned.sum()
            found[at] = by_column[own].sum() if is_alone else weights[models.holds(owned)].sum()
    return np.minimum(found, 1.0)
