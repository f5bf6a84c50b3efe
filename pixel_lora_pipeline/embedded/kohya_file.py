"""Writes LoRA checkpoints as Kohya's trainer does; a file appears complete or not at all."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from safetensors.torch import save
from torch import Tensor

from pixel_lora_pipeline.whole_file import write_whole

# Where the old web interface looked for a model's fingerprint.
_LEGACY_HASH_START: Final = 0x100000
_LEGACY_HASH_LENGTH: Final = 0x10000


def epoch_file_name(output_name: str, epoch: int) -> str:
    """The name of a checkpoint that is not the run's last."""
    return f"{output_name}-{epoch:06d}.safetensors"


def final_file_name(output_name: str) -> str:
    """The name of a run's last checkpoint."""
    return f"{output_name}.safetensors"


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Writes tensors and metadata, and the hashes that Kohya adds to them.

    Parameters
    ----------
    path
        The checkpoint; an existing one is replaced at once.
    tensors
        In the precision in which they are stored.
    metadata
        `ss_*` and `modelspec.*`, all values text.
    """
    hashes = checkpoint_hashes(tensors, metadata)
    write_whole(path, save(dict(tensors), metadata={**metadata, **hashes}))


def checkpoint_hashes(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """Kohya's `sshs_model_hash`, SHA-256 of the tensors' bytes, and `sshs_legacy_hash`.

    The legacy hash covers 64 KiB from 1 MiB on, of the file as it would be with the `ss_*` metadata alone; of
    a smaller file it is the hash of nothing.
    """
    training = {key: value for key, value in metadata.items() if key.startswith("ss_")}
    content = save(dict(tensors), metadata=training)
    tensors_start = 8 + int.from_bytes(content[:8], "little")
    legacy = content[_LEGACY_HASH_START : _LEGACY_HASH_START + _LEGACY_HASH_LENGTH]
    return {
        "sshs_model_hash": hashlib.sha256(content[tensors_start:]).hexdigest(),
        "sshs_legacy_hash": hashlib.sha256(legacy).hexdigest()[:8],
    }
