from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from pixel_lora_pipeline.train import Checkpoint, read_checkpoint

MODULE = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
HEADER = {
    "ss_network_module": "networks.lora",
    "ss_network_alpha": "2.0",
    "ss_learning_rate": "0.0001",
    "ss_lr_scheduler": "cosine",
    "ss_num_epochs": "10",
    "ss_batch_size_per_device": "2",
    "ss_keep_tokens": "3",
    "ss_min_snr_gamma": "5.0",
    "ss_noise_offset": "None",
    "ss_flip_aug": "False",
    "ss_v2": "False",
    "ss_sd_model_name": "v1-5-pruned-emaonly.safetensors",
}


def save_checkpoint(
    folder: Path,
    epoch: int,
    *,
    run: str = "portrait",
    session: str = "1001",
    started_at: float = 1_762_783_380.0,  # 2025-11-10 14:03 UTC
    step: int | None = None,
    rank: int = 4,
    weight: float = 0.25,
    final: bool = False,
    header: dict[str, str] | None = None,
) -> Checkpoint:
    """Write the smallest file that is a LoRA, named and described as Kohya does it, and read it.

    With a step, it is a file saved within an epoch, of which `epoch` says how many were completed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    suffix = "" if final else f"-{epoch:06d}" if step is None else f"-step{step:08d}"
    path = folder / f"{run}{suffix}.safetensors"
    tensors = {
        f"{MODULE}.lora_down.weight": np.full((rank, 768), weight, np.float16),
        f"{MODULE}.lora_up.weight": np.zeros((320, rank), np.float16),
        f"{MODULE}.alpha": np.array(2, np.float16),
    }
    metadata = {
        **HEADER,
        "ss_network_dim": str(rank),
        "ss_session_id": session,
        "ss_training_started_at": str(started_at),
        "ss_output_name": run,
        "ss_epoch": str(epoch),
        "ss_steps": str(epoch * 100 if step is None else step),
        **(header or {}),
    }
    save_file(tensors, path, metadata)
    return read_checkpoint(path)
