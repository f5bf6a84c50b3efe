"""What to do with a run after an epoch, in sentences."""

from pixel_lora_pipeline.analyze.comparison import Comparison
from pixel_lora_pipeline.analyze.report.content import RunVerdict


def recommend(verdict: RunVerdict | None, *, complete: bool, against_baseline: Comparison | None) -> list[str]:
    """Recommendations on a run's best epoch.

    Parameters
    ----------
    verdict
        On the run up to its last epoch.
    complete
        Whether the run has reached its planned end.
    against_baseline
        The best epoch against the baseline; None if there is no baseline.
    """
    if verdict is None or verdict.best_epoch is None:
        return []
    if not verdict.should_stop and not complete:
        return []
    best = verdict.best_epoch
    if against_baseline is None:
        return [f"Promote epoch {best}: there is no baseline yet."]
    match against_baseline.verdict:
        case "better":
            return [f"Promote epoch {best}: it is better than the baseline."]
        case "worse":
            return [f"Keep the baseline: it is better than epoch {best}."]
        case "same" | "unclear":
            return [f"Keep the baseline, or let people vote: the images do not tell epoch {best} from it."]
        case _:
            return [f"Evaluate epoch {best} in full before it is promoted: too few prompts compare with the baseline."]
