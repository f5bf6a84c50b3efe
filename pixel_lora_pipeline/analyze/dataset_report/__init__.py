"""The report on a dataset: whether it can be trained on, what is wrong with its captions, and what it can teach."""

from pixel_lora_pipeline.analyze.dataset_report.content import DatasetContent
from pixel_lora_pipeline.analyze.dataset_report.page import dataset_report

__all__ = ["DatasetContent", "dataset_report"]
