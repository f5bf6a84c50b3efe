"""What all trainings of a campaign share, from the configuration that somebody trains with already."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.dataset_options import TrainingData, one_if_equal, read_dataset_config
from pixel_lora_pipeline.train.parameter_table import parameter_table, typed_value
from pixel_lora_pipeline.train.trainers.kohya.options import IN_DATASET_FILE, OURS, is_network_argument
from pixel_lora_pipeline.train.trainers.kohya.training_data import TrainingDataError, read_file
from pixel_lora_pipeline.train.trainers.trainer import TrainerError

_PATHS: Final = (
    "pretrained_model_name_or_path",
    "vae",
    "network_weights",
    "resume",
    "sample_prompts",
    "train_data_dir",
    "reg_data_dir",
    "dataset_config",
)
_DATA: Final = frozenset({"train_data_dir", "reg_data_dir", "dataset_config"})
_COMPARABLE: Final = frozenset({"int", "float", "int_or_float", "StoreTrue", "bool"})


def read_campaign_base(path: Path, base_model: str) -> dict[str, Any]:
    """A configuration file of Kohya's as a search reads it: each parameter under its own name, with what holds for it.

    As Kohya does, the dataset file wins over the arguments. Where its folders differ in an option, no value holds for
    all of them: it is left out, and stays as the dataset file has it until an experiment sets it. Paths are relative
    to the current folder, and become whole.

    Parameters
    ----------
    path
        The configuration file.
    base_model
        What is trained where the file does not say.

    Raises
    ------
    TrainerError
        If the file or its dataset file cannot be read.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TrainerError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise TrainerError(f"{path} is no TOML file: {error}") from error
    flat: dict[str, Any] = {}
    for name, value in content.items():
        flat |= value if isinstance(value, dict) and name not in ("network_args", "optimizer_args") else {name: value}
    kept = {name: value for name, value in flat.items() if name not in OURS or name in _DATA}
    base: dict[str, Any] = {"pretrained_model_name_or_path": base_model, **kept}
    base |= {name: str(Path(base[name]).expanduser().absolute()) for name in _PATHS if _is_there(base.get(name))}
    base = _with_network_arguments(base)
    if "dataset_config" in base:
        base = _with_dataset_options(base, Path(base["dataset_config"]))
    return {name: _typed(name, value) for name, value in base.items()}


def _is_there(path: object) -> bool:
    return isinstance(path, str) and Path(path).expanduser().exists()


def _with_network_arguments(base: Mapping[str, Any]) -> dict[str, Any]:
    listed = base.get("network_args", [])
    if not isinstance(listed, list) or not all(isinstance(text, str) and "=" in text for text in listed):
        return dict(base)  # the check of the whole says so
    pairs = [text.partition("=")[::2] for text in listed]
    others = [f"{name}={value}" for name, value in pairs if not is_network_argument(name)]
    flat = {name: value for name, value in base.items() if name != "network_args"}
    flat |= {name: value for name, value in pairs if is_network_argument(name)}
    return {**flat, "network_args": others} if others else flat


def _with_dataset_options(base: Mapping[str, Any], path: Path) -> dict[str, Any]:
    try:
        data = read_dataset_config(read_file(path))
    except TrainingDataError as error:
        raise TrainerError(str(error)) from error
    assert data is not None  # noqa: S101 - read_file has seen to it
    found = dict(base)
    for name in parameter_table():
        values = _values(data, name, found.get(name))
        if values is None:
            continue
        found.pop(name, None)
        if not isinstance(common := one_if_equal(values), list) or name == "resolution":
            found[name] = common
    return found


def _values(data: TrainingData, name: str, base: Any) -> list[Any] | None:
    parameter = parameter_table()[name]
    if parameter.section == "derived" or name in OURS:
        return None
    try:
        return data.values(parameter, base)
    except ValueError as error:
        raise TrainerError(f"dataset_config: {IN_DATASET_FILE.get(name, name)}: it is {error}") from error


def _typed(name: str, value: Any) -> Any:
    """Numbers and switches as such, so that a search can compare them; the rest as it stands."""
    parameter = parameter_table().get(name)
    is_comparable = name == "resolution" or is_network_argument(name)
    if parameter is None or not (is_comparable or parameter.kind in _COMPARABLE):
        return value
    try:
        return typed_value(parameter, value)
    except ValueError:  # the check of the whole says so
        return value
