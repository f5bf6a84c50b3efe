from pixel_lora_pipeline.notify.channels import Channel, channel_id, channel_ids, configured_channels
from pixel_lora_pipeline.notify.delivery import Delivery, SendError, deliver, send, service_name
from pixel_lora_pipeline.notify.messages import (
    best_epoch,
    budget_reached,
    checkpoint_refused,
    converged,
    degrading,
    machine_news,
    run_failed,
    trial,
    weekly_report,
)

__all__ = [
    "Channel",
    "Delivery",
    "SendError",
    "best_epoch",
    "budget_reached",
    "channel_id",
    "channel_ids",
    "checkpoint_refused",
    "configured_channels",
    "converged",
    "degrading",
    "deliver",
    "machine_news",
    "run_failed",
    "send",
    "service_name",
    "trial",
    "weekly_report",
]
