"""Contents of reports on real images, for tests."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from pixel_lora_pipeline.analyze.convergence import Convergence, CurvePoint
from pixel_lora_pipeline.analyze.issues import EpochImages, track_issues
from pixel_lora_pipeline.analyze.report import (
    Contestant,
    Cost,
    EpochContent,
    EpochScores,
    ReportImage,
    RunContent,
    WeakSpot,
)
from pixel_lora_pipeline.validate import ImageMeasurement, rollup
from pixel_lora_pipeline_tests.analyze.paintings import painted, suite_of

SCORES = (40.0, 62.0, 75.0, 83.0, 86.0, 87.0, 86.5, 85.0, 84.0)


def a_verdict(scores: Sequence[float] = SCORES, *, should_stop: bool = True, ahead: int = 3) -> Convergence:
    """A verdict on these scores, with epochs to come."""
    best = 1 + max(range(len(scores)), key=lambda at: scores[at])
    return Convergence(
        status="optimal" if should_stop else "continue",
        best_epoch=best,
        best_epoch_interval=(best - 1, best + 1),
        probability_of_gain=0.13 if should_stop else 0.6,
        expected_gain=0.4,
        should_stop=should_stop,
        reason="No new best for 2 epochs, and the later ones together are expected to gain 0.4 points.",
        trend="declining",
        noise=1.5,
        curve=tuple(
            CurvePoint(
                epoch=n,
                score=scores[n - 1] if n <= len(scores) else None,
                n_images=22.0,
                rolling_average=None,
                fitted=scores[min(n, len(scores)) - 1] - 0.5,
                low=scores[min(n, len(scores)) - 1] - 2.0,
                high=scores[min(n, len(scores)) - 1] + 1.0,
            )
            for n in range(1, len(scores) + ahead + 1)
        ),
    )


def an_epoch_content(prompts: int = 6, scores: Sequence[float] = SCORES, **changes: Any) -> EpochContent:
    images = [painted(n, "sprite" if n != 2 else "wrong background") for n in range(prompts)]
    measured = [ImageMeasurement.from_dict(image.metrics) for image in images if image.metrics]
    metrics = rollup(measured, [image.prompt_id for image in images])
    epochs = [EpochScores(n, {**metrics, "overall_score": score}) for n, score in enumerate(scores, start=1)]
    course = [EpochImages(0, suite_of("photo", prompts)), EpochImages(len(scores), images)]
    described: dict[str, Any] = {
        "run_name": "portraits",
        "epoch": len(scores),
        "planned_epochs": 20,
        "created_at": datetime(2026, 11, 24, 9, 30, tzinfo=UTC),
        "epochs": epochs,
        "images": images,
        "verdict": a_verdict(scores),
        "baseline": Contestant("the baseline", suite_of("blurred", prompts)),
        "without_lora": Contestant("no LoRA", suite_of("photo", prompts)),
        "issues": track_issues(course),
        "weak_areas": [WeakSpot("Fails on blue hair: 31 of 100.", 4, (12.0, 50.0))],
        "recommendations": ["Promote epoch 6: it is better than the baseline."],
        "costs": [Cost("Training so far", "$1.84", "5.2 h on an A40")],
        "made": {"Suite": "portraits, version 3f9a", "Seeds": "11, 12"},
    }
    return EpochContent(**{**described, **changes})


def a_run_content(grid: bytes | None = None, **changes: Any) -> RunContent:
    epoch = an_epoch_content()
    described: dict[str, Any] = {
        "run_name": epoch.run_name,
        "planned_epochs": epoch.planned_epochs,
        "created_at": epoch.created_at,
        "epochs": epoch.epochs,
        "best_epoch": 6,
        "best_images": epoch.images,
        "verdict": epoch.verdict,
        "baseline": epoch.baseline,
        "issues": epoch.issues,
        "weak_areas": epoch.weak_areas,
        "recommendations": epoch.recommendations,
        "costs": epoch.costs,
        "grid": grid,
        "epoch_reports": {1: "epoch_1_report.html"},
        "made": epoch.made,
    }
    return RunContent(**{**described, **changes})


def noisy(image: ReportImage, png: bytes) -> ReportImage:
    """The same question with another file."""
    return ReportImage(
        image.prompt_id, image.prompt, image.negative_prompt, image.seed, png, image.sha256, None, image.metrics, "1"
    )
