"""The best so far, and when a campaign is over."""

import numpy as np
import pandas as pd

from pixel_lora_pipeline.improve import best_so_far, judge_campaign, survey
from pixel_lora_pipeline_tests.improve.campaigns import SPACE, a_history

ONE = {"network_dim": [8, 16, 32, 64, 128]}


def lucky_history() -> pd.DataFrame:
    """A dim of 16 is best, in five runs; one of the others was lucky."""
    random = np.random.default_rng(0)
    runs = [(f"run_{at}", 16, 80 + random.normal(0, 2)) for at in range(5)]
    runs += [(f"low_{dim}_{at}", dim, 70 + random.normal(0, 2)) for dim in (32, 64, 128) for at in range(2)]
    return pd.DataFrame([*runs, ("lucky", 32, 84.5)], columns=["run_name", "network_dim", "quality_score"])


def test_the_incumbent_is_not_the_luckiest_run() -> None:
    best = best_so_far(survey(ONE, lucky_history()))
    assert best is not None
    assert best.parameters == {"network_dim": 16}
    assert len(best.runs) == 5
    assert best.luckiest == "lucky"
    assert best.interval[0] < 80 < best.interval[1]
    assert "lucky came to 84.5, which was luck in part" in best.reason


def test_without_two_runs_there_is_no_incumbent_and_no_end() -> None:
    landscape = survey(SPACE, a_history(1))
    assert best_so_far(landscape) is None
    verdict = judge_campaign(landscape)
    assert (verdict.action, verdict.should_stop) == ("go on", False)
    assert "too few" in verdict.reason


def test_a_campaign_goes_on_while_something_promises_more_than_noise() -> None:
    verdict = judge_campaign(survey(SPACE, a_history()))
    assert verdict.action == "go on"
    assert verdict.improvement is not None
    assert f"{verdict.improvement:.2g}" in verdict.reason


def flat_history(repeated: bool) -> pd.DataFrame:
    """Nothing makes a difference that shows in the noise."""
    random = np.random.default_rng(0)
    dims = [8, 16, 32, 64] * (6 if repeated else 1)
    return pd.DataFrame(
        {
            "run_name": [f"run_{at}" for at in range(len(dims))],
            "network_dim": dims,
            "quality_score": 80 - np.log2(dims) + random.normal(0, 0.3, len(dims)),
        }
    )


def test_a_campaign_ends_when_nothing_promises_a_tenth_of_the_noise() -> None:
    verdict = judge_campaign(survey(ONE, flat_history(repeated=True)))
    assert verdict.should_stop, verdict
    assert verdict.noise_is_measured
    assert "noise" in verdict.reason


def test_a_campaign_ends_when_everything_was_tried() -> None:
    history = pd.DataFrame({"network_dim": ONE["network_dim"], "quality_score": [70.0, 80.0, 75.0, 70.0, 65.0]})
    verdict = judge_campaign(survey(ONE, history))
    assert verdict.should_stop
    assert "nothing is left to try" in verdict.reason


def test_before_an_end_is_believed_the_noise_is_measured() -> None:
    verdict = judge_campaign(survey({"network_dim": [8, 16, 32, 64, 128]}, flat_history(repeated=False), noise=None))
    assert not verdict.noise_is_measured
    assert verdict.action != "stop"
