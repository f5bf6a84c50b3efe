"""The base model that a LoRA changes: never read from pickle, never from the network unasked."""

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pixel_lora_pipeline.validate.library_noise import harmless_lines_dropped, loading_bars_hidden

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "float32", "float16", "bfloat16"]

# What each supported pipeline is told besides its weights: no safety checker (it blackens images, which would
# then be measured as failures), no watermark (it changes pixels).
_PIPELINES: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    },
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_PICKLES = {".ckpt", ".pt", ".pth", ".bin", ".pkl"}


class BaseModelError(Exception):
    """A base model that cannot be used.

    Attributes
    ----------
    source
        The folder, file or hub name as it was configured.
    fault, remedy
        What is wrong, and what to do about it: one or two sentences each.
    """

    def __init__(self, source: str | Path, fault: str, remedy: str) -> None:
        super().__init__(f"Base model {source}: {fault} {remedy}")
        self.source = str(source)
        self.fault = fault
        self.remedy = remedy


@dataclass(frozen=True)
class BaseModel:
    """A loaded pipeline and what identifies it.

    Attributes
    ----------
    pipeline
        `StableDiffusionPipeline` or `StableDiffusionXLPipeline`, on `device`, without a safety checker.
    sha256
        Of the loaded weights, their configuration and the tokenizers: of what paints, not of how it was
        stored, so that a folder and a single file of the same model count as the same.
    """

    source: str
    pipeline: Any
    device: str
    precision: str
    sha256: str


def load_base_model(
    source: str | Path,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    allow_downloads: bool = False,
) -> BaseModel:
    """Load a Stable Diffusion 1.x, 2.x or XL model.

    Parameters
    ----------
    source
        A diffusers folder, a single-file checkpoint (`.safetensors`) or a hub name (`owner/name`).
    device
        `auto` takes CUDA, then Apple's GPU, then the processor.
    precision
        `auto` is float16 on CUDA and float32 elsewhere.
    allow_downloads
        Whether a hub name, or the configuration of a single file, may be fetched. Without it the network is
        never used.

    Raises
    ------
    BaseModelError
        If the model is not there, is not supported, holds pickled weights only, or does not load.
    """
    import torch
    from safetensors import SafetensorError

    device_name = _resolve_device(source, device)
    dtype = _resolve_precision(device_name, precision)
    # The libraries report damaged files in all these ways, and none of them names the model.
    load_errors = (OSError, ValueError, KeyError, RuntimeError, SafetensorError)
    with harmless_lines_dropped(), nullcontext() if allow_downloads else _offline():
        path = _locate(source, allow_downloads)
        load = _load_folder if path.is_dir() else _load_single_file
        try:
            pipeline = load(source, path, dtype, allow_downloads)
        except torch.OutOfMemoryError:  # says nothing about the model's files
            raise
        except load_errors as error:
            raise BaseModelError(
                source,
                f"it does not load: {_first_lines(error)}.",
                "Only safetensors weights are read; check that the model is complete, or fetch it again.",
            ) from error
    pipeline.set_progress_bar_config(disable=True)
    sha256 = _hash_of_what_paints(pipeline)
    return BaseModel(str(source), pipeline.to(device_name), device_name, str(dtype).removeprefix("torch."), sha256)


@contextmanager
def _offline() -> Iterator[None]:
    """Keep huggingface_hub off the network.

    Asking each call for local files only is not enough: the library still looks up a list at the hub for its
    own user-agent header.
    """
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _resolve_device(source: str | Path, device: Device) -> str:
    import torch

    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return next(name for name, there in usable.items() if there)
    if not usable[device]:
        raise BaseModelError(
            source,
            f"device '{device}' is not there.",
            "Set device to 'auto', or install torch for that device.",
        )
    return device


