"""The header of a Kohya checkpoint: every `ss_*` and `modelspec.*` key of a training from folders."""

import json
import math
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Self

from pixel_lora_pipeline.embedded.lora_config import LoraConfig
from pixel_lora_pipeline.embedded.lora_dataset import TrainingSet


@dataclass(frozen=True)
class Plan:
    """How long a training lasts: in batches an epoch, optimizer steps an epoch, epochs, and steps in all."""

    batches_per_epoch: int
    steps_per_epoch: int
    epochs: int
    steps: int

    @classmethod
    def of(cls, config: LoraConfig, images_per_epoch: int) -> Self:
        """As Kohya counts; a last, smaller batch or accumulation is one too."""
        batches = math.ceil(images_per_epoch / config.train_batch_size)
        per_epoch = math.ceil(batches / config.gradient_accumulation_steps)
        steps = config.max_train_steps if config.max_train_epochs is None else config.max_train_epochs * per_epoch
        return cls(batches, per_epoch, math.ceil(steps / per_epoch), steps)


@dataclass(frozen=True)
class Session:
    """One start of the trainer: a random number, and when it was, in Unix seconds."""

    id: int
    started_at: float


def run_header(
    config: LoraConfig,
    session: Session,
    plan: Plan,
    training_set: TrainingSet,
    base_model: Path,
    size: tuple[int, int],
    *,
    predicts_velocity: bool,
    optimizer: str,
) -> dict[str, str]:
    """What all checkpoints of a run have in common.

    Parameters
    ----------
    config
        With its seed.
    session, plan, training_set
        The run.
    base_model
        Folder of the base model.
    size
        Width and height of the training pictures.
    predicts_velocity
        Whether the base model does.
    optimizer
        As `describe_optimizer` says it.
    """
    values: dict[str, object] = {
        "ss_session_id": session.id,
        "ss_training_started_at": session.started_at,
        "ss_output_name": config.output_name,
        "ss_training_comment": config.training_comment,
        "ss_sd_scripts_commit_hash": "(unknown)",
        "ss_sd_model_name": base_model.name,
        # What Kohya writes where the base model is a folder.
        "ss_sd_model_hash": "IsADirectory",
        "ss_new_sd_model_hash": "IsADirectory",
        "ss_base_model_version": "sd_v1_v" if predicts_velocity else "sd_v1",
        "ss_v2": False,
        "ss_num_train_images": len(training_set.epoch),
        "ss_num_reg_images": 0,
        "ss_num_validation_images": 0,
        "ss_num_batches_per_epoch": plan.batches_per_epoch,
        "ss_num_epochs": plan.epochs,
        "ss_max_train_steps": plan.steps,
        **_network_values(config),
        **_optimization_values(config, optimizer),
        **_dataset_values(config, training_set, size),
        **_loss_values(config),
        **_UNUSED,
    }
    return {key: str(value) for key, value in values.items()} | {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.implementation_version": f"pixel-lora-pipeline/{version('pixel-lora-pipeline')}",
        "modelspec.title": config.output_name,
        "modelspec.resolution": f"{size[0]}x{size[1]}",
        "modelspec.prediction_type": "v" if predicts_velocity else "epsilon",
    }


def checkpoint_header(run: dict[str, str], *, epoch: int, step: int, saved_at: float) -> dict[str, str]:
    """The header of one checkpoint; `saved_at` in Unix seconds is Kohya's `ss_training_finished_at`."""
    return {
        **run,
        "ss_epoch": str(epoch),
        "ss_steps": str(step),
        "ss_training_finished_at": str(saved_at),
        "modelspec.date": time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(saved_at)),
    }


def _network_values(config: LoraConfig) -> dict[str, object]:
    values: dict[str, object] = {
        "ss_network_module": config.network_module,
        "ss_network_dim": config.network_dim,
        "ss_network_alpha": f"{config.network_alpha:g}",
        "ss_network_dropout": config.network_dropout,
        "ss_scale_weight_norms": config.scale_weight_norms,
    }
    if config.network_args:
        # Kohya adds the dropout for adapters that take it here.
        values["ss_network_args"] = json.dumps({**config.network_args, "dropout": config.network_dropout})
    return values


