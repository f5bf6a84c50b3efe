"""Headers and names of trainers other than Kohya's, as far as they go."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pixel_lora_pipeline.train import CheckpointError, read_checkpoint
from pixel_lora_pipeline_tests.train.lora_files import kohya_tensors


def peft_tensors(rank: int = 4) -> dict[str, np.ndarray]:
    block = "unet.down_blocks.0.attentions.0.transformer_blocks.0"
    return {
        f"{name}.{end}.weight": np.ones(shape, np.float32)
        for name, inputs in ((f"{block}.attn1.to_q", 32), (f"{block}.attn2.to_k", 768))
        for end, shape in (("lora_A", (rank, inputs)), ("lora_B", (32, rank)))
    }


def saved(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, str] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(tensors, path, {"format": "pt", "padding": "x" * 1_000} | (metadata or {}))
    return path


def test_onetrainers_configuration_is_read_by_kohyas_names(tmp_path: Path) -> None:
    config = {
        "learning_rate": 3e-4, "learning_rate_scheduler": "COSINE", "epochs": 20, "batch_size": 2,
        "gradient_accumulation_steps": 2, "lora_rank": 4, "lora_alpha": 2.0, "resolution": "512",
        "offset_noise_weight": 0.05, "clip_grad_norm": 1.0, "train_dtype": "BFLOAT_16", "masked_training": False,
        "optimizer": {"optimizer": "ADAMW", "weight_decay": 0.01}, "loss_weight_fn": "MIN_SNR_GAMMA",
        "loss_weight_strength": 5.0, "unet": {"train": True, "learning_rate": None},
        "text_encoder": {"train": False, "learning_rate": 1e-5},
    }  # fmt: skip
    path = tmp_path / "save" / "portrait2025-06-15_17-00-00-save-500-5-0.safetensors"
    read = read_checkpoint(saved(path, kohya_tensors(), {"ot_branch": "master", "ot_config": json.dumps(config)}))
    expected = {
        "learning_rate": 3e-4, "lr_scheduler": "cosine", "max_train_epochs": 20, "train_batch_size": 2,
        "network_dim": 4, "network_alpha": 2.0, "resolution": [512, 512], "noise_offset": 0.05,
        "max_grad_norm": 1.0, "mixed_precision": "bf16", "optimizer_type": "ADAMW", "min_snr_gamma": 5.0,
        "unet_lr": None, "text_encoder_lr": 0.0, "effective_batch_size": 4,
    }  # fmt: skip
    assert {name: read.parameters[name].value for name in expected} == expected
    assert read.trainer == "OneTrainer"
    assert (read.epoch, read.step, read.planned_epochs) == (5, 500, 20)
    assert read.partition_key.endswith("-000005")
    assert "OneTrainer" in read.missing["keep_tokens"]


def test_onetrainers_dated_names_are_one_run(tmp_path: Path) -> None:
    header = {"ot_branch": "master"}
    names = (
        "2025-06-15_17-00-00-save-500-5-0",
        "2025-06-15_17-30-00-save-1000-10-0",
        "2025-06-15_17-40-00-save-1100-11-3",
    )
    reads = [
        read_checkpoint(saved(tmp_path / "knights" / f"{name}.safetensors", kohya_tensors(), header)) for name in names
    ]
    assert len({read.run for read in reads}) == 1
    assert reads[0].run.name == "knights", "no prefix was set"
    assert reads[0].parameters["network_dim"].value == 4
    assert reads[0].parameters["network_dim"].source == "tensors"
    assert reads[2].partition_key.endswith("-step00001100"), "saved within an epoch"


def test_ai_toolkits_steps_are_read_from_header_and_name(tmp_path: Path) -> None:
    metadata = {
        "software": json.dumps({"name": "ai-toolkit"}),
        "training_info": json.dumps({"step": 2000, "epoch": 4}),
        "ss_base_model_version": "sd_1.5",
        "ss_output_name": "knights",
    }
    read = read_checkpoint(saved(tmp_path / "knights_000002000.safetensors", kohya_tensors(), metadata))
    assert (read.trainer, read.epoch, read.step, read.is_final) == ("ai-toolkit", 4, 2000, False)
    assert read.partition_key.endswith("-step00002000")
    last = read_checkpoint(saved(tmp_path / "knights.safetensors", kohya_tensors(), metadata))
    assert last.run == read.run
    assert last.is_final


def test_diffusers_keeps_alpha_in_its_header(tmp_path: Path) -> None:
    config = json.dumps({"unet.r": 4, "unet.lora_alpha": 2, "unet.alpha_pattern": {}})
    path = tmp_path / "knights" / "checkpoint-500" / "pytorch_lora_weights.safetensors"
    read = read_checkpoint(saved(path, peft_tensors(), {"lora_adapter_metadata": config}))
    assert (read.trainer, read.adapter.keys, read.step) == ("diffusers", "diffusers", 500)
    assert read.run.name == "knights"
    assert read.parameters["network_dim"].value == 4
    assert read.parameters["network_alpha"].value == 2.0
    assert read.parameters["alpha_per_rank"].value == 0.5
    assert read.base_architecture == "sd15"
    last = read_checkpoint(saved(path.parent.parent / path.name, peft_tensors(), {"lora_adapter_metadata": config}))
    assert last.run == read.run
    assert last.is_final


def test_without_that_header_alpha_is_unknown_and_loaded_as_the_rank(tmp_path: Path) -> None:
    read = read_checkpoint(saved(tmp_path / "pytorch_lora_weights.safetensors", peft_tensors()))
    assert read.adapter.linear_alphas == {}
    assert "network_alpha" in read.missing
    assert read.parameters["alpha_per_rank"].value == 1.0


def test_omi_keys_are_refused_before_a_loader_fails(tmp_path: Path) -> None:
    tensors = {
        "unet.down_blocks.0.attentions.0.proj_in.lora_down.weight": np.ones((4, 32), np.float32),
        "unet.down_blocks.0.attentions.0.proj_in.lora_up.weight": np.ones((32, 4), np.float32),
        "unet.down_blocks.0.attentions.0.proj_in.alpha": np.array(4.0, np.float32),
    }
    with pytest.raises(CheckpointError, match="OMI"):
        read_checkpoint(saved(tmp_path / "portrait.safetensors", tensors))


def test_sdxl_is_known_by_kohyas_block_names(tmp_path: Path) -> None:
    name = "lora_unet_input_blocks_4_1_transformer_blocks_0_attn2_to_k"
    tensors = {
        f"{name}.lora_down.weight": np.ones((4, 2048), np.float32),
        f"{name}.lora_up.weight": np.ones((640, 4), np.float32),
        f"{name}.alpha": np.array(4.0, np.float32),
    }
    read = read_checkpoint(saved(tmp_path / "portrait.safetensors", tensors))
    assert read.base_architecture == "sdxl"
    with pytest.raises(CheckpointError, match=r"2048 \(SDXL\)"):
        read_checkpoint(tmp_path / "portrait.safetensors", required_width=768)


def test_a_text_encoder_alone_shows_its_base_model_too(tmp_path: Path) -> None:
    for prefix, width, architecture in (
        ("lora_te_", 768, "sd15"),
        ("lora_te_", 1024, "sd2"),
        ("lora_te1_", 768, "sdxl"),
    ):
        name = f"{prefix}text_model_encoder_layers_0_self_attn_q_proj"
        tensors = {
            f"{name}.lora_down.weight": np.ones((4, width), np.float32),
            f"{name}.lora_up.weight": np.ones((width, 4), np.float32),
        }
        read = read_checkpoint(saved(tmp_path / "portrait.safetensors", tensors))
        assert read.base_architecture == architecture
