"""More than two models in the order of people's preference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.analyze.ab_ballot import Pairing

_RESAMPLES: Final = 400  # the ends of a 95 % interval then rest on ten of them
_LEVEL: Final = 0.95
# Of a win for either, added to each two models, as in the prior of the test of two: a model that has won all or none
# of its comparisons would be infinitely strong or weak otherwise.
_PRIOR: Final = 0.5
# Each step brings the strengths nearer by a constant factor; with the prior, dozens of steps do.
_MOST_STEPS: Final = 2000
_STILL: Final = 1e-9


@dataclass(frozen=True)
class Rank:
    """One model.

    Attributes
    ----------
    model
        By its place in the test.
    share
        With what probability it is preferred to one of the others, on average.
    low, high
        95 % interval of that share over prompts.
    p_best
        Share of the resamples in which it comes first.
    """

    model: int
    share: float
    low: float
    high: float
    p_best: float


def rank_models(
    wins: Mapping[Pairing, Mapping[int, int | None]], prompts: tuple[str, ...], n_models: int
) -> tuple[Rank, ...]:
    """Rank models by a Bradley-Terry model, the best first; a tie is half a win for either.

    Intervals are those of a bootstrap over prompts [1]_, each with all its cases: what makes one seed of a prompt look
    better often does so for the others.

    Parameters
    ----------
    wins
        As `majorities` returns them.
    prompts
        The prompt of each case.

    References
    ----------
    .. [1] Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7 (1979),
       doi:10.1214/aos/1176344552.
    """
    names = sorted({prompts[case] for cases in wins.values() for case in cases})
    counts = np.zeros((len(names), n_models, n_models))
    for (first, second), cases in wins.items():
        for case, winner in cases.items():
            of_prompt = counts[names.index(prompts[case])]
            of_prompt[first, second] += 0.5 if winner is None else winner == first
            of_prompt[second, first] += 0.5 if winner is None else winner == second
    shares = _shares(bradley_terry(counts.sum(axis=0)))
    drawn = np.random.default_rng(0).multinomial(len(names), [1 / len(names)] * len(names), size=_RESAMPLES)
    resampled = _shares(bradley_terry(np.tensordot(drawn, counts, axes=1)))
    low, high = np.quantile(resampled, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    best = np.bincount(resampled.argmax(axis=1), minlength=n_models) / _RESAMPLES
    order = np.argsort(-shares, kind="stable")
    return tuple(
        Rank(int(model), float(shares[model]), float(low[model]), float(high[model]), float(best[model]))
        for model in order
    )


def bradley_terry(wins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Strengths of models by how often each is preferred to each other, with a prior of half a win for either.

    Parameters
    ----------
    wins
        float[..., n, n]; [i, j] is how often i is preferred to j. Leading axes hold tests that are ranked apart, all
        of them at once.

    Returns
    -------
    float[..., n]
        Positive, with a geometric mean of 1; i is preferred to j with probability s[i] / (s[i] + s[j]).

    References
    ----------
    Hunter, "MM algorithms for generalized Bradley-Terry models", Annals of Statistics 32 (2004),
    doi:10.1214/aos/1079120141.
    """
    wins = wins + _PRIOR * (1 - np.eye(wins.shape[-1]))
    comparisons = wins + wins.swapaxes(-1, -2)
    strengths = np.ones(wins.shape[:-1])
    for _ in range(_MOST_STEPS):
        expected = (comparisons / (strengths[..., :, None] + strengths[..., None, :])).sum(axis=-1)
        better = wins.sum(axis=-1) / expected
        better /= np.exp(np.log(better).mean(axis=-1, keepdims=True))
        moved = np.abs(np.log(better / strengths)).max()
        strengths = better
        if moved < _STILL:
            break
    return strengths


def _shares(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """With what probability each model is preferred to the others, on average over them; float[..., n]."""
    preferred = strengths[..., :, None] / (strengths[..., :, None] + strengths[..., None, :])
    return (preferred.sum(axis=-1) - 0.5) / (strengths.shape[-1] - 1)  # type: ignore[no-any-return]
