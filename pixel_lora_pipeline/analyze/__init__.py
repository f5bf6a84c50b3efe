"""Step three of the loop: what the epochs of one run say together."""

from pixel_lora_pipeline.analyze.ab_verdict import ABVerdict, judge_ab
from pixel_lora_pipeline.analyze.comparison import Comparison, compare
from pixel_lora_pipeline.analyze.convergence import Convergence, CurvePoint, detect_convergence
from pixel_lora_pipeline.analyze.epoch_grid import GridRow, epoch_grid
from pixel_lora_pipeline.analyze.issues import EpochImages, Issue, track_issues

__all__ = [
    "ABVerdict",
    "Comparison",
    "Convergence",
    "CurvePoint",
    "EpochImages",
    "GridRow",
    "Issue",
    "compare",
    "detect_convergence",
    "epoch_grid",
    "judge_ab",
    "track_issues",
]
