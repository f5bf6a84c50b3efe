"""Products of parameters that the documents name as what really acts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.alias_classes import ParameterClass, alias_classes
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn, read_parameter

_SIGNIFICANT_DIGITS: Final = 9


@dataclass(frozen=True)
class Product:
    """Parameters that are multiplied and divided.

    Attributes
    ----------
    factors
        Each parameter and its exponent, 1 or -1.
    reason
        Why it may act, with its source.
    """

    factors: Mapping[str, int]
    reason: str

    @property
    def name(self) -> str:
        """As "network_alpha / network_dim"."""
        above = " × ".join(name for name, exponent in self.factors.items() if exponent > 0)
        below = "".join(f" / {name}" for name, exponent in self.factors.items() if exponent < 0)
        return above + below


_SCALE = "Kohya scales the update by alpha / rank"
_COMPLEXITY = "roadmap, Meta-Learning: background accuracy requires keep_tokens ≥ prompt_complexity / 4"
PRODUCTS: Final = (
    Product({"network_alpha": 1, "network_dim": -1}, _SCALE),
    Product({"conv_alpha": 1, "conv_dim": -1}, _SCALE),
    Product({"learning_rate": 1, "network_alpha": 1, "network_dim": -1}, f"{_SCALE}, and so the learning rate"),
    Product({"unet_lr": 1, "network_alpha": 1, "network_dim": -1}, f"{_SCALE}, and so the learning rate"),
    Product(
        {"network_dim": 1, "network_alpha": 1},
        "roadmap, Meta-Learning: photorealism appears when network_dim * network_alpha > 512",
    ),
    Product({"keep_tokens": 1, "prompt_complexity": -1}, _COMPLEXITY),
    Product({"keep_tokens": 1, "caption_complexity": -1}, _COMPLEXITY),
    Product({"img_count": 1, "num_repeats": 1}, "how often an epoch shows an image is set by repeats"),
    Product({"num_images": 1, "num_repeats": 1}, "how often an epoch shows an image is set by repeats"),
    Product(
        {"train_batch_size": 1, "gradient_accumulation_steps": 1}, "the optimiser sees batches of this effective size"
    ),
)


@dataclass(frozen=True)
class DerivedFeature:
    """A product that can be judged in these runs.

    Attributes
    ----------
    column
        Its values.
    parents
        Places of the classes that its factors belong to.
    """

    column: ParameterColumn
    parents: tuple[int, ...]


def derived_features(classes: Sequence[ParameterClass]) -> list[DerivedFeature]:
    """The products whose factors are known numbers, and that are not the same as a single parameter in these runs."""
    columns = {column.name: column for members in classes for column in members.columns}
    place = {name: at for at, members in enumerate(classes) for name in members.names}
    found: list[DerivedFeature] = []
    for product in PRODUCTS:
        if not all(name in columns and columns[name].is_ordered for name in product.factors):
            continue
        parents = tuple(sorted({place[name] for name in product.factors if columns[name].is_varied}))
        if len(parents) < 2:
            continue
        column = _product(product, columns)
        others = [*columns.values(), *(feature.column for feature in found)]
        if column.is_varied and not _is_alias(column, others):
            found.append(DerivedFeature(column, parents))
    return found


def _product(product: Product, columns: Mapping[str, ParameterColumn]) -> ParameterColumn:
    values = np.ones(len(next(iter(columns.values())).codes))
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, exponent in product.factors.items():
            values = values * _numbers(columns[name]) ** float(exponent)
    # Equal products must not differ by rounding.
    rounded = [float(f"{value:.{_SIGNIFICANT_DIGITS}g}") for value in values]
    return read_parameter(pd.Series(rounded, dtype=float), product.name)


def _numbers(column: ParameterColumn) -> Floats:
    numbers = np.full(len(column.codes), np.nan)
    if column.numbers is not None:
        numbers[column.known] = column.numbers[column.codes[column.known]]
    return numbers


def _is_alias(column: ParameterColumn, others: Sequence[ParameterColumn]) -> bool:
    return any(
        len(members.columns) > 1 and column.name in members.names for members in alias_classes([*others, column])
    )
