"""A stored verdict in the few words that fit into a line of a list."""

from dataclasses import dataclass
from typing import Any, Literal

from pixel_lora_pipeline.analyze.convergence import Convergence, CurvePoint
from pixel_lora_pipeline.analyze.report.frame import probability
from pixel_lora_pipeline.analyze.report.headline import headline
from pixel_lora_pipeline.lab.chart import Point
from pixel_lora_pipeline.store import RunSummary

Tone = Literal["good", "bad", "warn", "accent", "rest"]

_TONES: dict[str, Tone] = {"continue": "accent", "plateau": "good", "optimal": "good", "degrading": "bad"}


@dataclass(frozen=True)
class ShownVerdict:
    """What a page says of a run's course.

    Attributes
    ----------
    status
        continue, plateau, degrading or optimal; "no verdict" where there is none.
    headline
        What to do, in a line.
    best
        Of the best epoch: "6–7, 80 %"; empty where nothing can be said.
    confidence, meaning
        How sure the headline is, and of what; empty where nothing can be said.
    fitted
        The course behind the scores.
    best_interval
        First and last epoch among which the best one is with 80 %.
    """

    status: str
    tone: Tone
    headline: str
    best: str
    confidence: str
    meaning: str
    reason: str
    should_stop: bool
    fitted: tuple[Point, ...]
    best_interval: tuple[int, int] | None


def shown_verdict(run: RunSummary) -> ShownVerdict:
    """The verdict on a run as it was stored last."""
    verdict = _stored(run.convergence)
    said = headline(verdict, run.latest_epoch or 0, run.planned_epochs)
    if verdict is None:
        return ShownVerdict("no verdict", "rest", said.text, "", "", "", "", False, (), None)
    return ShownVerdict(
        status=verdict.status,
        tone=_TONES.get(verdict.status, "rest"),
        headline=said.text,
        best=_best(verdict),
        confidence="" if said.confidence is None else probability(said.confidence),
        meaning=said.meaning,
        reason=verdict.reason,
        should_stop=verdict.should_stop,
        fitted=tuple(Point(point.epoch, point.fitted, point.low, point.high) for point in verdict.curve),
        best_interval=verdict.best_epoch_interval,
    )


def _best(verdict: Convergence) -> str:
    if verdict.best_epoch is None:
        return ""
    if verdict.best_epoch_interval is None:
        return str(verdict.best_epoch)
    first, last = verdict.best_epoch_interval
    return f"{first}, 80 %" if first == last else f"{first}–{last}, 80 %"


def _stored(document: dict[str, Any] | None) -> Convergence | None:
    """The verdict that was stored; None for one of an older version, which lacks something or has more."""
    if document is None:
        return None
    try:
        curve = tuple(CurvePoint(**point) for point in document["curve"])
        interval = document["best_epoch_interval"]
        return Convergence(
            **{
                **document,
                "curve": curve,
                "best_epoch_interval": None if interval is None else (int(interval[0]), int(interval[1])),
            }
        )
    except (KeyError, TypeError):
        return None
