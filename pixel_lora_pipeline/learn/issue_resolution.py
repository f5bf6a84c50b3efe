"""By which epoch an issue that a run had is gone, over all runs that had it."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pandas as pd
from scipy.stats import beta, binomtest

from pixel_lora_pipeline.learn.principle import Resolution
from pixel_lora_pipeline.learn.run_history import RUN_NAME

# "Usually" is said of four runs in five, and if it is true of more than half of all runs with 95 %.
USUALLY: Final = 0.8
MAJORITY: Final = 0.5
_COLUMNS: Final = (RUN_NAME, "epoch", "issue", "present")


@dataclass(frozen=True)
class Course:
    """What became of an issue in a run that had it.

    Attributes
    ----------
    run, issue
        Which.
    gone_at
        The first epoch from which on it was not seen again; infinite if it was there at the last.
    watched_to
        The last epoch that was looked at.
    """

    run: str
    issue: str
    gone_at: float
    watched_to: float

    def is_gone_by(self, epoch: int) -> bool | None:
        """Whether it was gone; None if nobody looked that far."""
        return None if self.watched_to < epoch else self.gone_at <= epoch


@dataclass(frozen=True)
class Share:
    """Of the runs that were watched long enough, those in which the issue was gone; with its 95 % interval (Wilson).

    `majority` is the probability that it would be gone in more than half of all runs (Jeffreys' prior).
    """

    gone: int
    of: int
    low: float
    high: float
    majority: float

    @property
    def mean(self) -> float:
        """0 to 1."""
        return self.gone / self.of


def courses_of(trajectories: pd.DataFrame) -> list[Course]:
    """The courses of all issues in all runs that had them at some epoch.

    Parameters
    ----------
    trajectories
        Columns `run_name`, `epoch`, `issue`, `present` (empty where it could not be told).

    Raises
    ------
    ValueError
        If a column is missing, or an epoch is not a number.
    """
    if missing := [name for name in _COLUMNS if name not in trajectories]:
        raise ValueError(f"trajectories has no column {', '.join(missing)}, only {list(trajectories.columns)}")
    told = trajectories[trajectories["present"].notna()]
    try:
        told = told.assign(epoch=pd.to_numeric(told["epoch"]).astype(float))
    except (TypeError, ValueError) as error:
        raise ValueError(f"an epoch of trajectories is not a number: {error}") from error
    found = []
    for (run, issue), looks in told.groupby([RUN_NAME, "issue"], sort=True):
        present = looks["present"].astype(bool).groupby(looks["epoch"]).any()
        if not present.any():
            continue
        after = present.index[present.index > present.index[present].max()]
        gone_at = float(after.min()) if len(after) else math.inf
        found.append(Course(str(run), str(issue), gone_at, float(present.index.max())))
    return found


def share_gone(courses: list[Course], epoch: int) -> Share | None:
    """Over the courses of one issue; None if none was watched that long."""
    told = [is_gone for course in courses if (is_gone := course.is_gone_by(epoch)) is not None]
    if not told:
        return None
    gone, of = sum(told), len(told)
    interval = binomtest(gone, of).proportion_ci(method="wilson")
    majority = float(beta.sf(MAJORITY, gone + 0.5, of - gone + 0.5))
    return Share(gone, of, float(interval.low), float(interval.high), majority)


def usual_resolutions(courses: list[Course]) -> Iterator[Resolution]:
    """For each issue that usually goes away, the first epoch by which it has."""
    for issue in sorted({course.issue for course in courses}):
        own = [course for course in courses if course.issue == issue]
        for epoch in sorted({math.ceil(course.gone_at) for course in own if math.isfinite(course.gone_at)}):
            share = share_gone(own, epoch)
            if share is not None and share.mean >= USUALLY and share.low > MAJORITY:
                yield Resolution(issue, epoch)
                break
