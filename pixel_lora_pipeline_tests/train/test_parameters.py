"""What values in a header mean, trap by trap."""

import json
from pathlib import Path

import numpy as np
import pytest

from pixel_lora_pipeline.train import Checkpoint, read_checkpoint
from pixel_lora_pipeline.train.parameter_value import PER_FILE_PARAMETERS
from pixel_lora_pipeline_tests.train.lora_files import kohya_tensors, write_kohya


def written(folder: Path, tensors: dict[str, np.ndarray] | None = None, **metadata: str | None) -> Checkpoint:
    return read_checkpoint(write_kohya(folder / "portrait-000005.safetensors", tensors, **metadata))


@pytest.mark.parametrize(
    ("key", "text", "name", "value"),
    [
        ("ss_seed", "42", "seed", 42),
        ("ss_unet_lr", "1e-05", "unet_lr", 1e-5),
        ("ss_network_alpha", "2", "network_alpha", 2.0),
        ("ss_text_encoder_lr", "[5e-05, 1e-05]", "text_encoder_lr", [5e-5, 1e-5]),
        ("ss_text_encoder_lr", "[5e-05]", "text_encoder_lr", 5e-5),
        ("ss_lr_warmup_steps", "100", "lr_warmup_steps", 100),
        ("ss_lr_warmup_steps", "0.1", "lr_warmup_steps", 0.1),
        ("ss_flip_aug", "True", "flip_aug", True),
        ("ss_min_snr_gamma", "None", "min_snr_gamma", None),
        ("ss_training_comment", "None", "training_comment", None),
        ("ss_training_comment", "5", "training_comment", "5"),
        ("ss_resolution", "(64, 96)", "resolution", [64, 96]),
        ("ss_resolution", "512", "resolution", [512, 512]),
        ("ss_optimizer", "torch.optim.adamw.AdamW", "optimizer_type", "AdamW"),
        ("ss_optimizer", "bitsandbytes.optim.adamw.AdamW8bit(betas=(0.9, 0.99))", "optimizer_type", "AdamW8bit"),
        ("ss_optimizer", "torch.optim.adamw.AdamW", "optimizer_args", None),
        (
            "ss_optimizer",
            "transformers.optimization.Adafactor(scale_parameter=False,weight_decay=0.01,betas=(0.9, 0.99),clip=None)",
            "optimizer_args",
            {"scale_parameter": False, "weight_decay": 0.01, "betas": [0.9, 0.99], "clip": None},
        ),
        ("ss_network_args", '{"rank_dropout": "0.1", "dropout": null}', "rank_dropout", 0.1),
        ("ss_network_args", '{"block_dims": "2,4,8"}', "block_dims", [2, 4, 8]),
        ("ss_network_args", '{"down_lr_weight": "cosine"}', "down_lr_weight", "cosine"),
        ("ss_dataset_dirs", '{"2_a": {"n_repeats": 2, "img_count": 6}}', "num_repeats", 2),
        ("ss_base_model_version", "sd_v2_v", "v_parameterization", True),
        ("ss_base_model_version", "sd_v1", "v_parameterization", False),
        ("modelspec.timestep_range", "100,900", "min_timestep", 100),
        ("modelspec.timestep_range", "100,900", "max_timestep", 900),
        (
            "modelspec.thumbnail",
            "data:image/jpeg;base64," + "A" * 5_000,
            "metadata_thumbnail",
            "data:image/jpeg;base64",
        ),
    ],
)
def test_a_header_text_becomes_a_value_of_its_type(
    key: str, text: str, name: str, value: object, tmp_path: Path
) -> None:
    found = written(tmp_path, None, **{key: text}).parameters[name]
    assert found.value == value
    assert type(found.value) is type(value)
    assert found.source == "header"


def test_a_network_argument_that_was_not_given_is_known_to_be_unset(tmp_path: Path) -> None:
    read = written(tmp_path)
    assert (read.parameters["conv_dim"].value, read.parameters["conv_dim"].source) == (None, "header")
    assert "lycoris" in read.missing["algo"]


