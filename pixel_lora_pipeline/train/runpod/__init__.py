"""RunPod's REST API v2, as far as trainings need it: pods, what they cost, and what GPUs cost."""

from pixel_lora_pipeline.train.runpod.answers import BillingRecord, GpuType, Pod, PodStatus, Template
from pixel_lora_pipeline.train.runpod.client import BASE_URL, RunPod
from pixel_lora_pipeline.train.runpod.errors import (
    RunPodConflictError,
    RunPodError,
    RunPodNotFoundError,
    RunPodRefusedError,
    RunPodRejectedError,
    RunPodUnavailableError,
)

__all__ = [
    "BASE_URL",
    "BillingRecord",
    "GpuType",
    "Pod",
    "PodStatus",
    "RunPod",
    "RunPodConflictError",
    "RunPodError",
    "RunPodNotFoundError",
    "RunPodRefusedError",
    "RunPodRejectedError",
    "RunPodUnavailableError",
    "Template",
]
