"""The configuration file that a pod's trainer reads, from a training's parameters by Kohya's names.

Paths are those of the pod: nothing here can see whether they are there.
"""

from collections.abc import Mapping
from typing import Any, Final

import tomlkit

from pixel_lora_pipeline.train.trainers.kohya.options import (
    OptionError,
    argument,
    is_network_argument,
    network_argument,
)
from pixel_lora_pipeline.train.trainers.trainer import TrainerError

_LORA: Final = "networks.lora"
# The start script says where these are, and that the checkpoints can be read here.
_OF_THE_POD: Final = ("config_file", "log_with", "logging_dir", "output_dir", "save_model_as")


def pod_configuration(config: Mapping[str, Any]) -> str:
    """What Kohya's `--config_file` holds on a pod, as TOML.

    Parameters
    ----------
    config
        By Kohya's names, network arguments among the others or as `network_args`; None is not set.

    Raises
    ------
    TrainerError
        With everything that is wrong: options that Kohya does not have, values that it cannot take, what is missing.
    """
    given = {name: value for name, value in config.items() if value is not None and name not in _OF_THE_POD}
    problems: list[str] = []
    module = str(given.get("network_module") or _LORA)
    arguments: dict[str, Any] = {"network_module": module}
    network_args = _listed(given.pop("network_args", []), problems)
    for name, value in given.items():
        try:
            if is_network_argument(name):
                network_args.append(network_argument(name, value, module))
            else:
                arguments[name] = argument(name, value)
        except OptionError as error:
            problems.append(str(error))
    if not given.get("pretrained_model_name_or_path"):
        problems.append("pretrained_model_name_or_path is not set: name the base model, by its path on the pod")
    if not given.get("train_data_dir") and not given.get("dataset_config"):
        problems.append("neither train_data_dir nor dataset_config is set: say where the pictures are on the pod")
    if problems:
        raise TrainerError("Kohya's trainer on a pod cannot be told this:\n  " + "\n  ".join(problems))
    arguments.setdefault("save_every_n_epochs", 1)
    if network_args:
        arguments["network_args"] = list(dict.fromkeys(network_args))
    return tomlkit.dumps({name: value for name, value in arguments.items() if value is not None})


def _listed(network_args: object, problems: list[str]) -> list[str]:
    if isinstance(network_args, Mapping):
        return [f"{name}={value}" for name, value in network_args.items()]
    if isinstance(network_args, list | tuple) and all(isinstance(text, str) and "=" in text for text in network_args):
        return list(network_args)
    problems.append(f"network_args = {network_args!r}: it is a list of 'key=value'")
    return []
