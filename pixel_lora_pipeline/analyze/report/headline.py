"""The verdict of a report in a line, with how sure it is."""

from dataclasses import dataclass
from typing import Literal

from pixel_lora_pipeline.analyze.convergence import MIN_EPOCHS
from pixel_lora_pipeline.analyze.report.content import RunVerdict

Tone = Literal["stop", "go on", "open"]


@dataclass(frozen=True)
class Headline:
    """The recommendation, how sure it is (0-1, None where nothing can be said), and what that number means."""

    text: str
    tone: Tone
    confidence: float | None
    meaning: str


def headline(verdict: RunVerdict | None, epoch: int, planned_epochs: int | None) -> Headline:
    """What a person should do after an epoch.

    The confidence of "stop" is the probability that no later epoch is more than one point better than the best one,
    that of "go on" the probability that one is.
    """
    judged = 0 if verdict is None else sum(point.score is not None for point in verdict.curve)
    if verdict is None or verdict.best_epoch is None or (judged < MIN_EPOCHS and not verdict.should_stop):
        is_complete = planned_epochs is not None and epoch >= planned_epochs
        said = (
            "Complete: too few of its epochs are measured to name the best"
            if is_complete
            else f"Too early to say: go on after epoch {epoch}"
        )
        return Headline(said, "open", None, "")
    gain, best = verdict.probability_of_gain, verdict.best_epoch
    no_gain = f"that no later epoch is more than one point better than epoch {best}"
    if planned_epochs is not None and epoch >= planned_epochs:
        return Headline(f"Complete: epoch {best} is best", "stop", None, "")
    if verdict.should_stop:
        return Headline(f"Stop: epoch {best} is best", "stop", 1.0 - gain, no_gain)
    return Headline(
        f"Go on: epoch {best} is best so far",
        "go on",
        gain,
        "that a later epoch is more than one point better than it",
    )
