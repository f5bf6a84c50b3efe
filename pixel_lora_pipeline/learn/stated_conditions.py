"""What the evidence about a parameter says, as a condition that a configuration keeps to or not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.condition import Condition, Interval, Region, Values
from pixel_lora_pipeline.learn.derived_features import PRODUCTS, Product
from pixel_lora_pipeline.learn.encodings import balanced_split
from pixel_lora_pipeline.learn.metric_evidence import MetricEvidence
from pixel_lora_pipeline.learn.parameter_column import MISSING, ParameterColumn, read_parameter
from pixel_lora_pipeline.learn.principle import Form

# The two forms of a product that have a place, as `Encoding.statement` writes them.
_ABOVE: Final = " > "
_NEAR: Final = " near "
_FORMS: Final[Mapping[str, Form]] = {"threshold": "threshold", "linear": "trend", "peak": "peak", "level": "level"}


@dataclass(frozen=True)
class StatedCondition:
    """A condition, and the form of the evidence that it was read from."""

    condition: Condition
    form: Form


def stated_conditions(row: Mapping[str, Any], evidence: MetricEvidence) -> list[StatedCondition]:
    """The condition that a row of the evidence leads to, for both ways that it may be good; the caller chooses.

    Where the condition holds and where it fails are values that were tried. A trend has no boundary: its condition is
    about the two halves of what was tried.
    """
    if row["encoding"] == "product":
        return _of_product(str(row["statement"]), evidence)
    [name] = row["parameters"]
    column = evidence.scored.column(name)
    place = {run: at for at, run in enumerate(evidence.scored.names)}
    sides = [
        sorted({int(column.codes[place[str(run)]]) for run in row[side]} - {MISSING})
        for side in ("runs_low", "runs_high")
    ]
    values = _values_of(column)
    if values is None or not all(sides):
        return []
    if column.numbers is None:
        regions = [Region(names=tuple(str(column.levels[at]) for at in side)) for side in sides]
    else:
        regions = _regions(*([float(column.numbers[at]) for at in side] for side in sides))
    return _both_ways(((name, 1),), regions, values, _FORMS[row["encoding"]])


def _values_of(column: ParameterColumn) -> Values | None:
    """None for what is neither a number nor a name, as a date."""
    if column.numbers is None:
        return "names"
    if all(isinstance(level, bool | np.bool_ | str) for level in column.levels):
        return "flags"
    return "numbers" if all(isinstance(level, Real) for level in column.levels) else None


def _of_product(statement: str, evidence: MetricEvidence) -> list[StatedCondition]:
    product = next((product for product in PRODUCTS if _is_of(product, statement)), None)
    if product is None or not set(product.factors) <= set(evidence.parameters):
        return []
    whole = Condition(tuple(product.factors.items()), Region(), Region())
    table = evidence.scored.table[list(product.factors)].to_dict("records")
    values = pd.Series([whole.value({str(name): cell for name, cell in row.items()}) for row in table], dtype=float)
    column = read_parameter(values, product.name)
    if column.numbers is None or not column.is_varied:
        return []
    place = statement.removeprefix(product.name)
    # As it was written, the place is rounded.
    rounded = np.array([float(f"{value:.4g}") for value in column.numbers])
    if place.startswith(_ABOVE):
        is_high = rounded > float(place.removeprefix(_ABOVE))
    elif place.startswith(_NEAR):
        is_high = rounded == float(place.removeprefix(_NEAR))
    else:
        is_high = np.arange(len(rounded)) > balanced_split(column)
    if is_high.all() or not is_high.any():
        return []
    regions = _regions(column.numbers[~is_high].tolist(), column.numbers[is_high].tolist())
    return _both_ways(whole.factors, regions, "numbers", "product")


def _is_of(product: Product, statement: str) -> bool:
    return statement == product.name or statement.startswith((product.name + _ABOVE, product.name + _NEAR))


def _regions(low: Sequence[float], high: Sequence[float]) -> list[Region]:
    """Two halves with a gap between them, or a value and what lies on both of its sides."""
    if max(low) < min(high):
        return [Region(((None, max(low)),)), Region(((min(high), None),))]
    below, above = [value for value in low if value < min(high)], [value for value in low if value > max(high)]
    sides: list[Interval] = [(None, max(below))] if below else []
    return [Region((*sides, *([(min(above), None)] if above else []))), Region(((min(high), max(high)),))]


def _both_ways(
    factors: tuple[tuple[str, int], ...], regions: Sequence[Region], values: Values, form: Form
) -> list[StatedCondition]:
    low, high = regions
    return [
        StatedCondition(Condition(factors, high, low, values), form),
        StatedCondition(Condition(factors, low, high, values), form),
    ]
