"""Kohya's trainer: what it is told, how it is started, and how it is watched while it trains."""

from pixel_lora_pipeline.train.trainers.kohya.campaign_base import read_campaign_base
from pixel_lora_pipeline.train.trainers.kohya.checkout import KohyaCheckout
from pixel_lora_pipeline.train.trainers.kohya.configuration import KohyaConfiguration, read_configuration
from pixel_lora_pipeline.train.trainers.kohya.trainer import KohyaTrainer

__all__ = ["KohyaCheckout", "KohyaConfiguration", "KohyaTrainer", "read_campaign_base", "read_configuration"]
