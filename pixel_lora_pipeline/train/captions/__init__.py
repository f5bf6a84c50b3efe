"""Captions as files: what a training reads beside its pictures, and how many of them are changed at once, safely."""

from pixel_lora_pipeline.train.captions.batch import Batch, BatchError, Batches, Change, unified_diff
from pixel_lora_pipeline.train.captions.caption_file import CaptionFile
from pixel_lora_pipeline.train.captions.dataset import CaptionedFolder, Dataset, DatasetError, read_dataset
from pixel_lora_pipeline.train.captions.options import CaptionOptions
from pixel_lora_pipeline.train.captions.own_rules import OwnRules

__all__ = [
    "Batch",
    "BatchError",
    "Batches",
    "CaptionFile",
    "CaptionOptions",
    "CaptionedFolder",
    "Change",
    "Dataset",
    "DatasetError",
    "OwnRules",
    "read_dataset",
    "unified_diff",
]
