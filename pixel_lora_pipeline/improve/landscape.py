"""What is believed of a search space after a history of runs, and under principles."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pixel_lora_pipeline.improve.observations import Belief, Observations, read_observations
from pixel_lora_pipeline.improve.search_space import Floats, SearchSpace
from pixel_lora_pipeline.improve.surrogate import Scales, Surrogate, fit

# From fewer runs nothing can be learnt about differences.
_FEWEST: Final = 2
# Of a principle whose effect is not known in units of the metric, in standard deviations of the history.
_USUAL_EFFECT: Final = 0.5
# A belief may not outweigh whatever runs could say.
_LARGEST_EFFECT: Final = 0.75


@dataclass(frozen=True)
class Landscape:
    """What is believed of a search space.

    Attributes
    ----------
    space, observations
        Where, and from which runs.
    soft, hard
        Principles that guide a search, and those that bind it.
    metric
        What is to be high, or low.
    fixed
        Parameters that every configuration shares, for principles about them.
    noise_is_known
        Whether the noise of a run was given.
    surrogate
        None if there are too few runs to learn from.
    """

    space: SearchSpace
    observations: Observations
    soft: tuple[Belief, ...]
    hard: tuple[Belief, ...]
    metric: str
    lower_is_better: bool
    fixed: Mapping[str, Any]
    noise_is_known: bool
    surrogate: Surrogate | None

    @cached_property
    def scales(self) -> Scales:
        """How far apart values of the parameters are."""
        spread = [
            float(grid.var()) if parameter.is_ordered else 1 - 1 / len(grid)
            for grid, parameter in zip(self.space.grid, self.space.parameters.values(), strict=True)
        ]
        return Scales(self.space.is_ordered, np.array(spread))

    def in_metric(self, means: Floats, deviations: Floats) -> tuple[float, float]:
        """Mean and standard deviation, in units of the metric, from what each process expects, float[m]."""
        mean = float(means.mean()) * self.observations.scale + self.observations.center
        deviation = float(np.sqrt((deviations**2).mean() + means.var())) * self.observations.scale
        return (-mean if self.lower_is_better else mean), deviation

    def is_allowed(self, steps: NDArray[np.int64]) -> NDArray[np.bool_]:
        """bool[n]: whether no hard principle is known to be broken by configurations int[n, d]."""
        return np.array(
            [
                all(principle.holds_for(self._whole(self.space.decode(row))) is not False for principle in self.hard)
                for row in steps
            ],
            dtype=bool,
        )

    def losses_of(self, steps: NDArray[np.int64]) -> Floats:
        """float[n, principles]: by how much each soft principle says that configurations int[n, d] are worse."""
        return self.losses([self.space.decode(row) for row in steps] if self.soft else [{}] * len(steps))

    def losses(self, configurations: Sequence[Mapping[str, Any]]) -> Floats:
        """As `losses_of`, of configurations by name."""
        broken = [
            [principle.holds_for(self._whole(configuration)) is False for principle in self.soft]
            for configuration in configurations
        ]
        return np.array(broken, dtype=float).reshape(len(configurations), len(self.soft)) * self._effects

    @cached_property
    def _effects(self) -> Floats:
        return np.array([_effect(principle, self.metric, self.observations.scale) for principle in self.soft])

    def _whole(self, configuration: Mapping[str, Any]) -> dict[str, Any]:
        return {**self.fixed, **configuration}


def survey(
    space: "SearchSpace | str | Path | Mapping[str, Any]",
    history: pd.DataFrame,
    principles: Sequence[Belief] = (),
    *,
    metric: str = "quality_score",
    lower_is_better: bool = False,
    noise: float | None = None,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Landscape:
    """Learn what can be learnt of a search space.

    Parameters
    ----------
    space, history, principles, metric, lower_is_better, noise, fixed, seed
        As in `suggest`.

    Raises
    ------
    ValueError
        As `suggest` does.
    """
    space = SearchSpace.of(space)
    if noise is not None and not (math.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise is the standard deviation of a run's {metric}, not {noise}: leave it out if unknown")
    landscape = Landscape(
        space=space,
        observations=read_observations(space, history, metric, lower_is_better),
        soft=tuple(principle for principle in principles if principle.status == "soft"),
        hard=tuple(principle for principle in principles if principle.status == "hard"),
        metric=metric,
        lower_is_better=lower_is_better,
        fixed=dict(fixed or {}),
        noise_is_known=noise is not None,
        surrogate=None,
    )
    return replace(landscape, surrogate=_surrogate(landscape, noise, seed))


def _surrogate(landscape: Landscape, noise: float | None, seed: int) -> Surrogate | None:
    observations = landscape.observations
    if len(observations.values) < _FEWEST:
        return None
    surrogate = fit(
        landscape.scales,
        observations.places,
        (observations.values - observations.center) / observations.scale,
        landscape.losses(observations.rows),
        np.random.default_rng(seed),
        noise=None if noise is None else noise / observations.scale,
    )
    if not len(observations.unfinished):
        return surrogate
    # Runs that are not over are believed to come out as expected, so that the next ones are looked for elsewhere.
    losses = landscape.losses(observations.unfinished_rows)
    return surrogate.with_runs(observations.unfinished, surrogate.predict(observations.unfinished, losses)[0], losses)


def _effect(principle: Belief, metric: str, scale: float) -> float:
    effect = principle.effect
    if getattr(principle, "metric", metric) != metric or effect is None or not math.isfinite(effect) or effect <= 0:
        return _USUAL_EFFECT
    return min(effect / scale, _LARGEST_EFFECT)
