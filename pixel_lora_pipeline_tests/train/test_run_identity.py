"""Which run a checkpoint belongs to, and the key that names it everywhere."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.train import Checkpoint, read_checkpoint
from pixel_lora_pipeline_tests.train.lora_files import write_kohya

NO_METADATA = dict.fromkeys(
    ("ss_session_id", "ss_training_started_at", "ss_output_name", "ss_num_epochs", "ss_epoch", "ss_steps")
)


def written(path: Path, **metadata: str | None) -> Checkpoint:
    return read_checkpoint(write_kohya(path, None, **metadata))


def test_files_of_one_session_are_one_run_wherever_they_lie(tmp_path: Path) -> None:
    first = written(tmp_path / "a" / "portrait-000001.safetensors", ss_epoch="1")
    moved = written(tmp_path / "b" / "renamed.safetensors", ss_epoch="2")
    assert first.run == moved.run
    assert (first.run.name, first.run.session_id, first.run.started_at) == ("portrait", "1234567890", 1750000000.25)


@pytest.mark.parametrize(
    "other", [{"ss_session_id": "99"}, {"ss_training_started_at": "1760000000.0"}, {"ss_output_name": "other"}]
)
def test_another_session_start_or_name_is_another_run(other: dict[str, str], tmp_path: Path) -> None:
    first = written(tmp_path / "portrait-000005.safetensors")
    again = written(tmp_path / "portrait-000005.safetensors", **other)
    assert first.run.key != again.run.key
    assert first.partition_key != again.partition_key


def test_retraining_under_the_same_name_keeps_the_readable_name(tmp_path: Path) -> None:
    first = written(tmp_path / "portrait-000005.safetensors")
    again = written(tmp_path / "portrait-000005.safetensors", ss_session_id="99")
    assert first.run.name == again.run.name == "portrait"
    assert first.partition_key.startswith("portrait-")
    assert first.partition_key.endswith("-000005")


def test_without_metadata_folder_and_name_make_the_run(tmp_path: Path) -> None:
    epochs = [
        written(tmp_path / "a" / name, **NO_METADATA)
        for name in ("portrait-000001.safetensors", "portrait-000002.safetensors", "portrait.safetensors")
    ]
    assert len({read.run for read in epochs}) == 1
    assert [read.epoch for read in epochs] == [1, 2, None]
    assert [read.is_final for read in epochs] == [False, False, True]
    assert [read.parameters["epoch"].source for read in epochs[:2]] == ["file_name"] * 2
    keys = [read.partition_key for read in epochs]
    assert keys == sorted(keys)
    assert keys[-1].endswith("-final")
    elsewhere = written(tmp_path / "b" / "portrait-000001.safetensors", **NO_METADATA)
    assert elsewhere.run.key != epochs[0].run.key


def test_files_saved_in_between_are_named_by_their_step(tmp_path: Path) -> None:
    read = written(tmp_path / "portrait-step00000004.safetensors", ss_epoch="0", ss_steps="4")
    assert (read.epoch, read.step, read.is_final) == (0, 4, False)
    assert read.partition_key.endswith("-step00000004")
    unnamed = written(tmp_path / "portrait-step00000120.safetensors", **NO_METADATA)
    assert (unnamed.epoch, unnamed.step) == (None, 120)
    assert unnamed.parameters["steps"].source == "file_name"


def test_a_step_and_an_epoch_saved_at_the_same_moment_have_two_keys(tmp_path: Path) -> None:
    by_step = written(tmp_path / "portrait-step00000050.safetensors")
    by_epoch = written(tmp_path / "portrait-000005.safetensors")
    assert by_step.run == by_epoch.run
    assert by_step.partition_key != by_epoch.partition_key


def test_a_renamed_epoch_is_not_taken_for_the_end_of_the_run(tmp_path: Path) -> None:
    renamed = written(tmp_path / "best.safetensors", ss_epoch="5", ss_num_epochs="10")
    assert not renamed.is_final
    assert renamed.partition_key.endswith("-000005")


def test_the_header_knows_better_than_the_name(tmp_path: Path) -> None:
    assert written(tmp_path / "portrait-000007.safetensors", ss_epoch="5").epoch == 5


def test_a_run_without_output_name_is_called_after_its_folder(tmp_path: Path) -> None:
    epoch = written(tmp_path / "knights" / "epoch-000001.safetensors", ss_output_name="None", ss_epoch="1")
    last = written(tmp_path / "knights" / "last.safetensors", ss_output_name="None", ss_epoch="10")
    assert epoch.run == last.run
    assert epoch.run.name == "knights"


@pytest.mark.parametrize("name", ["肖像", "...", "a/b\\c", "x" * 300, " "])
def test_every_name_gives_a_key_that_is_safe_as_a_path(name: str, tmp_path: Path) -> None:
    keys = {
        written(tmp_path / "portrait-000005.safetensors", ss_output_name=name, ss_session_id=session).partition_key
        for session in ("1", "2")
    }
    assert len(keys) == 2
    for key in keys:
        assert (tmp_path / key).parent == tmp_path
        assert all(character.isascii() and (character.isalnum() or character in "-_") for character in key)
        assert len(key) < 80
