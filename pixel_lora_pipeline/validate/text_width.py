"""How wide the text features are that a base model expects: what tells its LoRAs from those of other models."""

import json
import re
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

# The first cross-attention of a single-file Stable Diffusion; which block it stands in differs between 1.x and XL.
_FIRST_CROSS_ATTENTION: Final = re.compile(r".*\.attn2\.to_k\.weight")


def cross_attention_width(base_model: str | Path) -> int | None:
    """Width of the text features: 768 for SD 1.x, 1024 for SD 2.x, 2048 for SDXL.

    Parameters
    ----------
    base_model
        A diffusers folder or a single `.safetensors` file, of which only headers are read.

    Returns
    -------
    The width, or None where it cannot be told without loading the model, as for a hub name.
    """
    path = Path(base_model).expanduser()
    if path.is_dir():
        return _width_of_folder(path)
    if path.is_file():
        return _width_of_file(path)
    return None


def _width_of_folder(folder: Path) -> int | None:
    try:
        width = json.loads((folder / "unet" / "config.json").read_text(encoding="utf-8")).get("cross_attention_dim")
    except (OSError, ValueError):  # the generator says what is wrong with the folder
        return None
    if isinstance(width, list) and width:
        width = width[0]
    return width if isinstance(width, int) else None


def _width_of_file(path: Path) -> int | None:
    try:
        with safe_open(path, framework="numpy") as file:
            name = next((key for key in file.keys() if _FIRST_CROSS_ATTENTION.fullmatch(key)), None)  # noqa: SIM118
            return None if name is None else int(file.get_slice(name).get_shape()[1])
    except (OSError, SafetensorError):
        return None
