"""What a check of captions is: data, so that all of them can be listed, explained, tested and run alike."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from pixel_lora_pipeline.validate.captions.corpus import Corpus

Severity = Literal["error", "warning"]
"""An error spoils a training, and keeps one that we start from starting."""

Tier = Literal["safe", "suggested", "never"]
"""Who may put it right: anyone without asking, a person who has looked at it, or only whoever wrote the caption."""

TIERS: Final[tuple[Tier, ...]] = ("safe", "suggested", "never")


@dataclass(frozen=True)
class Edit:
    """Text that takes the place of `start` to `end` of a file's text."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Hit:
    """What a check has found, before it is put into words.

    Attributes
    ----------
    files
        Names of the caption files that it concerns; none: the dataset.
    values
        For the check's message.
    edits
        That put it right, for its one file; none where only a person can.
    severity
        Where it differs from the check's.
    """

    files: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)
    edits: tuple[Edit, ...] = ()
    severity: Severity | None = None


@dataclass(frozen=True)
class Example:
    """A caption among others that are right.

    Attributes
    ----------
    text
        Of its file; None: there is none.
    has_picture
        Whether there is a picture for it.
    second
        The caption of another picture.
    parameters
        Of the training, beside those that are usual.
    """

    text: str | None
    has_picture: bool = True
    second: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Check:
    """One thing that can be wrong with captions.

    Attributes
    ----------
    check_id
        Short and lasting: `captions.toml` names checks by it.
    message
        With places for a hit's values.
    tier
        Of its edits; hits without edits are never put right by us.
    good, bad
        Examples with which it finds nothing, and something.
    find
        Looks at all captions, since most of what is right shows in what the others do.
    """

    check_id: str
    severity: Severity
    message: str
    tier: Tier
    good: tuple[Example, ...]
    bad: tuple[Example, ...]
    find: "Callable[[Corpus], Iterator[Hit]]"


@dataclass(frozen=True)
class Finding:
    """What is wrong, in words.

    Attributes
    ----------
    files
        Names of caption files; none: it is about the dataset as a whole.
    """

    check_id: str
    severity: Severity
    message: str
    tier: Tier
    files: tuple[str, ...]
    edits: tuple[Edit, ...] = ()


def found_by(check: Check, corpus: "Corpus") -> Iterator[Finding]:
    """The check's findings."""
    for hit in check.find(corpus):
        yield Finding(
            check.check_id,
            hit.severity or check.severity,
            check.message.format_map(hit.values),
            check.tier if hit.edits else "never",
            hit.files,
            hit.edits,
        )
