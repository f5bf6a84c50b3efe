"""How runs that were run after a principle was stated came out: as it says, or not."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t

from pixel_lora_pipeline.learn.candidate_causes import ACCIDENT
from pixel_lora_pipeline.learn.parameter_column import Floats, Integers

# From here on, evidence is called positive (Kass and Raftery, "Bayes factors", JASA 90, 1995,
# doi:10.1080/01621459.1995.10476572).
POSITIVE: Final = 3.0
LEVEL: Final = 0.95
# A single run may have gone wrong for a reason of its own, so that it never tells more than that would.
_MOST_ODDS: Final = 1 / ACCIDENT
_TINY: Final = 1e-300


@dataclass(frozen=True)
class Trials:
    """Later runs, as rows.

    Attributes
    ----------
    confirming, against
        Runs of configurations not tried before, whose results are at least three times as probable on the one level
        as on the other.
    breaking, refuting
        Runs in which the condition fails and which are otherwise like a good run; those of them with which nothing
        got worse.
    breaking_odds
        How much more probable the results of all that break it are with the principle than without; a single one
        counts for 20 at most.
    """

    confirming: tuple[int, ...] = ()
    against: tuple[int, ...] = ()
    breaking: tuple[int, ...] = ()
    refuting: tuple[int, ...] = ()
    breaking_odds: float = 1.0


@dataclass(frozen=True)
class Difference:
    """Of the adjusted metric, from where the condition fails to where it holds; with its 95 % interval."""

    mean: float
    low: float
    high: float


def difference(holds: NDArray[np.bool_], fails: NDArray[np.bool_], adjusted: Floats, sd: float) -> Difference | None:
    """How much better the runs are where the condition holds; None if there are none on a side.

    Parameters
    ----------
    holds, fails
        bool[n]: where the condition does.
    adjusted
        float[n]: results; higher is better.
    sd
        Of the noise of a single result.
    """
    good, bad = adjusted[holds], adjusted[fails]
    if len(good) == 0 or len(bad) == 0 or not math.isfinite(sd):
        return None
    mean = float(good.mean() - bad.mean())
    reach = float(t.ppf((1 + LEVEL) / 2, max(len(good) + len(bad) - 2, 1))) * sd
    reach *= math.sqrt(1 / len(good) + 1 / len(bad))
    return Difference(mean, mean - reach, mean + reach)


def judge_trials(
    *,
    holds: NDArray[np.bool_],
    fails: NDArray[np.bool_],
    is_later: NDArray[np.bool_],
    results: Floats,
    adjusted: Floats,
    configuration: Integers,
    otherwise: Integers,
    sd: float,
) -> Trials:
    """Judge the later runs by what was to be expected before them.

    The runs known when the principle was stated set two levels: what a run scores where the condition holds, and
    where it fails, everything else being average. A later run is judged by which of the two its own result fits
    better, both with normal noise: with the principle it should be that of its side, without it as well the other.

    Parameters
    ----------
    holds, fails
        bool[n]: where the condition does; neither where that is not known.
    is_later
        bool[n]: run after the principle was stated.
    results, adjusted
        float[n]: the metric, and the same adjusted for all other parameters; higher is better.
    configuration, otherwise
        int[n]: which runs are of one configuration, and which are so but for the principle's parameters.
    sd
        Of the noise of a single result.
    """
    good, bad = adjusted[holds & ~is_later], adjusted[fails & ~is_later]
    if len(good) == 0 or len(bad) == 0 or not math.isfinite(sd):
        return Trials()
    above, gap = float(good.mean()), float(good.mean() - bad.mean())
    if gap <= 0:
        return Trials()
    # The levels are known only as well as the smaller side tells them.
    weight = gap / max(sd**2 * (1 + 1 / min(len(good), len(bad))), _TINY)
    surplus = adjusted - (above - gap / 2)
    log_odds = np.where(holds, surplus, -surplus) * weight

    confirming, against, breaking, refuting, odds = [], [], [], [], 1.0
    seen = set(configuration[~is_later].tolist())
    for run in np.flatnonzero(is_later & (holds | fails)).tolist():
        of_run = float(log_odds[run])
        basis = _basis(run, holds, results, otherwise) if fails[run] else None
        if basis is not None:
            # The best of many runs was lucky, too: it is not taken to be better than its side.
            level = min(float(adjusted[basis].mean()), above)
            of_run = min(of_run, (level - gap / 2 - float(adjusted[run])) * weight)
            odds *= _MOST_ODDS if of_run >= math.log(_MOST_ODDS) else math.exp(of_run)
            breaking.append(run)
            if of_run <= -math.log(POSITIVE):
                refuting.append(run)
        if configuration[run] in seen:
            continue
        seen.add(configuration[run])
        if of_run >= math.log(POSITIVE):
            confirming.append(run)
        elif of_run <= -math.log(POSITIVE):
            against.append(run)
    return Trials(tuple(confirming), tuple(against), tuple(breaking), tuple(refuting), odds)


def _basis(run: int, holds: NDArray[np.bool_], results: Floats, otherwise: Integers) -> NDArray[np.int64] | None:
    """Earlier runs in which the condition holds, that differ from a run in nothing else, if they are good ones."""
    earlier = np.arange(len(holds)) < run
    basis = np.flatnonzero(holds & earlier & (otherwise == otherwise[run]))
    if len(basis) == 0 or results[basis].mean() < np.median(results[earlier]):
        return None
    return basis
