"""Loading a LoRA into a pipeline so that all of it counts, and removing it without a trace."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.train.lycoris_tensors import Kind, LycorisError, lycoris_kind, lycoris_layers
from pixel_lora_pipeline.validate.layer_name import layer_name
from pixel_lora_pipeline.validate.library_noise import harmless_lines_dropped, loading_bars_hidden

_ADAPTER = "checkpoint"
_COMPONENTS = ("unet", "text_encoder", "text_encoder_2")
# How Kohya, PEFT and older diffusers spell the two halves of a module.
_HALF = re.compile(
    r"(?P<module>.+?)[._](?:(?P<down>lora_down|lora_A|lora\.down|lora_linear_layer\.down)"
    r"|lora_up|lora_B|lora\.up|lora_linear_layer\.up)(?:\.\w+)?\.weight"
)
# Marks of adapters that are not plain LoRA. DoRA is refused because diffusers would drop its magnitudes with
# a warning and paint with the rest.
_OTHER_ADAPTERS = {
    "oft_": "OFT",
    "dora_scale": "DoRA",
    "lora_magnitude_vector": "DoRA",
}
_FAMILY_OF_WIDTH = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "Stable Diffusion XL"}
_NAMES_SHOWN = 5
_NAMES: dict[Kind, str] = {"loha": "LoHa", "lokr": "LoKr"}


class LoraError(Exception):
    """A LoRA file that cannot be used with the base model.

    Attributes
    ----------
    path
        The file.
    fault, remedy
        What is wrong, and what to do about it.
    retry
        Whether the same path may be right later: it was being written, or could not be read just now.
    """

    def __init__(self, path: Path, fault: str, remedy: str, *, retry: bool = False) -> None:
        super().__init__(f"{path}: {fault} {remedy}")
        self.path = path
        self.fault = fault
        self.remedy = remedy
        self.retry = retry


class LoraMismatchError(LoraError):
    """Only a part of the file's modules, or none, found its place in the base model.

    Attributes
    ----------
    expected, loaded
        Number of modules in the file, and in the pipeline after loading.
    missing
        Names of the modules that were not loaded, as the file spells them; empty if the file's names follow
        another convention than the base model's and cannot be told apart.
    """

    def __init__(self, path: Path, expected: int, loaded: int, missing: tuple[str, ...]) -> None:
        shown = ", ".join(missing[:_NAMES_SHOWN]) + (", …" if len(missing) > _NAMES_SHOWN else "")
        super().__init__(
            path,
            f"of its {expected} LoRA modules {loaded} were loaded" + (f"; missing: {shown}." if missing else "."),
            "It was trained for another base model, or its keys follow a convention that diffusers does not know: "
            "set base_model to the model it was trained on, or convert the file to Kohya's names.",
        )
        self.expected = expected
        self.loaded = loaded
        self.missing = missing


@dataclass(frozen=True)
class LoraFile:
    """What the header of a LoRA file says, with the hash of its content.

    Attributes
    ----------
    kind
        "loha" or "lokr"; None for a plain LoRA.
    modules
        Names of the modules it changes, as the file spells them.
    context_width
        Width of the text features that it was trained with (768, 1024, 2048, …); None if it has no module
        that would tell.
    """

    path: Path
    sha256: str
    kind: Kind | None
    modules: frozenset[str]
    context_width: int | None
    stamp: tuple[int, int]


def read_lora(path: Path) -> LoraFile:
    """Read the header of a LoRA file and hash its content; no weight is loaded.

    Raises
    ------
    LoraError
        If the file is gone, unreadable, no safetensors file, no LoRA, or only half of one.
    """
    from safetensors import SafetensorError, safe_open

    try:
        stamp = _stamp(path)
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        with safe_open(path, framework="numpy") as tensors:
            shapes = {key: tensors.get_slice(key).get_shape() for key in tensors.keys()}  # noqa: SIM118 - no mapping
    except OSError as error:
        raise LoraError(
            path, f"cannot be read ({error}).", "Check that it is still there and readable.", retry=True
        ) from error
    except SafetensorError as error:
        raise LoraError(
            path,
            f"is not a complete safetensors file ({error}).",
            "Wait until it is written, else copy or save it again; pickles are not read.",
            retry=True,
        ) from error
    kind, inputs = _inputs(path, shapes)
    widths = {inputs[name] for name in inputs if re.search(r"attn2[._](?:processor\.)?to_k$", name)}
    return LoraFile(path, sha256, kind, frozenset(inputs), widths.pop() if len(widths) == 1 else None, stamp)


def load_lora(pipeline: Any, lora: LoraFile, strength: float) -> None:
    """Make a LoRA the pipeline's only adapter; after any failure the pipeline is the bare base model.

    The weights are never fused into the base: fusing and unfusing drifts, removing an adapter does not.

    Parameters
    ----------
    strength
        Multiplies the LoRA's own alpha/rank: 1 is as trained, 0 is the base model bit for bit.

    Raises
    ------
    LoraMismatchError
        If not every module of the file was loaded.
    LoraError
        If the file was trained for another base, does not load, holds NaN or infinity, or was overwritten
        while it was being loaded.
    """
    unload_lora(pipeline)
    loaded = False
    try:
        _refuse_other_base(pipeline, lora)
        if lora.kind is None:
            _load_weights(pipeline, lora)
            _check_complete(pipeline, lora)
            _check_finite(pipeline, lora)
            pipeline.set_adapters([_ADAPTER], [strength])
        else:
            _add_lycoris(pipeline, lora, lora.kind, strength)
        if _stamp(lora.path) != lora.stamp:
            raise LoraError(lora.path, "was overwritten while it was being loaded.", "Evaluate it again.", retry=True)
        loaded = True
    finally:
        if not loaded:
            unload_lora(pipeline)


def unload_lora(pipeline: Any) -> None:
    """Remove every adapter; the pipeline then paints exactly as the base model does."""
    from pixel_lora_pipeline.validate import lycoris

    pipeline.unload_lora_weights()
    lycoris.remove_from(pipeline)


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _inputs(path: Path, shapes: dict[str, list[int]]) -> tuple[Kind | None, dict[str, int]]:
    """What the file is, and how many features each of its modules takes, by the module's name."""
    try:
        kind = lycoris_kind(shapes)
        layers = {} if kind is None else lycoris_layers(kind, shapes)
    except LycorisError as error:
        raise LoraError(path, f"{error}.", "The file is damaged or was written by an unknown tool.") from error
    down, up = _halves(path, shapes, plain=kind is None)
    if kind is not None and not down and not up:
        return kind, {name: layer.inputs for name, layer in layers.items()}
    if kind is not None:
        raise LoraError(path, "holds LoRA modules beside those of LyCORIS.", "Train with one kind of network.")
    if one_sided := sorted(down.keys() ^ up.keys()):
        raise LoraError(
            path,
            f"{len(one_sided)} LoRA modules have only one of their two halves, the first is {one_sided[0]}.",
            "The file is damaged or was written by an unknown tool: save it again.",
        )
    return None, down


