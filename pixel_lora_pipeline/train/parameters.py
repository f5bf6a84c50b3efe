"""Every training parameter of a checkpoint with its value and its source, and of the rest why it is missing.

A parameter can be known from several places, and not all of them are right: see `gather_parameters`.
"""

import math
from collections.abc import Iterable
from typing import Final

from pixel_lora_pipeline.train.bounded_json import JSONValue
from pixel_lora_pipeline.train.dataset_options import is_data_option, one_if_equal
from pixel_lora_pipeline.train.derived_parameters import derive_parameters
from pixel_lora_pipeline.train.errors import printable
from pixel_lora_pipeline.train.header_record import NO_HEADER, HeaderRecord
from pixel_lora_pipeline.train.parameter_table import Parameter, default_value, parameter_table
from pixel_lora_pipeline.train.parameter_value import ParameterValue, Source
from pixel_lora_pipeline.train.run_identity import FileName
from pixel_lora_pipeline.train.sidecars import Sidecars
from pixel_lora_pipeline.train.tensors import AdapterSummary

# Flat keys that trainings with a dataset_config do not have, and that ss_datasets has no counterpart of.
_FOLDER_LAYOUT_ONLY = ("total_batch_size", "reg_dataset_dirs", "bucket_no_upscale")
NOTHING_FOUND: Final = "neither a checkpoint nor a configuration of the run was found"
_PRECISIONS = {"F16": "fp16", "BF16": "bf16", "F32": "float"}


def gather_parameters(
    record: HeaderRecord, adapter: AdapterSummary | None, sidecars: Sidecars, file_name: FileName | None
) -> tuple[dict[str, ParameterValue], dict[str, str]]:
    """Every known parameter with its source, and the reason for every other.

    The header tells what the trainer really took, so it comes first, with these exceptions:

    - Options of the training data that the header keeps as the global argument only (caption dropout and
      others): with a `dataset_config` the TOML file wins, and without that file a default in the header is
      not believed.
    - What the tensors show (which parts were trained, the stored precision, and rank and alpha where the
      header contradicts them, as after resizing) is believed to the tensors.

    After the header come the dataset_config, the run's configuration, the tensors and the file name.

    Parameters
    ----------
    record
        `NO_HEADER` for a run of which only configurations are left.
    adapter
        None where the tensors could not be read.
    sidecars
        The run's configurations.
    file_name
        None without a checkpoint.

    Returns
    -------
    parameters
        Name → value and source. Besides the table's names: measured ranks and alphas, values calculated from
        others (see `DERIVED_PARAMETERS`), for options in which subsets differ their range and their mean over the
        pictures (`keep_tokens_min`, `_max`, `_weighted`), and what else the header has (`sd_model_hash`).
    missing
        Every other name of the table → why it is not known.
    """
    table = parameter_table()
    measured = {} if adapter is None else _measured(adapter)
    from_name = {} if file_name is None else _from_file_name(file_name)
    tensors_win = _measured_only(measured, record)
    from_dataset = _from_dataset_config(record, sidecars)
    doubtful = _doubtful(record) if sidecars.training_data is None else {}

    def sources(name: str) -> Iterable[tuple[Source, dict[str, JSONValue]]]:
        header: tuple[Source, dict[str, JSONValue]] = ("header", {} if name in doubtful else record.values)
        if name in tensors_win:
            yield "tensors", measured
        if _is_global_argument(table[name], record):
            yield "dataset_toml", from_dataset
        yield header
        yield "dataset_toml", from_dataset
        yield "sidecar", sidecars.values
        yield "tensors", measured
        yield "file_name", from_name

    parameters: dict[str, ParameterValue] = {}
    missing: dict[str, str] = {}
    for name, parameter in table.items():
        found = next(((source, values[name]) for source, values in sources(name) if name in values), None)
        if found is not None:
            parameters[name] = ParameterValue(found[1], found[0])
        else:
            missing[name] = doubtful.get(name) or _why_missing(parameter, record, sidecars)

    # A run's last file has no number in its name, but the run's plan says which epoch it ends with.
    is_last = file_name is not None and not file_name.is_numbered
    if "epoch" in missing and is_last and "max_train_epochs" in parameters:
        parameters["epoch"] = parameters["max_train_epochs"]
        del missing["epoch"]
    for name, value in measured.items():
        parameters.setdefault(name, ParameterValue(value, "tensors"))
    for name, value in record.extra.items():
        parameters.setdefault(name, ParameterValue(value, "header"))
    parameters |= derive_parameters(parameters, adapter)
    return parameters, missing


