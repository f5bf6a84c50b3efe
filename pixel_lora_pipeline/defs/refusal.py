"""A file that cannot be evaluated fails its step once, and is set aside with the reason."""

import dagster as dg

from pixel_lora_pipeline.store import LandedFile, Store
from pixel_lora_pipeline.train import CheckpointError
from pixel_lora_pipeline.validate.lora import LoraError


def refused(store: Store, landed: LandedFile, error: CheckpointError | LoraError) -> dg.Failure:
    """The failure to raise; the file is set aside unless it may be right at the next try."""
    if not error.retry:
        store.quarantine.add(landed.path, landed.signature, error.fault, error.remedy)
    return dg.Failure(str(error), allow_retries=error.retry)
