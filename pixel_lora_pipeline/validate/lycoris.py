"""What a LoHa or LoKr adds to the weights of a layer, and adding it so that it can be taken away without a trace.

diffusers loads neither. The sum is formed whenever a layer asks for its weight, and the base model's own stay as they
are: taking the addition away leaves them bit for bit.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from pixel_lora_pipeline.validate.layer_name import layer_name

_COMPONENTS: Final = ("unet", "text_encoder", "text_encoder_2")

# Of SDXL's U-Net in the layout that Kohya's scripts train: blocks, their parts, and layers outside the blocks.
_BLOCKS: Final = {"_input_blocks_": "_down_blocks_", "_middle_block_": "_mid_block_", "_output_blocks_": "_up_blocks_"}
_PARTS: Final = {
    "_in_layers_2": "_conv1",
    "_out_layers_3": "_conv2",
    "_emb_layers_1": "_time_emb_proj",
    "_skip_connection": "_conv_shortcut",
    "_op": "_conv",
}
_OUTSIDE: Final = {
    "lora_unet_input_blocks_0_0": "lora_unet_conv_in",
    "lora_unet_out_2": "lora_unet_conv_out",
    "lora_unet_time_embed_0": "lora_unet_time_embedding_linear_1",
    "lora_unet_time_embed_2": "lora_unet_time_embedding_linear_2",
    "lora_unet_label_emb_0_0": "lora_unet_add_embedding_linear_1",
    "lora_unet_label_emb_0_2": "lora_unet_add_embedding_linear_2",
}


class _Added(nn.Module):
    """A weight with something added to it."""

    def __init__(self, delta: Tensor) -> None:
        super().__init__()
        self.register_buffer("delta", delta)
        self.delta: Tensor

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.delta


def delta_of(parts: Mapping[str, Tensor], alpha: float | None, shape: torch.Size) -> Tensor:
    """What is added to a weight at strength 1: (alpha / rank) · ΔW, in float32.

    Parameters
    ----------
    parts
        Tensors of one layer by their names in the file, without the layer's own.
    alpha
        As in the file; none or 0 stands for the rank.
    shape
        Of the weight.

    Raises
    ------
    ValueError
        If the parts make no weight of this shape.

    References
    ----------
    Yeh et al., ICLR 2024, arXiv:2309.14859, section 3: a LoHa is (W1a W1b) ⊙ (W2a W2b), a LoKr W1 ⊗ W2, in which either
    half may be a product of two; a core tensor (t) stands between the two for convolutions in Tucker form.
    """
    halves = {name: tensor.to(torch.float32) for name, tensor in parts.items()}
    try:
        if "hada_w1_a" in halves:
            rank: int | None = halves["hada_w1_b"].shape[0]
            delta = _product(halves, "hada_w1", "hada_t1") * _product(halves, "hada_w2", "hada_t2")
        else:
            decomposed = next((halves[name] for name in ("lokr_w2_b", "lokr_w1_b") if name in halves), None)
            rank = None if decomposed is None else decomposed.shape[0]
            first, second = _product(halves, "lokr_w1", ""), _product(halves, "lokr_w2", "lokr_t2")
            delta = torch.kron(first.reshape(*first.shape, *[1] * (second.dim() - first.dim())), second.contiguous())
        delta = delta.reshape(shape)
    except RuntimeError as error:
        raise ValueError(" ".join(str(error).split())) from error
    return delta * (alpha / rank if alpha and rank is not None else 1.0)


def _product(halves: Mapping[str, Tensor], name: str, core: str) -> Tensor:
    if name in halves:
        return halves[name]
    left, right = halves[f"{name}_a"], halves[f"{name}_b"]
    if core in halves:
        return torch.einsum("ij...,jr,ip->pr...", halves[core], right, left)
    return (left @ right.flatten(1)).reshape(left.shape[0], *right.shape[1:])


def layers_by_name(pipeline: Any, names: frozenset[str]) -> dict[str, nn.Module]:
    """The layers that a file's names mean, as far as the base model has them; names as Kohya's scripts write them."""
    known = {}
    for component in _COMPONENTS:
        model = getattr(pipeline, component, None)
        for path, layer in model.named_modules() if model is not None else ():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                known[layer_name(f"{component}.{path}")] = layer
    found: dict[str, nn.Module] = {}
    for name, plain in _in_own_layout(names, pipeline.unet.config).items():
        layer = known.get(layer_name(plain))
        if layer is not None:
            found[name] = layer
    return found


def _in_own_layout(names: frozenset[str], unet: Any) -> dict[str, str]:
    """For each name the one in diffusers' layout of the U-Net, which differs for SDXL."""
    outside = {name: _OUTSIDE[name] for name in names if name in _OUTSIDE}
    blocks = {name: name for name in names - outside.keys() if name.startswith("lora_unet_")}
    if any("_input_blocks_" in name or "_output_blocks_" in name or "_middle_block_" in name for name in blocks):
        from diffusers.loaders.lora_conversion_utils import _maybe_map_sgm_blocks_to_diffusers

        mapped = _maybe_map_sgm_blocks_to_diffusers({name: name for name in blocks}, unet)
        blocks = {name: _in_own_words(own) for own, name in mapped.items()}
    return {**{name: name for name in names}, **blocks, **outside}


def _in_own_words(name: str) -> str:
    for block, own in _BLOCKS.items():
        name = name.replace(block, own)
    for part, own in _PARTS.items():
        if name.endswith(part):
            return name.removesuffix(part) + own
    return name


def add_to(layer: nn.Module, delta: Tensor) -> None:
    """Add to a layer's weight until `remove_from` takes it away."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    parametrize.register_parametrization(layer, "weight", _Added(delta.to(weight)))


def remove_from(pipeline: Any) -> None:
    """Take every addition away; the weights are those of before, bit for bit."""
    for layer in list(_added_layers(pipeline)):
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=False)


def _added_layers(pipeline: Any) -> Iterator[nn.Module]:
    for component in _COMPONENTS:
        model = getattr(pipeline, component, None)
        for layer in model.modules() if model is not None else ():
            if parametrize.is_parametrized(layer, "weight") and isinstance(
                layer.parametrizations["weight"][0],
                _Added,
            ):
                yield layer
