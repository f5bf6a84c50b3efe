"""When a campaign is over: what another run is expected to bring, against what a run can show."""

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from pixel_lora_pipeline.improve.incumbent import Incumbent, best_so_far
from pixel_lora_pipeline.improve.landscape import Landscape
from pixel_lora_pipeline.improve.search import most_improving

# An improvement as large as the noise of a run shows after a dozen runs of each (80 % power at 5 %, one-sided), one of
# a tenth of it after more than a thousand.
_WORTHWHILE: Final = 0.1


Action: TypeAlias = Literal["go on", "replicate", "stop"]


@dataclass(frozen=True)
class CampaignVerdict:
    """Whether to go on.

    Attributes
    ----------
    action
        "go on"; "replicate": repeat the incumbent, for nothing promises much if the noise is what it seems to be;
        "stop".
    improvement
        What the most promising configuration is expected to bring, in units of the metric; None without two runs.
    noise
        Standard deviation of a run's metric; None as above.
    noise_is_measured
        Whether it was given, or some configuration was run more than once. Else it is inferred from what of the runs
        the parameters leave unexplained.
    incumbent
        The best so far; None as above.
    reason
        Why, for a person.
    """

    action: Action
    improvement: float | None
    noise: float | None
    noise_is_measured: bool
    incumbent: Incumbent | None
    reason: str

    @property
    def should_stop(self) -> bool:
        """Whether the campaign is over."""
        return self.action == "stop"


def judge_campaign(landscape: Landscape, *, seed: int = 0) -> CampaignVerdict:
    """Whether another run is worth it: what it is expected to bring, against the noise of a run."""
    surrogate, observations = landscape.surrogate, landscape.observations
    best = best_so_far(landscape)
    if surrogate is None or best is None:
        reason = f"Go on: {len(observations.values)} runs have a result, which is too few to learn from."
        return CampaignVerdict("go on", None, None, landscape.noise_is_known, None, reason)
    noise = float(np.sqrt(surrogate.noise.mean())) * observations.scale
    is_measured = landscape.noise_is_known or observations.n_replicates > 0
    found = most_improving(landscape, surrogate, set(observations.tried), np.random.default_rng([seed, 1]))
    improvement = 0.0 if found is None else found[1] * observations.scale
    said = f"the most promising configuration is expected to bring {improvement:.2g}, and a run's noise is {noise:.2g}"
    action: Action
    if found is None:
        action, reason = "stop", f"Stop: nothing is left to try. {best.reason}"
    elif improvement >= _WORTHWHILE * noise:
        action, reason = "go on", f"Go on: {said}."
    elif not is_measured:
        action, reason = "replicate", f"Repeat {best.runs[0]}: {said}, but that is a guess while no run was repeated."
    else:
        action, reason = "stop", f"Stop: {said}. {best.reason}"
    return CampaignVerdict(action, improvement, noise, is_measured, best, reason)
