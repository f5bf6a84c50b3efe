"""Noise, target and loss of a diffusion training step."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from pixel_lora_pipeline.embedded.lora_config import LoraConfig


@dataclass(frozen=True)
class Diffusion:
    """The base model's noise schedule, and what its U-Net predicts.

    Attributes
    ----------
    signal, noise
        float32 (steps,): the shares of latent and noise in a noisy latent; their squares add up to one.
    predicts_velocity
        True for v-prediction, False for the noise itself.
    """

    signal: Tensor
    noise: Tensor
    predicts_velocity: bool

    @classmethod
    def of(cls, scheduler: Any) -> "Diffusion":
        """From a diffusers scheduler whose model predicts noise or velocity."""
        kept = scheduler.alphas_cumprod
        return cls(kept.sqrt(), (1 - kept).sqrt(), scheduler.config.prediction_type == "v_prediction")

    def noisy(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """The latents (b, c, h, w) as they are at the timesteps (b,)."""
        return _wide(self.signal[timesteps]) * latents + _wide(self.noise[timesteps]) * noise

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the U-Net should have said."""
        if not self.predicts_velocity:
            return noise
        return _wide(self.signal[timesteps]) * noise - _wide(self.noise[timesteps]) * latents

    def snr(self, timesteps: Tensor) -> Tensor:
        """Signal-to-noise ratio (of powers) at the timesteps."""
        return (self.signal[timesteps] / self.noise[timesteps]) ** 2


def draw_noise(latents: Tensor, config: LoraConfig, generator: torch.Generator) -> Tensor:
    """Gaussian noise, with `noise_offset` plus one constant per picture and channel."""
    noise = torch.randn(latents.shape, generator=generator)
    if config.noise_offset:
        noise = noise + config.noise_offset * torch.randn(*latents.shape[:2], 1, 1, generator=generator)
    return noise


def loss_per_image(
    predicted: Tensor, target: Tensor, timesteps: Tensor, diffusion: Diffusion, config: LoraConfig
) -> Tensor:
    """The loss of each picture, weighted as `min_snr_gamma` says.

    Parameters
    ----------
    predicted, target
        float32 (b, c, h, w).
    timesteps
        int64 (b,).
    diffusion, config
        The schedule; loss and its parameters.

    Returns
    -------
    float32 (b,), not negative.

    References
    ----------
    Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting Strategy",
    doi:10.48550/arXiv.2303.09556. For velocity Kohya divides by SNR + 1 instead of SNR.
    """
    match config.loss_type:
        case "l2":
            loss = nn.functional.mse_loss(predicted, target, reduction="none")
        case "l1":
            loss = nn.functional.l1_loss(predicted, target, reduction="none")
        case _:
            width = _wide(huber_width(timesteps, diffusion, config))
            # Pseudo-Huber: small errors count as in l2 for "huber", large ones as in l1 for "smooth_l1".
            loss = 2 * (torch.sqrt((predicted - target) ** 2 + width**2) - width)
            loss = loss * width if config.loss_type == "huber" else loss
    loss = loss.mean(dim=(1, 2, 3))
    if config.min_snr_gamma:
        snr = diffusion.snr(timesteps)
        loss = loss * snr.clamp(max=config.min_snr_gamma) / (snr + 1 if diffusion.predicts_velocity else snr)
    return loss


def huber_width(timesteps: Tensor, diffusion: Diffusion, config: LoraConfig) -> Tensor:
    """Where the Huber losses turn from square to linear, float32 (b,): by `huber_schedule`."""
    match config.huber_schedule:
        case "constant":
            return torch.full(timesteps.shape, config.huber_c * config.huber_scale)
        case "exponential":  # from huber_scale without noise to huber_c · huber_scale
            return torch.exp(math.log(config.huber_c) * timesteps / len(diffusion.signal)) * config.huber_scale
        case "snr":
            return (1 - config.huber_c) / (1 + diffusion.snr(timesteps) ** -0.5) ** 2 + config.huber_c


def _wide(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)
