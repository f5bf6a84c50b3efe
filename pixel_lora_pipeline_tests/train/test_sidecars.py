"""Configuration files beside a checkpoint: which belong to its run, and what they add."""

import json
import os
from pathlib import Path

import pytest

from pixel_lora_pipeline.train import Checkpoint, read_checkpoint
from pixel_lora_pipeline_tests.train.lora_files import RUN_METADATA, sample_folder, write_kohya

STARTED = float(RUN_METADATA["ss_training_started_at"])
CONFIG = """
[network]
network_module = "networks.lora"
network_dim = 4
[train]
learning_rate = 1e-4
lr_scheduler_num_cycles = {cycles}
[output]
output_name = "{name}"
"""
DATASET = """
[general]
caption_extension = ".txt"
keep_tokens = 1
caption_dropout_rate = 0.1
[[datasets]]
resolution = 64
  [[datasets.subsets]]
  image_dir = "/data/knights/"
  num_repeats = 2
  [[datasets.subsets]]
  image_dir = 'C:\\data\\mages'
  caption_dropout_rate = 0.05
"""
SUBSETS = [
    {"image_dir": "knights", "img_count": 6, "num_repeats": 2, "keep_tokens": 1, "is_reg": False},
    {"image_dir": "mages", "img_count": 4, "num_repeats": 1, "keep_tokens": 1, "is_reg": False},
]
DATASETS = json.dumps([{"batch_size_per_device": 2, "resolution": [64, 64], "subsets": SUBSETS}])
DROPOUT = {"ss_caption_dropout_rate": "0.0", "ss_caption_tag_dropout_rate": "0.0"}


def config(folder: Path, name: str, cycles: int, output: str = "portrait", after_start: float = -10) -> Path:
    path = folder / name
    path.write_text(CONFIG.format(cycles=cycles, name=output))
    os.utime(path, (STARTED + after_start,) * 2)
    return path


def cycles_of(read: Checkpoint) -> object:
    found = read.parameters.get("lr_scheduler_num_cycles")
    return found and (found.value, found.source)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_kohya(tmp_path / "portrait-000005.safetensors")


def test_what_kohya_does_not_record_is_read_from_the_configuration(checkpoint: Path) -> None:
    assert cycles_of(read_checkpoint(checkpoint)) is None
    path = config(checkpoint.parent, "run.toml", cycles=3)
    read = read_checkpoint(checkpoint)
    assert cycles_of(read) == (3, "sidecar")
    assert read.config_paths == (path,)
    assert "run.toml does not set it" in read.missing["save_state"]


def test_the_newest_configuration_before_the_start_counts(checkpoint: Path) -> None:
    config(checkpoint.parent, "older.toml", cycles=1, after_start=-900)
    config(checkpoint.parent, "newest.toml", cycles=2, after_start=30)
    config(checkpoint.parent, "next_run.toml", cycles=4, after_start=900)
    assert cycles_of(read_checkpoint(checkpoint)) == (2, "sidecar")


def test_another_runs_configuration_is_not_taken(checkpoint: Path) -> None:
    config(checkpoint.parent, "run.toml", cycles=3, output="landscape")
    assert cycles_of(read_checkpoint(checkpoint)) is None


def test_after_copying_the_configuration_is_known_by_its_output_name(checkpoint: Path) -> None:
    config(checkpoint.parent, "run.toml", cycles=3, after_start=1e6)
    config(checkpoint.parent, "other.toml", cycles=4, output="landscape", after_start=1e6)
    assert cycles_of(read_checkpoint(checkpoint)) == (3, "sidecar")


def test_a_configuration_edited_for_the_next_run_is_not_taken(checkpoint: Path) -> None:
    path = config(checkpoint.parent, "run.toml", cycles=3)
    path.write_text(path.read_text().replace("1e-4", "5e-4"))
    assert cycles_of(read_checkpoint(checkpoint)) is None, "written after the start, and another learning rate"


def test_the_header_wins_over_a_configuration_that_the_command_line_overruled(checkpoint: Path) -> None:
    path = config(checkpoint.parent, "run.toml", cycles=3)
    path.write_text(path.read_text().replace("network_dim = 4", "network_dim = 64"))
    os.utime(path, (STARTED - 10,) * 2)
    read = read_checkpoint(checkpoint)
    assert read.parameters["network_dim"].value == 4
    assert cycles_of(read) == (3, "sidecar")


def test_sections_count_for_nothing_and_later_keys_win(checkpoint: Path) -> None:
    path = config(checkpoint.parent, "run.toml", cycles=3)
    path.write_text(path.read_text() + "[anything]\nlr_scheduler_num_cycles = 7\n")
    os.utime(path, (STARTED - 10,) * 2)
    assert cycles_of(read_checkpoint(checkpoint)) == (7, "sidecar")