def _measured(adapter: AdapterSummary) -> dict[str, JSONValue]:
    values: dict[str, JSONValue] = {
        "unet_modules": adapter.unet_modules,
        "text_encoder_modules": adapter.text_encoder_modules,
        "network_train_unet_only": adapter.text_encoder_modules == 0,
        "network_train_text_encoder_only": adapter.unet_modules == 0,
    }
    for measured, kohya, counts in (
        ("measured_linear_rank", "network_dim", adapter.linear_ranks),
        ("measured_linear_alpha", "network_alpha", adapter.linear_alphas),
        ("measured_conv_rank", "conv_dim", adapter.conv_ranks),
        ("measured_conv_alpha", "conv_alpha", adapter.conv_alphas),
    ):
        finite = [value for value in counts if math.isfinite(value)]
        if len(counts) == len(finite) > 0:
            values[measured] = one_if_equal(list(finite))
        if len(counts) == len(finite) == 1:
            values[kohya] = finite[0]
    precisions = {_PRECISIONS.get(dtype) for dtype in adapter.dtypes}
    if len(precisions) == 1 and None not in precisions:
        values["save_precision"] = precisions.pop()
    return values


def _measured_only(measured: dict[str, JSONValue], record: HeaderRecord) -> set[str]:
    """Names for which the tensors' word counts more than the header's."""
    names = {"network_train_unet_only", "network_train_text_encoder_only", "save_precision"} & measured.keys()
    for name in ("network_dim", "network_alpha", "conv_dim", "conv_alpha"):
        fact, claim = measured.get(name), record.values.get(name)
        if isinstance(fact, int | float) and not _is_about(claim, fact):
            names.add(name)
    return names


def _is_about(claim: JSONValue, fact: float) -> bool:
    # Alphas are stored in half precision as well.
    return isinstance(claim, int | float) and math.isclose(claim, fact, rel_tol=2e-3)


def _from_file_name(file_name: FileName) -> dict[str, JSONValue]:
    values: dict[str, JSONValue] = {"output_name": file_name.base}
    if file_name.epoch is not None:
        values["epoch"] = file_name.epoch
    if file_name.step is not None:
        values["steps"] = file_name.step
    return values


def _from_dataset_config(record: HeaderRecord, sidecars: Sidecars) -> dict[str, JSONValue]:
    if sidecars.training_data is None:
        return {}
    values: dict[str, JSONValue] = {}
    for name, parameter in parameter_table().items():
        if not is_data_option(name):
            continue
        base = record.values.get(name, sidecars.values.get(name, default_value(parameter)))
        try:
            found = sidecars.training_data.values(parameter, base)
        except ValueError:  # the trainer would have refused it too: not this training's file in that point
            continue
        if found is not None:
            values[name] = one_if_equal(found)
    return values


def _is_global_argument(parameter: Parameter, record: HeaderRecord) -> bool:
    """Whether the header has only the global argument of an option that a dataset_config can set."""
    return record.has_dataset_config and is_data_option(parameter.name) and not parameter.dataset_config_key


def _doubtful(record: HeaderRecord) -> dict[str, str]:
    reasons: dict[str, str] = {}
    for name, parameter in parameter_table().items():
        value = record.values.get(name)
        if name in record.values and _is_global_argument(parameter, record) and value == default_value(parameter):
            reasons[name] = (
                f"the header has only the global argument ({value}), which the training's dataset_config may "
                "have overruled, and that file does not lie beside the checkpoint"
            )
    return reasons


def _why_missing(parameter: Parameter, record: HeaderRecord, sidecars: Sidecars) -> str:
    name = parameter.name
    if name in record.unreadable:
        return record.unreadable[name]
    if record is NO_HEADER:
        if not sidecars.configs:
            return NOTHING_FOUND
        config = printable(sidecars.configs[0].path.name)
        return f"no checkpoint of the run was found whose header could tell it, and {config} does not"
    if record.trainer != "kohya":
        return f"this header does not have it (written by: {record.trainer})"
    if parameter.recorded == "no":
        if not sidecars.configs:
            return "Kohya does not record it, and no configuration of the run lies beside the checkpoint"
        default = f" ({parameter.default})" if parameter.default else ""
        return (
            f"Kohya does not record it, and {printable(sidecars.configs[0].path.name)} does not set it: the "
            f"default{default} holds unless the command line said otherwise"
        )
    if not record.has_run_metadata:
        return "the training ran with --no_metadata, and no configuration of the run tells it"
    if parameter.recorded == "dataset_config_only" and not record.has_dataset_config:
        return "Kohya records it only for trainings with a dataset_config"
    if record.has_dataset_config and parameter.dataset_config_key:
        return "the header's ss_datasets does not have it"
    if record.has_dataset_config and name in _FOLDER_LAYOUT_ONLY:
        return "Kohya does not record it for trainings with a dataset_config"
    if parameter.section == "network_args(lycoris)":
        return "an argument of lycoris.kohya, which was not used"
    return "the trainer's version does not record it"
