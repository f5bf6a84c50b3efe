"""What is concluded of a run from its measured epochs: the verdict on its course, its issues, and who is told."""

import logging
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from pixel_lora_pipeline.analyze.convergence import Convergence
from pixel_lora_pipeline.notify import best_epoch, converged, degrading
from pixel_lora_pipeline.run_evaluations import RunEvaluations
from pixel_lora_pipeline.run_reports import issues_by_epoch, judge, recommendations
from pixel_lora_pipeline.store import Message, Store
from pixel_lora_pipeline.train.event_file import EventFileError
from pixel_lora_pipeline.train.loss_log import find_divergence, find_loss_log, read_losses
from pixel_lora_pipeline.train.silence import silent_for

_log = logging.getLogger(__name__)


def verdict_on(store: Store, evaluations: RunEvaluations) -> Convergence:
    """Whether the run should go on, in the light of earlier runs and of its loss where a log of it is found."""
    past = store.analyses.past_curves(evaluations.run.run_id)
    return judge(evaluations, past, diverged_at=first_lost_epoch(evaluations))


def conclude(store: Store, evaluations: RunEvaluations) -> Convergence:
    """Store the verdict, the issues by epoch and what to do, and queue what people want to hear of it."""
    verdict = verdict_on(store, evaluations)
    last = evaluations.last
    store.conclusions.record_issues(issues_by_epoch(evaluations))
    store.conclusions.record_recommendations(last.epoch_id, recommendations(evaluations, verdict))
    store.conclusions.record_convergence(
        evaluations.run.run_id, last.epoch_id, asdict(verdict), news_of(evaluations, verdict)
    )
    return verdict


def news_of(evaluations: RunEvaluations, verdict: Convergence) -> list[Message]:
    """What people are told of a verdict: nothing while the run is to go on and has epochs left."""
    if verdict.best_epoch is None or verdict.best_epoch_interval is None:
        return []
    name, confidence = evaluations.run.run_name, 1.0 - verdict.probability_of_gain
    best, interval = verdict.best_epoch, verdict.best_epoch_interval
    news = []
    if verdict.status in ("plateau", "optimal"):
        news.append(converged(name, best, interval, confidence, verdict.reason))
    elif verdict.status == "degrading":
        news.append(degrading(name, evaluations.last.epoch, best, interval, confidence, verdict.reason))
    if evaluations.is_complete:
        fitted = next(point.fitted for point in verdict.curve if point.epoch == best)
        news.append(best_epoch(name, best, fitted))
    return news


def first_lost_epoch(evaluations: RunEvaluations) -> int | None:
    """The first epoch that was saved after the loss had become NaN for good; None if no log says so."""
    parameters = evaluations.run.parameters
    steps, epoch, started = (parameters.get(name) for name in ("steps", "epoch", "training_started_at"))
    if not (steps and epoch and started):
        return None
    files = [path for row in evaluations.epochs if row.path is not None and (path := Path(row.path)).is_file()]
    if not files:
        return None
    first_saved_at = min(path.stat().st_mtime for path in files)
    for folder in _log_folders(files[0], parameters.get("logging_dir")):
        log = find_loss_log(folder, float(started), first_saved_at)
        if log is None:
            continue
        try:
            divergence = find_divergence(read_losses(log).items())
        except (EventFileError, OSError) as error:  # a log is extra: a damaged one decides nothing
            _log.warning("%s: the loss is left out of the verdict on %s", error, evaluations.run.run_name)
            return None
        return None if divergence is None else divergence.first_lost_epoch(float(steps) / float(epoch))
    return None


def _log_folders(checkpoint: Path, logging_dir: object) -> Iterator[Path]:
    """Where the log may be: as the configuration beside the checkpoint says, or where kohya_ss puts it."""
    if isinstance(logging_dir, str) and logging_dir:
        yield Path(logging_dir)
    for parent in (checkpoint.parent, checkpoint.parent.parent):
        for name in ("logs", "log"):
            yield parent / name


def silent_runs(store: Store) -> dict[str, float]:
    """Runs that should still be saving epochs and are overdue: name to seconds since the last one."""
    now = time.time()
    silent = {}
    for name, paths in store.analyses.unfinished().items():
        seconds = silent_for([path.stat().st_mtime for path in paths if path.is_file()], now)
        if seconds is not None:
            silent[name] = seconds
    return silent
