"""Whether a training should go on, and which of its epochs is the best."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import pandas as pd

from pixel_lora_pipeline.analyze.curve_ensemble import (
    CurvePosterior,
    Floats,
    Scores,
    fit_curves,
    peak_at,
    peak_distribution,
)

Status = Literal["continue", "plateau", "degrading", "optimal"]
Trend = Literal["improving", "stable", "declining"]

GAIN: Final = 1.0  # points; epochs that differ by less are as good as each other
WINDOW: Final = 3  # epochs of the rolling average and of the trend, as the TODO document has them
MIN_EPOCHS: Final = 3  # below, a peak cannot be told from noise
PATIENCE: Final = 2  # evaluated epochs without a new best before anything is stopped
MORE_LIKELY_THAN_NOT: Final = 0.5
LEVEL: Final = 0.8  # of every interval

# A training is stopped when all of its later epochs together are expected to gain less than this, in points. Less
# saves fewer epochs, more costs quality: benchmarks/convergence.py has the figures.
WORTHWHILE_GAIN: Final = 1.2

# Without a plan, a training is imagined to go on for half as long again, and at least this many epochs.
MIN_OUTLOOK: Final = 3


@dataclass(frozen=True)
class CurvePoint:
    """One epoch of the progression chart.

    Attributes
    ----------
    epoch
        Counted from 1; the chart goes on to the end of the plan.
    score, n_images
        As evaluated, a repeated evaluation averaged; None for an epoch without a score.
    rolling_average
        Of the scores of this and the two evaluated epochs before, as the TODO document asks; for reading along, no
        decision rests on it. None for an epoch without a score and for the first two.
    fitted, low, high
        The expected true score and its 80 % interval.
    """

    epoch: int
    score: float | None
    n_images: float | None
    rolling_average: float | None
    fitted: float
    low: float
    high: float


@dataclass(frozen=True)
class Convergence:
    """A verdict about a training, with its evidence.

    Attributes
    ----------
    status
        "continue"; or why to stop: "plateau" (more epochs change nothing), "optimal" (the peak is among the last
        three evaluated epochs, and the decline has begun), "degrading" (the peak lies before them, or the training
        diverged).
    best_epoch
        The evaluated epoch of the highest expected true score, not the one that was lucky. None without a score.
    best_epoch_interval
        Where the best of all planned epochs lies with 80 %, future epochs and those without a score included;
        widened to contain `best_epoch`.
    probability_of_gain
        That a later epoch is truly more than one point better than `best_epoch`.
    expected_gain
        By how many points the best later epoch is expected to be better, where a worse one counts 0. None without a
        score.
    should_stop
        True for every status but "continue".
    reason
        One or two sentences for a person.
    trend
        Of the expected true score over the last three evaluated epochs.
    noise
        Estimated standard deviation of a score at the greatest depth, in points; None without a score.
    curve
        For charts: one point an epoch (for long trainings, every few epochs).
    """

    status: Status
    best_epoch: int | None
    best_epoch_interval: tuple[int, int] | None
    probability_of_gain: float
    expected_gain: float | None
    should_stop: bool
    reason: str
    trend: Trend
    noise: float | None
    curve: tuple[CurvePoint, ...]


def detect_convergence(
    epoch_results: pd.DataFrame,
    planned_epochs: int | None = None,
    past_runs: Sequence[pd.DataFrame | float] = (),
    *,
    diverged_at: int | None = None,
) -> Convergence:
    """Whether a training should go on, judged by the scores of its epochs.

    Every curve that rises, may peak and may decline is weighed by how well it fits the scores
    (`curve_ensemble`). A stop is recommended when all later epochs together are expected to gain less than
    `WORTHWHILE_GAIN` points, and never while there was a new best within the last two evaluated epochs. A new
    best is better by more than a point than all before those two, by the fitted curve, or by the scores
    themselves if both are records; smaller improvements are what a plateau consists of.

    Parameters
    ----------
    epoch_results
        A row an evaluation, in any order: `epoch` from 1, `score` from 0 to 100 (NaN where an evaluation failed),
        and where known `n_images`, with which the score's noise falls as 1/√n. Epochs may be missing, and may be
        there several times: different evaluations are averaged by their images, equal rows count once.
    planned_epochs
        How long the training is meant to last (`ss_num_epochs`). Without it, it is imagined to go on for half as
        long again.
    past_runs
        Earlier runs of the same kind, whose peaks say where this one's may be: a table like `epoch_results`, or
        only the best epoch. A run that was stopped before its peak counts for the peaks that its scores leave open.
    diverged_at
        First epoch that was saved after the training diverged (see `train.loss_log`). Its score and those of later
        epochs do not count, and the training is stopped at once: NaN weights do not recover.

    Raises
    ------
    ValueError
        If a column is missing, an epoch is not a whole number from 1, an evaluation has no images, scores look like
        shares instead of points, or `planned_epochs` or `diverged_at` is below 1.
    """
    for name, number in (("planned_epochs", planned_epochs), ("diverged_at", diverged_at)):
        if number is not None and number < 1:
            raise ValueError(f"{name} is {number}: epochs are counted from 1")
    evaluations = _read_evaluations(epoch_results, "epoch_results")
    if diverged_at is not None:
        evaluations = evaluations[evaluations.index < diverged_at]
    if evaluations.empty:
        return _without_scores(diverged_at)

    scores = _as_scores(evaluations)
    last = int(scores.epochs[-1])
    horizon = last if diverged_at is not None else _horizon(last, planned_epochs)
    curves = fit_curves(scores, horizon, _past_peaks(past_runs, horizon))
    seen = np.searchsorted(curves.epochs, scores.epochs)
    fitted = curves.mean[seen]
    best = int(np.argmax(fitted))
    gain = _gain(curves, seen[best], seen[-1])
    expected_gain = float(gain.clip(min=0.0).mean())
    fall = float((curves.draws[:, seen[best]] - curves.draws[:, seen[-1]] > GAIN).mean())

    status: Status = "continue"
    if diverged_at is not None:
        status = "degrading"
    elif len(fitted) >= MIN_EPOCHS and expected_gain < WORTHWHILE_GAIN and not _has_new_best(fitted, scores.values):
        is_recent = len(fitted) - best <= WINDOW
        status = "plateau" if fall < MORE_LIKELY_THAN_NOT else "optimal" if is_recent else "degrading"
    interval = _best_epoch_interval(curves, int(scores.epochs[best]))
    verdict = Convergence(
        status=status,
        best_epoch=int(scores.epochs[best]),
        best_epoch_interval=interval,
        probability_of_gain=float((gain > GAIN).mean()),
        expected_gain=expected_gain,
        should_stop=status != "continue",
        reason="",
        trend=_trend(fitted),
        noise=curves.noise,
        curve=_chart(curves, evaluations),
    )
    return replace(verdict, reason=_reason(verdict, interval, len(fitted), horizon - last, diverged_at))


def _without_scores(diverged_at: int | None) -> Convergence:
    has_diverged = diverged_at is not None
    return Convergence(
        status="degrading" if has_diverged else "continue",
        best_epoch=None,
        best_epoch_interval=None,
        probability_of_gain=0.0 if has_diverged else 1.0,
        expected_gain=None,
        should_stop=has_diverged,
        reason=(
            f"Stop: the training diverged before epoch {diverged_at} was saved, and no epoch before has a score."
            if has_diverged
            else "Go on: no epoch has a score yet."
        ),
        trend="stable",
        noise=None,
        curve=(),
    )


def _reason(verdict: Convergence, interval: tuple[int, int], evaluated: int, left: int, diverged_at: int | None) -> str:
    """The verdict for a person: what to do, which epoch is the best, and why."""
    low, high = interval
    place = f"with {LEVEL:.0%} between {low} and {high}" if low < high else "with little doubt"
    later = "the next epoch is" if left == 1 else f"the best of the {left} epochs left is"
    chance = f"{later} more than a point better with a probability of {verdict.probability_of_gain:.0%}"
    best = f"epoch {verdict.best_epoch} is the best"
    if diverged_at is not None:
        return f"Stop: the training diverged, what was saved from epoch {diverged_at} on does not count; {best} before."
    if evaluated < MIN_EPOCHS:
        epochs = "one epoch has" if evaluated == 1 else f"{evaluated} epochs have"
        return f"Go on: only {epochs} a score, and a verdict needs {MIN_EPOCHS}."
    if verdict.status == "continue":
        if left == 0:
            return f"The training is complete and was still improving: {best}, and a longer training may be better."
        return f"Go on: {chance}; so far {best} (of all, {place})."
    finding = {
        "plateau": "the score has levelled off",
        "optimal": "the score has begun to fall",
        "degrading": "the score has been falling since",
    }[verdict.status]
    if left == 0:
        return f"The training is complete: {best} ({place}); {finding}."
    return f"Stop: {best} ({place}); {finding}, and {chance}."


def _read_evaluations(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """`score` and `n_images` by epoch, increasing, a row an epoch; only epochs with a score."""
    if missing := {"epoch", "score"} - set(table.columns):
        raise ValueError(f"{name} has no column {' and '.join(sorted(missing))}, only {list(table.columns)}")
    rows = pd.DataFrame(
        {
            "epoch": pd.to_numeric(table["epoch"]).astype(float),
            "score": pd.to_numeric(table["score"]).astype(float),
            "n_images": pd.to_numeric(table["n_images"]).astype(float) if "n_images" in table else math.nan,
        }
    )
    rows = rows[np.isfinite(rows["score"])]
    wrong = rows["epoch"][~(rows["epoch"] >= 1) | (rows["epoch"] % 1 != 0)]
    if not wrong.empty:
        raise ValueError(f"{name} has the epoch {wrong.iloc[0]}: epochs are whole numbers from 1")
    if (rows["n_images"] < 1).any():
        raise ValueError(f"{name} has a score from {rows['n_images'].min():g} images: leave out what was not evaluated")
    if len(rows) and 0 < rows["score"].max() <= 1:
        raise ValueError(
            f"{name} has no score above {rows['score'].max():g}: scores are points from 0 to 100, not shares"
        )
    # An evaluation whose number of images is unknown is taken to be as deep as the others.
    rows["n_images"] = rows["n_images"].fillna(rows["n_images"].median()).fillna(1.0)
    # Sorted, so that sums do not depend on the order of the rows.
    rows = rows.drop_duplicates().sort_values(["epoch", "score", "n_images"])
    rows["total"] = rows["score"] * rows["n_images"]
    sums = rows.groupby(rows["epoch"].astype(int))[["total", "n_images"]].sum()
    return pd.DataFrame({"score": sums["total"] / sums["n_images"], "n_images": sums["n_images"]})


def _as_scores(evaluations: pd.DataFrame) -> Scores:
    depth = evaluations["n_images"].to_numpy(float)
    return Scores(
        epochs=evaluations.index.to_numpy(np.int64),
        values=evaluations["score"].to_numpy(float),
        variances=depth.max() / depth,
    )


def _horizon(last: int, planned: int | None) -> int:
    return last + max(MIN_OUTLOOK, math.ceil(last / 2)) if planned is None else max(last, planned)


def _past_peaks(past_runs: Sequence[pd.DataFrame | float], horizon: int) -> Floats | None:
    if isinstance(past_runs, pd.DataFrame):
        raise ValueError("past_runs is one table: pass a list with a table for each run")
    found = []
    for number, run in enumerate(past_runs):
        if not isinstance(run, pd.DataFrame):
            if not run > 0:
                raise ValueError(f"past_runs[{number}] is {run}: give its best epoch, or a table of its epochs")
            found.append(peak_at(float(run)))
        elif not (evaluations := _read_evaluations(run, f"past_runs[{number}]")).empty:
            found.append(peak_distribution(_as_scores(evaluations), horizon))
    return np.sum(found, axis=0) if found else None


def _gain(curves: CurvePosterior, best: int, last: int) -> Floats:
    """By how much the best later epoch of each curve is better than the best epoch so far; -inf if none is left."""
    later = curves.draws[:, last + 1 :]
    return np.asarray(later.max(axis=1, initial=-np.inf) - curves.draws[:, best])


def _has_new_best(fitted: Floats, values: Floats) -> bool:
    """Whether one of the last two evaluated epochs is better than all before by more than a point."""
    before, recent = slice(None, -PATIENCE), slice(-PATIENCE, None)
    by_fit = fitted[recent].max() > fitted[before].max() + GAIN
    records = np.maximum.accumulate(values)
    by_records = bool((np.diff(records[-PATIENCE - 1 :]) > 0).all()) and records[-1] > records[-PATIENCE - 1] + GAIN
    return bool(by_fit or by_records)


def _trend(fitted: Floats) -> Trend:
    change = fitted[-1] - fitted[-min(WINDOW, len(fitted))]
    if abs(change) < GAIN / 2:
        return "stable"
    return "improving" if change > 0 else "declining"


def _best_epoch_interval(curves: CurvePosterior, best_epoch: int) -> tuple[int, int]:
    peaks = curves.epochs[curves.draws.argmax(axis=1)]
    low, high = np.quantile(peaks, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf")
    return min(int(low), best_epoch), max(int(high), best_epoch)


def _chart(curves: CurvePosterior, evaluations: pd.DataFrame) -> tuple[CurvePoint, ...]:
    rolling = evaluations["score"].rolling(WINDOW).mean().dropna()
    low, high = np.quantile(curves.draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return tuple(
        CurvePoint(
            epoch=epoch,
            score=_value(evaluations["score"], epoch),
            n_images=_value(evaluations["n_images"], epoch),
            rolling_average=_value(rolling, epoch),
            fitted=float(curves.mean[at]),
            low=float(low[at]),
            high=float(high[at]),
        )
        for at, epoch in enumerate(curves.epochs.tolist())
    )


def _value(by_epoch: "pd.Series[float]", epoch: int) -> float | None:
    return float(by_epoch[epoch]) if epoch in by_epoch.index else None
