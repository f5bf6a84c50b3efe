"""What is wrong with the captions of a training, and what of it can be put right.

It belongs to the training side, and stands here because captions are read as prompts are, by `parse_expectation`, and
compared with what is in their pictures.
"""

from pixel_lora_pipeline.validate.captions.catalogue import CHECKS, check_captions
from pixel_lora_pipeline.validate.captions.check import Check, Edit, Example, Finding, Severity, Tier
from pixel_lora_pipeline.validate.captions.corpus import CaptionedPicture, Corpus, Encoder
from pixel_lora_pipeline.validate.captions.fixing import Fixed, fix_captions
from pixel_lora_pipeline.validate.captions.picture_colors import PictureColors, picture_colors

__all__ = [
    "CHECKS",
    "CaptionedPicture",
    "Check",
    "Corpus",
    "Edit",
    "Encoder",
    "Example",
    "Finding",
    "Fixed",
    "PictureColors",
    "Severity",
    "Tier",
    "check_captions",
    "fix_captions",
    "picture_colors",
]