def _optimization_values(config: LoraConfig, optimizer: str) -> dict[str, object]:
    return {
        "ss_learning_rate": config.learning_rate,
        "ss_unet_lr": config.unet_lr,
        "ss_text_encoder_lr": config.text_encoder_lr,
        "ss_lr_scheduler": config.lr_scheduler,
        "ss_lr_warmup_steps": config.lr_warmup_steps,
        "ss_optimizer": optimizer,
        "ss_batch_size_per_device": config.train_batch_size,
        "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
        "ss_total_batch_size": config.train_batch_size * config.gradient_accumulation_steps,
        "ss_max_grad_norm": config.max_grad_norm,
        "ss_seed": config.seed,
        "ss_mixed_precision": config.mixed_precision,
        "ss_max_token_length": config.max_token_length,
        "ss_clip_skip": config.clip_skip,
    }


def _dataset_values(config: LoraConfig, training_set: TrainingSet, size: tuple[int, int]) -> dict[str, object]:
    folders = training_set.folders
    counts = {folder.name: {"n_repeats": folder.repeats, "img_count": len(folder.pictures)} for folder in folders}
    return {
        "ss_dataset_dirs": json.dumps(counts),
        "ss_reg_dataset_dirs": json.dumps({}),
        "ss_tag_frequency": json.dumps({folder.name: folder.tag_frequency for folder in folders}),
        "ss_resolution": str(size),
        "ss_resize_interpolation": config.resize_interpolation,
        # Kohya's values where pictures are not sorted by shape.
        "ss_enable_bucket": False,
        "ss_bucket_info": json.dumps(None),
        "ss_bucket_no_upscale": False,
        "ss_min_bucket_reso": None,
        "ss_max_bucket_reso": None,
        "ss_shuffle_caption": config.shuffle_caption,
        "ss_keep_tokens": config.keep_tokens,
        "ss_caption_dropout_rate": config.caption_dropout_rate,
        "ss_caption_dropout_every_n_epochs": config.caption_dropout_every_n_epochs,
        "ss_caption_tag_dropout_rate": config.caption_tag_dropout_rate,
        "ss_color_aug": config.color_aug,
        "ss_flip_aug": config.flip_aug,
        "ss_cache_latents": config.cache_latents,
    }


def _loss_values(config: LoraConfig) -> dict[str, object]:
    return {
        "ss_noise_offset": config.noise_offset,
        "ss_min_snr_gamma": config.min_snr_gamma,
        "ss_loss_type": config.loss_type,
        "ss_huber_schedule": config.huber_schedule,
        "ss_huber_c": config.huber_c,
        "ss_huber_scale": config.huber_scale,
    }


# What this trainer does not do, at the values with which Kohya does not do it either.
_UNUSED: dict[str, object] = {
    "ss_adaptive_noise_scale": None,
    "ss_debiased_estimation": False,
    "ss_face_crop_aug_range": None,
    "ss_fp8_base": False,
    "ss_fp8_base_unet": False,
    "ss_full_fp16": False,
    "ss_gradient_checkpointing": False,
    "ss_ip_noise_gamma": None,
    "ss_ip_noise_gamma_random_strength": False,
    "ss_lowram": False,
    "ss_max_validation_steps": None,
    "ss_multires_noise_discount": 0.3,
    "ss_multires_noise_iterations": None,
    "ss_noise_offset_random_strength": False,
    "ss_prior_loss_weight": 1.0,
    "ss_random_crop": False,
    "ss_validate_every_n_epochs": None,
    "ss_validate_every_n_steps": None,
    "ss_validation_seed": None,
    "ss_validation_split": 0.0,
    "ss_zero_terminal_snr": False,
}
