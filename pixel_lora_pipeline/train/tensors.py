"""What the tensors of a LoRA file say by their names and shapes: adapter, ranks, alphas, base model."""

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn, TypeVar

from pixel_lora_pipeline.train.errors import CheckpointError, printable
from pixel_lora_pipeline.train.lycoris_tensors import Kind, LycorisError, lycoris_kind, lycoris_layers
from pixel_lora_pipeline.train.safetensors_file import SafetensorsFile, TensorEntry

Adapter = Literal["lora", "locon", "loha", "lokr"]
KeyFormat = Literal["kohya", "diffusers"]

SUPPORTED = (
    "Supported are LoRA and LoCon (lora_down and lora_up weights, with or without 3x3 convolutions), LoHa and LoKr for "
    "Stable Diffusion 1.x, 2.x and XL, with Kohya's keys (lora_unet_…, lora_te_…), and LoRA also with those of "
    "diffusers (unet.…, text_encoder.…)."
)

ARCHITECTURES = {768: "sd15", 1024: "sd2", 2048: "sdxl"}
_FAMILY_NAMES = {768: "SD 1.x", 1024: "SD 2.x", 2048: "SDXL"}

_KOHYA_PREFIXES = ("lora_unet_", "lora_te_", "lora_te1_", "lora_te2_")
_DIFFUSERS_PREFIXES = ("unet.", "text_encoder.", "text_encoder_2.")
_UNET_PREFIXES = ("lora_unet_", "unet.")

# What tensor names say of files that cannot be evaluated, the most telling first. They are searched in all
# names at once, each on a line: patterns that begin with plain characters take a tenth of the time.
_DORA = "DoRA weights, whose scale would be dropped without a word"
_TRANSFORMER = "weights for a transformer model (Flux, SD 3 or later)"
_REFUSED = tuple(
    (re.compile(pattern, re.MULTILINE), kind)
    for pattern, kind in (
        (
            r"\n(model\.diffusion_model|first_stage_model|cond_stage_model|conditioner)\.",
            "a whole model, no LoRA",
        ),
        (r"\.oft_(blocks|diag)$", "OFT or BOFT weights"),
        (r"\.dora_scale$", _DORA),
        (r"\.lora_magnitude_vector", _DORA),
        (r"\.lora_mid\.weight$", "Tucker-decomposed LoCon weights"),
        (r"\.on_input$", "IA3 weights"),
        (r"\.[ab][12]\.weight$", "GLoRA weights"),
        (r"\.(diff|diff_b|w_norm|b_norm)$", "weights that replace whole layers (full or norm training)"),
        (r"\nbundle_emb\.", "embeddings bundled with the LoRA"),
        (r"double_blocks", _TRANSFORMER),
        (r"single_blocks", _TRANSFORMER),
        (r"joint_blocks", _TRANSFORMER),
        (r"\n(lora_transformer_|lora_te3_|transformer\.)", _TRANSFORMER),
    )
)
_DOWN_AND_UP = (
    (".lora_down.weight", ".lora_up.weight"),  # kohya
    (".lora_A.weight", ".lora_B.weight"),  # peft
    (".lora.down.weight", ".lora.up.weight"),  # older diffusers
    ("_lora.down.weight", "_lora.up.weight"),
    (".lora_linear_layer.down.weight", ".lora_linear_layer.up.weight"),
)
_DOWN_ENDS = tuple(down for down, _ in _DOWN_AND_UP)
_SAVE_AGAIN = "Save the training again."
_CROSS_ATTENTION = re.compile(r"attn2[._](?:processor\.)?to_[kv](?:$|[._])")
_TEXT_ATTENTION = re.compile(r"^lora_te_.*self_attn_[qkv]_proj$")


@dataclass(frozen=True)
class AdapterSummary:
    """What is in the file, measured.

    Attributes
    ----------
    adapter
        "locon" if 3x3 convolutions of a LoRA were trained too.
    unet_modules, text_encoder_modules
        Number of layers that the LoRA changes.
    linear_ranks, conv_ranks
        Rank → number of modules, for linear layers with 1x1 convolutions and for larger convolutions; modules of a
        LoKr that are whole matrices have none.
    linear_alphas, conv_alphas
        Alpha → number of modules; empty where the file holds none, which loaders read as alpha = rank.
    linear_scale, conv_scale
        Mean of alpha / rank over the modules that have a rank, None without such modules or with an alpha that is no
        number.
    dtypes
        Type of the weights → number of tensors.
    cross_attention_width
        Number of features that the base model's text encoder hands to its U-Net: 768 for SD 1.x, 1024 for
        SD 2.x, 2048 for SDXL. None if the trained layers do not show it.
    """

    adapter: Adapter
    keys: KeyFormat
    unet_modules: int
    text_encoder_modules: int
    linear_ranks: dict[int, int]
    conv_ranks: dict[int, int]
    linear_alphas: dict[float, int]
    conv_alphas: dict[float, int]
    linear_scale: float | None
    conv_scale: float | None
    dtypes: dict[str, int]
    cross_attention_width: int | None

    @property
    def modules(self) -> int:
        """Number of layers that the LoRA changes; what a loader has to end up with."""
        return self.unet_modules + self.text_encoder_modules


