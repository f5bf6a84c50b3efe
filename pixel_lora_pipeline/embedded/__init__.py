"""A small Stable Diffusion and a LoRA trainer: everything works with no GPU, no download and no account."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pixel_lora_pipeline.embedded.loading import load_pipeline
    from pixel_lora_pipeline.embedded.lora_training import train_lora

__all__ = ["load_pipeline", "train_lora"]

# The module `train_lora` in this folder is a command. Importing it would put it where the function is expected.


def __getattr__(name: str) -> Any:
    """Loads the trainer when it is first asked for: PyTorch and diffusers take seconds."""
    if name == "load_pipeline":
        from pixel_lora_pipeline.embedded import loading

        return loading.load_pipeline
    if name == "train_lora":
        from pixel_lora_pipeline.embedded import lora_training

        return lora_training.train_lora
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
