"""Why a training was given up whose loss is no number any more, kept where its checkpoints lie."""

import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.loss_log import Divergence
from pixel_lora_pipeline.train.trainers.kohya.configuration import CONFIG_FILE
from pixel_lora_pipeline.train.trainers.kohya.progress import Progress
from pixel_lora_pipeline.train.trainers.local_process import control_folder
from pixel_lora_pipeline.whole_file import write_whole

_FILE: Final = "diverged.json"


def reason_to_give_up(divergence: Divergence, progress: Progress, arguments: Mapping[str, Any]) -> str:
    """Since when there is nothing left to learn, and what to lower.

    Parameters
    ----------
    arguments
        Of the training, by Kohya's names.
    """
    since = f"step {divergence.step}"
    if progress.steps and progress.epochs:
        epoch = math.ceil(divergence.step * progress.epochs / progress.steps)
        since += f" of {progress.steps} (epoch {epoch} of {progress.epochs})"
    return (
        f"its loss has been no number since {since}, and it was stopped after step {divergence.last_step}. "
        f"{' '.join(_advice(arguments))}"
    )


def _advice(arguments: Mapping[str, Any]) -> Iterator[str]:
    rates = {name: arguments[name] for name in ("learning_rate", "unet_lr", "text_encoder_lr") if arguments.get(name)}
    said = ", ".join(f"{name} = {value}" for name, value in rates.items())
    yield f"Lower {said}." if said else "Lower learning_rate."
    if arguments.get("max_grad_norm") == 0:
        yield "Gradients are not clipped: set max_grad_norm = 1.0."
    if arguments.get("mixed_precision") == "fp16":
        yield "Numbers overflow soon in fp16: use mixed_precision = 'bf16', or no_half_vae with SDXL."


def write_reason(folder: Path, reason: str) -> None:
    """Keep why a training was given up, before it is stopped: who sees it end, finds why."""
    write_whole(control_folder(folder) / _FILE, json.dumps({"reason": reason}).encode())


def read_reason(folder: Path) -> str | None:
    """Why a training was given up; None if it was not."""
    try:
        return str(json.loads((control_folder(folder) / _FILE).read_text(encoding="utf-8"))["reason"])
    except FileNotFoundError:
        return None


def arguments_of(folder: Path) -> dict[str, Any]:
    """What a training was told; empty if its configuration is gone."""
    try:
        return tomllib.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
