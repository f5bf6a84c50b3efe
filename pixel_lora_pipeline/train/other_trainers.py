"""What headers of trainers other than Kohya's say, by Kohya's names, as far as they say it."""

from typing import Literal

from pixel_lora_pipeline.train.bounded_json import JSONValue, TooDeepError, parse_json

Trainer = Literal["kohya", "OneTrainer", "ai-toolkit", "diffusers", "unknown"]

# OneTrainer's configuration names, where only the name differs.
_ONETRAINER_NAMES = {
    "base_model_name": "pretrained_model_name_or_path",
    "learning_rate": "learning_rate",
    "learning_rate_warmup_steps": "lr_warmup_steps",
    "learning_rate_cycles": "lr_scheduler_num_cycles",
    "learning_rate_min_factor": "lr_scheduler_min_lr_ratio",
    "epochs": "max_train_epochs",
    "batch_size": "train_batch_size",
    "gradient_accumulation_steps": "gradient_accumulation_steps",
    "lora_rank": "network_dim",
    "lora_alpha": "network_alpha",
    "dropout_probability": "network_dropout",
    "resolution": "resolution",
    "offset_noise_weight": "noise_offset",
    "perturbation_noise_weight": "ip_noise_gamma",
    "rescale_noise_scheduler_to_zero_terminal_snr": "zero_terminal_snr",
    "clip_grad_norm": "max_grad_norm",
    "masked_training": "masked_loss",
    "aspect_ratio_bucketing": "enable_bucket",
}
_ONETRAINER_TYPES = {"FLOAT_16": "fp16", "BFLOAT_16": "bf16", "FLOAT_32": "no"}


def detect_trainer(metadata: dict[str, str], uses_diffusers_keys: bool) -> Trainer:
    """Which program wrote a header."""
    if "ss_session_id" in metadata or "ss_network_module" in metadata:
        return "kohya"
    if any(key in metadata for key in ("ot_branch", "ot_revision", "ot_config")):
        return "OneTrainer"
    if "ai-toolkit" in metadata.get("software", "") or "training_info" in metadata:
        return "ai-toolkit"
    return "diffusers" if uses_diffusers_keys else "unknown"


def foreign_values(trainer: Trainer, metadata: dict[str, str]) -> dict[str, JSONValue]:
    """Values from a header of OneTrainer or ai-toolkit by Kohya's names; not yet typed.

    Raises
    ------
    TooDeepError
        If a JSON text in the header is nested deeper than any trainer writes.
    """
    match trainer:
        case "OneTrainer":
            return _onetrainer(_json_object(metadata, "ot_config"))
        case "ai-toolkit":
            progress = _json_object(metadata, "training_info")
            return {
                ours: progress[theirs] for theirs, ours in (("step", "steps"), ("epoch", "epoch")) if theirs in progress
            }
    return {}


def stated_alphas(metadata: dict[str, str]) -> dict[str, float]:
    """Alphas that diffusers keeps in its header instead of in tensors: module or model → alpha.

    Without them a loader takes alpha = rank, which is another strength than was trained.
    """
    config = _json_object(metadata, "lora_adapter_metadata")
    alphas: dict[str, float] = {}
    for name, value in config.items():
        model, _, field = name.partition(".")
        if field == "lora_alpha" and isinstance(value, int | float):
            alphas[model] = float(value)
        if field == "alpha_pattern" and isinstance(value, dict):
            alphas |= {
                f"{model}.{module}": float(alpha) for module, alpha in value.items() if isinstance(alpha, int | float)
            }
    return alphas


def _onetrainer(config: dict[str, JSONValue]) -> dict[str, JSONValue]:
    values = {ours: config[theirs] for theirs, ours in _ONETRAINER_NAMES.items() if theirs in config}
    if isinstance(scheduler := config.get("learning_rate_scheduler"), str):
        values["lr_scheduler"] = scheduler.lower()
    if isinstance(optimizer := config.get("optimizer"), dict) and "optimizer" in optimizer:
        values["optimizer_type"] = optimizer["optimizer"]
    for part, name in (("unet", "unet_lr"), ("text_encoder", "text_encoder_lr")):
        if isinstance(settings := config.get(part), dict):
            values[name] = settings.get("learning_rate") if settings.get("train", True) else 0.0
    if config.get("train_dtype") in _ONETRAINER_TYPES:
        values["mixed_precision"] = _ONETRAINER_TYPES[str(config["train_dtype"])]
    if config.get("loss_weight_fn") == "MIN_SNR_GAMMA":
        values["min_snr_gamma"] = config.get("loss_weight_strength")
    return values


def _json_object(metadata: dict[str, str], key: str) -> dict[str, JSONValue]:
    try:
        value = parse_json(metadata[key]) if key in metadata else {}
    except TooDeepError:
        raise
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
