"""What to run next: the configurations that are expected to exceed the best that is known by most.

Optuna's GPSampler does the same with another model, and `benchmarks/search.py` compares the two. Ours takes effects to
add up mostly, learns from runs outside of the space and from half-known ones, leans on principles without losing what
runs say against them, keeps to hard ones exactly, and gives the posterior that the incumbent and the end of a campaign
are judged by. The study itself is kept in Optuna's tables (see `study`).
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.random import Generator

from pixel_lora_pipeline.improve.candidates import Score, Steps, best_configuration
from pixel_lora_pipeline.improve.landscape import Landscape, survey
from pixel_lora_pipeline.improve.observations import Belief
from pixel_lora_pipeline.improve.search_space import Floats, Scalar, SearchSpace
from pixel_lora_pipeline.improve.surrogate import Surrogate, expected_improvement

# Configurations that were tried and did best: the best of all is likely near one of them.
_NEAR: Final = 4
# Without runs, a soft principle that is broken weighs as much as being this much nearer to what was tried.
_BROKEN_DISTANCE: Final = 1.0


@dataclass(frozen=True)
class Suggestion:
    """A configuration to run.

    Attributes
    ----------
    parameters
        Of the search space.
    expected, deviation
        What it is believed to be worth, in units of the metric, and how uncertain that is; None without two runs to
        learn from.
    improvement
        By how much it is expected to exceed the best that is known; being worse counts as 0. None as above.
    replicate_of
        Runs that had this configuration: it is repeated because nothing is left that was not tried.
    """

    parameters: dict[str, Scalar]
    expected: float | None
    deviation: float | None
    improvement: float | None
    replicate_of: tuple[str, ...] = ()


def suggest(
    space: "SearchSpace | str | Path | Mapping[str, Any]",
    history: pd.DataFrame,
    n: int = 1,
    principles: Sequence[Belief] = (),
    *,
    metric: str = "quality_score",
    lower_is_better: bool = False,
    noise: float | None = None,
    fixed: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> list[dict[str, Scalar]]:
    """The next configurations to run; the same for the same arguments.

    What was tried is not suggested again, unless nothing else is left. Several suggestions are chosen one after the
    other, each as if those before had come out as expected, so that they differ.

    Parameters
    ----------
    space
        A `SearchSpace`, the path of a TOML file, or a mapping of names to lists of values, tables or Optuna's
        distributions; `search_space.toml` shows the forms.
    history
        A row a run: a column for each parameter of the space, and the metric. Repeated configurations are rows of
        their own: they tell the noise. Rows without a metric are runs that are not over; suggestions keep away from
        them. A run outside of the space is learnt from where it lies, one with an unknown value as far as it is
        known; both are warned of.
    n
        How many; fewer come back only if the space, or what hard principles leave of it, has fewer.
    principles
        Whatever has `status`, `effect` and `holds_for(parameters)`, as a `learn.principle.Principle` has. Soft ones
        are expected to hold, and given up if runs say otherwise; what is known to break a hard one is not suggested;
        others are left aside. Ranges stay as wide as they are, for what breaks a principle has been learnt from.
    metric, lower_is_better
        What is to be improved.
    noise
        Standard deviation of one run's metric, if it is known better than from this history.
    fixed
        Parameters that all suggestions share, for principles about them.
    seed
        Of everything that is drawn.

    Raises
    ------
    ValueError
        If the space, the history or the noise cannot be read, if n is negative, or if hard principles leave nothing.

    Warns
    -----
    UserWarning
        If runs lie outside of the space, or something of them is not known.
    """
    landscape = survey(
        space,
        history,
        principles,
        metric=metric,
        lower_is_better=lower_is_better,
        noise=noise,
        fixed=fixed,
        seed=seed,
    )
    if remarks := [remark for remark in landscape.observations.remarks if remark.kind != "no result"]:
        counts = Counter(remark.detail for remark in remarks)
        listed = "; ".join(f"{detail} ({count} runs)" for detail, count in counts.items())
        warnings.warn(f"not all runs could be read as they stand: {listed}", stacklevel=2)
    return [suggestion.parameters for suggestion in propose(landscape, n, seed=seed)]


def propose(landscape: Landscape, n: int = 1, *, seed: int = 0) -> list[Suggestion]:
    """As `suggest`, from what has been learnt, and with what is expected of each suggestion."""
    if n < 0:
        raise ValueError(f"{n} suggestions cannot be made: ask for one or more")
    random = np.random.default_rng([seed, 1])
    found: list[Suggestion] = []
    chosen: list[tuple[int, ...]] = []
    surrogate = landscape.surrogate
    for _ in range(n):
        best = _next(landscape, surrogate, chosen, random)
        if best is None:
            break
        steps = np.array([best[0]])
        chosen.append(best[0])
        parameters, runs = landscape.space.decode(steps[0]), landscape.observations.tried.get(best[0], ())
        if surrogate is None:
            found.append(Suggestion(parameters, None, None, None, runs))
            continue
        places, losses = landscape.space.places(steps), landscape.losses_of(steps)
        means, deviations = surrogate.predict(places, losses)
        mean, deviation = landscape.in_metric(means[:, 0], deviations[:, 0])
        found.append(Suggestion(parameters, mean, deviation, best[1] * landscape.observations.scale, runs))
        surrogate = surrogate.with_runs(places, means, losses)
    if n and not found:
        stated = "; ".join(str(getattr(principle, "statement", principle)) for principle in landscape.hard)
        raise ValueError(
            f"the hard principles leave nothing of the search space: {stated}. Revoke one of them, or widen the space."
        )
    return found


def _next(
    landscape: Landscape, surrogate: Surrogate | None, chosen: Sequence[tuple[int, ...]], random: Generator
) -> tuple[tuple[int, ...], float] | None:
    """What has not been tried and is not chosen yet; if there is nothing, what is not chosen yet."""
    tried = landscape.observations.tried
    for taken in ({*tried, *chosen}, set(chosen)):
        if surrogate is None:
            best = _farthest(landscape, taken, [*tried, *chosen], random)
        else:
            best = most_improving(landscape, surrogate, taken, random)
        if best is not None:
            return best
    return None


def most_improving(
    landscape: Landscape, surrogate: Surrogate, taken: set[tuple[int, ...]], random: Generator
) -> tuple[tuple[int, ...], float] | None:
    """The configuration with the greatest expected improvement, and that in standardised units."""
    known, _ = surrogate.predict(surrogate.places, surrogate.losses)
    over = known.max(axis=1)

    def score(steps: Steps) -> Floats:
        places, losses = landscape.space.places(steps), landscape.losses_of(steps)
        return expected_improvement(*surrogate.predict(places, losses), over)

    tried = list(landscape.observations.tried)
    if tried:
        steps = np.array(tried)
        worth, _ = surrogate.predict(landscape.space.places(steps), landscape.losses_of(steps))
        tried = [tried[at] for at in np.argsort(-worth.mean(axis=0), kind="stable")[:_NEAR]]
    return best_configuration(landscape.space, _unless(landscape, taken, score), tried, random)


def _farthest(
    landscape: Landscape, taken: set[tuple[int, ...]], known: Sequence[tuple[int, ...]], random: Generator
) -> tuple[tuple[int, ...], float] | None:
    """The configuration that is farthest from all others, where there is nothing to learn from."""
    scales, space = landscape.scales, landscape.space
    others = space.places(np.array(known, dtype=np.int64).reshape(len(known), len(space.names)))

    def score(steps: Steps) -> Floats:
        places = space.places(steps)
        squared = sum(scales.squared_differences(places[:, at], others[:, at], at) for at in range(len(space.names)))
        nearest = np.asarray(squared).min(axis=1) if len(known) else random.random(len(steps))
        return np.asarray(nearest - _BROKEN_DISTANCE * (landscape.losses_of(steps) > 0).sum(axis=1))

    return best_configuration(space, _unless(landscape, taken, score), known[-_NEAR:], random)


def _unless(landscape: Landscape, taken: set[tuple[int, ...]], score: Score) -> Score:
    """The score of what may be chosen; minus infinity for what is taken, or breaks a hard principle."""

    def scored(steps: Steps) -> Floats:
        free = landscape.is_allowed(steps) & np.array([tuple(row) not in taken for row in steps.tolist()])
        scores = np.full(len(steps), -np.inf)
        if free.any():
            scores[free] = score(steps[free])
        return scores

    return scored