class _Module(NamedTuple):
    name: str
    rank: int | None
    inputs: int
    is_conv: bool
    alpha: float | None


def summarize_adapter(file: SafetensorsFile, alphas: dict[str, float]) -> AdapterSummary:
    """Ranks, alphas, trained parts and base width of a LoRA file.

    Only the alphas' own bytes are read, two to eight a module.

    Parameters
    ----------
    file
        The open file.
    alphas
        Alphas that the file states elsewhere than in tensors: module name → alpha, "unet" and "text_encoder"
        standing for all modules below.

    Raises
    ------
    CheckpointError
        If the file is no LoRA, or one that diffusers loads wrongly, partly or as nothing.
    """
    keys = _key_format(file.path, file.tensors)
    try:
        kind = lycoris_kind(file.tensors)
        modules = list(_modules(file, alphas) if kind is None else _lycoris_modules(file, kind))
    except LycorisError as error:
        _refuse(file.path, printable(str(error)), _SAVE_AGAIN)
    linear = [module for module in modules if not module.is_conv]
    conv = [module for module in modules if module.is_conv]
    unet = sum(module.name.startswith(_UNET_PREFIXES) for module in modules)
    return AdapterSummary(
        adapter=kind or ("locon" if conv else "lora"),
        keys=keys,
        unet_modules=unet,
        text_encoder_modules=len(modules) - unet,
        linear_ranks=_counts(module.rank for module in linear if module.rank is not None),
        conv_ranks=_counts(module.rank for module in conv if module.rank is not None),
        linear_alphas=_counts(module.alpha for module in linear if module.alpha is not None),
        conv_alphas=_counts(module.alpha for module in conv if module.alpha is not None),
        linear_scale=_mean_scale(linear),
        conv_scale=_mean_scale(conv),
        dtypes=_counts(entry.dtype for name, entry in file.tensors.items() if not name.endswith(".alpha")),
        cross_attention_width=_cross_attention_width(modules),
    )


def architecture_of(width: int | None) -> str:
    """The base model's family: "sd15", "sd2", "sdxl", "width-N" for any other, "unknown" for None."""
    if width is None:
        return "unknown"
    return ARCHITECTURES.get(width, f"width-{width}")


def check_base_model(path: Path, width: int | None, required: int) -> None:
    """Refuse a LoRA whose cross-attention width is not the base model's.

    A file that does not show its width passes: loading compares every layer once more.

    Raises
    ------
    CheckpointError
        If the widths differ.
    """
    if width is None or width == required:
        return

    def described(features: int) -> str:
        family = _FAMILY_NAMES.get(features, "neither SD 1.x, SD 2.x nor SDXL")
        return f"{features} ({family})"

    raise CheckpointError(
        path,
        f"was trained on another base model: its cross-attention takes {described(width)} features, the "
        f"configured base model has {described(required)}",
        "Set base_model to the model that the LoRA was trained on (ss_sd_model_name in its header), or move "
        "the file out of the watched folder.",
    )


def _key_format(path: Path, tensors: dict[str, TensorEntry]) -> KeyFormat:
    names = "\n" + "\n".join(tensors)
    for pattern, kind in _REFUSED:
        if found := pattern.search(names):
            name = names[names.rfind("\n", 0, found.end()) + 1 :].partition("\n")[0]
            _refuse(path, f"holds {kind} ({printable(name)})")
    kohya = sum(name.startswith(_KOHYA_PREFIXES) for name in tensors)
    diffusers = sum(name.startswith(_DIFFUSERS_PREFIXES) for name in tensors)
    if kohya == len(tensors):
        return "kohya"
    if diffusers == len(tensors):
        if any(name.endswith((".lora_down.weight", ".alpha")) for name in tensors):
            _refuse(
                path,
                "mixes diffusers' keys (unet.…) with lora_down and alpha (OMI format), which does not load",
            )
        return "diffusers"
    if kohya + diffusers == len(tensors):
        _refuse(path, "mixes Kohya's keys with those of diffusers, of which only one kind would be loaded")
    stray = next(name for name in tensors if not name.startswith(_KOHYA_PREFIXES + _DIFFUSERS_PREFIXES))
    if any(stray.endswith(ends) for ends in _DOWN_AND_UP):
        # diffusers knows no such prefix (base_model.model., diffusion_model., none at all): it loads nothing
        # and raises nothing, and the base model's images would be taken for the LoRA's.
        _refuse(
            path,
            f"has keys without the prefix of their model ({printable(stray)}), which load as nothing",
            "Save it with save_lora_weights of the diffusers pipeline, or convert it to Kohya's format.",
        )
    raise CheckpointError(path, f"is no LoRA ({printable(stray)})", SUPPORTED)


