"""The parameter impact report: which parameters matter, which do not, what cannot be told yet, and what is new."""

from pixel_lora_pipeline.learn.impact_report.content import Better, ImpactContent
from pixel_lora_pipeline.learn.impact_report.page import ImpactReport, impact_report, report_stem

__all__ = ["Better", "ImpactContent", "ImpactReport", "impact_report", "report_stem"]
