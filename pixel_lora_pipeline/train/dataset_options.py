"""Options of the training data, which a training may set differently for each of its subsets.

With a `dataset_config`, Kohya's header holds them in one JSON text, `ss_datasets`; the TOML file itself says
more, and it alone knows the dropout that was set there: the header keeps the global argument for those.
"""

import re
from dataclasses import dataclass

from pixel_lora_pipeline.train.bounded_json import JSONValue
from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table, typed_value

# What a dataset_config may set (sd-scripts, library/config_util.py), by its names there.
SUBSET_OPTIONS = frozenset(
    {
        "num_repeats",
        "shuffle_caption",
        "caption_separator",
        "keep_tokens",
        "keep_tokens_separator",
        "secondary_separator",
        "enable_wildcard",
        "color_aug",
        "flip_aug",
        "face_crop_aug_range",
        "random_crop",
        "caption_prefix",
        "caption_suffix",
        "caption_dropout_rate",
        "caption_dropout_every_n_epochs",
        "caption_tag_dropout_rate",
        "token_warmup_min",
        "token_warmup_step",
        "class_tokens",
        "caption_extension",
        "alpha_mask",
        "custom_attributes",
        "resize_interpolation",
    }
)
DATASET_OPTIONS = frozenset(
    {
        "batch_size",
        "enable_bucket",
        "min_bucket_reso",
        "max_bucket_reso",
        "bucket_reso_steps",
        "bucket_no_upscale",
        "resolution",
        "validation_split",
        "validation_seed",
    }
)
_OPTION_OF_PARAMETER = {"train_batch_size": "batch_size"}

# What header and TOML both have. If they differ, the TOML was changed after the training.
_COMPARED = (
    "num_repeats",
    "keep_tokens",
    "shuffle_caption",
    "flip_aug",
    "color_aug",
    "resolution",
    "batch_size",
)


def is_data_option(name: str) -> bool:
    """Whether a dataset_config can set the parameter."""
    return _OPTION_OF_PARAMETER.get(name, name) in SUBSET_OPTIONS | DATASET_OPTIONS


@dataclass(frozen=True)
class Subset:
    """One folder of training pictures, with everything that holds for it."""

    folder: str
    is_regularisation: bool
    options: dict[str, object]


@dataclass(frozen=True)
class TrainingData:
    """The subsets of all datasets of a training, and the options of each dataset."""

    subsets: tuple[Subset, ...]
    datasets: tuple[dict[str, object], ...]

    @property
    def trained(self) -> tuple[Subset, ...]:
        """The subsets that teach; regularisation pictures are left out where there are others."""
        return tuple(subset for subset in self.subsets if not subset.is_regularisation) or self.subsets

    def values(self, parameter: Parameter, base: JSONValue = None) -> list[JSONValue] | None:
        """The parameter's value in each trained subset (of a dataset option: in each dataset), in order.

        `base` stands where a subset does not set it. None if no subset does.

        Raises
        ------
        ValueError
            If a value is not of the parameter's type.
        """
        option = _OPTION_OF_PARAMETER.get(parameter.name, parameter.name)
        is_of_dataset = option in DATASET_OPTIONS or re.match(r"ss_datasets\[\]\.\w+$", parameter.dataset_config_key)
        holders = list(self.datasets) if is_of_dataset else [subset.options for subset in self.trained]
        if not any(option in holder for holder in holders):
            return None
        return [typed_value(parameter, holder[option]) if option in holder else base for holder in holders]


def one_if_equal(values: list[JSONValue]) -> JSONValue:
    """The common value of all subsets, or the list of their values."""
    return values[0] if values and all(value == values[0] for value in values) else values


def read_header_datasets(datasets: JSONValue) -> TrainingData | None:
    """The training data that a header's `ss_datasets` describes, None if it is not of the known form."""
    if not isinstance(datasets, list):
        return None
    subsets: list[Subset] = []
    levels: list[dict[str, object]] = []
    for dataset in datasets:
        if not isinstance(dataset, dict) or not isinstance(dataset.get("subsets"), list):
            return None
        # As the TOML calls it, so that both can be compared.
        renamed = {"batch_size_per_device": "batch_size"}
        levels.append({renamed.get(name, name): value for name, value in dataset.items() if name != "subsets"})
        for subset in dataset["subsets"]:  # type: ignore[union-attr]
            if not isinstance(subset, dict):
                return None
            subsets.append(_subset(dict(subset)))
    return TrainingData(tuple(subsets), tuple(levels)) if subsets else None


def read_dataset_config(config: dict[str, object]) -> TrainingData | None:
    """The training data that a `dataset_config` file describes, None if it is no such file.

    A subset inherits from its dataset, a dataset from `[general]`.
    """
    general, datasets = config.get("general", {}), config.get("datasets")
    if not isinstance(general, dict) or not isinstance(datasets, list):
        return None
    subsets: list[Subset] = []
    levels: list[dict[str, object]] = []
    for dataset in datasets:
        if not isinstance(dataset, dict):
            return None
        own = general | {name: value for name, value in dataset.items() if name != "subsets"}
        levels.append(own)
        listed = dataset.get("subsets", [])
        for subset in listed if isinstance(listed, list) else []:
            if isinstance(subset, dict):
                subsets.append(_subset(own | subset))
    return TrainingData(tuple(subsets), tuple(levels)) if subsets else None


def restricted_to(config: TrainingData, header: TrainingData) -> TrainingData | None:
    """The part of a dataset_config that a training used, None if the file is not (any more) that training's.

    Kohya leaves out subsets without pictures, and writes into the header what it used.
    """
    planned_subsets = iter(config.subsets)  # used up in order: two subsets may have folders of the same name
    subsets: list[Subset] = []
    for fact in header.subsets:
        match = next((subset for subset in planned_subsets if subset.folder == fact.folder), None)
        if match is None:
            return None
        subsets.append(match)
    used = TrainingData(tuple(subsets), config.datasets)
    table = parameter_table()
    for option in _COMPARED:
        parameter = table["train_batch_size" if option == "batch_size" else option]
        try:
            planned, recorded = used.values(parameter), header.values(parameter)
        except ValueError:
            return None
        # Lists of unequal length: datasets without pictures were left out, which only drops what is not used.
        if planned and recorded and len(planned) == len(recorded):
            pairs = zip(planned, recorded, strict=True)
            if any(plan is not None and plan != record for plan, record in pairs):
                return None
    return used


def _subset(options: dict[str, object]) -> Subset:
    source = str(options.get("image_dir") or options.get("metadata_file") or "")
    return Subset(
        folder=source.replace("\\", "/").rstrip("/").rpartition("/")[2],
        is_regularisation=options.get("is_reg") is True,
        options=options,
    )
