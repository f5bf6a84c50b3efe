"""What Kohya's trainer is told: two files of its own, every option in its place and of its type, or a refusal."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table
from pixel_lora_pipeline.train.sidecars import find_sidecars
from pixel_lora_pipeline.train.trainers import TrainerError
from pixel_lora_pipeline.train.trainers.kohya import read_campaign_base, read_configuration
from pixel_lora_pipeline.train.trainers.kohya.options import OURS

# What the original's parser makes of each kind of value.
VALUES: dict[str, Any] = {"int": 1, "float": 0.5, "int_or_float": 0.1, "str": "a", "Path": "a", "dict": {"a": 1}}
SWITCHES = ("StoreTrue", "bool")
SPECIAL: dict[str, Any] = {
    "resolution": "512,768",
    "network_args": ["rank_dropout=0.1"],
    "optimizer_args": ["weight_decay=0.01", "betas=0.9,0.99"],
    "lr_scheduler_args": ["T_max=100"],
    "base_weights": ["other.safetensors"],
    "base_weights_multiplier": [0.5],
    "text_encoder_lr": [5e-5],
    "face_crop_aug_range": "1.0,4.0",
    "mixed_precision": "bf16",
    "save_precision": "bf16",
    "max_token_length": 225,
    "loss_type": "huber",
    "huber_schedule": "snr",
    "network_module": "lycoris.kohya",
    "bucket_reso_steps": 64,
    "min_bucket_reso": 64,
    "max_bucket_reso": 1024,
    "caption_extension": ".txt",
}
# Kohya, or we, want something else beside them, or refuse them.
NOT_ALONE = {
    "cache_text_encoder_outputs": {"network_train_unet_only": True},
    "enable_bucket": {"resolution": "512,512"},
    "full_fp16": {"mixed_precision": "fp16"},
    "full_bf16": {"mixed_precision": "bf16"},
}
REFUSED = {"save_last_n_epochs", "no_metadata"}
FILES = ("vae", "network_weights", "pretrained_model_name_or_path")


def sprite(path: Path, width: int = 64, height: int = 64, caption: str = ".txt") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height)).save(path)
    path.with_suffix(caption).write_text("pixchar, pink hair", encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> dict[str, Any]:
    sprite(tmp_path / "data" / "10_sprites" / "a.png")
    (tmp_path / "base.safetensors").touch()
    return {
        "pretrained_model_name_or_path": str(tmp_path / "base.safetensors"),
        "train_data_dir": str(tmp_path / "data"),
        "caption_extension": ".txt",
        "resolution": "64,64",
        "output_name": "experiment_7",
    }


def told(config: dict[str, Any], folder: Path, *, is_sdxl: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
    files = read_configuration(config, folder, folder / "logs", is_sdxl=is_sdxl).files()
    return tomllib.loads(files["config.toml"]), tomllib.loads(files["dataset.toml"])


def refusal(config: dict[str, Any], folder: Path) -> str:
    with pytest.raises(TrainerError) as refused:
        read_configuration(config, folder, folder / "logs")
    return str(refused.value)


def test_both_files_are_as_kohya_reads_them(base: dict[str, Any], tmp_path: Path) -> None:
    experiment = {
        "network_dim": 16,
        "network_alpha": 8,
        "conv_dim": 8.0,
        "conv_alpha": 4,
        "learning_rate": 1e-4,
        "text_encoder_lr": [5e-5],
        "optimizer_type": "AdamW8bit",
        "optimizer_args": {"weight_decay": 0.01, "betas": [0.9, 0.99]},
        "train_batch_size": 2,
        "max_train_epochs": 10,
        "keep_tokens": 2,
        "shuffle_caption": True,
        "caption_dropout_rate": 0.05,
        "seed": None,
    }
    files = read_configuration({**base, **experiment}, tmp_path / "run", tmp_path / "logs").files()
    at = json.dumps(str(tmp_path))[1:-1]
    assert (
        files["config.toml"]
        == f"""\
