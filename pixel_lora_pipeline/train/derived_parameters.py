"""What is calculated from a run's parameters, and often tells more of the training than they do."""

import math
import re
from typing import Final

from pixel_lora_pipeline.train.bounded_json import JSONValue
from pixel_lora_pipeline.train.dataset_options import SUBSET_OPTIONS
from pixel_lora_pipeline.train.parameter_table import Parameter
from pixel_lora_pipeline.train.parameter_value import ParameterValue, Source, first_number
from pixel_lora_pipeline.train.tensors import AdapterSummary

_HEX_CODE: Final = re.compile(r"#[0-9a-f]{6}(?![0-9a-f])", re.IGNORECASE)


def _described(name: str, kind: str, category: str, meaning: str) -> Parameter:
    return Parameter(name, "", "", kind, "", category, "no", "calculated", meaning)


DERIVED_PARAMETERS: Final = {
    parameter.name: parameter
    for parameter in (
        _described(
            "alpha_per_rank", "float", "architecture", "alpha / rank, the mean over the layers: the scale of the update"
        ),
        _described("conv_alpha_per_rank", "float", "architecture", "the same of the 3x3 convolutions"),
        _described(
            "lr_times_alpha_per_rank",
            "float",
            "hyperparameters",
            "learning rate of the trained part × alpha / rank: what a step really changes",
        ),
        _described(
            "effective_batch_size",
            "int",
            "hyperparameters",
            "images per optimizer step: total_batch_size, else train_batch_size × gradient_accumulation_steps",
        ),
        _described("num_images", "int", "data_captions", "different training images, without repeats"),
        _described("images_times_repeats", "int", "data_captions", "images shown in an epoch: num_train_images"),
        _described(
            "caption_complexity", "float", "data_captions", "tags per caption, by ss_tag_frequency and ss_dataset_dirs"
        ),
        _described("hex_codes_per_caption", "float", "data_captions", "colours as #rrggbb per caption, likewise"),
        _described(
            "steps_per_epoch",
            "int",
            "timing",
            "optimizer steps an epoch: num_batches_per_epoch / gradient_accumulation_steps, rounded up",
        ),
        _described(
            "total_training_time",
            "int",
            "timing",
            "seconds from the start of the training to the saving of the checkpoint, of a run: of its furthest",
        ),
    )
}
"""Calculated parameters by name, each with its formula; `derive_parameters` calculates them."""

SPREAD_SUFFIXES: Final = ("_min", "_max", "_weighted")
"""Of options of the training data whose subsets differ: range, and mean over the pictures shown in an epoch."""


def derive_parameters(
    parameters: dict[str, ParameterValue], adapter: AdapterSummary | None
) -> dict[str, ParameterValue]:
    """What can be calculated from a run's parameters and the measured adapter.

    Parameters
    ----------
    parameters
        By the table's names.
    adapter
        None where no tensors could be read: scales are then those that alpha and rank promise.
    """
    return {
        name: found
        for name, found in (
            *_spreads(parameters).items(),
            *_of_the_network(parameters, adapter).items(),
            *_of_the_data(parameters).items(),
            *_of_the_schedule(parameters).items(),
        )
        if not isinstance(found.value, float) or math.isfinite(found.value)
    }


def _of_the_network(parameters: dict[str, ParameterValue], adapter: AdapterSummary | None) -> dict[str, ParameterValue]:
    found: dict[str, ParameterValue] = {}
    linear = _scale(parameters, adapter, "network")
    for name, scale in (("alpha_per_rank", linear), ("conv_alpha_per_rank", _scale(parameters, adapter, "conv"))):
        if scale is not None:
            found[name] = ParameterValue(*scale)
    part = "text_encoder_lr" if adapter is not None and not adapter.unet_modules else "unet_lr"
    rate = first_number(parameters, part, "learning_rate")
    if rate is not None and linear is not None:
        found["lr_times_alpha_per_rank"] = ParameterValue(rate[0] * linear[0], rate[1])
    return found


def _scale(
    parameters: dict[str, ParameterValue], adapter: AdapterSummary | None, layers: str
) -> tuple[float, Source] | None:
    if adapter is not None:
        measured = adapter.linear_scale if layers == "network" else adapter.conv_scale
        return None if measured is None else (measured, "tensors")
    rank, alpha = first_number(parameters, f"{layers}_dim"), first_number(parameters, f"{layers}_alpha")
    if rank is None or alpha is None or rank[0] <= 0:
        return None
    return (alpha[0] / rank[0] if alpha[0] else 1.0), rank[1]  # Kohya takes alpha 0 for alpha = rank


