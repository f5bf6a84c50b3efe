"""Reports that a person understands at a glance: an epoch's and a run's."""

from pixel_lora_pipeline.analyze.report.content import (
    Contestant,
    Cost,
    EpochContent,
    EpochScores,
    LikelyCause,
    OtherStrength,
    ReportImage,
    RunContent,
    WeakSpot,
)
from pixel_lora_pipeline.analyze.report.headline import Headline, headline
from pixel_lora_pipeline.analyze.report.page import Report, epoch_report, page_stem, run_report
from pixel_lora_pipeline.analyze.report.turning_points import TurningPoint, turning_points

__all__ = [
    "Contestant",
    "Cost",
    "EpochContent",
    "EpochScores",
    "Headline",
    "LikelyCause",
    "OtherStrength",
    "Report",
    "ReportImage",
    "RunContent",
    "TurningPoint",
    "WeakSpot",
    "epoch_report",
    "headline",
    "page_stem",
    "run_report",
    "turning_points",
]
