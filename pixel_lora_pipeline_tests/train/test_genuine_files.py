"""Files that Kohya's trainer really wrote, against the configurations that made them."""

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from pixel_lora_pipeline.train import CheckpointError, parameter_table, read_checkpoint, training_order, verify_weights
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES, sample_folder

RUN_A = KOHYA_SAMPLES / "run_a"
DIVERGED = KOHYA_SAMPLES / "run_diverge" / "pixchar_diverge.safetensors"
LOKR = KOHYA_SAMPLES / "run_lycoris" / "pixchar_lokr.safetensors"


def flat_toml(path: Path) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tomllib.loads(path.read_text()).items():
        flat |= value if isinstance(value, dict) else {name: value}
    return flat


@pytest.mark.parametrize(
    ("file", "config"),
    [(RUN_A / "pixchar_a-000002.safetensors", RUN_A / "run_a.toml"), (DIVERGED, DIVERGED.parent / "run_diverge.toml")],
)
def test_every_option_of_the_configuration_is_found_with_its_value(file: Path, config: Path) -> None:
    read = read_checkpoint(file)
    network_args = dict(argument.split("=") for argument in flat_toml(config).get("network_args", []))
    options = flat_toml(config) | {name: float(value) for name, value in network_args.items()}
    differing = {}
    for name, planned in options.items():
        if name not in parameter_table():
            continue  # where to write files, and the like
        found = read.parameters[name].value
        if name == "resolution":
            planned = [int(side) for side in planned.split(",")]
        elif name == "text_encoder_lr":
            planned = planned[0]
        elif name == "optimizer_args":
            planned = {"weight_decay": 0.01, "betas": [0.9, 0.99]}
        elif name == "network_args":
            found, planned = {key: found[key] for key in network_args}, network_args  # type: ignore[index]
        elif name == "pretrained_model_name_or_path":
            planned = Path(planned).name
        if found != planned:
            differing[name] = (found, planned)
    assert not differing, f"name: (read, configured) {differing}"


@pytest.mark.parametrize("file", [*sorted(RUN_A.glob("*.safetensors")), DIVERGED])
def test_each_parameter_of_the_table_has_a_value_with_source_or_a_reason(file: Path) -> None:
    read = read_checkpoint(file)
    known, missing = set(read.parameters), set(read.missing)
    assert set(parameter_table()) <= known | missing
    assert not known & missing, "both known and missing"
    sources = {value.source for value in read.parameters.values()}
    assert sources <= {"header", "sidecar", "dataset_toml", "tensors", "file_name"}
    assert all(len(reason) > 10 for reason in read.missing.values()), read.missing


def test_the_table_lists_175_parameters() -> None:
    assert len(parameter_table()) == 175


def test_subsets_that_keep_different_numbers_of_tags_are_told_apart() -> None:
    parameters = read_checkpoint(RUN_A / "pixchar_a.safetensors").parameters
    assert parameters["keep_tokens"].value == [1, 2]
    # 6 pictures × 2 repeats keep one tag, 4 × 1 keep two.
    spread = [parameters[f"keep_tokens_{end}"].value for end in ("min", "max", "weighted")]
    assert spread == [1.0, 2.0, (12 * 1 + 4 * 2) / 16]
    assert parameters["flip_aug"].value == [False, True]
    assert parameters["flip_aug_weighted"].value == 4 / 16
    assert parameters["shuffle_caption"].value is True, "equal in all subsets: one value"


def test_the_training_resolution_is_read_and_not_the_architectures() -> None:
    read = read_checkpoint(RUN_A / "pixchar_a.safetensors")
    assert read.parameters["resolution"].value == [64, 64], "modelspec.resolution says 512x512"


def test_what_only_the_dataset_toml_says_is_found_there() -> None:
    read = read_checkpoint(RUN_A / "pixchar_a-000001.safetensors")
    assert {read.parameters[name].source for name in ("caption_extension", "bucket_reso_steps")} == {"dataset_toml"}
    assert read.parameters["caption_extension"].value == ".txt"


