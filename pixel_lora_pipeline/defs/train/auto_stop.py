"""Stops machines whose trainings should not go on, while nobody watches."""

from functools import partial

import dagster as dg

from pixel_lora_pipeline.auto_stopping import Guard, asked_account, reach_with
from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.cost_budgets import spending_on
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.trainers import Trainer


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Looks at every registered pod, process and training, and stops it where `auto_stop` allows it and "
    "there is a reason. Every decision is recorded: `pixel-lora auto-stop log`.",
)
def auto_stop(
    context: dg.SensorEvaluationContext,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
    trainer: dg.ResourceParam[Trainer],
) -> dg.SkipReason:
    """Starts no runs: its work is done when it returns, and what it knows stands in the database."""
    if settings.auto_stop.mode == "off":
        return dg.SkipReason("auto_stop.mode is off")
    with asked_account(settings) as account:
        guard = Guard(store, settings, reach_with(trainer, account), partial(spending_on, store, settings.costs))
        outcomes = guard.look_at_all()
    for outcome in outcomes:
        context.log.info(f"{outcome.machine}: {outcome.action}. {outcome.reason}")
    told = ", ".join(f"{outcome.machine} {outcome.action}" for outcome in outcomes)
    return dg.SkipReason(told or "No registered machine runs")