def test_the_reason_tells_what_is_never_recorded_from_what_an_old_version_left_out(tmp_path: Path) -> None:
    missing = written(tmp_path).missing
    assert missing["save_state"].startswith("Kohya does not record it")
    assert "version does not record it" in missing["huber_scale"]
    assert "only for trainings with a dataset_config" in missing["caption_prefix"]


def test_keys_that_the_table_does_not_know_are_kept_too(tmp_path: Path) -> None:
    found = written(
        tmp_path, None, **{"ss_sd_model_hash": "6ce0161689", "ss_discrete_flow_shift": "3.0", "ss_../x": "1"}
    )
    assert found.parameters["sd_model_hash"].value == "6ce0161689"
    assert found.parameters["discrete_flow_shift"].value == 3.0
    assert all("/" not in name for name in found.parameters)


def test_ranks_after_resizing_are_those_of_the_tensors(tmp_path: Path) -> None:
    read = written(tmp_path, kohya_tensors(rank=8, alpha=8.0), ss_network_dim="128", ss_network_alpha="64")
    found = {
        name: (read.parameters[name].value, read.parameters[name].source) for name in ("network_dim", "network_alpha")
    }
    assert found == {"network_dim": (8, "tensors"), "network_alpha": (8.0, "tensors")}
    assert read.parameters["alpha_per_rank"].value == 1.0


def test_an_alpha_that_half_precision_rounds_is_the_headers(tmp_path: Path) -> None:
    found = written(tmp_path, kohya_tensors(alpha=0.1), ss_network_alpha="0.1").parameters["network_alpha"]
    assert (found.value, found.source) == (0.1, "header")


def test_an_alpha_of_zero_means_what_the_tensors_say(tmp_path: Path) -> None:
    found = written(tmp_path, kohya_tensors(rank=4, alpha=4.0), ss_network_alpha="0").parameters["network_alpha"]
    assert (found.value, found.source) == (4.0, "tensors")


def test_different_ranks_are_all_listed(tmp_path: Path) -> None:
    name = "lora_unet_mid_block_attentions_0_proj_in"
    wider = {
        f"{name}.lora_down.weight": np.ones((16, 8), np.float16),
        f"{name}.lora_up.weight": np.ones((8, 16), np.float16),
    }
    read = written(tmp_path, kohya_tensors(rank=4, alpha=2.0) | wider)
    assert read.parameters["measured_linear_rank"].value == [4, 16]
    assert read.adapter.linear_ranks == {4: 3, 16: 1}
    assert read.parameters["network_dim"].value == 4, "the header's, as blocks may differ"
    # Three modules of 2/4, and one without alpha: scale 1.
    assert read.parameters["alpha_per_rank"].value == pytest.approx((3 * 0.5 + 1.0) / 4)


def test_which_parts_were_trained_is_seen_in_the_tensors(tmp_path: Path) -> None:
    unet = {name: tensor for name, tensor in kohya_tensors().items() if name.startswith("lora_unet_")}
    parameters = written(tmp_path, unet).parameters
    assert (parameters["network_train_unet_only"].value, parameters["network_train_unet_only"].source) == (
        True,
        "tensors",
    )
    assert parameters["network_train_text_encoder_only"].value is False
    assert parameters["save_precision"].value == "fp16"


def test_the_text_encoders_learning_rate_counts_where_only_it_was_trained(tmp_path: Path) -> None:
    text = {name: tensor for name, tensor in kohya_tensors().items() if name.startswith("lora_te_")}
    parameters = written(tmp_path, text, ss_text_encoder_lr="0.001").parameters
    assert parameters["lr_times_alpha_per_rank"].value == pytest.approx(0.001 * 0.5)


