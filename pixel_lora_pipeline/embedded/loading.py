"""Opens the base model as the pipeline that diffusers knows."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from diffusers import StableDiffusionPipeline

WEIGHTS: Final = Path(__file__).parent / "weights"


class BaseModelError(Exception):
    """The base model's folder is not one that can be trained on or generated with."""


def load_pipeline(folder: Path | None = None) -> "StableDiffusionPipeline":
    """The embedded Stable Diffusion, or another one, from a local folder, in float32.

    Only safetensors are read, nothing is downloaded.

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
            "They are part of the package: install it again, or make them with "
            "`python -m pixel_lora_pipeline.embedded.train_base --export`."
            if folder is None
            else "Name a folder with model_index.json, as diffusers' save_pretrained writes it."
        )
        raise BaseModelError(f"There is no base model in {source}. {remedy}")

    import torch
    from diffusers import StableDiffusionPipeline

    try:
        return StableDiffusionPipeline.from_pretrained(
            source,
            torch_dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            safety_checker=None,
            requires_safety_checker=False,
        )
    except (OSError, ValueError, TypeError) as error:
        raise BaseModelError(f"The base model in {source} cannot be loaded: {error}") from error
