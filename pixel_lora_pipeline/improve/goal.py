"""What is to be improved, and what a point of each other metric is worth for it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd
from scipy.optimize import nnls

from pixel_lora_pipeline.improve.search_space import Floats

# Below so many runs, a regression on several metrics says nothing that it was not made to say.
_FEWEST: Final = 5
# Ridge in standard deviations: metrics that measure the same share the weight.
_RIDGE: Final = 0.1


@dataclass(frozen=True)
class Goal:
    """The metric that is to be improved.

    Attributes
    ----------
    metric, lower_is_better
        Which, and in which direction.
    scale
        Standard deviation over the runs; 1 if there is none. What is called large or small is measured by it.
    worth
        Other metric → by how much the goal is better for each unit more of it.
    share
        0 to 1: how much of the goal the other metrics explain, for runs that were left out.
    """

    metric: str
    lower_is_better: bool
    scale: float
    worth: Mapping[str, float]
    share: float

    @property
    def sign(self) -> int:
        """1, or -1 if the metric is better the lower it is."""
        return -1 if self.lower_is_better else 1


def read_goal(metric: str, runs: pd.DataFrame, others: Sequence[str], lower_is_better: Collection[str]) -> Goal:
    """Find out by the runs how the goal is made up of other metrics.

    One metric of a part is measured with less noise, and has fewer causes, than a score of the whole: what acts on it
    is found earlier. Weights are those of a non-negative least-squares fit; nothing is built on it beyond the share
    that it explains of runs that were left out.

    Parameters
    ----------
    metric
        The goal.
    runs
        A row a run.
    others
        Metrics that evidence is known of.
    lower_is_better
        Metrics that should be low.
    """
    is_low = metric in lower_is_better
    target = _column(runs, metric)
    spread = float(np.nanstd(target)) if np.isfinite(target).any() else 0.0
    scale = spread if spread > 0 else 1.0
    names = [name for name in others if name != metric and name in runs]
    signs = np.array([-1.0 if name in lower_is_better else 1.0 for name in names])
    parts = np.array([_column(runs, name) for name in names]).reshape(len(names), len(runs)).T * signs
    known = np.isfinite(target) & np.isfinite(parts).all(axis=1)
    varied = [at for at in range(len(names)) if known.sum() and np.ptp(parts[known, at]) > 0]
    if known.sum() < _FEWEST or not varied or spread == 0:
        return Goal(metric, is_low, scale, {}, 0.0)
    parts, target = parts[known][:, varied], target[known] * (-1 if is_low else 1)
    weights = _weights(parts, target)
    left_out = [_weights_without(parts, target, at) for at in range(len(target))]
    error = sum((target[at] - guess) ** 2 for at, guess in enumerate(left_out))
    mean_error = sum((target[at] - np.delete(target, at).mean()) ** 2 for at in range(len(target)))
    share = float(np.clip(1 - error / mean_error, 0, 1))
    worth = {names[of]: float(weight * signs[of]) for of, weight in zip(varied, weights, strict=True) if weight > 0}
    return Goal(metric, is_low, scale, worth, share)


def _weights(parts: Floats, target: Floats) -> Floats:
    centred, scales = parts - parts.mean(axis=0), np.maximum(parts.std(axis=0), np.finfo(float).tiny)
    columns = centred / scales
    ridge = _RIDGE * np.eye(columns.shape[1])
    found, _ = nnls(np.vstack([columns, ridge]), np.concatenate([target - target.mean(), np.zeros(len(ridge))]))
    return np.asarray(found / scales)


def _weights_without(parts: Floats, target: Floats, row: int) -> float:
    """What is expected of a run by all others."""
    rest, of_rest = np.delete(parts, row, axis=0), np.delete(target, row)
    return float(of_rest.mean() + (parts[row] - rest.mean(axis=0)) @ _weights(rest, of_rest))


def _column(runs: pd.DataFrame, name: str) -> Floats:
    if name not in runs:
        return np.full(len(runs), np.nan)
    return np.asarray(pd.to_numeric(runs[name], errors="coerce").to_numpy(dtype=float, na_value=np.nan))
