"""Parameters that nobody has tried yet but that are said to be promising, and work on pictures and captions."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field

from pixel_lora_pipeline.improve.configuration import as_written, is_known, number_of

Probability = Annotated[float, Field(ge=0, le=1)]

# Counts that are rounded are the easier to remember: 203 pictures become 300, not 284.
_ROUND_TO: Final = 0.5  # of the power of ten below


class Idea(BaseModel):
    """A change that a document holds to be promising; the fields are described in `unexplored_parameters.toml`."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    parameter: str
    untouched: tuple[Any, ...] = Field(default=(), alias="from")
    unset: Any = None
    to: Any = None
    factor: float | None = Field(default=None, gt=1)
    least: float = 0
    below: float | None = None
    metrics: tuple[str, ...]
    needs_metric: bool = False
    gain: tuple[float, float]
    prior: Probability
    purpose: str
    reason: str
    source: str
    kind: Literal["unexplored", "data"] = "unexplored"

    def value_for(self, present: Any) -> Any:
        """What to try where this is the present value; None if the idea does not apply to it."""
        number = number_of(present)
        if self.factor is not None:
            return None if number is None or number <= 0 else _rounded(max(number * self.factor, number + self.least))
        if self.below is not None:
            return None if number is None or number >= self.below else self.to
        present = self.unset if not is_known(present) else present
        if present is None or as_written(present) not in {as_written(value) for value in self.untouched}:
            return None
        return self.to

    def is_untouched(self, values: Sequence[Any]) -> bool:
        """Whether all runs had the same of what counts as untouched, given the parameter's value in each of them."""
        if self.kind == "data":
            return True
        seen = {as_written(self.unset if not is_known(value) else value) for value in values}
        return seen <= {as_written(value) for value in self.untouched}

    def metric_of(self, measured: Sequence[str]) -> str | None:
        """The metric that would show it; None if none of them is measured."""
        return next((name for name in self.metrics if name in measured), None)


@cache
def _document() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("unexplored_parameters.toml").read_text(encoding="utf-8"))


def is_data(parameter: str) -> bool:
    """Whether another value of the parameter is work on pictures or captions."""
    return parameter in _document()["data"]


@cache
def ideas() -> tuple[Idea, ...]:
    """All of them, the most promising first."""
    document = _document()
    found = [Idea.model_validate(entry) for entry in document["unexplored"]]
    found += [Idea.model_validate({**entry, "kind": "data"}) for entry in document["work"]]
    return tuple(sorted(found, key=lambda idea: -idea.prior * sum(idea.gain)))


def applicable(base: Mapping[str, Any], runs: pd.DataFrame) -> list[tuple[Idea, Any]]:
    """Ideas that nobody has tried, with the value to try on top of a configuration."""
    found = []
    for idea in ideas():
        values = list(runs[idea.parameter]) if idea.parameter in runs else []
        after = idea.value_for(base.get(idea.parameter))
        if after is not None and idea.is_untouched(values):
            found.append((idea, after))
    return found


def unset_values() -> dict[str, Any]:
    """What the trainer does where a parameter is not given."""
    return {idea.parameter: idea.unset for idea in ideas() if idea.unset is not None}


def _rounded(count: float) -> int:
    step = max(1, round(_ROUND_TO * 10.0 ** math.floor(math.log10(count))))
    return math.ceil(count / step) * step
