"""Optimizer and learning-rate schedule under Kohya's names."""

from typing import Any

import torch
from torch import nn

from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig
from pixel_lora_pipeline.embedded.lora_network import LoraNetwork


def learning_rates(config: LoraConfig) -> dict[str, float]:
    """The rate of each part that gets one: "text_encoder", "unet". A rate of 0 leaves a part untrained.

    Raises
    ------
    ConfigError
        If nothing would be trained.
    """
    rates = {}
    if not config.network_train_unet_only:
        rates["text_encoder"] = config.learning_rate if config.text_encoder_lr is None else config.text_encoder_lr
    if not config.network_train_text_encoder_only:
        rates["unet"] = config.learning_rate if config.unet_lr is None else config.unet_lr
    trained = {part: rate for part, rate in rates.items() if rate > 0}
    if not trained:
        raise ConfigError([f"learning_rate = {config.learning_rate}: every rate is 0, nothing would be trained"])
    return trained


def build_optimizer(config: LoraConfig, network: LoraNetwork) -> torch.optim.Optimizer:
    """The optimizer, with one parameter group for each of `learning_rates`, in their order.

    The weights of a part without a rate are frozen.

    Raises
    ------
    ConfigError
        If the optimizer refuses its arguments, or nothing would be trained.
    """
    rates = learning_rates(config)
    for part in ("text_encoder", "unet"):
        for parameter in network.parameters_of(part):
            parameter.requires_grad_(part in rates)
    groups = [{"params": network.parameters_of(part), "lr": rate} for part, rate in rates.items()]
    try:
        optimizer: torch.optim.Optimizer = _optimizer_class(config)(groups, **config.optimizer_arguments())
    except (TypeError, ValueError) as error:
        raise ConfigError([f"optimizer_args = {list(config.optimizer_args)}: {error}"]) from error
    return optimizer


def build_schedule(config: LoraConfig, optimizer: torch.optim.Optimizer, steps: int) -> Any:
    """The learning-rate schedule over that many steps, as diffusers defines it."""
    from diffusers.optimization import get_scheduler

    warmup = config.lr_warmup_steps
    return get_scheduler(
        config.lr_scheduler,
        optimizer,
        num_warmup_steps=int(warmup * steps) if isinstance(warmup, float) else warmup,
        num_training_steps=steps,
        num_cycles=config.lr_scheduler_num_cycles,
        power=config.lr_scheduler_power,
    )


def describe_optimizer(config: LoraConfig) -> str:
    """The optimizer as Kohya's header names it: `torch.optim.adamw.AdamW(weight_decay=0.01)`."""
    kind = _optimizer_class(config)
    arguments = ",".join(f"{key}={value}" for key, value in config.optimizer_arguments().items())
    return f"{kind.__module__}.{kind.__name__}" + (f"({arguments})" if arguments else "")


def clip_gradients(parameters: list[nn.Parameter], max_norm: float) -> float:
    """Scales the gradients down to the norm (0: leaves them); the norm that they had before."""
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(gradients)
    if max_norm > 0:
        nn.utils.clip_grads_with_norm_(parameters, max_norm, norm)
    return float(norm)


def _optimizer_class(config: LoraConfig) -> Any:
    match config.optimizer_type:
        case "AdamW":
            return torch.optim.AdamW
        case "SGD":
            return torch.optim.SGD
        case "Adafactor":
            from transformers.optimization import Adafactor

            return Adafactor
