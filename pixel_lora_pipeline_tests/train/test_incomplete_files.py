"""Files that are still being written, or vanish, or change: another look may find them whole."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.train import CheckpointError, read_checkpoint, verify_weights
from pixel_lora_pipeline.train.safetensors_file import open_safetensors
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES, kohya_tensors, write_kohya

GENUINE = KOHYA_SAMPLES / "run_a" / "pixchar_a-000001.safetensors"
CONTENT = GENUINE.read_bytes()
DATA_START = 8 + int.from_bytes(CONTENT[:8], "little")
# Every boundary and its neighbours, and forty places in between.
CUTS = sorted(
    {0, 1, 7, 8, 9, 999, 1_000, 1_001, DATA_START - 1, DATA_START, DATA_START + 1, len(CONTENT) - 1}
    | {len(CONTENT) * part // 41 for part in range(1, 41)}
)


@pytest.mark.parametrize("length", CUTS)
def test_a_file_cut_off_anywhere_is_looked_at_again(length: int, tmp_path: Path) -> None:
    path = tmp_path / "portrait-000001.safetensors"
    path.write_bytes(CONTENT[:length])
    for read in (read_checkpoint, verify_weights):
        with pytest.raises(CheckpointError, match="still being written") as caught:
            read(path)
        assert caught.value.retry, f"cut at {length}: {caught.value}"


def test_a_growing_file_is_read_once_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "portrait-000001.safetensors"
    with path.open("wb") as file:
        for start in range(0, len(CONTENT), 100_000):
            file.write(CONTENT[start : start + 100_000])
            file.flush()
            if file.tell() < len(CONTENT):
                with pytest.raises(CheckpointError):
                    read_checkpoint(path)
    assert read_checkpoint(path).epoch == 1


@pytest.mark.parametrize("extra", [b"\0", b"x" * 50_000])
def test_bytes_after_the_last_tensor_are_looked_at_again(extra: bytes, tmp_path: Path) -> None:
    path = tmp_path / "portrait-000001.safetensors"
    path.write_bytes(CONTENT + extra)
    with pytest.raises(CheckpointError, match="longer than its header says") as caught:
        read_checkpoint(path)
    assert caught.value.retry


@pytest.mark.parametrize("arrived", [0, 4, 50_000])
def test_a_copy_that_reserved_its_space_first_is_looked_at_again(arrived: int, tmp_path: Path) -> None:
    path = tmp_path / "portrait-000001.safetensors"
    path.write_bytes(CONTENT[:arrived] + b"\0" * (len(CONTENT) - arrived))
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path)
    assert caught.value.retry, str(caught.value)


def test_a_missing_file_is_looked_at_again(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not there") as caught:
        read_checkpoint(tmp_path / "portrait-000001.safetensors")
    assert caught.value.retry


def test_a_file_that_is_replaced_while_it_is_read_is_looked_at_again(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    other = write_kohya(tmp_path / "other.safetensors", kohya_tensors(rank=8))
    with pytest.raises(CheckpointError, match="replaced") as caught, open_safetensors(path):
        other.replace(path)
    assert caught.value.retry


def test_a_file_that_is_deleted_while_it_is_read_is_looked_at_again(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    with pytest.raises(CheckpointError, match="is not there") as caught, open_safetensors(path):
        path.unlink()
    assert caught.value.retry


def test_the_hash_of_a_file_that_was_replaced_is_not_given(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000001.safetensors")
    read = read_checkpoint(path)
    write_kohya(path, kohya_tensors(alpha=1.0))
    with pytest.raises(CheckpointError, match="replaced by other content") as caught:
        _ = read.sha256
    assert caught.value.retry
