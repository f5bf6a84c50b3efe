"""What a checkpoint's header records about its training, in Kohya's two layouts and other trainers' forms.

A training with image folders on the command line has flat keys; one with a `dataset_config` has the options
of its training data in one JSON text instead, `ss_datasets`, where they may differ from subset to subset.
"""

import re
from dataclasses import dataclass
from typing import Final

from pixel_lora_pipeline.train.bounded_json import JSONValue, TooDeepError, parse_json
from pixel_lora_pipeline.train.dataset_options import TrainingData, one_if_equal, read_header_datasets
from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.other_trainers import Trainer, foreign_values
from pixel_lora_pipeline.train.parameter_table import Parameter, parameter_table, python_literal, typed_value

# Kohya sums these up over all datasets in the flat key; the value in ss_datasets is a part of it.
_TOTALS = ("num_train_images", "num_reg_images")
_EXTRA_KEY = re.compile(r"ss_([a-z][a-z0-9_]{0,59})")
_MAX_EXTRA = 100


@dataclass(frozen=True)
class HeaderRecord:
    """What a checkpoint's header says about its training, typed.

    Attributes
    ----------
    trainer
        The program that wrote it.
    values
        Known parameters by name; None for those recorded as unset.
    unreadable
        Parameter → why its value in the header was not taken.
    training_data
        From `ss_datasets`; None for trainings without a dataset_config.
    has_dataset_config
        Whether the training had one.
    has_run_metadata
        False for files of `--no_metadata` and of other trainers: no session, no epoch.
    extra
        Further `ss_*` keys that the table does not know, by their name without the prefix.
    """

    trainer: Trainer
    values: dict[str, JSONValue]
    unreadable: dict[str, str]
    training_data: TrainingData | None
    has_dataset_config: bool
    has_run_metadata: bool
    extra: dict[str, JSONValue]


NO_HEADER: Final = HeaderRecord("unknown", {}, {}, None, has_dataset_config=False, has_run_metadata=False, extra={})
"""In place of the header of a run of which there is no checkpoint that can be read."""


def read_header_record(metadata: dict[str, str], trainer: Trainer) -> HeaderRecord:
    """What the metadata say, by the table.

    Raises
    ------
    TooDeepError
        If a JSON text among them is nested deeper than any trainer writes.
    """
    values: dict[str, JSONValue] = {}
    unreadable: dict[str, str] = {}
    nested = {key: _parsed(metadata, key) for key in ("ss_datasets", "ss_network_args", "ss_dataset_dirs")}
    datasets = read_header_datasets(nested["ss_datasets"])
    foreign = foreign_values(trainer, metadata)
    is_kohya = trainer == "kohya"
    for name, parameter in parameter_table().items():
        try:
            if name in foreign:
                values[name] = typed_value(parameter, foreign[name])
            elif (found := _recorded(parameter, metadata, nested, datasets, is_kohya)) is not None:
                values[name] = found.value
        except TooDeepError:
            raise
        except ValueError as error:
            unreadable[name] = f"the header's value is {printable(str(error))}"
    if is_kohya:
        values["no_metadata"] = "ss_session_id" not in metadata
    return HeaderRecord(
        trainer=trainer,
        values=values,
        unreadable=unreadable,
        training_data=datasets,
        has_dataset_config="ss_datasets" in metadata,
        has_run_metadata="ss_session_id" in metadata,
        extra=_extra(metadata),
    )


@dataclass(frozen=True)
class _Recorded:
    value: JSONValue


def _recorded(
    parameter: Parameter,
    metadata: dict[str, str],
    nested: dict[str, JSONValue],
    datasets: TrainingData | None,
    is_kohya: bool,
) -> _Recorded | None:
    """The parameter's value in the header; None if the header does not have it."""
    key = parameter.header_key
    if datasets is not None and parameter.dataset_config_key and parameter.name not in _TOTALS:
        values = datasets.values(parameter)
        return None if values is None else _Recorded(one_if_equal(values))
    if key.startswith("ss_network_args."):
        return _network_argument(parameter, metadata, nested["ss_network_args"], is_kohya)
    if key.startswith("ss_dataset_dirs[]."):
        return _folder_values(parameter, nested["ss_dataset_dirs"])
    match parameter.name:
        case "optimizer_args" if key in metadata:
            arguments = metadata[key].partition("(")[2].rpartition(")")[0]
            return _Recorded(typed_value(parameter, arguments) if arguments else None)
        case "v_parameterization" if key in metadata:
            is_v = metadata[key].endswith("_v") or metadata.get("modelspec.prediction_type") == "v"
            return _Recorded(is_v)
        case "min_timestep" | "max_timestep" if "modelspec.timestep_range" in metadata:
            ends = metadata["modelspec.timestep_range"].split(",")
            return _Recorded(typed_value(parameter, ends[0 if parameter.name == "min_timestep" else -1]))
    if key in metadata:
        return _Recorded(typed_value(parameter, metadata[key]))
    # Kohya writes these only when they are set.
    is_left_out_if_unset = (
        parameter.name == "network_args"
        or (parameter.name == "vae" and "ss_session_id" in metadata)
        or (key.startswith("modelspec.") and "modelspec.sai_model_spec" in metadata)
    )
    return _Recorded(None) if is_kohya and is_left_out_if_unset else None


def _folder_values(parameter: Parameter, folders: JSONValue) -> _Recorded | None:
    field = parameter.header_key.rpartition(".")[2]
    listed = list(folders.values()) if isinstance(folders, dict) else []
    values = [
        typed_value(parameter, folder[field]) for folder in listed if isinstance(folder, dict) and field in folder
    ]
    return _Recorded(one_if_equal(values)) if values else None


def _network_argument(
    parameter: Parameter, metadata: dict[str, str], arguments: JSONValue, is_kohya: bool
) -> _Recorded | None:
    if isinstance(arguments, dict) and parameter.name in arguments:
        return _Recorded(typed_value(parameter, arguments[parameter.name]))
    if not is_kohya or ("ss_network_args" in metadata and not isinstance(arguments, dict)):
        return None
    module = metadata.get("ss_network_module", "")
    is_for_module = module.startswith("lycoris") or parameter.section == "network_args"
    return _Recorded(None) if is_for_module else None


def _parsed(metadata: dict[str, str], key: str) -> JSONValue:
    try:
        return parse_json(metadata[key]) if metadata.get(key, "None") != "None" else None
    except TooDeepError:
        raise
    except ValueError:
        return None


def _extra(metadata: dict[str, str]) -> dict[str, JSONValue]:
    used = {parameter.header_key.partition(".")[0].removesuffix("[]") for parameter in parameter_table().values()}
    extra: dict[str, JSONValue] = {}
    for key, text in metadata.items():
        match = _EXTRA_KEY.fullmatch(key)
        if match and key not in used and key != "ss_datasets" and match[1] not in parameter_table():
            extra[match[1]] = python_literal(text)
    return dict(list(extra.items())[:_MAX_EXTRA])
