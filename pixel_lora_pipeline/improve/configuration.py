"""The parameters of one run, and when two of them are the same."""

import math
from collections.abc import Collection, Mapping
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd

# A run that differs in it only is a repetition.
SEED: Final = "seed"
# Numbers are compared by so many digits: learning rates are written with rounding.
_DIGITS: Final = 6
_FLAGS: Final = {"true": 1.0, "false": 0.0}


def configuration_of(run: Mapping[str, Any], parameters: Collection[str]) -> dict[str, Any]:
    """What is known of a run's parameters, as Python's own values."""
    return {
        name: value.item() if isinstance(value, np.generic) else value
        for name in parameters
        if is_known(value := run.get(name))
    }


def fingerprint(parameters: Mapping[str, Any], unset: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """The same for configurations that train alike but for the seed.

    Parameters
    ----------
    unset
        What the trainer does where a parameter is not given: giving it is no difference.
    """
    whole = {**unset, **{name: value for name, value in parameters.items() if is_known(value)}}
    return frozenset((name, as_written(value)) for name, value in whole.items() if name != SEED)


def as_written(value: Any) -> str:
    """The same for 32, 32.0 and "32", and for True and "true"."""
    number = number_of(value)
    return str(value).strip().lower() if number is None else f"{number:.{_DIGITS}g}"


def number_of(value: Any) -> float | None:
    """A finite number, however it is written; flags are 0 and 1."""
    if isinstance(value, str):
        text = value.strip().lower()
        if text in _FLAGS:
            return _FLAGS[text]
        try:
            value = float(text)
        except ValueError:
            return None
    if isinstance(value, bool | np.bool_):
        return float(value)
    if not isinstance(value, Real):
        return None
    return float(value) if math.isfinite(value) else None


def is_known(value: Any) -> bool:
    """Whether a cell says anything; Kohya writes "None" for what is not set."""
    if isinstance(value, str):
        return value.strip() not in ("", "None")
    return not (value is None or (pd.api.types.is_scalar(value) and pd.isna(value)))