def _of_the_data(parameters: dict[str, ParameterValue]) -> dict[str, ParameterValue]:
    found: dict[str, ParameterValue] = {}
    if (shown := first_number(parameters, "num_train_images")) is not None:
        found["images_times_repeats"] = ParameterValue(*shown)
    folders, source = _object(parameters, "dataset_dirs")
    counts = [folder.get("img_count") for folder in folders.values() if isinstance(folder, dict)]
    images = sum(count for count in counts if isinstance(count, int))
    if images <= 0 or len(counts) != len(folders) or not all(isinstance(count, int) for count in counts):
        return found
    found["num_images"] = ParameterValue(images, source)

    frequencies, source = _object(parameters, "tag_frequency")
    tags = [(tag, n) for folder in folders for tag, n in _tags(frequencies.get(folder)) if isinstance(n, int)]
    if tags:
        codes = sum(n * len(_HEX_CODE.findall(tag)) for tag, n in tags)
        found["caption_complexity"] = ParameterValue(sum(n for _, n in tags) / images, source)
        found["hex_codes_per_caption"] = ParameterValue(codes / images, source)
    return found


def _object(parameters: dict[str, ParameterValue], name: str) -> tuple[dict[str, JSONValue], Source]:
    found = parameters.get(name)
    return (found.value, found.source) if found is not None and isinstance(found.value, dict) else ({}, "header")


def _tags(frequency: JSONValue) -> list[tuple[str, JSONValue]]:
    return list(frequency.items()) if isinstance(frequency, dict) else []


def _of_the_schedule(parameters: dict[str, ParameterValue]) -> dict[str, ParameterValue]:
    found: dict[str, ParameterValue] = {}
    accumulation = first_number(parameters, "gradient_accumulation_steps")
    batches = first_number(parameters, "num_batches_per_epoch")
    if batches is not None and accumulation is not None and accumulation[0] > 0:
        found["steps_per_epoch"] = ParameterValue(math.ceil(batches[0] / accumulation[0]), batches[1])
    started = first_number(parameters, "training_started_at")
    finished = first_number(parameters, "training_finished_at")
    if started is not None and finished is not None and finished[0] >= started[0]:
        found["total_training_time"] = ParameterValue(round(finished[0] - started[0]), finished[1])
    # The recorded total counts devices; without it, one is assumed.
    if (total := first_number(parameters, "total_batch_size")) is not None:
        found["effective_batch_size"] = ParameterValue(*total)
    elif (batch := first_number(parameters, "train_batch_size")) is not None:
        times = 1 if accumulation is None else accumulation[0]
        found["effective_batch_size"] = ParameterValue(batch[0] * times, batch[1])
    return found


def _spreads(parameters: dict[str, ParameterValue]) -> dict[str, ParameterValue]:
    spreads: dict[str, ParameterValue] = {}
    for name, found in parameters.items():
        values = found.value if name in SUBSET_OPTIONS else None
        if not isinstance(values, list) or not values:
            continue
        numbers = [float(value) for value in values if isinstance(value, int | float)]
        if len(numbers) != len(values):
            continue
        spreads[f"{name}_min"] = ParameterValue(min(numbers), found.source)
        spreads[f"{name}_max"] = ParameterValue(max(numbers), found.source)
        shown = _pictures_shown(parameters, len(numbers))
        if shown is not None and sum(shown) > 0:
            mean = sum(number * count for number, count in zip(numbers, shown, strict=True)) / sum(shown)
            spreads[f"{name}_weighted"] = ParameterValue(mean, found.source)
    return spreads


def _pictures_shown(parameters: dict[str, ParameterValue], subsets: int) -> list[float] | None:
    """Pictures × repeats of each subset, None if the header does not tell."""
    columns: list[list[float]] = []
    for name in ("img_count", "num_repeats"):
        value = parameters[name].value if name in parameters else None
        column = value if isinstance(value, list) else [value] * subsets
        numbers = [float(number) for number in column if isinstance(number, int | float)]
        if len(numbers) != subsets:
            return None
        columns.append(numbers)
    return [count * repeats for count, repeats in zip(*columns, strict=True)]
