"""Whether an issue is normal at this epoch: what became of it in past runs that still had it as late."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import beta

COLUMNS: Final = ("run_name", "epoch", "issue", "present")
# A written rule counts for as much as so many runs.
_RULE_RUNS: Final = 2.0
# Without one, Jeffreys' prior for a share.
_NO_RULE: Final = 0.5
_NO_RULE_RUNS: Final = 1.0
LEVEL: Final = 0.95


@dataclass(frozen=True)
class ExpectedProgress:
    """How probable it is that the issue goes away by itself.

    Attributes
    ----------
    probability, low, high
        Mean and 95 % interval.
    gone, stayed
        Past runs that still had it at this epoch, by what became of it, in the order of their names.
    gone_by
        Earliest and latest epoch from which on those that lost it no longer had it; None without any.
    """

    probability: float
    low: float
    high: float
    gone: tuple[Any, ...]
    stayed: tuple[Any, ...]
    gone_by: tuple[int, int] | None


def check_trajectories(trajectories: pd.DataFrame) -> None:
    """Refuse a table that lacks a column.

    Raises
    ------
    ValueError
        Which.
    """
    if missing := [name for name in COLUMNS if name not in trajectories.columns]:
        raise ValueError(
            f"trajectories has no column {', '.join(missing)}, only {list(trajectories.columns)}: give a row a run, "
            f"epoch and issue, with {', '.join(COLUMNS)}"
        )


def expected_progress(
    trajectories: pd.DataFrame | None,
    issue: str,
    run_name: Any,
    epoch: int,
    likeness: Mapping[Any, float],
    believed: float | None,
) -> ExpectedProgress | None:
    """Look at the past runs that still had the issue at this epoch, and later ones of them.

    Parameters
    ----------
    trajectories
        A row a run, epoch and issue: `run_name`, `epoch`, `issue`, `present` (empty where it could not be told).
    issue, run_name, epoch
        Of the run in question, whose own rows do not count.
    likeness
        For each past run, how far it is comparable to this one, 0 to 1; 1 for those that are not in it.
    believed
        Probability that the issue goes away by the written rules; None if there is no rule for this epoch.

    Returns
    -------
    ExpectedProgress or None
        None if neither a rule nor a past run says anything.
    """
    fates = {} if trajectories is None else _fates(trajectories, issue, run_name, epoch)
    if not fates and believed is None:
        return None
    mean, runs = (_NO_RULE, _NO_RULE_RUNS) if believed is None else (believed, _RULE_RUNS)
    gone = {name: end for name, end in fates.items() if end is not None}
    n_gone = sum(likeness.get(name, 1.0) for name in gone)
    n_stayed = sum(likeness.get(name, 1.0) for name in fates if name not in gone)
    posterior = beta(mean * runs + n_gone, (1 - mean) * runs + n_stayed)
    low, high = posterior.interval(LEVEL)
    return ExpectedProgress(
        probability=float(posterior.mean()),
        low=float(low),
        high=float(high),
        gone=tuple(sorted(gone, key=str)),
        stayed=tuple(sorted((name for name in fates if name not in gone), key=str)),
        gone_by=(min(gone.values()), max(gone.values())) if gone else None,
    )


def _fates(trajectories: pd.DataFrame, issue: str, run_name: Any, epoch: int) -> dict[Any, int | None]:
    """For each other run that had the issue at this epoch and went on: since when it was gone for good, or None."""
    chosen = trajectories[
        (trajectories["issue"] == issue) & (trajectories["run_name"] != run_name) & trajectories["present"].notna()
    ]
    fates: dict[Any, int | None] = {}
    for name, looks in chosen.sort_values("epoch", kind="stable").groupby("run_name", sort=False):
        epochs = looks["epoch"].to_numpy()
        present = looks["present"].to_numpy(dtype=bool)
        # A run that was not looked at as early as this is taken at its first look.
        now = max(int(np.searchsorted(epochs, epoch, side="right")) - 1, 0)
        if not present[now] or now == len(epochs) - 1:
            continue
        last = int(np.flatnonzero(present)[-1])
        fates[name] = None if last == len(epochs) - 1 else int(epochs[last + 1])
    return fates
