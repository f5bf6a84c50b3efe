"""Each of Kohya's options: whether there is such a one, where it stands, and the type that Kohya reads it as.

Kohya's parser looks at types and choices on its command line only. What stands in a configuration file it takes as it
is, unknown names included, and then fails in the middle of loading, or not at all.

References
----------
.. [1] kohya-ss/sd-scripts, `library/train_util.py` (arguments), `library/config_util.py` (`ConfigSanitizer`: what a
       dataset file may hold), `train_network.py`.
"""

import difflib
from collections.abc import Mapping
from typing import Any, Final

from pixel_lora_pipeline.train.dataset_options import DATASET_OPTIONS, SUBSET_OPTIONS
from pixel_lora_pipeline.train.parameter_table import parameter_table, typed_value

# A dataset file may set these too. Set there, the header says 0.0 of a dropout that was there, and older versions
# know caption_separator only as an argument.
_BETTER_AS_ARGUMENTS: Final = frozenset(
    {
        "caption_dropout_rate",
        "caption_dropout_every_n_epochs",
        "caption_tag_dropout_rate",
        "caption_separator",
        "alpha_mask",
    }
)
DATASET_FILE: Final = (SUBSET_OPTIONS | DATASET_OPTIONS) - _BETTER_AS_ARGUMENTS
"""Options that stand in the dataset file, by their names there."""

IN_DATASET_FILE: Final = {"train_batch_size": "batch_size"}
"""Argument → its other name in the dataset file."""

OURS: Final = frozenset(
    {
        "output_dir",
        "output_name",
        "save_model_as",
        "logging_dir",
        "log_with",
        "dataset_config",
        "train_data_dir",
        "reg_data_dir",
        "config_file",
    }
)
"""Options that every training gets from us: where its files go, and where its pictures are."""

# What is no parameter of a run: how a machine trains the same, and where something is told or kept besides.
_OF_THE_MACHINE: Final = frozenset(
    {
        "cache_text_encoder_outputs_to_disk",
        "console_log_level",
        "cpu_offload_checkpointing",
        "ddp_gradient_as_bucket_view",
        "ddp_static_graph",
        "ddp_timeout",
        "disable_mmap_load_safetensors",
        "dynamo_backend",
        "highvram",
        "log_prefix",
        "log_tracker_config",
        "log_tracker_name",
        "mem_eff_attn",
        "persistent_data_loader_workers",
        "sample_at_first",
        "sample_every_n_steps",
        "skip_cache_check",
        "skip_image_resolution",
        "skip_until_initial_step",
        "text_encoder_batch_size",
        "tokenizer_cache_dir",
        "torch_compile",
        "wandb_run_name",
    }
)
# Kohya's own parser checks these on a command line only.
_CHOICES: Final[Mapping[str, tuple[object, ...]]] = {
    "mixed_precision": ("no", "fp16", "bf16"),
    "save_precision": ("float", "fp16", "bf16"),
    "loss_type": ("l1", "l2", "huber", "smooth_l1"),
    "huber_schedule": ("constant", "exponential", "snr"),
    "max_token_length": (150, 225),
}
_MANY: Final = frozenset({"base_weights", "base_weights_multiplier"})
_ASSIGNMENTS: Final = frozenset({"optimizer_args", "lr_scheduler_args"})
_NETWORK_SECTIONS: Final = ("network_args", "network_args(lycoris)")
_LORA: Final = "networks.lora"


class OptionError(ValueError):
    """An option that Kohya does not have, or a value that it cannot take."""


def is_network_argument(name: str) -> bool:
    """Whether it is one of the `network_args`."""
    parameter = parameter_table().get(name)
    return parameter is not None and parameter.section in _NETWORK_SECTIONS


def argument(name: str, value: object) -> object:
    """The value of an option as a configuration file holds it: what Kohya's parser would have made of it.

    Raises
    ------
    OptionError
        If there is no such option, or it cannot have that value.
    """
    if name in _OF_THE_MACHINE:
        return value
    parameter = parameter_table().get(name)
    if parameter is None:
        raise OptionError(f"{name} = {value!r}: Kohya has no such option{_hint(name, parameter_table())}")
    if parameter.section == "derived":
        raise OptionError(f"{name} = {value!r}: Kohya counts it, it cannot be set")
    if name in _ASSIGNMENTS:
        return _assignments(name, value)
    if name in _MANY:
        return value if isinstance(value, list) else [value]
    if name == "custom_attributes":
        return value
    if name == "max_token_length" and value == 75:
        return None  # what Kohya does without it; its own word for that is none
    try:
        read = typed_value(parameter, value)
    except ValueError as error:
        raise OptionError(f"{name} = {value!r}: it is {error}") from error
    if parameter.kind == "str" and name not in ("resolution", "text_encoder_lr"):
        # As it stands: a class path keeps its modules.
        read = ",".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if name == "resolution" and isinstance(read, list):
        read = "{},{}".format(*read)  # the one form that Kohya's parser takes
    if name in _CHOICES and read not in _CHOICES[name]:
        raise OptionError(f"{name} = {value!r}: it is one of {', '.join(map(str, _CHOICES[name]))}")
    return read


def dataset_option(name: str, value: object) -> object:
    """The value of an option of the pictures as a dataset file holds it.

    Raises
    ------
    OptionError
        As `argument`.
    """
    read = argument(name, value)
    if name == "resolution":
        return [int(side) for side in str(read).split(",")]
    if name == "face_crop_aug_range":
        try:
            low, high = (float(part) for part in str(read).split(","))
        except ValueError as error:
            raise OptionError(f"{name} = {value!r}: it is two numbers, as in '1.0,4.0'") from error
        return [low, high]
    return read


def network_argument(name: str, value: object, network_module: str) -> str:
    """A network argument as Kohya takes it, `conv_dim=8`: all are text, and a rank is a whole number.

    Only those of `networks.lora` are known by name; another module has its own.

    Raises
    ------
    OptionError
        If it is not one of the module's.
    """
    if network_module == _LORA:
        parameter = parameter_table().get(name)
        if parameter is not None and parameter.section == "network_args(lycoris)":
            raise OptionError(
                f"{name} = {value!r}: it is LyCORIS's, and {_LORA} ignores it; set network_module = 'lycoris.kohya'"
            )
        if parameter is None or parameter.section != "network_args":
            known = {key: row for key, row in parameter_table().items() if row.section == "network_args"}
            raise OptionError(f"network_args: {name}={value}: {_LORA} has no such argument{_hint(name, known)}")
    return f"{name}={_text(value)}"


def _assignments(name: str, value: object) -> list[str]:
    if isinstance(value, Mapping):
        return [f"{key}={_text(part)}" for key, part in value.items()]
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(text, str) and "=" in text for text in texts):
        raise OptionError(f"{name} = {value!r}: it is a list of 'key=value'")
    return list(texts)


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(_text(part) for part in value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # Kohya makes ranks of them by int(), which does not read "8.0"
    return str(value)


def _hint(name: str, known: Mapping[str, Any]) -> str:
    nearest = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {nearest[0]}?" if nearest else ""
