"""Prior probability of a model: from the beliefs about its causes, and the doubt that those deserve.

Written rules can be wrong altogether. So the prior is a mixture of the given beliefs and of knowing nothing of any
parameter; the runs decide between the two as they decide between models.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from pixel_lora_pipeline.learn.parameter_column import Floats
from pixel_lora_pipeline.learn.variable_selection import Candidates, Models

# How probable it is that the given beliefs are worth anything.
TRUST: Final = 0.8
# By which the odds of every parameter are raised. Beliefs about single parameters are put cautiously, and a metric has
# more causes than they add up to: with the plain odds, findings of a stated probability of 0.5 to 0.7 were right in
# 0.74 of the cases on the histories of `benchmarks/evidence.py`, as they were too often right on those of another
# simulator.
ABUNDANCE: Final = 1.65


@dataclass(frozen=True)
class Beliefs:
    """Prior of every cause under each belief.

    Attributes
    ----------
    weights
        float[h]: of the beliefs, sum 1.
    probabilities
        float[h, sources].
    """

    weights: Floats
    probabilities: Floats

    @property
    def average(self) -> Floats:
        """float[sources]: all beliefs together."""
        return np.asarray(self.weights @ self.probabilities)

    @property
    def log_odds(self) -> Floats:
        """float[sources]: of the average."""
        return np.asarray(logit(self.average))

    def log_prior(self, models: Models, candidates: Candidates) -> Floats:
        """float[m]."""
        of_belief = [
            np.log(weight) + np.log1p(-probabilities).sum() + models.total(logit(probabilities)[candidates.source])
            for weight, probabilities in zip(self.weights, self.probabilities, strict=True)
        ]
        return np.asarray(logsumexp(of_belief, axis=0) + models.total(np.log(candidates.share)))


def doubted(given: Floats, flat: Floats, is_nuisance: NDArray[np.bool_]) -> Beliefs:
    """The mixture of the given beliefs and the flat ones.

    Parameters
    ----------
    given, flat
        float[sources]: probabilities.
    is_nuisance
        bool[sources]: what is no parameter, whose probability stays as it is.
    """
    both = np.array([given, flat])
    raised = expit(logit(both) + np.log(ABUNDANCE))
    return Beliefs(np.array([TRUST, 1 - TRUST]), np.where(is_nuisance, both, raised))


def undoubted(given: Floats) -> Beliefs:
    """Exactly the given probabilities (float[sources])."""
    return Beliefs(np.ones(1), given[None])
