"""The low-rank layers that a training adds to a frozen base model, as Kohya's `networks.lora` does."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pixel_lora_pipeline.embedded.lora_config import ConfigError, LoraConfig

# Class names, not classes: by these names the file format says which layers a LoRA has.
_UNET_PARTS: Final = ("Transformer2DModel",)
_UNET_PARTS_WITH_CONVOLUTIONS: Final = (*_UNET_PARTS, "ResnetBlock2D", "Downsample2D", "Upsample2D")
_TEXT_ENCODER_PARTS: Final = ("CLIPAttention", "CLIPMLP")

Layer = nn.Linear | nn.Conv2d


class LoraModule(nn.Module):
    """One low-rank update: alpha/rank · up(down(x)). It begins as zero."""

    alpha: Tensor

    def __init__(
        self,
        layer: Layer,
        rank: int,
        alpha: float,
        config: LoraConfig,
        weights_random: torch.Generator,
        dropout_random: torch.Generator,
    ) -> None:
        super().__init__()
        self.lora_down, self.lora_up = _factors(layer, rank)
        nn.init.kaiming_uniform_(self.lora_down.weight, a=math.sqrt(5), generator=weights_random)
        nn.init.zeros_(self.lora_up.weight)
        self.rank = rank
        self.register_buffer("alpha", torch.tensor(float(alpha) or float(rank)))
        self._dropout = config.network_dropout or 0.0
        self._rank_dropout = config.rank_dropout or 0.0
        self._module_dropout = config.module_dropout or 0.0
        self._random = dropout_random

    @property
    def scale(self) -> float:
        """Alpha over rank."""
        return float(self.alpha) / self.rank

    def forward(self, x: Tensor) -> Tensor:
        """The update for the frozen layer's input; while training, with whatever dropouts are set."""
        if self.training and self._module_dropout and self._draw(1).item() < self._module_dropout:
            return torch.zeros((), dtype=x.dtype)
        narrow: Tensor = self.lora_down(x)
        if self.training and self._dropout:
            narrow = narrow * (self._draw(*narrow.shape) >= self._dropout) / (1 - self._dropout)
        if self.training and self._rank_dropout:
            kept = (self._draw(len(narrow), self.rank) >= self._rank_dropout) / (1 - self._rank_dropout)
            # The rank is the last axis of a linear layer's output, the second of a convolution's.
            between = [1] * (narrow.ndim - 2)
            axes = (self.rank, *between) if isinstance(self.lora_down, nn.Conv2d) else (*between, self.rank)
            narrow = narrow * kept.view(len(narrow), *axes)
        widened: Tensor = self.lora_up(narrow)
        return widened * self.scale

    def _draw(self, *shape: int) -> Tensor:
        return torch.rand(*shape, generator=self._random)

    @torch.no_grad()
    def limit_norm(self, maximum: float) -> None:
        """Shrinks both factors alike if the update's Frobenius norm exceeds the maximum."""
        up, down = self.lora_up.weight, self.lora_down.weight
        norm = float(torch.linalg.matrix_norm(up.flatten(1) @ down.flatten(1))) * self.scale
        if norm > maximum:
            up.mul_(math.sqrt(maximum / norm))
            down.mul_(math.sqrt(maximum / norm))


def _factors(layer: Layer, rank: int) -> tuple[Layer, Layer]:
    """The two factors without values: PyTorch's own initialisation would draw from the global generator."""
    down: Layer
    up: Layer
    if isinstance(layer, nn.Conv2d):
        down = nn.Conv2d(
            layer.in_channels,
            rank,
            kernel_size=(layer.kernel_size[0], layer.kernel_size[1]),
            stride=(layer.stride[0], layer.stride[1]),
            padding=layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1]),
            bias=False,
            device="meta",
        )
        up = nn.Conv2d(rank, layer.out_channels, kernel_size=1, bias=False, device="meta")
    else:
        down = nn.Linear(layer.in_features, rank, bias=False, device="meta")
        up = nn.Linear(rank, layer.out_features, bias=False, device="meta")
    return down.to_empty(device="cpu"), up.to_empty(device="cpu")


