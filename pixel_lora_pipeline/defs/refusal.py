"""A file that cannot be evaluated fails its step once, and is set aside with the reason."""

from typing import Final

import dagster as dg

from pixel_lora_pipeline.notify import checkpoint_refused
from pixel_lora_pipeline.store import LandedFile, Store
from pixel_lora_pipeline.train import CheckpointError
from pixel_lora_pipeline.validate.lora import LoraError

REFUSED: Final = "refused"
"""Metadata of a failure of which people are told as a refusal."""


def refused(store: Store, landed: LandedFile, error: CheckpointError | LoraError) -> dg.Failure:
    """The failure to raise; the file is set aside unless it may be right at the next try."""
    if error.retry:
        return dg.Failure(str(error), allow_retries=True)
    news = checkpoint_refused(landed.path, landed.signature, error.fault, error.remedy)
    store.quarantine.add(landed.path, landed.signature, error.fault, error.remedy, news)
    return dg.Failure(str(error), metadata={REFUSED: True}, allow_retries=False)
