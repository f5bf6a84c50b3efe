"""The yardstick of the evaluation benchmark: the same images by plain diffusers calls, as a script would make them."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline
from numpy.typing import NDArray


@dataclass(frozen=True)
class BareRun:
    """Images of a bare loop, with its seconds."""

    images: NDArray[np.uint8]  # (prompts, height, width, 3)
    base_seconds: float
    lora_seconds: float
    paint_seconds: float


def bare_loop(
    base_model_folder: Path,
    lora_path: Path | None,
    prompts: Sequence[str],
    seeds: Sequence[int],
    *,
    width: int,
    height: int,
    steps: int,
    guidance: float,
    batch_sizes: Sequence[int],
    negative_prompt: str = "",
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> BareRun:
    """One image per pair of prompt and seed: no check, no record, no file.

    Parameters
    ----------
    prompts, seeds
        As many of one as of the other.
    batch_sizes
        Images in each call, adding up to the number of prompts.
    """
    started = time.perf_counter()
    pipeline: Any = DiffusionPipeline.from_pretrained(base_model_folder, dtype=dtype, use_safetensors=True).to(device)
    pipeline.set_progress_bar_config(disable=True)
    base_loaded = time.perf_counter()
    if lora_path is not None:
        pipeline.load_lora_weights(str(lora_path), use_safetensors=True)
    lora_loaded = time.perf_counter()
    images: list[NDArray[np.uint8]] = []
    for size in batch_sizes:
        batch = slice(len(images), len(images) + size)
        painted = pipeline(
            prompt=list(prompts[batch]),
            negative_prompt=[negative_prompt] * size,
            width=width,
            height=height,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator("cpu").manual_seed(seed) for seed in seeds[batch]],
        ).images
        images += [np.asarray(image) for image in painted]
    painted_at = time.perf_counter()
    return BareRun(
        images=np.stack(images),
        base_seconds=base_loaded - started,
        lora_seconds=lora_loaded - base_loaded,
        paint_seconds=painted_at - lora_loaded,
    )
