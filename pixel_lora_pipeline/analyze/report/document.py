"""All figures of a report as JSON values: what is shown is read from here, so that page and JSON say the same."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from pixel_lora_pipeline.analyze.comparison import MAIN_METRIC, METRICS, Metric, compare
from pixel_lora_pipeline.analyze.report.content import (
    Contestant,
    EpochContent,
    EpochScores,
    OtherStrength,
    ReportImage,
    RunContent,
    RunVerdict,
)
from pixel_lora_pipeline.analyze.report.headline import headline
from pixel_lora_pipeline.analyze.report.side_by_side import SideBySide
from pixel_lora_pipeline.analyze.report.turning_points import turning_points
from pixel_lora_pipeline.analyze.rollup_figures import FIGURES
from pixel_lora_pipeline.analyze.tested_image import measured

SCHEMA: Final = 1

_DIGITS: Final = 4


def epoch_document(content: EpochContent, rows: Sequence[SideBySide]) -> dict[str, Any]:
    """The figures of an epoch's report; `rows` are all of its images beside the others'."""
    document: dict[str, Any] = json_ready(
        {
            "schema": SCHEMA,
            "kind": "epoch",
            "run": content.run_name,
            "epoch": content.epoch,
            "planned_epochs": content.planned_epochs,
            "created_at": content.created_at.isoformat(timespec="seconds"),
            "verdict": _verdict(content.verdict, content.epoch, content.planned_epochs),
            "progress": _progress(content.epochs, content.verdict),
            "turning_points": _turning_points(content.epochs, content.verdict),
            "comparisons": {
                "baseline": _comparison(content.images, content.baseline),
                "without_lora": _comparison(content.images, content.without_lora),
            },
            "images": [{**_image(row.image), "change": row.to_dict()} for row in rows],
            **_common(content),
        }
    )
    return document


def run_document(content: RunContent) -> dict[str, Any]:
    """The figures of a run's report."""
    last = content.epochs[-1].epoch
    document: dict[str, Any] = json_ready(
        {
            "schema": SCHEMA,
            "kind": "run",
            "run": content.run_name,
            "epoch": last,
            "planned_epochs": content.planned_epochs,
            "created_at": content.created_at.isoformat(timespec="seconds"),
            "verdict": _verdict(content.verdict, last, content.planned_epochs),
            "best_epoch": content.best_epoch,
            "progress": _progress(content.epochs, content.verdict),
            "turning_points": _turning_points(content.epochs, content.verdict),
            "comparisons": {"baseline": _comparison(content.best_images, content.baseline)},
            "epoch_reports": dict(content.epoch_reports or {}),
            **_common(content),
        }
    )
    return document


def figure_of(metrics: Mapping[str, Any], path: Sequence[str]) -> float | None:
    """A number of a rollup; None where it is missing or was not measured."""
    value: Any = metrics
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def json_ready(value: Any, rounded: Callable[[float], float] = lambda value: round(value, _DIGITS)) -> Any:
    """Tuples as lists, keys as texts, fractions at four digits, and None for what JSON has no word for."""
    if isinstance(value, Mapping):
        return {printable(str(key)): json_ready(item, rounded) for key, item in value.items()}
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list | tuple):
        return [json_ready(item, rounded) for item in value]
    if isinstance(value, float):
        return rounded(value) if math.isfinite(value) else None
    return value


def _comparison(images: Sequence[ReportImage], other: Contestant | None) -> dict[str, Any] | None:
    if other is None:
        return None
    return {"label": other.label, **compare(images, other.images, baseline=other.label).to_dict()}


def printable(text: str) -> str:
    """The text with what no file can hold (lone surrogates) or no page shows (NUL) replaced."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _verdict(verdict: RunVerdict | None, epoch: int, planned_epochs: int | None) -> dict[str, Any]:
    shown = headline(verdict, epoch, planned_epochs)
    return {
        **asdict(shown),
        "status": None if verdict is None else verdict.status,
        "best_epoch": None if verdict is None else verdict.best_epoch,
        "best_epoch_interval": None if verdict is None else verdict.best_epoch_interval,
        "probability_of_gain": None if verdict is None else verdict.probability_of_gain,
        "should_stop": None if verdict is None else verdict.should_stop,
        "reason": "" if verdict is None else verdict.reason,
    }


def _progress(epochs: Sequence[EpochScores], verdict: RunVerdict | None) -> list[dict[str, Any]]:
    """A row an epoch: measured ones with their figures, and those that only the fitted course has."""
    curve = {} if verdict is None else {point.epoch: point for point in verdict.curve}
    measured = {scores.epoch: scores for scores in epochs}
    rows = []
    for epoch in sorted(curve.keys() | measured.keys()):
        row: dict[str, Any] = {"epoch": epoch, "score": None, "interval": None, "figures": None}
        if epoch in measured:
            scores = measured[epoch]
            row |= _score_of_epoch(scores)
            row["n_images"], row["n_prompts"] = scores.metrics.get("n_images"), scores.metrics.get("n_prompts")
            row["figures"] = {label: figure_of(scores.metrics, path) for label, path in FIGURES.items()}
        point = curve.get(epoch)
        row["fitted"] = None if point is None else point.fitted
        row["fitted_interval"] = None if point is None else (point.low, point.high)
        row["rolling_average"] = None if point is None else point.rolling_average
        rows.append(row)
    return rows


def _turning_points(epochs: Sequence[EpochScores], verdict: RunVerdict | None) -> list[dict[str, Any]]:
    """Of the fitted course as far as it has been trained."""
    if verdict is None:
        return []
    trained = {point.epoch: point.fitted for point in verdict.curve if point.epoch <= epochs[-1].epoch}
    return [asdict(point) for point in turning_points(trained)]


def _score_of_epoch(scores: EpochScores) -> dict[str, Any]:
    if scores.score is not None:
        return {"score": scores.score, "interval": scores.interval}
    intervals = scores.metrics.get("intervals") or {}
    return {"score": figure_of(scores.metrics, MAIN_METRIC.path), "interval": intervals.get("overall_score")}


def _image(image: ReportImage) -> dict[str, Any]:
    return {
        "prompt_id": image.prompt_id,
        "prompt": image.prompt,
        "seed": image.seed,
        "sha256": image.sha256,
        "fault": image.fault,
        "scores": {metric.key: _score(image, metric) for metric in METRICS},
    }


def _score(image: ReportImage, metric: Metric) -> float | None:
    value = measured(image, metric.path)
    return None if value is None else metric.scale * value


def main_score(image: ReportImage) -> float | None:
    """The score that a report shows below an image."""
    return measured(image, MAIN_METRIC.path)


def _strength(strength: OtherStrength) -> dict[str, Any]:
    main = strength.comparison.differences[0]
    return {
        "epoch": strength.epoch,
        "strength": strength.strength,
        "evaluated_at": strength.evaluated_at,
        "score": main.epoch,
        "score_as_evaluated": main.baseline,
        "difference": main.difference,
        "interval": main.interval,
        "n_prompts": main.n_prompts,
        "verdict": main.verdict,
    }


def _common(content: EpochContent | RunContent) -> dict[str, Any]:
    return {
        "issues": [issue.to_dict() for issue in content.issues],
        "causes": [asdict(cause) for cause in content.causes],
        "weak_areas": [asdict(area) for area in content.weak_areas],
        "strengths": [_strength(strength) for strength in content.strengths],
        "recommendations": list(content.recommendations),
        "costs": [asdict(cost) for cost in content.costs],
        "made": dict(content.made or {}),
    }
