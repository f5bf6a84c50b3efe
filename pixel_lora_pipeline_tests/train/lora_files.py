"""LoRA files for the tests: well-formed ones in the forms of several trainers, and raw ones with any header."""

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

KOHYA_SAMPLES = Path(__file__).parent.parent / "samples" / "kohya"

RUN_METADATA = {
    "ss_session_id": "1234567890",
    "ss_training_started_at": "1750000000.25",
    "ss_output_name": "portrait",
    "ss_network_module": "networks.lora",
    "ss_network_dim": "4",
    "ss_network_alpha": "2.0",
    "ss_learning_rate": "0.0001",
    "ss_unet_lr": "0.0002",
    "ss_num_epochs": "10",
    "ss_epoch": "5",
    "ss_steps": "50",
}


def sample_folder(run: str, target: Path) -> Path:
    """A writable copy of a genuine training's files."""
    return Path(shutil.copytree(KOHYA_SAMPLES / run, target / run))


def kohya_tensors(rank: int = 4, alpha: float = 2.0, width: int = 768) -> dict[str, np.ndarray]:
    """A few layers with Kohya's keys: two of the U-Net (one cross-attention), one of the text encoder."""
    random = np.random.default_rng(0)
    block = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0"
    tensors: dict[str, np.ndarray] = {}
    for name, inputs, outputs in (
        (f"{block}_attn1_to_q", 32, 32),
        (f"{block}_attn2_to_k", width, 32),
        ("lora_te_text_model_encoder_layers_0_mlp_fc1", 64, 128),
    ):
        tensors[f"{name}.lora_down.weight"] = random.normal(size=(rank, inputs)).astype(np.float16)
        tensors[f"{name}.lora_up.weight"] = random.normal(size=(outputs, rank)).astype(np.float16)
        tensors[f"{name}.alpha"] = np.array(alpha, np.float16)
    return tensors


def write_kohya(path: Path, tensors: dict[str, np.ndarray] | None = None, **metadata: str | None) -> Path:
    """A file with a run's header; metadata given as None are left out."""
    merged = RUN_METADATA | metadata
    kept = {key: value for key, value in merged.items() if value is not None}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors if tensors is not None else kohya_tensors(), path, kept)
    return path


def write_raw(path: Path, header: dict[str, Any] | bytes, data: bytes = b"") -> Path:
    """A file with exactly this header, valid or not."""
    encoded = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(encoded)) + encoded + data)
    return path


def raw_header(tensors: dict[str, dict[str, Any]], metadata: Any = None) -> dict[str, Any]:
    """A header of more than a kilobyte, so that it is not taken for a file that has only begun."""
    return {"__metadata__": {"padding": "x" * 1_500} if metadata is None else metadata, **tensors}
