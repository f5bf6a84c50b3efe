"""The one table of training parameters, and how their values are written down.

`kohya_parameters.csv` names every option of Kohya's `train_network`, where its value stands in a checkpoint's
header, its type and its default. Everything here reads that table; no list of parameters is kept elsewhere.
"""

import csv
import math
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from pixel_lora_pipeline.train.bounded_json import MAX_TEXT, JSONValue, clean_text, parse_json, storable

_DERIVED = " (derived)"


@dataclass(frozen=True)
class Parameter:
    """A row of the table.

    Attributes
    ----------
    name
        As on Kohya's command line and in its TOML files.
    header_key
        Where a header has it: a metadata key, `ss_network_args.X` or `ss_dataset_dirs[].X`; empty if nowhere.
    dataset_config_key
        Where it is instead if the training had a `dataset_config`: a path into `ss_datasets`.
    kind
        Type of the value.
    default
        What holds if nobody sets it, as text; empty if there is none or it depends.
    category
        "architecture", "hyperparameters", "data_captions", …
    recorded
        Whether Kohya writes it into headers.
    section
        The part of a configuration that it belongs to: "train", "dataset", "network_args", "derived", …
    meaning
        One line for people.
    """

    name: str
    header_key: str
    dataset_config_key: str
    kind: str
    default: str
    category: str
    recorded: Literal["yes", "no", "dataset_config_only"]
    section: str
    meaning: str


@cache
def parameter_table() -> dict[str, Parameter]:
    """Every known parameter by name, in the table's order."""
    text = files(__package__).joinpath("kohya_parameters.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    return {
        row["name"].removesuffix(_DERIVED): Parameter(
            name=row["name"].removesuffix(_DERIVED),
            # Two rows add a remark about the place in the value.
            header_key=row["ss_key"].partition(" ")[0],
            dataset_config_key=row["ss_key_dataset_config"],
            kind=row["type"],
            default="" if row["default"] == "None" else row["default"],
            category=row["category"],
            recorded=_recorded(row["in_metadata"]),
            section=row["toml_section"],
            meaning=row["meaning"],
        )
        for row in rows
    }


def _recorded(text: str) -> Literal["yes", "no", "dataset_config_only"]:
    match text:
        case "yes" | "no" | "dataset_config_only":
            return text
    raise ValueError(f"kohya_parameters.csv: in_metadata is {text!r}, not yes, no or dataset_config_only")


def typed_value(parameter: Parameter, raw: object) -> JSONValue:
    """The value of a parameter in its proper type, from a header's text or a configuration's value.

    Kohya writes every value as Python's `str()` does: `'None'`, `'True'`, `'1e-05'`, `'(64, 64)'`, and JSON
    for what is nested. `'None'` is read as unset everywhere, though a comment could be that very word.

    Raises
    ------
    ValueError
        If the value is not of the parameter's type, not finite or too large; the message says what it is not.
    """
    if raw is None or raw == "None":
        return None
    match parameter.name:
        case "resolution":
            return _resolution(raw)
        case "optimizer_type":
            return _text(raw).partition("(")[0].rpartition(".")[2]
        case "optimizer_args":
            return _assignments(raw)
        case "network_args":
            return _network_args(raw)
        case "text_encoder_lr":
            return _one_or_many(raw)
        case "v_parameterization":
            return _boolean(raw)
        case "metadata_thumbnail":  # a picture as text; its kind is all that a table can show
            return _text(raw).partition(",")[0][:80]
    match parameter.kind:
        case "int":
            return _whole(raw)
        case "float":
            return float(_number(raw))
        case "int_or_float":
            return _number(raw)
        case "StoreTrue" | "bool":
            return _boolean(raw)
        case "str(number)" | "str(float)":
            return _number_if_possible(raw)
        case "json" | "dict":
            return _structure(raw)
        case "str" | "Path":
            return _text(raw)
    raise ValueError(f"of the kind {parameter.kind!r}, which the code does not know")


def default_value(parameter: Parameter) -> JSONValue:
    """What the trainer takes if nobody sets the parameter; None if it has no fixed default."""
    return typed_value(parameter, parameter.default) if parameter.default else None


def python_literal(text: str) -> JSONValue:
    """A value as `str()` writes it: None, True, False, a number, a tuple or list of these, else the text."""
    text = text.strip()
    if len(text) > MAX_TEXT:
        return clean_text(text)
    if text in ("None", ""):
        return None
    if text in ("True", "False"):
        return text == "True"
    if re.fullmatch(r"[(\[][^()\[\]]*[)\]]", text):
        return [python_literal(part) for part in text[1:-1].split(",") if part.strip()]
    try:
        return _number(text)
    except ValueError:
        return _text(text.strip("'\""))


def _text(raw: object) -> str:
    return clean_text(",".join(map(str, raw)) if isinstance(raw, list | tuple) else str(raw))


def _number(raw: object) -> int | float:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str):
        raise ValueError("no number")
    if isinstance(raw, str):
        try:
            raw = float(raw) if re.search(r"[.eEnN]", raw) else int(raw)  # n: nan and inf
        except ValueError:
            raise ValueError("no number") from None
    if not math.isfinite(raw) or abs(raw) >= 2**63:
        raise ValueError("no finite number of 64 bits")
    return raw


def _whole(raw: object) -> int:
    number = _number(raw)
    if number != int(number) or abs(number) >= 2**63:
        raise ValueError("no whole number of 64 bits")
    return int(number)


def _boolean(raw: object) -> bool:
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, str) and raw.lower() in ("true", "false"):
        return raw.lower() == "true"
    raise ValueError("neither true nor false")


def _number_if_possible(raw: object) -> JSONValue:
    if isinstance(raw, str):
        raw = _text(raw)
        value = python_literal(raw)
        is_list = isinstance(value, str) and "," in value
        return [python_literal(part) for part in raw.split(",")] if is_list else value
    return storable(raw)


def _structure(raw: object) -> JSONValue:
    return parse_json(raw) if isinstance(raw, str) else storable(raw)


def _one_or_many(raw: object) -> JSONValue:
    values = python_literal(raw) if isinstance(raw, str) else raw
    if not isinstance(values, list):
        return float(_number(values))
    numbers: list[JSONValue] = [float(_number(value)) for value in values]
    return numbers[0] if len(numbers) == 1 else numbers


def _resolution(raw: object) -> JSONValue:
    """[width, height] in pixels."""
    if isinstance(raw, str):
        raw = [part for part in re.split(r"[(),x\[\] ]+", raw) if part]
    sides = [_whole(side) for side in raw] if isinstance(raw, list | tuple) else [_whole(raw)]
    if len(sides) not in (1, 2):
        raise ValueError("no width and height")
    return [sides[0], sides[-1]]


def _assignments(raw: object) -> JSONValue:
    """{name: value} of `name=value` texts: a list of them, or one text with commas or spaces between."""
    if isinstance(raw, dict):
        return storable(raw)
    text = _text(raw)
    pairs = re.findall(r"([A-Za-z_][\w.]*)\s*=\s*(.*?)(?=[,\s]+[A-Za-z_][\w.]*\s*=|[,\s]*$)", text)
    return {name: _number_if_possible(value) for name, value in pairs} or None


def _network_args(raw: object) -> JSONValue:
    """Kohya's JSON object as it is; of a list of `name=value` texts likewise an object of texts."""
    if isinstance(raw, list | tuple):
        return storable(dict(str(argument).partition("=")[::2] for argument in raw))
    value = _structure(raw)
    if not isinstance(value, dict):
        raise ValueError("no list of arguments")
    return value
