"""What a month has cost so far, counted every hour."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.cost_budgets import announce_budgets
from pixel_lora_pipeline.cost_report import cost_report
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.defs.train.cost_metadata import month_metadata
from pixel_lora_pipeline.pod_costs import update_from_runpod
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.costs.usage import month_of
from pixel_lora_pipeline.train.runpod import RunPodError


@dg.asset(group_name="train", kinds={"postgres"}, owners=OWNERS, retry_policy=retry_transient_faults)
def costs(
    context: dg.AssetExecutionContext, settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]
) -> dg.MaterializeResult[Any]:
    """What this month has cost so far, with its budget and forecast; people are told at 80 % and at all of it."""
    now = datetime.now(UTC)
    try:
        update_from_runpod(store, settings.runpod_api_key, settings.runpod_url, now)
    except RunPodError as error:  # what was known an hour ago is better than nothing
        context.log.warning(f"Without news of prices and bills: {error}")
    report = cost_report(store, settings.costs, month_of(now), now)
    announce_budgets(store, settings.costs, now)
    return dg.MaterializeResult(metadata=month_metadata(report))


count_costs = dg.define_asset_job(
    "count_costs", selection=[costs], description="Count what all runs and this month have cost."
)


@dg.schedule(
    job=count_costs,
    cron_schedule="7 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Counts costs once an hour, as soon as anything has been used.",
)
def hourly_costs(store: dg.ResourceParam[Store]) -> dg.RunRequest | dg.SkipReason:
    """Nothing is counted before a machine was used."""
    if not store.gpu_usage.machines():
        return dg.SkipReason("Nothing was used yet")
    return dg.RunRequest()
