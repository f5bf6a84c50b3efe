"""Sends the messages that are due, and notices runs that failed."""

from collections.abc import Sequence
from typing import Final

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.refusal import REFUSED
from pixel_lora_pipeline.notify import Delivery, configured_channels, deliver, run_failed
from pixel_lora_pipeline.store import Store

_WILL_RETRY_TAG: Final = "dagster/will_retry"  # set by Dagster on a failed run that it starts again by itself


def notification_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """Both sensors; they run by themselves only where a channel is configured."""
    status = dg.DefaultSensorStatus.RUNNING if settings.notify else dg.DefaultSensorStatus.STOPPED
    return [
        dg.sensor(
            name="send_notifications",
            minimum_interval_seconds=10,
            default_status=status,
            description="Sends the messages that are due in the table `notifications`, with growing pauses after "
            "failures.",
        )(send_notifications),
        dg.run_failure_sensor(
            name="failed_runs",
            minimum_interval_seconds=10,
            default_status=status,
            description="Adds a message for every run that failed and is not retried.",
        )(failed_runs),
    ]


def send_notifications(settings: dg.ResourceParam[Settings], store: dg.ResourceParam[Store]) -> dg.SkipReason:
    """Starts no runs: its work is done when it returns."""
    if not settings.notify:
        return dg.SkipReason("No channel is configured: set PIXEL_LORA_NOTIFY, or `notify` in pixel_lora.toml")
    return dg.SkipReason(_summary(deliver(store.notifications, configured_channels(settings.notify))))


def failed_runs(context: dg.RunFailureSensorContext, store: dg.ResourceParam[Store]) -> None:
    """News are runs that are over; of a refused checkpoint people are told as a refusal."""
    run = context.dagster_run
    if run.tags.get(_WILL_RETRY_TAG) == "true":
        return
    failures = context.get_step_failure_events()
    if any(_is_refusal(failure) for failure in failures):
        return
    step, error = _of_step(failures[0]) if failures else (None, _of_run(context.failure_event))
    store.notifications.announce(run_failed(run.run_id, run.job_name, context.partition_key, step, error))


def _is_refusal(failure: dg.DagsterEvent) -> bool:
    given = failure.step_failure_data.user_failure_data
    return given is not None and REFUSED in given.metadata


def _of_step(failure: dg.DagsterEvent) -> tuple[str | None, str]:
    """The step and what its own code said."""
    failed = failure.step_failure_data
    if failed.user_failure_data is not None and failed.user_failure_data.description:
        return failure.step_key, failed.user_failure_data.description
    return failure.step_key, _innermost(failed.error)


def _of_run(failure: dg.DagsterEvent) -> str:
    """What was said of a run that failed outside of its steps: a resource, a process that was killed."""
    return _innermost(failure.job_failure_data.error) or failure.message or ""


def _innermost(error: SerializableErrorInfo | None) -> str:
    """What was said first, without what Dagster wraps around it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else error.message


def _summary(deliveries: Sequence[Delivery]) -> str:
    failed = [delivery for delivery in deliveries if delivery.error is not None]
    if not deliveries:
        return "Nothing is due"
    faults = dict.fromkeys(f"{delivery.notification.channel}: {delivery.error}" for delivery in failed)
    return f"{len(deliveries) - len(failed)} sent, {len(failed)} failed. {' '.join(faults)}".strip()
