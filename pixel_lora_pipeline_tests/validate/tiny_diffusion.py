"""Genuine Stable Diffusion pipelines of random weights, small enough to build in a test, and LoRAs for them."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WIDTH = 16  # of the text features
_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,#-"


def stable_diffusion(folder: Path, *, seed: int = 0, unsafe: bool = False) -> Path:
    """Write a Stable Diffusion 1.x pipeline folder (with pickled weights if `unsafe`)."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(_text_config()).eval(),
        tokenizer=_tokenizer(),
        unet=_unet(cross_attention_dim=WIDTH),
        scheduler=_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=not unsafe)
    return folder


def stable_diffusion_xl(folder: Path) -> Path:
    """Write a Stable Diffusion XL pipeline folder: two text encoders, size conditioning, sgm block layout."""
    torch.manual_seed(0)
    config = _text_config(hidden_act="gelu")
    pipeline = StableDiffusionXLPipeline(
        vae=_autoencoder(),
        text_encoder=CLIPTextModel(config).eval(),
        text_encoder_2=CLIPTextModelWithProjection(config).eval(),
        tokenizer=_tokenizer(),
        tokenizer_2=_tokenizer(),
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            layers_per_block=2,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
            projection_class_embeddings_input_dim=6 * 4 + WIDTH,
            use_linear_projection=True,
            block_out_channels=(8, 16, 16),
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=_scheduler(),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder)
    return folder


def kohya_weights(
    pipeline: Any, *, rank: int = 4, alpha: float = 2.0, seed: int = 7, text: bool = True, size: float = 0.2
) -> dict[str, torch.Tensor]:
    """LoRA weights in Kohya's names for the attention, feed-forward and 3×3 convolution layers of a pipeline."""
    generator = torch.Generator().manual_seed(seed)
    weights: dict[str, torch.Tensor] = {}
    for name, layer in adapted_layers(pipeline, text=text):
        shape = layer.weight.shape
        weights[f"{name}.lora_down.weight"] = size * torch.randn((rank, *shape[1:]), generator=generator)
        up = size * torch.randn((shape[0], rank), generator=generator)
        weights[f"{name}.lora_up.weight"] = up[..., None, None] if len(shape) == 4 else up
        weights[f"{name}.alpha"] = torch.tensor(alpha)
    return weights


def adapted_layers(pipeline: Any, *, text: bool) -> Iterator[tuple[str, torch.nn.Module]]:
    """Kohya's name and the layer, in the U-Net and, if wanted, the text encoder."""
    for path, layer in pipeline.unet.named_modules():
        attention = "transformer_blocks" in path and isinstance(layer, torch.nn.Linear)
        convolution = "resnets" in path and isinstance(layer, torch.nn.Conv2d) and layer.kernel_size == (3, 3)
        if attention or convolution:
            yield f"lora_unet_{path.replace('.', '_')}", layer
    for path, layer in pipeline.text_encoder.named_modules() if text else ():
        if isinstance(layer, torch.nn.Linear):
            yield f"lora_te_text_model_{path.removeprefix('text_model.').replace('.', '_')}", layer


