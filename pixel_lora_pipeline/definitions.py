"""The one Definitions object; nothing else happens here."""

import dagster as dg

from pixel_lora_pipeline.defs import execution, resources
from pixel_lora_pipeline.defs.train import assets as train_assets
from pixel_lora_pipeline.defs.train import sensors as train_sensors
from pixel_lora_pipeline.defs.validate import assets as validate_assets
from pixel_lora_pipeline.defs.validate import checks as validate_checks


@dg.definitions
def defs() -> dg.Definitions:
    """The whole project as Dagster loads it."""
    return dg.Definitions(
        assets=dg.load_assets_from_modules([train_assets, validate_assets]),
        asset_checks=dg.load_asset_checks_from_modules([validate_checks]),
        jobs=[train_sensors.evaluate_checkpoint],
        sensors=[train_sensors.checkpoint_files],
        resources=resources.resources,
        executor=execution.single_machine_executor,
    )
