"""In which parameters two runs differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pixel_lora_pipeline.train.taxonomy import CATEGORIES, taxonomy


@dataclass(frozen=True)
class RunParameters:
    """What is known of a run: values by name, where they are from, and why others are missing."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    missing: Mapping[str, str]

    def side(self, name: str) -> "Side":
        """A parameter as this run has it."""
        if name in self.values:
            return Side(True, self.values[name], self.sources.get(name, "database"), None)
        return Side(False, None, None, self.missing.get(name, "nothing that tells it has been read of this run"))


@dataclass(frozen=True)
class Side:
    """A parameter in one run; `why_missing` says why, where it is not known."""

    is_known: bool
    value: Any
    source: str | None
    why_missing: str | None


@dataclass(frozen=True)
class Difference:
    """A parameter that two runs do not have in common; the category is empty for names that no table knows."""

    name: str
    category: str
    a: Side
    b: Side

    @property
    def is_known_of_both(self) -> bool:
        """Whether they differ for certain, and not only in what is known of them."""
        return self.a.is_known and self.b.is_known


def differing_parameters(a: RunParameters, b: RunParameters) -> list[Difference]:
    """The parameters that differ, category by category in the table's order; names beyond it at the end.

    A number is the same however it is written: 32, 32.0 and "32".
    """
    entries = taxonomy()
    order = {name: place for place, name in enumerate(entries)}
    categories = list(CATEGORIES)
    differences = []
    for name in a.values.keys() | b.values.keys():
        here, there = a.side(name), b.side(name)
        if not (here.is_known and there.is_known and same_value(here.value, there.value)):
            category = entries[name].category if name in entries else ""
            differences.append(Difference(name, category, here, there))
    differences.sort(
        key=lambda difference: (
            categories.index(difference.category) if difference.category else len(categories),
            order.get(difference.name, len(order)),
            difference.name,
        )
    )
    return differences


def same_value(a: object, b: object) -> bool:
    """Whether two values say the same, a number as text included."""
    if a == b:
        return isinstance(a, bool) == isinstance(b, bool)
    if isinstance(a, str) != isinstance(b, str):
        text, number = (a, b) if isinstance(a, str) else (b, a)
        if isinstance(number, bool):
            return str(text).lower() == str(number).lower()
        if isinstance(number, int | float):
            try:
                return float(str(text)) == number
            except ValueError:
                return False
    return False