def test_regularisation_pictures_do_not_count_as_training_subsets(tmp_path: Path) -> None:
    subsets = [
        {"image_dir": "knights", "img_count": 6, "num_repeats": 2, "keep_tokens": 3, "is_reg": False},
        {"image_dir": "reg", "img_count": 90, "num_repeats": 1, "keep_tokens": 0, "is_reg": True},
    ]
    datasets = json.dumps([{"batch_size_per_device": 2, "resolution": [64, 64], "subsets": subsets}])
    parameters = written(tmp_path, None, ss_datasets=datasets, ss_gradient_accumulation_steps="4").parameters
    assert parameters["keep_tokens"].value == 3
    assert parameters["train_batch_size"].value == 2
    assert parameters["effective_batch_size"].value == 8


def test_pictures_are_summed_over_all_datasets(tmp_path: Path) -> None:
    subsets = [{"image_dir": "knights", "img_count": 6, "num_repeats": 2, "keep_tokens": 3, "is_reg": False}]
    datasets = json.dumps(
        [
            {"batch_size_per_device": size, "num_train_images": 12, "resolution": [side, side], "subsets": subsets}
            for size, side in ((2, 64), (4, 32))
        ]
    )
    parameters = written(tmp_path, None, ss_datasets=datasets, ss_num_train_images="24").parameters
    assert parameters["images_times_repeats"].value == 24
    assert parameters["train_batch_size"].value == [2, 4]
    assert parameters["resolution"].value == [[64, 64], [32, 32]]
    assert "effective_batch_size" not in parameters, "not one number"


@pytest.mark.parametrize("datasets", ["{}", "[1]", '[{"subsets": 1}]', '[{"subsets": [1]}]', "nonsense", "[]"])
def test_a_description_of_datasets_in_another_form_is_missing_with_a_reason(datasets: str, tmp_path: Path) -> None:
    read = written(tmp_path, None, ss_datasets=datasets)
    assert "ss_datasets" in read.missing["keep_tokens"]


def test_the_parameters_of_a_run_are_json_that_sql_can_ask(tmp_path: Path) -> None:
    read = written(tmp_path, None, ss_keep_tokens="3", ss_network_dim="4", ss_network_alpha="2.0")
    stored = json.loads(json.dumps(read.to_json(), allow_nan=False))
    # `->>` of a number is its JSON text.
    assert json.dumps(stored["network_dim"]) == "4"
    assert json.dumps(stored["keep_tokens"]) == "3"
    assert json.dumps(stored["network_alpha"]) == "2", "as a person would write it"
    assert stored["learning_rate"] == 1e-4
    assert stored.keys() == read.sources_json().keys()
    assert set(read.sources_json().values()) <= {"header", "sidecar", "dataset_toml", "tensors", "file_name"}


def test_every_epoch_of_a_run_has_the_same_run_parameters(tmp_path: Path) -> None:
    first = written(tmp_path, ss_epoch="1", ss_steps="10", ss_training_finished_at="1750000100.0")
    second = written(tmp_path, ss_epoch="2", ss_steps="20", ss_training_finished_at="1750000200.0")
    assert first.to_json() == second.to_json()
    assert not PER_FILE_PARAMETERS & first.to_json().keys()


@pytest.mark.parametrize(("width", "architecture"), [(768, "sd15"), (1024, "sd2"), (2048, "sdxl"), (64, "width-64")])
def test_the_base_model_is_known_by_its_cross_attention(width: int, architecture: str, tmp_path: Path) -> None:
    read = written(tmp_path, kohya_tensors(width=width), ss_base_model_version="sdxl_base_v1-0")
    assert read.base_architecture == architecture, "whatever the header claims"


def test_without_cross_attention_the_header_is_asked(tmp_path: Path) -> None:
    unet = {name: tensor for name, tensor in kohya_tensors().items() if "attn1" in name}
    assert written(tmp_path, unet, ss_base_model_version="sd_v1").base_architecture == "sd15"
    assert written(tmp_path, unet).base_architecture == "unknown"
