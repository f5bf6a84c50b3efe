"""Runs that a person asks for."""

import dagster as dg

from pixel_lora_pipeline.defs.validate.assets import epoch_evaluation, quantitative_metrics

# Backfilled over all checkpoints, it does what `pixel-lora remeasure` does: images that this version of the metrics has
# measured are left alone, and nothing is generated.
remeasure = dg.define_asset_job(
    "remeasure",
    selection=dg.AssetSelection.assets(quantitative_metrics, epoch_evaluation),
    description="Measure the stored images of a checkpoint with the current version of the metrics, and roll them up.",
)
