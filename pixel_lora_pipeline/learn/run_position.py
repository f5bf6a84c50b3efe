"""Where a run lies among the configurations, whether or not it is one of them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.alias_classes import ParameterClass
from pixel_lora_pipeline.learn.candidate_causes import CandidateCauses
from pixel_lora_pipeline.learn.derived_features import PRODUCTS, DerivedFeature, derived_features
from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, Integers, ParameterColumn, read_parameter


@dataclass(frozen=True)
class Position:
    """Where a run lies among the configurations.

    Attributes
    ----------
    row
        The configuration that it belongs to; None if it is none of them.
    levels
        int[classes]: the level of each class's leader, the nearest for numbers that were never tried; `MISSING` if
        the value is not known, or a name that was never tried.
    columns
        float[p]: its value of every column.
    lowest, highest
        float[classes, p]: to which another value of the class alone, one that some run had, would bring each column.
    """

    row: int | None
    levels: Integers
    columns: Floats
    lowest: Floats
    highest: Floats


def position_of(
    run: Mapping[str, Any],
    row: int | None,
    classes: Sequence[ParameterClass],
    causes: CandidateCauses,
) -> Position:
    """Place a run among the configurations.

    Parameters
    ----------
    run
        Its parameters.
    row
        The configuration that it belongs to, if any.
    classes, causes
        Of the configurations.
    """
    matrix = causes.candidates.matrix
    if row is not None:
        levels = np.array([members.leader.codes[row] for members in classes], dtype=np.int64)
        columns = matrix[row]
    else:
        levels = np.array([_level(run, members) for members in classes], dtype=np.int64)
        columns = _columns_at(levels, classes, causes)
    return Position(row, levels, columns, *_reach(levels, classes, causes))


def _level(run: Mapping[str, Any], members: ParameterClass) -> int:
    """The level of the leader, by whichever parameter of the class is known of the run."""
    for column in (members.leader, *members.columns):
        level = level_of(run.get(column.name), column)
        if level != MISSING:
            return int(members.leader.codes[column.codes == level][0])
    return MISSING


def _columns_at(levels: Integers, classes: Sequence[ParameterClass], causes: CandidateCauses) -> Floats:
    """float[p]: as in the configurations of these levels; 0, the mean, where there is none."""
    columns = np.zeros(len(causes.encodings))
    for column, encoding in enumerate(causes.encodings):
        if encoding is None:
            continue
        alike = np.ones(len(causes.candidates.matrix), dtype=bool)
        for at in np.flatnonzero(causes.owned[:, column]).tolist():
            alike &= (classes[at].leader.codes == levels[at]) & (levels[at] != MISSING)
        if alike.any():
            columns[column] = causes.candidates.matrix[alike, column].mean()
    return columns


def _reach(levels: Integers, classes: Sequence[ParameterClass], causes: CandidateCauses) -> tuple[Floats, Floats]:
    """Lowest and highest value of each column (float[classes, p]) if only one class is changed.

    A product is looked up where its new value is nearest to one that some run had.
    """
    matrix = causes.candidates.matrix
    shape = causes.owned.shape
    if len(matrix) == 0:
        return np.zeros(shape), np.zeros(shape)
    lowest, highest = (np.broadcast_to(ends, shape).copy() for ends in (matrix.min(axis=0), matrix.max(axis=0)))
    for feature in derived_features(classes):
        columns = np.flatnonzero(np.array(causes.names) == feature.column.name)
        for at in feature.parents:
            values = [
                _product(feature, classes, np.where(np.arange(len(levels)) == at, level, levels))
                for level in range(len(classes[at].leader.levels))
            ]
            reached = sorted({level_of(value, feature.column) for value in values if math.isfinite(value)})
            rows = np.isin(feature.column.codes, [level for level in reached if level != MISSING])
            if rows.any():
                lowest[at, columns] = matrix[rows][:, columns].min(axis=0)
                highest[at, columns] = matrix[rows][:, columns].max(axis=0)
    return lowest, highest


def _product(feature: DerivedFeature, classes: Sequence[ParameterClass], levels: Integers) -> float:
    """Its value at these levels of all classes; NaN where a factor is not known."""
    [product] = (each for each in PRODUCTS if each.name == feature.column.name)
    value = 1.0
    for at, members in enumerate(classes):
        for column in members.columns:
            exponent = product.factors.get(column.name)
            if exponent is not None:
                number = _number(column, members, int(levels[at]))
                if number == 0 and exponent < 0:
                    return math.nan
                value *= number**exponent
    return value


def _number(column: ParameterColumn, members: ParameterClass, level: int) -> float:
    """The value of a parameter at a level of the leader of its class."""
    codes = column.codes[(members.leader.codes == level) & column.known] if level != MISSING else []
    return math.nan if len(codes) == 0 or column.numbers is None else float(column.numbers[codes[0]])


def level_of(value: Any, column: ParameterColumn) -> int:
    """The level of a value, the nearest for a number that was never tried; `MISSING` for what cannot be placed."""
    read = read_parameter(pd.Series([value], dtype=object), column.name)
    if not read.levels or not column.levels:
        return MISSING
    if column.numbers is None:
        text = str(value).strip()
        return column.levels.index(text) if text in column.levels else MISSING
    if read.numbers is None:
        return MISSING
    return int(np.argmin(np.abs(column.numbers - read.numbers[0])))
