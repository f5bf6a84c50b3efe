"""The two files that Kohya's trainer reads, from a training's parameters by Kohya's names.

Kohya flattens the sections of its configuration file, and lets the dataset file win over it. What holds for pictures
is written into the dataset file; what an experiment sets there wins over what a folder of it had.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import tomlkit

from pixel_lora_pipeline.train.dataset_options import read_dataset_config
from pixel_lora_pipeline.train.trainers.kohya.options import (
    DATASET_FILE,
    IN_DATASET_FILE,
    OURS,
    OptionError,
    argument,
    dataset_option,
    is_network_argument,
    network_argument,
)
from pixel_lora_pipeline.train.trainers.kohya.preflight import faults, notes
from pixel_lora_pipeline.train.trainers.kohya.training_data import (
    TrainingDataError,
    read_file,
    read_folders,
    with_options,
)
from pixel_lora_pipeline.train.trainers.trainer import TrainerError

CONFIG_FILE: Final = "config.toml"
DATASET_CONFIG_FILE: Final = "dataset.toml"

_LORA: Final = "networks.lora"
# Written though they are Kohya's defaults: its headers and its configurations would say nothing of them.
_LORA_DEFAULTS: Final = {"network_dim": 4, "network_alpha": 1.0}
_DEFAULT_EXTENSION: Final = ".caption"
_WEIGHTS: Final = (".safetensors", ".ckpt", ".pt")
# A further tracker may be kept beside ours.
_TRACKERS: Final = {"wandb": "all", "all": "all"}


@dataclass(frozen=True)
class KohyaConfiguration:
    """What a training is told.

    Attributes
    ----------
    arguments
        Of the script, by their names.
    datasets
        `general` and `datasets`, as a dataset file has them.
    notes
        What is allowed, and probably not meant; a sentence each.
    """

    arguments: dict[str, Any]
    datasets: dict[str, Any]
    notes: tuple[str, ...]

    def files(self) -> dict[str, str]:
        """Both files by name, as they are written into the training's folder."""
        return {CONFIG_FILE: tomlkit.dumps(self.arguments), DATASET_CONFIG_FILE: tomlkit.dumps(self.datasets)}


def read_configuration(
    config: Mapping[str, Any], folder: Path, logging_dir: Path, *, is_sdxl: bool = False
) -> KohyaConfiguration:
    """What Kohya is told to train a configuration.

    Parameters
    ----------
    config
        By Kohya's names, network arguments among the others or as `network_args`; None is not set. `output_name` and
        `pretrained_model_name_or_path` are among it, and `train_data_dir` or `dataset_config`.
    folder
        Where the checkpoints, and both files, are to lie.
    logging_dir
        Where the log for TensorBoard is to lie.
    is_sdxl
        Whether the base model is of that kind.

    Raises
    ------
    TrainerError
        With everything that is wrong: options that Kohya does not have, values that it cannot take, and combinations
        that it crashes on.
    """
    given = {name: value for name, value in config.items() if value is not None}
    problems: list[str] = []
    module = str(given.get("network_module") or _LORA)
    arguments: dict[str, Any] = {"network_module": module}
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in OURS or name == "network_args" or is_network_argument(name):
            continue
        try:
            if name in DATASET_FILE:
                options[name] = dataset_option(name, value)
            else:
                arguments[name] = argument(name, value)
        except OptionError as error:
            problems.append(str(error))
    network_args = _network_arguments(given, module, problems)
    if network_args:
        arguments["network_args"] = network_args
    arguments = {name: value for name, value in arguments.items() if value is not None}
    if module == _LORA and not arguments.get("dim_from_weights"):
        arguments = {**_LORA_DEFAULTS, **arguments}
    options |= {there: arguments[here] for here, there in IN_DATASET_FILE.items() if here in arguments}
    problems += _missing_files(arguments)
    try:
        document = _pictures(given)
    except TrainingDataError as error:
        raise _refusal([*problems, str(error)]) from error
    document = with_options(document, options, arguments.keys())
    document["general"].setdefault("caption_extension", _DEFAULT_EXTENSION)
    data = read_dataset_config(document)
    assert data is not None  # noqa: S101 - it has folders, or there was an error
    problems += dict.fromkeys(faults(arguments, data, is_sdxl=is_sdxl))
    if problems:
        raise _refusal(problems)
    whole = {
        **arguments,
        "output_dir": str(folder),
        "output_name": str(given["output_name"]),
        "save_model_as": "safetensors",
        "save_every_n_epochs": arguments.get("save_every_n_epochs", 1),
        "logging_dir": str(logging_dir),
        "log_with": _TRACKERS.get(str(given.get("log_with")), "tensorboard"),
        "dataset_config": str(folder / DATASET_CONFIG_FILE),
    }
    return KohyaConfiguration(whole, document, tuple(dict.fromkeys(notes(arguments, data))))


def _refusal(problems: list[str]) -> TrainerError:
    return TrainerError("Kohya's trainer cannot be told this:\n  " + "\n  ".join(problems))


def _pictures(given: Mapping[str, Any]) -> dict[str, Any]:
    if "dataset_config" in given:
        return read_file(Path(str(given["dataset_config"])).expanduser())
    if "train_data_dir" not in given:
        raise TrainingDataError("neither train_data_dir nor dataset_config is set: say where the pictures are")
    regularisation = given.get("reg_data_dir")
    return read_folders(
        Path(str(given["train_data_dir"])).expanduser(),
        None if regularisation is None else Path(str(regularisation)).expanduser(),
    )


def _network_arguments(given: Mapping[str, Any], module: str, problems: list[str]) -> list[str]:
    """`network_args`, and what stands beside the other options instead."""
    listed = given.get("network_args", [])
    pairs = listed.items() if isinstance(listed, Mapping) else _pairs(listed, problems)
    named = {name: value for name, value in given.items() if is_network_argument(name)}
    texts: dict[str, str] = {}
    for name, value in [*pairs, *named.items()]:
        if name == "dropout" and value in (None, "None"):  # what Kohya adds to a header by itself
            continue
        try:
            text = network_argument(name, value, module)
        except OptionError as error:
            problems.append(str(error))
            continue
        if texts.setdefault(name, text) != text:
            problems.append(f"{name} = {value!r}: network_args says {texts[name]}; keep one of them")
    return list(texts.values())


def _pairs(listed: object, problems: list[str]) -> list[tuple[str, str]]:
    texts = [listed] if isinstance(listed, str) else listed
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and "=" in text for text in texts):
        problems.append(f"network_args = {listed!r}: it is a list of 'key=value'")
        return []
    return [(name, value) for name, _, value in (text.partition("=") for text in texts)]


def _missing_files(arguments: Mapping[str, Any]) -> list[str]:
    """Models that are named and not there. A name of the hub is Kohya's to look up."""
    if not arguments.get("pretrained_model_name_or_path"):
        return ["pretrained_model_name_or_path is not set: name the base model"]
    return [
        f"{name} = {arguments[name]!r}: there is no such file"
        for name in ("pretrained_model_name_or_path", "network_weights", "vae")
        if arguments.get(name) and is_path(str(arguments[name])) and not Path(str(arguments[name])).exists()
    ]


def is_path(model: str) -> bool:
    """Whether a base model is named by its place on this machine, and not by its name on the hub (`owner/model`)."""
    path = Path(model)
    return path.is_absolute() or model.startswith((".", "~")) or path.suffix in _WEIGHTS or path.exists()