def _resolve_precision(device: str, precision: Precision) -> "torch.dtype":
    import torch

    if precision == "auto":
        precision = "float16" if device == "cuda" else "float32"
    return {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[precision]


def _locate(source: str | Path, allow_downloads: bool) -> Path:
    path = Path(source).expanduser()
    if path.is_dir():
        return path
    if path.is_file():
        if path.suffix.lower() in _PICKLES:
            raise BaseModelError(
                source,
                f"'{path.suffix}' files are pickles, which can run any code when they are read.",
                "Take the .safetensors version of the model.",
            )
        return path
    if not _HUB_NAME.fullmatch(str(source)):
        raise BaseModelError(source, "there is no such folder or file.", "Correct base_model in the settings.")
    return _hub_folder(source, allow_downloads)


def _hub_folder(source: str | Path, allow_downloads: bool) -> Path:
    from diffusers import DiffusionPipeline

    try:
        return Path(DiffusionPipeline.download(str(source), use_safetensors=True, local_files_only=not allow_downloads))
    except (OSError, ValueError) as error:
        if allow_downloads:
            fault = f"it is no folder or file, and fetching it from the hub failed: {_first_lines(error)}."
            remedy = "Check the name, the connection, and whether the model's licence has to be accepted first."
        else:
            fault = "it is no folder or file, and the local hub cache does not hold it."
            remedy = (
                "To fetch it, set allow_downloads = true (PIXEL_LORA_ALLOW_DOWNLOADS=true); "
                "to stay offline, give the path of a local copy."
            )
        raise BaseModelError(source, fault, remedy) from error


def _load_folder(source: str | Path, folder: Path, dtype: "torch.dtype", allow_downloads: bool) -> Any:  # noqa: ARG001
    import diffusers

    index = folder / "model_index.json"
    if not index.is_file():
        raise BaseModelError(
            source,
            "the folder has no model_index.json.",
            "Give the folder that DiffusionPipeline.save_pretrained writes, or a single .safetensors file.",
        )
    name = json.loads(index.read_text(encoding="utf-8")).get("_class_name")
    if name not in _PIPELINES:
        raise BaseModelError(
            source,
            f"it is a {name}, which is not supported.",
            f"Supported are {' and '.join(_PIPELINES)}: Stable Diffusion 1.x, 2.x and XL.",
        )
    with loading_bars_hidden():
        return getattr(diffusers, name).from_pretrained(
            folder, dtype=dtype, use_safetensors=True, local_files_only=True, **_PIPELINES[name]
        )


def _load_single_file(source: str | Path, path: Path, dtype: "torch.dtype", allow_downloads: bool) -> Any:
    import diffusers
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS

    architecture = _architecture_of(source, path)
    reference = DIFFUSERS_DEFAULT_PIPELINE_PATHS[architecture]["pretrained_model_name_or_path"]
    # Always given: left to itself, diffusers fetches the configuration even when told to stay offline.
    config = _config_folder(source, path, reference, allow_downloads)
    name = "StableDiffusionXLPipeline" if architecture == "xl_base" else "StableDiffusionPipeline"
    with loading_bars_hidden():
        return getattr(diffusers, name).from_single_file(
            str(path), config=str(config), dtype=dtype, local_files_only=True, **_PIPELINES[name]
        )


def _architecture_of(source: str | Path, path: Path) -> str:
    """Name of the model family, in diffusers' words, from the names in the file's header."""
    from safetensors import safe_open

    with safe_open(path, framework="numpy") as file:
        names = file.keys()
    families = {
        "conditioner.embedders.1.": "xl_base",
        "cond_stage_model.model.": "v2",
        "cond_stage_model.": "v1",
    }
    for prefix, family in families.items():
        if any(name.startswith(prefix) for name in names):
            return family
    raise BaseModelError(
        source,
        "the file holds no text encoder of Stable Diffusion 1.x, 2.x or XL.",
        "Give a full checkpoint of one of these; a LoRA, a lone U-Net or another family cannot be the base.",
    )


def _config_folder(source: str | Path, path: Path, reference: str, allow_downloads: bool) -> Path:
    """Folder with the configuration that a single file lacks: beside the file, else from the hub's cache."""
    from huggingface_hub import snapshot_download

    for beside in (path.with_suffix(""), path.parent):
        if (beside / "model_index.json").is_file():
            return beside
    try:
        return Path(
            snapshot_download(
                reference,
                allow_patterns=["*.json", "*.txt"],
                local_files_only=not allow_downloads,
            )
        )
    except OSError as error:
        raise BaseModelError(
            source,
            f"a single file has no configuration, and that of {reference} is not in the local hub cache.",
            "Set allow_downloads = true once to fetch it (2 MB), or put a diffusers folder of the same kind "
            f"of model beside the file as '{path.stem}/' (its weights are not needed).",
        ) from error


def _hash_of_what_paints(pipeline: Any) -> str:
    import torch

    digest = hashlib.sha256()
    for name, component in sorted(pipeline.components.items()):
        if isinstance(component, torch.nn.Module):
            digest.update(f"{name} {_canonical_config(component.config)}".encode())
            for key, tensor in sorted(component.state_dict().items()):
                digest.update(f"{key} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
        elif hasattr(component, "backend_tokenizer"):
            rules = json.loads(component.backend_tokenizer.to_str())
            # Set anew on every call, so no property of the tokenizer.
            rules.pop("truncation")
            rules.pop("padding")
            digest.update(f"{name} {json.dumps(rules, sort_keys=True)}".encode())
    return digest.hexdigest()


def _canonical_config(config: Any) -> str:
    """A component's configuration as JSON, without where it was stored and which version wrote it."""
    values = config.to_dict() if hasattr(config, "to_dict") else dict(config)
    kept = {
        key: value
        for key, value in values.items()
        if not key.startswith("_") and key not in {"transformers_version", "dtype", "architectures"}
    }
    return json.dumps(kept, sort_keys=True, default=str)


def _first_lines(error: Exception, count: int = 2) -> str:
    """The beginning of a library's message, which can run to hundreds of lines."""
    return " ".join(" ".join(str(error).split("\n")[:count]).split()).rstrip(".")
