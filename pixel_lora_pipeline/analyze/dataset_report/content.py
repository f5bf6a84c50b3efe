"""What the report on a dataset is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pixel_lora_pipeline.validate.captions import Finding
from pixel_lora_pipeline.validate.captions.coverage import Coverage


@dataclass(frozen=True)
class DatasetContent:
    """A dataset with what was found in it.

    Attributes
    ----------
    dataset
        Its path.
    trigger
        None if no word is common to the captions.
    """

    dataset: str
    created_at: datetime
    n_pictures: int
    n_captions: int
    trigger: str | None
    findings: Sequence[Finding]
    coverage: Coverage
