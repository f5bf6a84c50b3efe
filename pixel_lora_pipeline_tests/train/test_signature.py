"""The cheap fingerprint by which a retrained file of the same name and size is evaluated again."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pytest

from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.train.safetensors_file import SIGNATURE_BLOCK_BYTES, SIGNATURE_BLOCKS
from pixel_lora_pipeline_tests.train.lora_files import kohya_tensors, write_kohya


def test_name_and_times_do_not_change_the_signature(tmp_path: Path) -> None:
    first = write_kohya(tmp_path / "portrait-000001.safetensors")
    second = tmp_path / "copy.safetensors"
    second.write_bytes(first.read_bytes())
    os.utime(second, (1, 1))
    assert read_checkpoint(first).signature == read_checkpoint(second).signature


@pytest.mark.parametrize("place", ["first", "middle", "last"])
def test_any_changed_weight_of_a_small_file_changes_the_signature(place: str, tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    before = read_checkpoint(path).signature
    content = bytearray(path.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    # The alphas come first or last; a bit of theirs is content too.
    content[{"first": start, "middle": (start + len(content)) // 2, "last": len(content) - 1}[place]] ^= 1
    path.write_bytes(content)
    assert read_checkpoint(path).signature != before


def test_other_weights_under_the_same_header_change_the_signature_of_a_large_file(tmp_path: Path) -> None:
    rows = 2 * SIGNATURE_BLOCKS * SIGNATURE_BLOCK_BYTES // (2 * 64)
    name = "lora_te_text_model_encoder_layers_0_mlp_fc2"
    tensors = kohya_tensors()
    tensors[f"{name}.lora_down.weight"] = np.ones((64, 64), np.float16)
    tensors[f"{name}.lora_up.weight"] = np.ones((rows, 64), np.float16)
    path = write_kohya(tmp_path / "portrait-000001.safetensors", tensors)
    content = path.read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    weights = np.frombuffer(content, np.uint8, offset=start)
    # Written by hand: saving again would also shuffle the header.
    signatures = {read_checkpoint(path).signature}
    for first, last in ((0, 1), (0, len(weights)), (len(weights) // 2, len(weights)), (len(weights) - 1, len(weights))):
        changed = weights.copy()
        changed[first:last] ^= 1
        path.write_bytes(content[:start] + changed.tobytes())
        signatures.add(read_checkpoint(path).signature)
    assert len(signatures) == 5, "one for the original and one for each change"


def test_another_session_changes_the_signature(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    before = read_checkpoint(path)
    size = path.stat().st_size
    write_kohya(path, ss_session_id="1234567891")
    after = read_checkpoint(path)
    assert path.stat().st_size == size
    assert after.signature != before.signature
    assert after.run != before.run


def test_the_sha256_is_that_of_the_whole_file_and_read_once(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    read = read_checkpoint(path)
    assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    path.unlink()
    assert len(read.sha256) == 64, "kept after the first use"