def test_the_interfaces_json_is_read_by_its_own_names(checkpoint: Path) -> None:
    path = checkpoint.parent / "portrait_20250615-170000.json"
    settings = {
        "LoRA_type": "Standard", "output_name": "portrait", "epoch": 10, "optimizer": "AdamW8bit", "seed": "42",
        "lr_scheduler_num_cycles": "2", "save_every_n_steps": 0, "xformers": "sdpa", "conv_dim": 1, "vae": "",
    }  # fmt: skip
    path.write_text(json.dumps(settings))
    os.utime(path, (STARTED - 10,) * 2)
    read = read_checkpoint(checkpoint)
    assert cycles_of(read) == (2, "sidecar")
    values = {name: read.parameters[name].value for name in ("xformers", "sdpa", "save_every_n_steps", "seed")}
    assert values == {"xformers": False, "sdpa": True, "save_every_n_steps": None, "seed": 42}
    assert read.parameters["conv_dim"].value is None, "the box of another kind of LoRA"


@pytest.mark.parametrize("content", ["= nonsense", "a = [" + "[" * 5_000, "\x00\xff", "x = 1\n"])
def test_other_and_broken_files_beside_a_checkpoint_do_no_harm(content: str, checkpoint: Path) -> None:
    (checkpoint.parent / "portrait.toml").write_text(content, encoding="latin-1")
    (checkpoint.parent / "portrait.json").write_text(content, encoding="latin-1")
    read = read_checkpoint(checkpoint)
    assert read.config_paths == ()
    assert all(note.isprintable() for note in read.notes), read.notes


def test_a_configuration_over_a_megabyte_is_not_read(checkpoint: Path) -> None:
    path = config(checkpoint.parent, "run.toml", cycles=3)
    path.write_text(path.read_text() + "#" * 1024**2)
    os.utime(path, (STARTED - 10,) * 2)
    assert cycles_of(read_checkpoint(checkpoint)) is None


def test_dropout_set_in_a_dataset_toml_wins_over_the_header(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000005.safetensors", None, ss_datasets=DATASETS, **DROPOUT)
    toml = tmp_path / "dataset.toml"
    toml.write_text(DATASET)
    read = read_checkpoint(path)
    assert read.config_paths == (toml,), "found by agreement with the header, no configuration names it"
    found = read.parameters["caption_dropout_rate"]
    assert (found.value, found.source) == ([0.1, 0.05], "dataset_toml"), "the header says 0.0"
    assert read.parameters["caption_dropout_rate_weighted"].value == pytest.approx((12 * 0.1 + 4 * 0.05) / 16)
    assert read.parameters["caption_tag_dropout_rate"].value == 0.0
    assert read.parameters["caption_tag_dropout_rate"].source == "header", "the file leaves it at the argument"


def test_without_the_dataset_toml_a_default_in_the_header_is_not_believed(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000005.safetensors", None, ss_datasets=DATASETS, **DROPOUT)
    read = read_checkpoint(path)
    assert "caption_dropout_rate" not in read.parameters
    assert "global argument" in read.missing["caption_dropout_rate"]


def test_a_dataset_toml_changed_since_is_not_taken(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000005.safetensors", None, ss_datasets=DATASETS, **DROPOUT)
    for changed in (DATASET.replace("num_repeats = 2", "num_repeats = 5"), DATASET.replace("mages", "elves")):
        (tmp_path / "dataset.toml").write_text(changed)
        assert read_checkpoint(path).config_paths == ()


def test_a_subset_without_pictures_is_left_out_as_the_trainer_does(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000005.safetensors", None, ss_datasets=DATASETS, **DROPOUT)
    empty = '  [[datasets.subsets]]\n  image_dir = "empty"\n  caption_dropout_rate = 0.9\n'
    (tmp_path / "dataset.toml").write_text(DATASET + empty)
    assert read_checkpoint(path).parameters["caption_dropout_rate"].value == [0.1, 0.05]


def test_folders_on_the_command_line_mean_no_dataset_toml(tmp_path: Path) -> None:
    path = write_kohya(tmp_path / "portrait-000005.safetensors", None, ss_keep_tokens="3", **DROPOUT)
    (tmp_path / "dataset.toml").write_text(DATASET)
    read = read_checkpoint(path)
    assert read.config_paths == ()
    assert read.parameters["caption_dropout_rate"].value == 0.0
    assert "caption_extension" in read.missing


def test_without_metadata_the_configuration_tells_everything(tmp_path: Path) -> None:
    folder = sample_folder("run_a", tmp_path)
    stripped = write_kohya(
        folder / "pixchar_a.safetensors", None,
        **{key: None for key in RUN_METADATA if key != "ss_network_module"},
    )  # fmt: skip
    read = read_checkpoint(stripped)
    assert read.parameters["no_metadata"].value is True
    found = {
        name: (read.parameters[name].value, read.parameters[name].source)
        for name in ("learning_rate", "seed", "keep_tokens", "resolution", "max_train_epochs")
    }
    assert found == {
        "learning_rate": (1e-4, "sidecar"),
        "seed": (42, "sidecar"),
        "keep_tokens": ([1, 2], "dataset_toml"),
        "resolution": ([64, 64], "dataset_toml"),
        "max_train_epochs": (3, "sidecar"),
    }
    assert (read.epoch, read.is_final) == (3, True), "the last file, of a run planned for three epochs"


def test_genuine_files_find_their_configurations_after_copying(tmp_path: Path) -> None:
    folder = sample_folder("run_a", tmp_path)
    for path in folder.glob("*.toml"):
        os.utime(path)
    read = read_checkpoint(folder / "pixchar_a-000001.safetensors")
    assert [path.name for path in read.config_paths] == ["run_a.toml", "run_a_dataset.toml"]
