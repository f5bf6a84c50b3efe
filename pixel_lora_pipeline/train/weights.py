"""Whether the weights of a checkpoint are numbers at all."""

from pathlib import Path
from typing import Any, Final

import numpy as np

from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.safetensors_file import (
    DTYPE_BYTES,
    SafetensorsFile,
    TensorEntry,
    open_safetensors,
)

CHUNK_BYTES: Final = 8 * 1024**2

NOT_FINITE: Final = "NaN or infinity"
"""Is part of what is said of a training that diverged, and of nothing else."""

# A floating-point number with all exponent bits set is NaN or infinite: type to read it as, and these bits.
_EXPONENTS: Final[dict[str, tuple[type[np.unsignedinteger[Any]], int]]] = {
    "F16": (np.uint16, 0x7C00),
    "BF16": (np.uint16, 0x7F80),
    "F32": (np.uint32, 0x7F800000),
    "F64": (np.uint64, 0x7FF0000000000000),
}


def verify_weights(path: Path, root: Path | None = None) -> None:
    """Check that every weight of a checkpoint is a finite number.

    A training that diverged saves NaN into a file that is valid in every other way, loads without complaint
    and paints noise or black. Tensors are read one after the other, at most `CHUNK_BYTES` at a time.
    Whole numbers are always finite; 8-bit floats are not looked at, as trainers do not save LoRAs in them.

    Parameters
    ----------
    path
        The checkpoint file.
    root
        The watched folder, as for `read_checkpoint`.

    Raises
    ------
    CheckpointError
        If tensors hold NaN or infinity, saying how many of how many; or for the reasons that
        `open_safetensors` gives.
    """
    with open_safetensors(path, root) as file:
        broken = sum(not _is_finite(file, tensor) for tensor in file.tensors.values())
        count = len(file.tensors)
    if broken:
        raise CheckpointError(
            path,
            f"holds {broken} tensors with {NOT_FINITE} (of {count})",
            "The training diverged: look at its loss, lower the learning rate or set max_grad_norm. "
            "The file was set aside, nothing was evaluated.",
        )


def _is_finite(file: SafetensorsFile, tensor: TensorEntry) -> bool:
    if tensor.dtype not in _EXPONENTS:
        return True
    bits, exponent = _EXPONENTS[tensor.dtype]
    size = DTYPE_BYTES[tensor.dtype]
    mask = bits(exponent)
    for start in range(tensor.start, tensor.end, CHUNK_BYTES - CHUNK_BYTES % size):
        data = file.read(start, min(CHUNK_BYTES, tensor.end - start))
        values = np.frombuffer(data, np.dtype(bits).newbyteorder("<"))
        if np.any(values & mask == mask):
            return False
    return True
