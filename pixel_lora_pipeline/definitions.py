"""The one Definitions object; nothing else happens here."""

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs import execution, resources
from pixel_lora_pipeline.defs.analyze import assets as analyze_assets
from pixel_lora_pipeline.defs.analyze import checks as analyze_checks
from pixel_lora_pipeline.defs.analyze import sensors as analyze_sensors
from pixel_lora_pipeline.defs.improve import assets as improve_assets
from pixel_lora_pipeline.defs.improve import campaign, training_messages
from pixel_lora_pipeline.defs.learn import assets as learn_assets
from pixel_lora_pipeline.defs.learn import checks as learn_checks
from pixel_lora_pipeline.defs.learn import schedules as learn_schedules
from pixel_lora_pipeline.defs.notify import sensors as notify_sensors
from pixel_lora_pipeline.defs.train import assets as train_assets
from pixel_lora_pipeline.defs.train import auto_stop, remote
from pixel_lora_pipeline.defs.train import captions as train_captions
from pixel_lora_pipeline.defs.train import costs as train_costs
from pixel_lora_pipeline.defs.train import sensors as train_sensors
from pixel_lora_pipeline.defs.validate import assets as validate_assets
from pixel_lora_pipeline.defs.validate import checks as validate_checks
from pixel_lora_pipeline.defs.validate import jobs as validate_jobs
from pixel_lora_pipeline.defs.validate import sensors as validate_sensors


@dg.definitions
def defs() -> dg.Definitions:
    """The whole project as Dagster loads it."""
    settings = Settings()
    return dg.Definitions(
        assets=[
            *dg.load_assets_from_modules(
                [
                    train_assets,
                    train_captions,
                    train_costs,
                    validate_assets,
                    analyze_assets,
                    learn_assets,
                    improve_assets,
                ]
            ),
            training_messages.training_progress,
        ],
        asset_checks=dg.load_asset_checks_from_modules([validate_checks, analyze_checks, learn_checks]),
        jobs=[
            train_sensors.evaluate_checkpoint,
            analyze_sensors.analyze_run,
            learn_schedules.weekly_report_job,
            validate_jobs.remeasure,
            campaign.train_next,
            train_costs.count_costs,
        ],
        schedules=[learn_schedules.weekly_report(settings.time_zone), train_costs.hourly_costs],
        sensors=[
            train_sensors.checkpoint_files,
            validate_sensors.finer_looks,
            analyze_sensors.measured_runs,
            analyze_sensors.silent_trainings,
            learn_schedules.learning,
            campaign.campaign,
            auto_stop.auto_stop,
            *remote.remote_sensors(settings),
            *notify_sensors.notification_sensors(settings),
        ],
        resources=resources.resources,
        executor=execution.single_machine_executor,
    )