network_dim = 16
network_alpha = 8.0
network_module = "networks.lora"
pretrained_model_name_or_path = "{at}/base.safetensors"
learning_rate = 0.0001
text_encoder_lr = 5e-05
optimizer_type = "AdamW8bit"
optimizer_args = ["weight_decay=0.01", "betas=0.9,0.99"]
train_batch_size = 2
max_train_epochs = 10
caption_dropout_rate = 0.05
network_args = ["conv_dim=8", "conv_alpha=4"]
output_dir = "{at}/run"
output_name = "experiment_7"
save_model_as = "safetensors"
save_every_n_epochs = 1
logging_dir = "{at}/logs"
log_with = "tensorboard"
dataset_config = "{at}/run/dataset.toml"
"""
    )
    assert tomllib.loads(files["dataset.toml"]) == {
        "general": {
            "caption_extension": ".txt",
            "resolution": [64, 64],
            "keep_tokens": 2,
            "shuffle_caption": True,
            "batch_size": 2,
        },
        "datasets": [
            {
                "subsets": [
                    {
                        "image_dir": str(tmp_path / "data" / "10_sprites"),
                        "num_repeats": 10,
                        "class_tokens": "sprites",
                    }
                ]
            }
        ],
    }


@pytest.mark.parametrize("parameter", parameter_table().values(), ids=lambda parameter: parameter.name)
def test_every_parameter_of_the_table_is_told_in_its_place_and_type_or_refused(
    parameter: Parameter, base: dict[str, Any], tmp_path: Path
) -> None:
    name = parameter.name
    if name in FILES:
        (tmp_path / "a").touch()
    number = 8 if parameter.kind.startswith("str(") else True
    value = SPECIAL.get(name, VALUES.get(parameter.kind, number))
    value = str(tmp_path / "a") if name in FILES else value
    lycoris = {"network_module": "lycoris.kohya"} if parameter.section == "network_args(lycoris)" else {}
    config = {**base, **lycoris, **NOT_ALONE.get(name, {}), name: value}
    if parameter.section == "derived":
        assert "cannot be set" in refusal(config, tmp_path)
        return
    if name in REFUSED:
        assert name in refusal(config, tmp_path)
        return
    if name in OURS:
        return
    arguments, dataset = told(config, tmp_path, is_sdxl=parameter.section == "sdxl")
    if parameter.section.startswith("network_args"):
        assert f"{name}={value}" in arguments["network_args"]
    elif name in dataset["general"]:
        lists = {"resolution": [512, 768], "face_crop_aug_range": [1.0, 4.0]}
        assert dataset["general"][name] == lists.get(name, value)
        assert name not in arguments, "it is told twice"
    else:
        expected = 5e-5 if name == "text_encoder_lr" else value
        assert arguments[name] == expected and type(arguments[name]) is type(expected)


def test_everything_that_is_wrong_is_said_at_once_and_before_anything_is_written(
    base: dict[str, Any], tmp_path: Path
) -> None:
    wrong = {
        "network_dmi": 4,
        "max_train_epochs": "many",
        "mixed_precision": "fp12",
        "algo": "loha",
        "network_args": ["conv_dims=8"],
        "steps": 12,
        "vae": str(tmp_path / "none.safetensors"),
    }
    said = refusal({**base, **wrong}, tmp_path / "run")
    for part in (
        "network_dmi = 4: Kohya has no such option; did you mean network_dim?",
        "max_train_epochs = 'many'",
        "mixed_precision = 'fp12': it is one of no, fp16, bf16",
        "algo = 'loha': it is LyCORIS's",
        "conv_dims=8: networks.lora has no such argument; did you mean conv_dim?",
        "steps = 12: Kohya counts it",
        "none.safetensors': there is no such file",
    ):
        assert part in said, said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"enable_bucket": True, "bucket_no_upscale": True}, "1 of 1 pictures, small.png first, are narrower"),
        ({"enable_bucket": True}, "min_bucket_reso = 256"),
        ({"enable_bucket": True, "min_bucket_reso": 64, "bucket_reso_steps": 32}, "a multiple of 64"),
        ({"caption_extension": None}, "Set caption_extension = '.txt'"),
        ({"resolution": None}, "resolution is not set"),
        ({"cache_latents": True, "color_aug": True}, "cached pictures cannot vary"),
        ({"full_fp16": True}, "mixed_precision = 'fp16'"),
        ({"network_train_unet_only": True, "network_train_text_encoder_only": True}, "drop one of them"),
        ({"pretrained_model_name_or_path": None}, "name the base model"),
        ({"train_data_dir": None}, "say where the pictures are"),
        ({"train_data_dir": "/nowhere"}, "there is no such folder"),
    ],
    ids=lambda value: ", ".join(value) if isinstance(value, dict) else "",
)
def test_what_kohya_would_crash_on_is_refused(
    options: dict[str, Any], said: str, base: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "data" / "10_sprites" / "a.png").unlink()
    sprite(tmp_path / "data" / "10_sprites" / "small.png", 64, 96)
    assert said in refusal({**base, **options}, tmp_path)


def test_what_does_nothing_is_noted(base: dict[str, Any], tmp_path: Path) -> None:
    config = {**base, "keep_tokens": 2, "network_dim": 32}
    first, second = read_configuration(config, tmp_path, tmp_path).notes
    assert "keep_tokens = 2 does nothing for 10_sprites" in first
    assert "multiplied by 0.031" in second
    assert read_configuration({**config, "shuffle_caption": True, "network_alpha": 32}, tmp_path, tmp_path).notes == ()


@pytest.fixture
def own_files(tmp_path: Path) -> Path:
    """A configuration and a dataset file as people have them, with two folders that differ."""
    sprite(tmp_path / "pictures" / "hats" / "a.png")
    sprite(tmp_path / "pictures" / "crowns" / "b.png")
    (tmp_path / "base.safetensors").touch()
    (tmp_path / "dataset.toml").write_text(
        """
        [general]
        caption_extension = ".txt"
        keep_tokens = 1
        shuffle_caption = true
        caption_dropout_rate = 0.05
        [[datasets]]
        resolution = 64
        batch_size = 2
        [[datasets.subsets]]
        image_dir = "pictures/hats"
        num_repeats = 2
        [[datasets.subsets]]
        image_dir = "pictures/crowns"
        num_repeats = 3
        keep_tokens = 2
        """,
        encoding="utf-8",
    )
    config = tmp_path / "mine.toml"
    config.write_text(
        """
        dataset_config = "dataset.toml"
        output_dir = "elsewhere"
        [network]
        network_dim = 8
        network_args = ["conv_dim=4", "conv_alpha=2"]
        [train]
        keep_tokens = 3
        train_batch_size = 8
        learning_rate = 1e-4
        """,
        encoding="utf-8",
    )
    return config


def test_a_campaign_reads_from_peoples_own_files_what_holds_for_every_picture(
    own_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_campaign_base(own_files, str(tmp_path / "base.safetensors")) == {
        "pretrained_model_name_or_path": str(tmp_path / "base.safetensors"),
        "dataset_config": str(tmp_path / "dataset.toml"),
        "network_dim": 8,
        "conv_dim": 4,
        "conv_alpha": 2,
        "learning_rate": 1e-4,
        "caption_extension": ".txt",
        "shuffle_caption": True,
        "caption_dropout_rate": 0.05,
        "resolution": [64, 64],
        "train_batch_size": 2,
    }, "the dataset file wins over the arguments, and where its folders differ nothing holds for all"


def test_what_an_experiment_sets_wins_over_the_dataset_file_and_the_rest_stays(
    own_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    base = read_campaign_base(own_files, str(tmp_path / "base.safetensors"))
    arguments, dataset = told({**base, "caption_dropout_rate": 0.1, "output_name": "experiment_1"}, tmp_path)
    assert arguments["caption_dropout_rate"] == 0.1 and "caption_dropout_rate" not in dataset["general"]
    hats, crowns = dataset["datasets"][0]["subsets"]
    assert (dataset["general"]["keep_tokens"], hats["num_repeats"], crowns["keep_tokens"]) == (1, 2, 2)
    _, dataset = told({**base, "keep_tokens": 4, "output_name": "experiment_1"}, tmp_path)
    assert dataset["general"]["keep_tokens"] == 4
    assert all("keep_tokens" not in subset for subset in dataset["datasets"][0]["subsets"])


def test_what_a_training_was_told_is_found_beside_its_checkpoints(base: dict[str, Any], tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    config = {**base, "learning_rate": 1e-4, "lr_scheduler_num_cycles": 3, "keep_tokens": 2, "shuffle_caption": True}
    for name, content in read_configuration(config, run, run / "logs").files().items():
        (run / name).write_text(content, encoding="utf-8")
    found = find_sidecars(run / "experiment_7.safetensors", "experiment_7", 2e9, {}, None, True)
    assert found.values["lr_scheduler_num_cycles"] == 3, "no header says that"
    assert found.dataset_config == run / "dataset.toml"
    assert found.training_data is not None
    assert found.training_data.values(parameter_table()["keep_tokens"]) == [2]