def merged(pipeline: Any, weights: dict[str, torch.Tensor], strength: float) -> Any:
    """A copy of the pipeline with `strength * alpha / rank * up @ down` added to its weights."""
    result = copy.copy(pipeline)
    result.unet, result.text_encoder = copy.deepcopy(pipeline.unet), copy.deepcopy(pipeline.text_encoder)
    with torch.no_grad():
        for name, layer in adapted_layers(result, text=True):
            if f"{name}.alpha" in weights:
                down, up = weights[f"{name}.lora_down.weight"], weights[f"{name}.lora_up.weight"]
                scale = strength * float(weights[f"{name}.alpha"]) / len(down)
                layer.weight += scale * (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
    return result


def noise_prediction(pipeline: Any) -> torch.Tensor:
    """The U-Net's output for one fixed noise, time and prompt, shape (1, 4, 8, 8)."""
    noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    tokens = pipeline.tokenizer("red hair", padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        return pipeline.unet(noise, 500, encoder_hidden_states=pipeline.text_encoder(tokens)[0]).sample


def single_file(pipeline: Any, path: Path) -> Path:
    """Write a Stable Diffusion 1.x pipeline as one file, in the names that the original training code used."""
    weights = {f"model.diffusion_model.{_original_unet_name(k)}": v for k, v in pipeline.unet.state_dict().items()}
    for key, tensor in pipeline.vae.state_dict().items():
        # The original attention layers are 1×1 convolutions.
        linear = ".attentions." in key and tensor.ndim == 2
        weights[f"first_stage_model.{_original_vae_name(key)}"] = tensor[..., None, None] if linear else tensor
    for key, tensor in pipeline.text_encoder.state_dict().items():
        weights[f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}"] = tensor
    save_file({key: tensor.contiguous() for key, tensor in weights.items()}, path)
    return path


def _unet(**changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "sample_size": 8,
        "layers_per_block": 1,
        "block_out_channels": (8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "attention_head_dim": 2,
        "norm_num_groups": 4,
    }
    return UNet2DConditionModel(**{**settings, **changes}).eval()


def _autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=16,
    ).eval()


def _text_config(hidden_act: str = "quick_gelu") -> CLIPTextConfig:
    tokenizer = _tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        hidden_act=hidden_act,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _tokenizer() -> CLIPTokenizer:
    letters = [*_LETTERS, *(f"{letter}</w>" for letter in _LETTERS), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(letters)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _scheduler() -> DDIMScheduler:
    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, set_alpha_to_one=False, steps_offset=1)


_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}


def _original_unet_name(key: str) -> str:
    """Name in the original code of a weight of the two-block, one-layer U-Net above."""
    outside = {
        "conv_in": "input_blocks.0.0",
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_norm_out": "out.0",
        "conv_out": "out.2",
        "down_blocks.0.downsamplers.0.conv": "input_blocks.2.0.op",
        "up_blocks.0.upsamplers.0.conv": "output_blocks.1.1.conv",
    }
    blocks = {
        "down_blocks.0.resnets.0": "input_blocks.1.0",
        "down_blocks.0.attentions.0": "input_blocks.1.1",
        "down_blocks.1.resnets.0": "input_blocks.3.0",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
        **{f"up_blocks.0.resnets.{i}": f"output_blocks.{i}.0" for i in range(2)},
        **{f"up_blocks.1.resnets.{i}": f"output_blocks.{2 + i}.0" for i in range(2)},
        **{f"up_blocks.1.attentions.{i}": f"output_blocks.{2 + i}.1" for i in range(2)},
    }
    for name, original in outside.items():
        if key.startswith(f"{name}."):
            return key.replace(name, original, 1)
    name = next(name for name in blocks if key.startswith(f"{name}."))
    layer, _, kind = key.removeprefix(f"{name}.").rpartition(".")
    return f"{blocks[name]}.{_RESNET.get(layer, layer)}.{kind}"


def _original_vae_name(key: str) -> str:
    replacements = [
        ("mid_block.resnets.0", "mid.block_1"),
        ("mid_block.attentions.0", "mid.attn_1"),
        ("mid_block.resnets.1", "mid.block_2"),
        ("conv_norm_out", "norm_out"),
        ("conv_shortcut", "nin_shortcut"),
        ("downsamplers.0", "downsample"),
        ("upsamplers.0", "upsample"),
        ("group_norm", "norm"),
        ("to_q", "q"),
        ("to_k", "k"),
        ("to_v", "v"),
        ("to_out.0", "proj_out"),
        # The original decoder counts its blocks from the output.
        ("up_blocks.0", "up.1"),
        ("up_blocks.1", "up.0"),
        ("down_blocks", "down"),
        ("resnets", "block"),
    ]
    for name, original in replacements:
        key = key.replace(name, original)
    return key
