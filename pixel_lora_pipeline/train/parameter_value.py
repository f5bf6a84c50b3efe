"""A parameter's value together with where it is from."""

from dataclasses import dataclass
from typing import Final, Literal

from pixel_lora_pipeline.train.bounded_json import JSONValue

Source = Literal["header", "sidecar", "dataset_toml", "tensors", "file_name", "observations", "database"]


PER_FILE_PARAMETERS: Final = frozenset({"epoch", "steps", "training_finished_at", "total_training_time", "model_hash"})
"""What differs between the files of one run, and so belongs to the checkpoint and not to the run."""


@dataclass(frozen=True)
class ParameterValue:
    """A parameter's value and where it is from.

    Attributes
    ----------
    value
        As JSON knows it: None if it is known to be unset; a list, in the order of the subsets, where the
        subsets of the training data differ.
    source
        "header", "sidecar" (the run's configuration), "dataset_toml", "tensors" or "file_name"; of runs that were
        filled in later also "observations" (what a person noted down) and "database" (a column of a row that was
        there before). A value that was calculated names the source of what it was calculated from.
    """

    value: JSONValue
    source: Source


def first_number(parameters: dict[str, ParameterValue], *names: str) -> tuple[float, Source] | None:
    """The first of these parameters that is a number, and where it is from."""
    for name in names:
        found = parameters.get(name)
        if found is not None and isinstance(found.value, int | float) and not isinstance(found.value, bool):
            return found.value, found.source
    return None


def of_run(parameters: dict[str, ParameterValue]) -> dict[str, ParameterValue]:
    """What all files of a run share, ready for a JSON column.

    Whole numbers lose their ".0", so that SQL's `all_parameters->>'network_alpha' = '16'` finds them.
    """
    return {
        name: ParameterValue(_plain(found.value), found.source)
        for name, found in parameters.items()
        if name not in PER_FILE_PARAMETERS
    }


def _plain(value: JSONValue) -> JSONValue:
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
