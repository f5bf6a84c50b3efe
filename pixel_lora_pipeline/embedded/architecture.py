"""The embedded Stable Diffusion: a genuine pipeline, small enough for two CPU cores and for this package.

The autoencoder halves each side, so that one latent cell is one cell of a 32×32 sprite: hard edges and flat
colours survive it. Its latents are set analytically (see `analytic_autoencoder`), which fixes them before any
training; only the decoder is trained afterwards.
"""

from typing import Final

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from numpy.typing import NDArray
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_WIDTH: Final = 128
LATENT_CHANNELS: Final = 4
LATENT_SIZE: Final = 32

# How far group norm and SiLU are pushed into the range in which they are linear (see `_linearise_norm`).
_CARRIER: Final = 100.0
_OPERATING_POINT: Final = 12.0


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model of three layers, untrained.

    Its position embeddings begin as sinusoids of the scale of the token embeddings: with them "the token after
    this one" is easy to express, and hex codes are read digit by digit.
    """
    text_encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=3 * TEXT_WIDTH,
            num_hidden_layers=3,
            num_attention_heads=4,
            max_position_embeddings=tokenizer.model_max_length,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    embeddings = text_encoder.get_input_embeddings()
    positions = next(
        module
        for name, module in text_encoder.named_modules()
        if name.endswith("position_embedding") and isinstance(module, torch.nn.Embedding)
    )
    angles = torch.arange(tokenizer.model_max_length)[:, None] / 1000 ** torch.linspace(0, 1, TEXT_WIDTH // 2)
    with torch.no_grad():
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)
        positions.weight.copy_(waves * embeddings.weight.std() / waves.std())
    return text_encoder


def build_unet() -> UNet2DConditionModel:
    """A U-Net on 32×32×4 latents with cross-attention from 16×16 down, untrained."""
    return UNet2DConditionModel(
        sample_size=LATENT_SIZE,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 48, 64, 96),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=8,
    )


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, predicting velocity, sampled from the very end."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012 * 5 / 3,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def assemble(
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    unet: UNet2DConditionModel,
    autoencoder: AutoencoderKL,
) -> StableDiffusionPipeline:
    """The parts as the pipeline that diffusers saves and loads."""
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def analytic_autoencoder(images: NDArray[np.uint8]) -> AutoencoderKL:
    """An autoencoder whose latents need no training.

    The latent of a 2×2 block of pixels is its mean colour, decorrelated and scaled to unit variance over
    `images` (three channels), and the difference of its two rows in brightness (the fourth). The decoder starts
    as the inverse of the three colour channels.

    Parameters
    ----------
    images
        uint8 (n, 64, 64, 3), a sample of what will be encoded, for the scale of the latents.
    """
    autoencoder = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        block_out_channels=(16, 32),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=1,
        sample_size=2 * LATENT_SIZE,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )
    blocks = images.astype(np.float64).reshape(-1, LATENT_SIZE, 2, LATENT_SIZE, 2, 3) / 127.5 - 1.0
    means = blocks.mean(axis=(2, 4)).reshape(-1, 3)
    gradients = (blocks[:, :, 0] - blocks[:, :, 1]).mean(axis=(3, 4)).ravel()
    center = means.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov((means - center).T))
    whiten = (directions / np.sqrt(variances)).T
    with torch.no_grad():
        _set_encoder(autoencoder, whiten, center, 1.0 / gradients.std())
        _set_decoder(autoencoder, np.linalg.inv(whiten), center)
    return autoencoder


def _set_encoder(
    autoencoder: AutoencoderKL,
    whiten: NDArray[np.float64],
    center: NDArray[np.float64],
    gradient_scale: float,
) -> None:
    encoder = autoencoder.encoder
    _silence_residuals(encoder)
    # Channels 0-2 carry colour through the network; the fourth copies brightness for the row difference.
    encoder.conv_in.weight.zero_()
    encoder.conv_in.bias.zero_()
    for channel in range(3):
        encoder.conv_in.weight[channel, channel, 1, 1] = 1.0
        encoder.conv_in.weight[3, channel, 1, 1] = 1.0 / 3.0
    down = encoder.down_blocks[0].downsamplers[0].conv
    down.weight.zero_()
    down.bias.zero_()
    for channel in range(3):
        down.weight[channel, channel, 0:2, 0:2] = 0.25
    down.weight[3, 3, 0, 0:2] = 0.5
    down.weight[3, 3, 1, 0:2] = -0.5
    _pass_through(encoder.down_blocks[1].resnets[0].conv_shortcut, channels=4)
    _linearise_norm(encoder.conv_norm_out, encoder.down_blocks[1].resnets[0].conv_shortcut, channels=4)
    encoder.conv_out.weight.zero_()
    encoder.conv_out.bias.zero_()
    matrix = torch.zeros(LATENT_CHANNELS, 4)
    matrix[:3, :3] = torch.from_numpy(whiten).float()
    matrix[3, 3] = gradient_scale
    encoder.conv_out.weight[:LATENT_CHANNELS, :4, 1, 1] = matrix
    offset = torch.zeros(LATENT_CHANNELS)
    offset[:3] = torch.from_numpy(whiten @ center).float()
    encoder.conv_out.bias[:LATENT_CHANNELS] = -matrix.sum(dim=1) * _OPERATING_POINT - offset
    encoder.conv_out.bias[LATENT_CHANNELS:] = -20.0
    _identity(autoencoder.quant_conv)
    _identity(autoencoder.post_quant_conv)


def _set_decoder(autoencoder: AutoencoderKL, colour: NDArray[np.float64], center: NDArray[np.float64]) -> None:
    decoder = autoencoder.decoder
    _silence_residuals(decoder)
    decoder.conv_in.weight.zero_()
    decoder.conv_in.bias.zero_()
    decoder.conv_in.weight[:3, :3, 1, 1] = torch.from_numpy(colour).float()
    decoder.conv_in.bias[:3] = torch.from_numpy(center).float()
    up = decoder.up_blocks[0].upsamplers[0].conv
    up.weight.zero_()
    up.bias.zero_()
    for channel in range(3):
        up.weight[channel, channel, 1, 1] = 1.0
    _pass_through(decoder.up_blocks[1].resnets[0].conv_shortcut, channels=3)
    _linearise_norm(decoder.conv_norm_out, decoder.up_blocks[1].resnets[0].conv_shortcut, channels=3)
    decoder.conv_out.weight.zero_()
    decoder.conv_out.bias.zero_()
    for channel in range(3):
        decoder.conv_out.weight[channel, channel, 1, 1] = 1.0
    decoder.conv_out.bias[:3] = -_OPERATING_POINT


def _silence_residuals(half: torch.nn.Module) -> None:
    """Make every residual branch add nothing, so that the half is linear at first and can learn from there."""
    for name, module in half.named_modules():
        if name.endswith("conv2"):
            module.weight.zero_()
            module.bias.zero_()


def _pass_through(convolution: torch.nn.Conv2d, channels: int) -> None:
    convolution.weight.zero_()
    _bias(convolution).zero_()
    for channel in range(channels):
        convolution.weight[channel, channel, 0, 0] = 1.0


def _linearise_norm(norm: torch.nn.GroupNorm, before: torch.nn.Conv2d, channels: int) -> None:
    """Turn group norm followed by SiLU into (almost) the identity plus a known offset.

    The unused channels carry a large constant of both signs, which fixes mean and variance whatever the picture;
    the affine part undoes the scale and shifts the signal to where SiLU is linear to 1e-4. What stays is a shift of
    all channels by a few percent of the picture's mean colour, which the trained decoder undoes (without training
    pixel art comes back with 25 to 50 dB, with it 50 dB).
    """
    carrier = _bias(before)
    unused = len(carrier) - channels
    signs = torch.tensor([1.0, -1.0]).repeat(unused // 2 + 1)[:unused]
    carrier[channels:] = _CARRIER * signs
    mean = float(carrier.mean())
    deviation = float(carrier.std(correction=0))
    norm.weight.fill_(0.0)
    norm.bias.fill_(0.0)
    norm.weight[:channels] = deviation
    norm.bias[:channels] = _OPERATING_POINT + mean


def _bias(convolution: torch.nn.Conv2d) -> torch.Tensor:
    if convolution.bias is None:
        raise ValueError("The autoencoder's convolutions all have a bias; this one has none.")
    return convolution.bias


def _identity(convolution: torch.nn.Conv2d) -> None:
    convolution.weight.zero_()
    _bias(convolution).zero_()
    for channel in range(convolution.weight.shape[0]):
        convolution.weight[channel, channel, 0, 0] = 1.0