def _halves(path: Path, shapes: dict[str, list[int]], *, plain: bool) -> tuple[dict[str, int], dict[str, int]]:
    """Input width of every module's lower half, and of its upper half, by module name."""
    down: dict[str, int] = {}
    up: dict[str, int] = {}
    for key, shape in shapes.items():
        if kind := next((kind for mark, kind in _OTHER_ADAPTERS.items() if mark in key), None):
            raise LoraError(
                path,
                f"is a {kind} ({key}).",
                "Supported are LoRA, LoCon, LoHa and LoKr: train with networks.lora, and conv_dim for convolutions.",
            )
        if half := _HALF.fullmatch(key):
            (down if half["down"] else up)[half["module"]] = shape[1] if len(shape) > 1 else 0
    if plain and not down and not up:
        raise LoraError(
            path, "holds no LoRA modules.", "Give a LoRA in Kohya's, diffusers' or PEFT's safetensors format."
        )
    return down, up


def _refuse_other_base(pipeline: Any, lora: LoraFile) -> None:
    width = pipeline.unet.config.cross_attention_dim
    if lora.context_width in (None, width) or not isinstance(width, int):
        return
    trained, given = (
        _FAMILY_OF_WIDTH.get(value, f"a model with text features of width {value}")
        for value in (lora.context_width, width)
    )
    raise LoraError(
        lora.path,
        f"was trained for {trained}, and the base model is {given}.",
        "Set base_model to the model it was trained on.",
    )


