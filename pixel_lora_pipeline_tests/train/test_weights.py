"""Whether weights are numbers at all, in every type that trainers save."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from pixel_lora_pipeline.train import CheckpointError, verify_weights
from pixel_lora_pipeline_tests.train.lora_files import kohya_tensors, raw_header, write_kohya, write_raw


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_one_broken_number_is_found(dtype: type[np.floating], value: float, tmp_path: Path) -> None:
    tensors = {name: tensor.astype(dtype) for name, tensor in kohya_tensors().items()}
    path = write_kohya(tmp_path / "portrait-000001.safetensors", tensors)
    verify_weights(path)
    next(tensor for tensor in tensors.values() if tensor.size > 5).flat[5] = value
    write_kohya(path, tensors)
    with pytest.raises(CheckpointError, match=r"holds 1 tensors with NaN or infinity \(of 9\)") as caught:
        verify_weights(path)
    assert not caught.value.retry


@pytest.mark.parametrize(
    ("bits", "is_broken"), [(0x3F80, False), (0x7F7F, False), (0x7F80, True), (0xFF80, True), (0x7FC0, True)]
)
def test_bfloat16_is_judged_by_its_bits(bits: int, is_broken: bool, tmp_path: Path) -> None:
    tensor = {"dtype": "BF16", "shape": [4], "data_offsets": [0, 8]}
    data = np.array([0x3F80, 0, bits, 0x8000], "<u2").tobytes()
    path = write_raw(tmp_path / "portrait-000001.safetensors", raw_header({"a": tensor}), data)
    if is_broken:
        with pytest.raises(CheckpointError, match="holds 1 tensors"):
            verify_weights(path)
    else:
        verify_weights(path)


def test_the_largest_finite_numbers_are_numbers(tmp_path: Path) -> None:
    tensors = kohya_tensors()
    for tensor in tensors.values():
        tensor[...] = np.finfo(np.float16).max
    verify_weights(write_kohya(tmp_path / "portrait-000001.safetensors", tensors))


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    tensor = {"dtype": "F16", "shape": [64 * 1024**2], "data_offsets": [0, 128 * 1024**2]}
    path = write_raw(tmp_path / "portrait-000001.safetensors", raw_header({"a": tensor}))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + 128 * 1024**2)
        file.seek(-2, 2)
        file.write(np.float16(np.inf).tobytes())
    tracemalloc.start()
    with pytest.raises(CheckpointError, match="holds 1 tensors"):
        verify_weights(path)
    peak = tracemalloc.get_traced_memory()[1] / 1024**2
    tracemalloc.stop()
    assert peak < 48, f"{peak:.0f} MiB for one tensor of 128 MiB"