class LoraNetwork(nn.Module):
    """All low-rank updates of one training, named as Kohya names them.

    Its `state_dict` has the keys of a Kohya file. The base model is no part of it, and computes with the
    updates only inside `attached()`.

    Parameters
    ----------
    unet, text_encoder
        The frozen base model, as diffusers and transformers load it.
    config
        Ranks, alphas, dropouts, and which of the two gets updates.
    weights_random, dropout_random
        Sources of the initial weights and of the dropouts.
    """

    def __init__(
        self,
        unet: nn.Module,
        text_encoder: nn.Module,
        config: LoraConfig,
        weights_random: torch.Generator,
        dropout_random: torch.Generator,
    ) -> None:
        super().__init__()
        targets: list[tuple[str, Layer]] = []
        if not config.network_train_unet_only:
            targets += _text_encoder_targets(text_encoder)
        if not config.network_train_text_encoder_only:
            targets += _unet_targets(unet, convolutions=config.conv_dim is not None)
        self._pairs: list[tuple[Layer, LoraModule]] = []
        for name, layer in targets:
            module = LoraModule(layer, *_rank_and_alpha(layer, config), config, weights_random, dropout_random)
            self.add_module(name, module)
            self._pairs.append((layer, module))

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While this lasts, the base model computes with the updates."""

        hooks = [layer.register_forward_hook(_adding(module)) for layer, module in self._pairs]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def parameters_of(self, part: str) -> list[nn.Parameter]:
        """The trainable weights of a part, "unet" or "text_encoder"."""
        prefix = {"unet": "lora_unet_", "text_encoder": "lora_te_"}[part]
        return [parameter for name, parameter in self.named_parameters() if name.startswith(prefix)]

    def limit_norms(self, maximum: float) -> None:
        """Kohya's `scale_weight_norms`: no update's norm exceeds the maximum."""
        for _, module in self._pairs:
            module.limit_norm(maximum)

    def load_weights(self, path: Path) -> None:
        """Goes on from a LoRA file of the same ranks and alphas.

        Layers that the file does not have keep their fresh start, so that convolutions can be added to a LoRA
        that had none.

        Raises
        ------
        ConfigError
            If the file cannot be read, or has a layer, rank or alpha that this network does not have.
        """
        where = f"network_weights = {str(path)!r}"
        try:
            stored = load_file(path)
        except (OSError, SafetensorError) as error:
            raise ConfigError([f"{where}: cannot be read: {error}"]) from error
        own = self.state_dict()
        foreign = sorted(set(stored) - set(own))
        if foreign or not stored:
            shown = f"{foreign[0]} and {len(foreign) - 1} more" if foreign else "nothing"
            remedy = "set conv_dim and the network_train_… switches as they were when it was trained"
            raise ConfigError([f"{where}: holds {shown}, for which this network has no place; {remedy}"])
        for name, tensor in stored.items():
            theirs, ours = tuple(tensor.shape), tuple(own[name].shape)
            if theirs != ours:
                remedy = "set network_dim and conv_dim to the file's"
                raise ConfigError([f"{where}: {name} is {theirs}, this network's is {ours}; {remedy}"])
            # Kohya would keep the scale of the old alpha under the new one. A stored alpha may be float16.
            if name.endswith(".alpha") and not torch.isclose(tensor.float(), own[name], rtol=1e-3):
                remedy = "set network_alpha and conv_alpha to the file's"
                raise ConfigError([f"{where}: {name} is {tensor:g}, the configuration's {own[name]:g}; {remedy}"])
        self.load_state_dict({name: tensor.float() for name, tensor in stored.items()}, strict=False)


def _adding(module: LoraModule) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], Tensor]:
    def add(_layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        updated: Tensor = output + module(inputs[0])
        return updated

    return add


def _unet_targets(unet: nn.Module, *, convolutions: bool) -> list[tuple[str, Layer]]:
    parts = _UNET_PARTS_WITH_CONVOLUTIONS if convolutions else _UNET_PARTS
    return [(f"lora_unet_{name.replace('.', '_')}", layer) for name, layer in _layers(unet, parts)]


def _text_encoder_targets(text_encoder: nn.Module) -> list[tuple[str, Layer]]:
    # transformers 5 dropped the `text_model.` that Kohya's names still have.
    found = [
        (f"text_model.{name.removeprefix('text_model.')}", layer)
        for name, layer in _layers(text_encoder, _TEXT_ENCODER_PARTS)
    ]
    return [(f"lora_te_{name.replace('.', '_')}", layer) for name, layer in found]


def _layers(root: nn.Module, parts: tuple[str, ...]) -> Iterator[tuple[str, Layer]]:
    for part_name, part in root.named_modules():
        if type(part).__name__ in parts:
            for name, layer in part.named_modules():
                if isinstance(layer, Layer):
                    yield f"{part_name}.{name}", layer


def _rank_and_alpha(layer: Layer, config: LoraConfig) -> tuple[int, float]:
    if config.conv_dim is not None and isinstance(layer, nn.Conv2d) and layer.kernel_size != (1, 1):
        return config.conv_dim, 1.0 if config.conv_alpha is None else config.conv_alpha
    return config.network_dim, config.network_alpha