def _modules(file: SafetensorsFile, stated_alphas: dict[str, float]) -> Iterator[_Module]:
    seen = 0
    for name, down in file.tensors.items():
        if not name.endswith(_DOWN_ENDS):
            continue
        down_end, up_end = next(ends for ends in _DOWN_AND_UP if name.endswith(ends[0]))
        module = name.removesuffix(down_end)
        up = file.tensors.get(module + up_end)
        if up is None:
            _refuse(file.path, f"lacks {printable(module + up_end)}, half of a LoRA layer", _SAVE_AGAIN)
        if len(down.shape) not in (2, 4) or len(up.shape) != len(down.shape) or up.shape[1] != down.shape[0]:
            _refuse(file.path, f"has LoRA halves that do not fit together ({printable(module)})", _SAVE_AGAIN)
        alpha_name = module + ".alpha"
        alpha = stated_alphas.get(module, stated_alphas.get(module.partition(".")[0]))
        if alpha_name in file.tensors:
            alpha = _alpha(file, alpha_name)
            seen += 1
        seen += 2
        yield _Module(module, down.shape[0], down.shape[1], math.prod(down.shape[2:]) > 1, alpha)
    if seen != len(file.tensors):
        stray = next(name for name in file.tensors if not _belongs_to_a_layer(name, file.tensors))
        _refuse(file.path, f"holds a tensor that belongs to no LoRA layer ({printable(stray)})")


def _lycoris_modules(file: SafetensorsFile, kind: Kind) -> Iterator[_Module]:
    layers = lycoris_layers(kind, {name: entry.shape for name, entry in file.tensors.items()})
    for name in file.tensors:
        owner, _, part = name.rpartition(".")
        if owner not in layers or (part != "alpha" and part not in layers[owner].parts):
            _refuse(file.path, f"holds a tensor that belongs to no layer of its kind ({printable(name)})")
    for name, layer in layers.items():
        has_alpha = layer.rank is not None and f"{name}.alpha" in file.tensors  # of whole matrices it says nothing
        alpha = _alpha(file, f"{name}.alpha") if has_alpha else None
        yield _Module(name, layer.rank, layer.inputs, layer.is_conv, alpha)


def _belongs_to_a_layer(name: str, tensors: dict[str, TensorEntry]) -> bool:
    if name.endswith(_DOWN_ENDS):
        return True
    if name.endswith(".alpha"):
        return any(name.removesuffix(".alpha") + down in tensors for down in _DOWN_ENDS)
    return any(name.endswith(up) and name.removesuffix(up) + down in tensors for down, up in _DOWN_AND_UP)


def _alpha(file: SafetensorsFile, name: str) -> float:
    try:
        return file.scalar(name)
    except ValueError as error:
        _refuse(file.path, f"has an alpha that is no number ({printable(name)}: {error})", _SAVE_AGAIN)


def _mean_scale(modules: list[_Module]) -> float | None:
    scales = [
        1.0 if module.alpha is None else module.alpha / module.rank for module in modules if module.rank is not None
    ]
    mean = sum(scales) / len(scales) if scales else math.nan
    return mean if math.isfinite(mean) else None


def _cross_attention_width(modules: list[_Module]) -> int | None:
    widths = {module.inputs for module in modules if _CROSS_ATTENTION.search(module.name)}
    if not widths and any(module.name.startswith(("lora_te1_", "lora_te2_", "text_encoder_2.")) for module in modules):
        return 2048  # only SDXL has two text encoders
    if not widths:  # SD 1.x and 2.x hand over the text encoder's own features
        widths = {module.inputs for module in modules if _TEXT_ATTENTION.search(module.name)}
    return widths.pop() if len(widths) == 1 else None


_Key = TypeVar("_Key", int, float, str)


def _counts(values: Iterable[_Key]) -> dict[_Key, int]:
    return dict(sorted(Counter(values).items()))


def _refuse(path: Path, fault: str, remedy: str = "") -> NoReturn:
    raise CheckpointError(path, fault, f"{remedy} {SUPPORTED}".strip())