def _load_weights(pipeline: Any, lora: LoraFile) -> None:
    import torch

    try:
        with harmless_lines_dropped(), loading_bars_hidden():
            pipeline.load_lora_weights(
                str(lora.path), use_safetensors=True, local_files_only=True, adapter_name=_ADAPTER
            )
    except torch.OutOfMemoryError:  # says nothing about the file
        raise
    # How diffusers reports keys that it does not know, missing ones, wrong shapes and vanished files.
    except (ValueError, KeyError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())[:300]
        raise LoraError(
            lora.path,
            f"does not fit the base model ({type(error).__name__}: {reason}).",
            "Set base_model to the model it was trained on; if it is, the file's keys are not understood.",
        ) from error


def _add_lycoris(pipeline: Any, lora: LoraFile, kind: Kind, strength: float) -> None:
    from safetensors.torch import load_file

    from pixel_lora_pipeline.validate import lycoris

    parts: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, tensor in load_file(lora.path).items():
        owner, _, part = key.rpartition(".")
        parts[owner][part] = tensor
    layers = lycoris.layers_by_name(pipeline, lora.modules)
    if missing := tuple(sorted(lora.modules - layers.keys())):
        raise LoraMismatchError(lora.path, len(lora.modules), len(layers), missing)
    broken = 0
    for name, layer in layers.items():
        alpha = parts[name].pop("alpha", None)
        try:
            delta = lycoris.delta_of(parts[name], None if alpha is None else float(alpha), layer.weight.shape)  # type: ignore[arg-type]
        except ValueError as error:
            raise LoraError(
                lora.path,
                f"does not fit the base model ({name}: {error}).",
                "Set base_model to the model it was trained on.",
            ) from error
        broken += not bool(delta.isfinite().all())
        lycoris.add_to(layer, strength * delta)
    if broken:
        raise LoraError(
            lora.path,
            f"{broken} of its {len(layers)} {_NAMES[kind]} modules hold NaN or infinity.",
            "The training diverged: lower the learning rate, or set max_grad_norm.",
        )


def _check_complete(pipeline: Any, lora: LoraFile) -> None:
    loaded = [layer_name(f"{component}.{name}") for component, name, _ in _adapted_modules(pipeline)]
    if len(loaded) != len(lora.modules):
        missing = tuple(sorted(name for name in lora.modules if layer_name(name) not in loaded))
        known = len(missing) == len(lora.modules) - len(loaded)
        raise LoraMismatchError(lora.path, len(lora.modules), len(loaded), missing if known else ())


def _check_finite(pipeline: Any, lora: LoraFile) -> None:
    weights = [
        half[_ADAPTER].weight for _, _, module in _adapted_modules(pipeline) for half in (module.lora_A, module.lora_B)
    ]
    broken = sum(not bool(weight.isfinite().all()) for weight in weights)
    if broken:
        raise LoraError(
            lora.path,
            f"{broken} of its {len(weights)} weight tensors hold NaN or infinity.",
            "The training diverged: lower the learning rate, or set max_grad_norm.",
        )


def _adapted_modules(pipeline: Any) -> Iterator[tuple[str, str, Any]]:
    for component in _COMPONENTS:
        model = getattr(pipeline, component, None)
        for name, module in model.named_modules() if model is not None else ():
            if _ADAPTER in getattr(module, "lora_A", ()):
                yield component, name, module
