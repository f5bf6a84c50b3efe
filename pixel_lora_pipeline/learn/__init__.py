"""Step four of the loop: what all runs together say about the parameters."""

from pixel_lora_pipeline.learn.evidence import assess_parameters

__all__ = ["assess_parameters"]
