"""Whether a run fulfils a condition, as the database answers it for stored runs."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.train.run_query import Combination, Comparison, Condition, Membership, Missing

_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
# How a table writes that something is known to be unset, as an empty cell says that nothing is known.
_UNSET: Final = ("none", "null")


def holds(condition: Condition, run: Mapping[str, Any]) -> bool:
    """Whether the condition is true of a run's parameters.

    What is not known makes no comparison true. Numbers and booleans may be written as text. Of a list, as of
    training data with several subsets, one fitting value is enough.
    """
    match condition:
        case Combination("and", parts):
            return all(holds(part, run) for part in parts)
        case Combination(_, parts):
            return any(holds(part, run) for part in parts)
        case Missing(name, negated):
            return is_known(run.get(name)) == negated
        case Membership(name, values, negated):
            found = any(_compare(run.get(name), "=", value) for value in values)
            return is_known(run.get(name)) and found != negated
        case Comparison(name, "!=", value):
            return is_known(run.get(name)) and not _compare(run.get(name), "=", value)
        case Comparison(name, sign, value):
            return _compare(run.get(name), sign, value)


def is_known(value: Any) -> bool:
    """Whether a cell says anything."""
    if isinstance(value, str):
        return bool(value.strip())
    return not (value is None or (pd.api.types.is_scalar(value) and pd.isna(value)))


def _compare(value: Any, sign: str, wanted: Any) -> bool:
    if not is_known(value):
        return False
    if isinstance(value, list | tuple):
        return any(_compare(one, sign, wanted) for one in value)
    text = str(value).strip()
    if wanted is None:
        return _COMPARE[sign](text.lower() in _UNSET, True)
    if isinstance(wanted, bool):
        truth = {"true": True, "1": True, "1.0": True, "false": False, "0": False, "0.0": False}.get(text.lower())
        return truth is not None and _COMPARE[sign](truth, wanted)
    if isinstance(wanted, int | float):
        try:
            return _COMPARE[sign](float(value), wanted)
        except (TypeError, ValueError):
            return False
    return _COMPARE[sign](text, wanted)
