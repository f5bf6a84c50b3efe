"""Every parameter that a run is described by: Kohya's, those that are measured or calculated, those that people note.

The roadmap's groups and its names for parameters lead into the one table.
"""

from functools import cache
from typing import Final, Literal

from pixel_lora_pipeline.train.dataset_options import is_data_option
from pixel_lora_pipeline.train.derived_parameters import DERIVED_PARAMETERS
from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table
from pixel_lora_pipeline.train.parameter_value import PER_FILE_PARAMETERS

Place = Literal["header", "dataset_config", "configuration", "tensors", "file name", "calculation", "observations"]

PLACES: Final[dict[Place, str]] = {
    "header": "the header of a checkpoint",
    "dataset_config": "the training's `dataset_config` TOML, beside the checkpoint",
    "configuration": "the run's configuration, beside the checkpoint: Kohya's TOML, or the JSON that kohya_ss saves",
    "tensors": "the weights of a checkpoint",
    "file name": "the name of a checkpoint",
    "calculation": "other parameters, from which it is calculated",
    "observations": "a file of observations, see `pixel-lora backfill`",
}
"""Where a parameter can be known from, in words."""

CATEGORIES: Final = {
    "architecture": "Model architecture",
    "hyperparameters": "Training hyperparameters",
    "data_captions": "Data engineering",
    "augmentation": "Augmentation",
    "preprocessing_bucketing": "Preprocessing",
    "stability": "Stability",
    "timing": "Timing",
    "noise_loss": "Noise and loss",
    "provenance": "Provenance",
}
"""The roadmap's categories, and two that it has no parameters in: key in the table → title."""

ROADMAP_NAMES: Final = {
    "optimizer": "optimizer_type",
    "image_resolution": "resolution",
    "gradient_clipping": "max_grad_norm",
}
"""What the roadmap calls otherwise than Kohya does → the name in the table."""

_KNOWN_FROM_TENSORS: Final = frozenset(
    {
        "network_dim",
        "network_alpha",
        "conv_dim",
        "conv_alpha",
        "network_train_unet_only",
        "network_train_text_encoder_only",
        "save_precision",
    }
)
_KNOWN_FROM_FILE_NAMES: Final = frozenset({"output_name", "epoch", "steps"})


def _own(name: str, kind: str, category: str, section: str, meaning: str) -> Parameter:
    return Parameter(name, "", "", kind, "", category, "no", section, meaning)


MEASURED_PARAMETERS: Final = {
    parameter.name: parameter
    for parameter in (
        _own("measured_linear_rank", "int", "architecture", "measured", "rank of linear layers and 1x1 convolutions"),
        _own("measured_linear_alpha", "float", "architecture", "measured", "their alpha"),
        _own("measured_conv_rank", "int", "architecture", "measured", "rank of larger convolutions"),
        _own("measured_conv_alpha", "float", "architecture", "measured", "their alpha"),
        _own("unet_modules", "int", "architecture", "measured", "layers of the U-Net that the LoRA changes"),
        _own("text_encoder_modules", "int", "architecture", "measured", "layers of the text encoder that it changes"),
    )
}
"""What the tensors show, whatever the header says; a list where layers differ."""

OBSERVED_PARAMETERS: Final = {
    "caption_version": _own(
        "caption_version", "str", "data_captions", "observed", "which version of the captions was trained on"
    )
}
"""What no file of a training says, and a person has to."""


# Parts of a configuration that somebody chooses before a training; what is only counted or calculated has others.
_CHOSEN_SECTIONS: Final = frozenset({"train", "network_args", "network_args(lycoris)", "dataset", "sdxl", "observed"})
# What the data and the base model are is chosen too, and known from what is counted of them.
_CHOSEN_FACTS: Final = frozenset(
    {
        "base_model_version",
        "pretrained_model_name_or_path",
        "num_images",
        "caption_complexity",
        "hex_codes_per_caption",
        "network_weights",
    }
)
# Where files lie, how often something is saved, sampled or validated, and texts that hold other parameters.
_NOT_OF_THE_PICTURE: Final = frozenset(
    {
        "train_data_dir",
        "reg_data_dir",
        "dataset_config",
        "caption_extension",
        "custom_attributes",
        "network_args",
        "save_every_n_epochs",
        "save_every_n_steps",
        "save_last_n_epochs",
        "sample_every_n_epochs",
        "validate_every_n_epochs",
        "validate_every_n_steps",
        "max_validation_steps",
        "max_data_loader_n_workers",
    }
)


@cache
def taxonomy() -> dict[str, Parameter]:
    """Every parameter by name: Kohya's in the table's order, then those measured, calculated and observed."""
    return {**parameter_table(), **MEASURED_PARAMETERS, **DERIVED_PARAMETERS, **OBSERVED_PARAMETERS}


def run_taxonomy() -> dict[str, Parameter]:
    """The parameters that all files of a run share."""
    return {name: parameter for name, parameter in taxonomy().items() if name not in PER_FILE_PARAMETERS}


def chosen_parameters() -> dict[str, Parameter]:
    """The parameters that somebody chooses before a training and that may act on its pictures."""
    return {
        name: parameter
        for name, parameter in run_taxonomy().items()
        if name in _CHOSEN_FACTS
        or (
            parameter.section in _CHOSEN_SECTIONS
            and parameter.category != "provenance"
            and name not in _NOT_OF_THE_PICTURE
        )
    }


def is_observable(parameter: Parameter) -> bool:
    """Whether a person can say it of a run; what tensors show they show better."""
    return parameter.section != "measured" and parameter.name not in PER_FILE_PARAMETERS


def places_of(parameter: Parameter) -> tuple[Place, ...]:
    """Where a parameter can be known from, the place that is believed most first."""
    if parameter.section == "measured":
        return ("tensors",)
    places: list[Place] = []
    if parameter.section == "calculated":
        places.append("calculation")
    if parameter.recorded != "no":
        places.append("header")
    if is_data_option(parameter.name):
        places.append("dataset_config")
    if parameter.section not in ("derived", "calculated", "observed"):
        places.append("configuration")
    if parameter.name in _KNOWN_FROM_TENSORS:
        places.append("tensors")
    if parameter.name in _KNOWN_FROM_FILE_NAMES:
        places.append("file name")
    if is_observable(parameter):
        places.append("observations")
    return tuple(places)
