import tomllib
from pathlib import Path

import pytest

from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig, load_config, read_config
from pixel_lora_pipeline.train.parameter_table import parameter_table

# Options that decide where things go, not how a training goes: the table leaves them out.
PLACES = {"output_dir", "save_model_as"}


def fault(**parameters: object) -> str:
    with pytest.raises(ConfigError) as caught:
        read_config(parameters)
    return str(caught.value)


def test_every_accepted_name_is_kohyas() -> None:
    assert LoraConfig.model_fields.keys() - PLACES - parameter_table().keys() == set()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("netwrk_dim", "network_dim"), ("lr_sheduler", "lr_scheduler"), ("LearningRate", "learning_rate")],
)
def test_an_unknown_name_is_refused_with_the_nearest_known_one(name: str, nearest: str) -> None:
    message = fault(**{name: 8})
    assert f"{name} = 8" in message and f"did you mean {nearest}?" in message


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("network_dim", 0, "greater than or equal to 1"),
        ("network_alpha", -1, "greater than or equal to 0"),
        ("caption_dropout_rate", 1.5, "less than or equal to 1"),
        ("network_dropout", 1.0, "less than 1"),
        ("learning_rate", float("nan"), "finite"),
        ("lr_scheduler", "cosin", "'cosine'"),
        ("optimizer_type", "Lion", "'Adafactor'"),
        ("train_batch_size", 1.5, "integer"),
        ("lr_warmup_steps", 1.5, "share of all steps"),
        ("output_name", "../elsewhere", "file name"),
        ("resolution", "wide", "'64,64'"),
        ("save_precision", "fp8", "'fp16'"),
        ("text_encoder_lr", [1e-4, 1e-5], "number"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(name: str, value: object, allowed: str) -> None:
    message = fault(**{name: value})
    assert f"{name} = {value!r}" in message and allowed in message


def test_all_faults_are_told_at_once() -> None:
    message = fault(network_dim=0, epochs=3, reg_data_dir="x", network_args=["conv_dim=4", "algo=lokr"])
    assert all(text in message for text in ("network_dim = 0", "epochs = 3", "reg_data_dir", "algo=lokr")), message


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("prior_loss_weight", 0.5),
        ("gradient_checkpointing", True),
        ("dataset_config", "a.toml"),
        ("mixed_precision", "bf16"),
    ],
)
def test_what_kohya_does_and_this_trainer_does_not_is_refused(name: str, value: object) -> None:
    assert f"{name} = {value!r}" in fault(**{name: value})


def test_kohyas_defaults_of_what_this_trainer_does_not_do_ask_for_nothing() -> None:
    read_config({"prior_loss_weight": 1.0, "gradient_checkpointing": False, "xformers": None, "mixed_precision": "no"})


def test_network_arguments_may_stand_in_either_place() -> None:
    as_texts = read_config({"network_args": ["conv_dim=4", "conv_alpha=2", "rank_dropout=0.1"]})
    as_mapping = read_config({"network_args": {"conv_dim": "4", "conv_alpha": 2, "rank_dropout": 0.1, "dropout": None}})
    beside = read_config({"conv_dim": 4, "conv_alpha": 2, "rank_dropout": 0.1})
    assert as_texts == as_mapping == beside
    assert beside.network_args == {"conv_dim": "4", "conv_alpha": "2", "rank_dropout": "0.1"}


def test_contradicting_network_arguments_are_refused() -> None:
    assert "conv_dim = 8: network_args says 4" in fault(conv_dim=8, network_args=["conv_dim=4"])


def test_values_as_a_checkpoints_header_gives_them_are_understood() -> None:
    config = read_config(
        {
            "optimizer_type": "adamw",
            "optimizer_args": {"weight_decay": 0.01, "betas": [0.9, 0.99]},
            "text_encoder_lr": [5e-5],
            "resolution": "(64, 64)",
            "lr_scheduler": "cosine",
            "lr_warmup_steps": 10.0,
            "unet_lr": "1e-4",
            "seed": None,
        }
    )
    assert config.optimizer_arguments() == {"weight_decay": 0.01, "betas": (0.9, 0.99)}
    assert (config.optimizer_type, config.text_encoder_lr, config.unet_lr) == ("AdamW", 5e-5, 1e-4)
    assert (config.resolution, config.lr_warmup_steps, config.seed) == ((64, 64), 10, None)


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({"network_train_unet_only": True, "network_train_text_encoder_only": True}, "both true"),
        ({"lr_scheduler": "constant", "lr_warmup_steps": 5}, "constant_with_warmup"),
        ({"cache_latents": True, "color_aug": True}, "drop one"),
        ({"optimizer_type": "Adafactor"}, "relative_step=False"),
        ({"optimizer_args": ["momentum=0.9"]}, "AdamW takes"),
        ({"optimizer_args": ["weight_decay=lots"]}, "number"),
    ],
)
def test_what_cannot_go_together_is_refused(parameters: dict[str, object], reason: str) -> None:
    assert reason in fault(**parameters)


def test_what_changes_nothing_in_its_combination_is_named() -> None:
    config = read_config({"keep_tokens": 2, "lr_scheduler_num_cycles": 3, "huber_c": 0.2, "conv_alpha": 1})
    assert [sentence.split()[0].rstrip(":") for sentence in config.inert()] == [
        "keep_tokens",
        "lr_scheduler_num_cycles",
        "conv_alpha",
        "huber_c",
    ]
    assert read_config({"keep_tokens": 2, "shuffle_caption": True}).inert() == []


def test_the_written_configuration_reads_back_as_the_same(tmp_path: Path) -> None:
    config = read_config(
        {
            "output_name": 'a "quoted" nämé',
            "training_comment": "line one\nline two\x7f",
            "train_data_dir": str(tmp_path),
            "resolution": 64,
            "network_args": ["conv_dim=4"],
            "optimizer_args": ["weight_decay=0.01", "betas=0.9,0.99"],
            "learning_rate": 1e-5,
            "shuffle_caption": True,
            "max_train_epochs": 3,
            "seed": 4,
        }
    )
    path = tmp_path / "written.toml"
    path.write_text(config.to_toml(), encoding="utf-8")
    assert load_config(path) == config
    assert tomllib.loads(path.read_text(encoding="utf-8"))["resolution"] == "64,64"


def test_sections_of_a_toml_file_do_not_count_and_later_keys_win(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[network]\nnetwork_dim = 8\nseed = 1\n[training]\nseed = 2\n")
    assert load_config(path) == LoraConfig(network_dim=8, seed=2)


@pytest.mark.parametrize("content", [None, b"network_dim = ", b"\xff\xfe"])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        load_config(path)
