"""Step three of the loop: what the epochs of one run say together."""

from pixel_lora_pipeline.analyze.ab_verdict import ABVerdict, judge_ab
from pixel_lora_pipeline.analyze.comparison import Comparison, compare
from pixel_lora_pipeline.analyze.convergence import Convergence, CurvePoint, detect_convergence
from pixel_lora_pipeline.analyze.epoch_grid import GridRow, epoch_grid
from pixel_lora_pipeline.analyze.event_file import EventFileError
from pixel_lora_pipeline.analyze.issues import EpochImages, Issue, track_issues
from pixel_lora_pipeline.analyze.loss_log import Divergence, find_divergence, find_loss_log, read_losses

__all__ = [
    "ABVerdict",
    "Comparison",
    "Convergence",
    "CurvePoint",
    "Divergence",
    "EpochImages",
    "EventFileError",
    "GridRow",
    "Issue",
    "compare",
    "detect_convergence",
    "epoch_grid",
    "find_divergence",
    "find_loss_log",
    "judge_ab",
    "read_losses",
    "track_issues",
]