def test_epochs_are_numbered_by_the_header_and_the_last_file_comes_last() -> None:
    epochs = [read_checkpoint(path) for path in sorted(RUN_A.glob("*.safetensors"), reverse=True)]
    in_order = sorted(epochs, key=training_order)
    assert [read.epoch for read in in_order] == [1, 2, 3]
    assert [read.step for read in in_order] == [8, 16, 24]
    assert [read.is_final for read in in_order] == [False, False, True]
    assert [read.planned_epochs for read in in_order] == [3, 3, 3]
    keys = [read.partition_key for read in in_order]
    assert keys == sorted(keys)
    assert len({read.run for read in epochs}) == 1, "three files of one run"


def test_ranks_and_alphas_are_those_of_the_tensors() -> None:
    adapter = read_checkpoint(DIVERGED).adapter
    assert adapter.adapter == "locon"
    assert [list(counts) for counts in (adapter.linear_ranks, adapter.conv_ranks)] == [[8], [4]]
    assert [list(counts) for counts in (adapter.linear_alphas, adapter.conv_alphas)] == [[4.0], [1.0]]
    assert adapter.modules == 290
    with safe_open(DIVERGED, "numpy") as file:
        downs = [name for name in file.keys() if name.endswith("lora_down.weight")]  # noqa: SIM118 - no mapping
        ranks = [file.get_slice(name).get_shape()[0] for name in downs]
    assert [adapter.linear_ranks[8], adapter.conv_ranks[4]] == [ranks.count(8), ranks.count(4)]


def test_calculated_features_follow_from_the_recorded_ones() -> None:
    values = {name: found.value for name, found in read_checkpoint(DIVERGED).parameters.items()}
    assert values["alpha_per_rank"] == 4 / 8
    assert values["conv_alpha_per_rank"] == 1 / 4
    assert values["lr_times_alpha_per_rank"] == 5.0 * 4 / 8
    assert values["images_times_repeats"] == 6 * 2 + 4 * 1
    assert values["effective_batch_size"] == 2 * 2


def test_a_diverged_training_is_refused_with_the_number_of_broken_tensors() -> None:
    read_checkpoint(DIVERGED)  # its header is fine
    with pytest.raises(CheckpointError, match=r"holds 580 tensors with NaN or infinity \(of 870\)") as caught:
        verify_weights(DIVERGED)
    assert not caught.value.retry
    assert "max_grad_norm" in caught.value.remedy


def test_a_lokr_is_read_by_its_tensors() -> None:
    found = read_checkpoint(LOKR)
    assert (found.adapter.adapter, found.adapter.modules) == ("lokr", 206)
    assert found.adapter.linear_ranks == {8: 98}, "the other 108 are whole matrices"
    assert (found.adapter.linear_alphas, found.adapter.linear_scale) == ({4.0: 98}, 0.5)
    assert (found.parameters["algo"].value, found.parameters["factor"].value) == ("lokr", "4")
    assert found.adapter.cross_attention_width == 64


def test_a_lora_for_another_base_model_is_refused() -> None:
    file = RUN_A / "pixchar_a.safetensors"
    assert read_checkpoint(file, required_width=64).base_architecture == "width-64"
    with pytest.raises(CheckpointError, match=r"takes 64 .* has 768 \(SD 1\.x\)") as caught:
        read_checkpoint(file, required_width=768)
    assert "base_model" in caught.value.remedy


def test_the_finite_epochs_pass() -> None:
    for path in RUN_A.glob("*.safetensors"):
        verify_weights(path)


def test_reading_the_same_file_twice_gives_the_same(tmp_path: Path) -> None:
    copy = sample_folder("run_a", tmp_path) / "pixchar_a.safetensors"
    assert read_checkpoint(copy) == read_checkpoint(copy)


def test_reading_a_header_imports_no_torch() -> None:
    script = (
        "import sys; from pathlib import Path; from pixel_lora_pipeline.train import read_checkpoint; "
        "read_checkpoint(Path(sys.argv[1])); print(sorted({'torch', 'diffusers', 'dagster'} & set(sys.modules)))"
    )
    arguments = [sys.executable, "-c", script, str(DIVERGED)]
    printed = subprocess.run(arguments, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert printed.stdout.strip() == "[]"
