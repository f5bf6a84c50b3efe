"""What goes into a report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pixel_lora_pipeline.analyze.comparison import Comparison
from pixel_lora_pipeline.analyze.issues import Issue


class FittedPoint(Protocol):
    """An epoch, past or to come, of the course that was fitted: the expected score and its 80 % interval."""

    @property
    def epoch(self) -> int: ...  # noqa: D102
    @property
    def score(self) -> float | None: ...  # noqa: D102
    @property
    def rolling_average(self) -> float | None: ...  # noqa: D102
    @property
    def fitted(self) -> float: ...  # noqa: D102
    @property
    def low(self) -> float: ...  # noqa: D102
    @property
    def high(self) -> float: ...  # noqa: D102


class RunVerdict(Protocol):
    """What a report says of a run's course; `convergence.Convergence` is one, and says what each means."""

    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def best_epoch(self) -> int | None: ...  # noqa: D102
    @property
    def best_epoch_interval(self) -> tuple[int, int] | None: ...  # noqa: D102
    @property
    def probability_of_gain(self) -> float: ...  # noqa: D102
    @property
    def should_stop(self) -> bool: ...  # noqa: D102
    @property
    def reason(self) -> str: ...  # noqa: D102
    @property
    def curve(self) -> Sequence[FittedPoint]: ...  # noqa: D102


@dataclass(frozen=True)
class WeakSpot:
    """Something that an epoch does worse than the rest, in a sentence.

    `n` images and the `interval` of their score are shown after it where the sentence does not name them itself.
    """

    sentence: str
    n: int | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class LikelyCause:
    """Why there is an issue, with the probability of that, what to change, and what past runs show of it."""

    issue: str
    cause: str
    confidence: float
    recommendation: str
    evidence: str


@dataclass(frozen=True)
class ReportImage:
    """A tested image with its file."""

    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    png: bytes
    sha256: str
    fault: str | None = None
    metrics: Mapping[str, Any] | None = None
    metrics_version: str | None = None


@dataclass(frozen=True)
class Contestant:
    """What an epoch is shown beside: the baseline, or the base model without a LoRA."""

    label: str
    images: Sequence[ReportImage]


@dataclass(frozen=True)
class OtherStrength:
    """An epoch at another strength of the LoRA, compared with the same epoch at the strength it is evaluated at."""

    epoch: int
    strength: float
    evaluated_at: float
    comparison: Comparison


@dataclass(frozen=True)
class EpochScores:
    """An epoch of the run.

    Attributes
    ----------
    metrics
        In the shape of `epoch_results.quantitative_metrics`.
    score, interval
        Overall score as if all epochs had been asked the same, with its 95 % interval; without it, that of the
        epoch's own images.
    """

    epoch: int
    metrics: Mapping[str, Any]
    score: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class Cost:
    """One line of what the run has cost: "Training so far", "$1.84", "5.2 h on an A40 at its list price"."""

    label: str
    amount: str
    note: str = ""


@dataclass(frozen=True)
class EpochContent:
    """An epoch, as it stood when it was the last of its run.

    Attributes
    ----------
    epochs
        The run up to this epoch, this one last.
    verdict
        On the run up to this epoch; None if it was not judged.
    images
        Of this epoch.
    made
        How it was made: label to text, in the order in which it is shown.
    """

    run_name: str
    epoch: int
    planned_epochs: int | None
    created_at: datetime
    epochs: Sequence[EpochScores]
    images: Sequence[ReportImage]
    verdict: RunVerdict | None = None
    baseline: Contestant | None = None
    without_lora: Contestant | None = None
    issues: Sequence[Issue] = ()
    causes: Sequence[LikelyCause] = ()
    weak_areas: Sequence[WeakSpot] = ()
    strengths: Sequence[OtherStrength] = ()
    recommendations: Sequence[str] = ()
    costs: Sequence[Cost] = ()
    made: Mapping[str, str] | None = None


@dataclass(frozen=True)
class RunContent:
    """A run as far as it has come.

    Attributes
    ----------
    best_images
        Of the best epoch, for the comparison with the baseline.
    strengths
        Of every epoch that was painted at others.
    grid
        PNG of epochs against prompts.
    epoch_reports
        Epoch to address of its report, relative to this one.
    """

    run_name: str
    planned_epochs: int | None
    created_at: datetime
    epochs: Sequence[EpochScores]
    best_epoch: int | None = None
    best_images: Sequence[ReportImage] = ()
    verdict: RunVerdict | None = None
    baseline: Contestant | None = None
    issues: Sequence[Issue] = ()
    causes: Sequence[LikelyCause] = ()
    weak_areas: Sequence[WeakSpot] = ()
    strengths: Sequence[OtherStrength] = ()
    recommendations: Sequence[str] = ()
    costs: Sequence[Cost] = ()
    grid: bytes | None = None
    epoch_reports: Mapping[int, str] | None = None
    made: Mapping[str, str] | None = None
