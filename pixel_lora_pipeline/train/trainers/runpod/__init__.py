"""Trainings on pods that are rented from RunPod, and stopped when they are over."""

from pixel_lora_pipeline.train.trainers.runpod.configuration import pod_configuration
from pixel_lora_pipeline.train.trainers.runpod.trainer import NAME_PREFIX, PodPlan, RunPodTrainer

__all__ = ["NAME_PREFIX", "PodPlan", "RunPodTrainer", "pod_configuration"]
