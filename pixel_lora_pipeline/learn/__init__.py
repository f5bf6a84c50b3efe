"""Step four of the loop: what all runs together say about the parameters."""

from pixel_lora_pipeline.learn.approval import approve, revoke
from pixel_lora_pipeline.learn.diagnosis import diagnose
from pixel_lora_pipeline.learn.evidence import assess_parameters
from pixel_lora_pipeline.learn.explanations import Diagnosis
from pixel_lora_pipeline.learn.principle import Principle
from pixel_lora_pipeline.learn.principles import update_principles

__all__ = ["Diagnosis", "Principle", "approve", "assess_parameters", "diagnose", "revoke", "update_principles"]
