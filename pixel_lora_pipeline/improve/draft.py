"""An experiment as an idea: before it is known whether it was tried, what it costs and what is predicted of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pixel_lora_pipeline.improve.hypothesis import ExpectedEffect, Priority, Source, State


@dataclass(frozen=True)
class Base:
    """The run that is changed; without a name and parameters where there is none."""

    run: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Draft:
    """As in `Hypothesis`; `changes` is parameter → value to try.

    `focus` names the parameters that it is about, where it sets others as well; `is_repetition` says that it runs a
    known configuration again on purpose.
    """

    title: str
    rationale: str
    source: Source
    base: Base
    changes: Mapping[str, Any]
    expected: Mapping[str, ExpectedEffect]
    confidence: float
    score: float
    priority: Priority
    state: State = "PROPOSED"
    focus: frozenset[str] = frozenset()
    is_repetition: bool = False

    @property
    def subject(self) -> frozenset[str]:
        """The parameters that it is about."""
        return self.focus or frozenset(self.changes)

    @property
    def parameters(self) -> dict[str, Any]:
        """The whole configuration."""
        return {**self.base.parameters, **self.changes}
