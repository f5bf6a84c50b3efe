"""Opens the embedded model as the pipeline that diffusers knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from pixel_lora_pipeline.validate.base_model import BaseModelError, load_base_model

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

WEIGHTS: Final = Path(__file__).parent / "weights"
EMBEDDED_SPACE: Final = Path(__file__).parent / "search_space.toml"
"""What a campaign on the embedded model may choose among."""


def load_pipeline(folder: Path | None = None) -> "StableDiffusionPipeline":
    """The embedded Stable Diffusion, or another one from a local folder, in float32 on the CPU.

    Parameters
    ----------
    folder
        A folder that `StableDiffusionPipeline.save_pretrained` wrote; None for the weights in this package.

    Raises
    ------
    BaseModelError
        If the folder holds no such pipeline.
    """
    source = WEIGHTS if folder is None else folder
    if not (source / "model_index.json").is_file():
        remedy = (
            "They are part of the package: install it again, or train them with train_base."
            if folder is None
            else "Name a folder with model_index.json, as diffusers' save_pretrained writes it."
        )
        raise BaseModelError(source, "there are no weights.", remedy)
    pipeline: StableDiffusionPipeline = load_base_model(source, device="cpu", precision="float32").pipeline
    if hasattr(pipeline, "text_encoder_2"):
        raise BaseModelError(source, "it is an SDXL model.", "Name one with the shape of Stable Diffusion 1 or 2.")
    return pipeline
