"""Where to start: in made-up histories a gain that is there is found, and none is invented."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from pixel_lora_pipeline.improve.starting_point import START, Parent, StartingPoint, recommend_start

PARENT = Parent("best", {"network_dim": 32, "learning_rate": 1e-4, "seed": 3}, 7, "/out/best-000007.safetensors")


def world(seed: int, gain: float, *, noise: float = 2.0, pairs: int = 6, early: float = 0.0) -> pd.DataFrame:
    """Runs as people make them: they try configurations, and start from checkpoints of the best so far.

    Later configurations are better by design, a parent is chosen by its result, and of each configuration that was
    started from a checkpoint there is mostly a run from the base model too.
    """
    random = np.random.default_rng([seed, 7])
    rows: list[dict[str, Any]] = []

    def run(configuration: int, parent: str | None, from_best: bool | None) -> None:
        helped = 0.0 if parent is None else gain + (0.0 if from_best else early)
        rows.append(
            {
                "run_name": f"run_{len(rows)}",
                "configuration": f"c{configuration}",
                "parent": parent,
                "from_best": from_best,
                "seed": len(rows),
                "score": 60 + 1.5 * configuration + helped + noise * random.normal(),
            }
        )

    for configuration in range(4):
        run(configuration, None, None)
    for at in range(pairs):
        best = max((row for row in rows), key=lambda row: float(row["score"]))
        # The parent's own configuration, or the next one: both are what people do.
        configuration = int(best["configuration"][1:]) if random.random() < 0.4 else 4 + at // 2
        run(configuration, str(best["run_name"]), bool(random.random() < 0.5))
        if random.random() < 0.9:
            run(configuration, None, None)
    return pd.DataFrame(rows)


def judged(worlds: int, gain: float, **how: Any) -> list[StartingPoint]:
    return [recommend_start(world(seed, gain, **how), "score") for seed in range(worlds)]


def test_no_gain_is_invented_in_200_worlds_without_one() -> None:
    found = judged(200, 0.0, pairs=8)
    wrong = sum(each.start in ("checkpoint", "base") for each in found) / len(found)
    naive = sum((each.unmatched_gain or 0) > 2 for each in found) / len(found)
    assert wrong <= 0.05, f"{wrong:.1%} of the worlds have a wrong recommendation"
    assert naive > 0.3, f"the worlds are too easy: the plain difference is wrong in {naive:.0%} only"


@pytest.mark.parametrize(("gain", "start"), [(8.0, "checkpoint"), (-8.0, "base")])
def test_a_true_difference_is_found(gain: float, start: str) -> None:
    found = judged(60, gain, pairs=8)
    right = sum(each.start == start for each in found) / len(found)
    wrong = sum(each.start not in (start, "unknown") for each in found)
    assert right >= 0.75 and wrong == 0, f"found in {right:.0%} of the worlds, {wrong} are wrong"


def test_intervals_cover_the_true_gain() -> None:
    found = [each.gain.interval for each in judged(200, 3.0, pairs=8) if each.gain.interval is not None]
    covered = sum(low <= 3.0 <= high for low, high in found) / len(found)
    assert covered >= 0.95, f"98 % intervals cover {covered:.1%} of {len(found)}"


def test_a_better_epoch_to_start_from_is_found_where_there_are_runs_enough() -> None:
    runs = pd.DataFrame(
        {
            "run_name": [f"run_{at}" for at in range(12)],
            "configuration": "c",
            "parent": "parent",
            "from_best": [True, False] * 6,
            "score": [60.0, 70.0, 61.0, 71.5, 60.5, 69.0] * 2,
        }
    )
    assert recommend_start(runs, "score", PARENT).epoch_reason.startswith("another epoch than the best")


def test_with_too_few_runs_a_pair_is_proposed_and_only_once() -> None:
    runs = world(1, 0.0, pairs=0)
    found = recommend_start(runs, "score", PARENT)
    assert found.start == "unknown" and "too few runs" in found.reason
    checkpoint, base = (arm.parameters for arm in found.arms)
    assert START not in base and checkpoint.pop(START) == PARENT.path
    assert base == checkpoint, "the arms differ by their start only"
    assert base["seed"] == 4, "the parent itself, chosen for its result, is no fair opponent"
    waiting = {"parameters": {}, "source": "starting point", "state": "QUEUED"}
    assert recommend_start(runs, "score", PARENT, tried=[waiting]).arms == ()
    refused = {"parameters": base, "source": "starting point", "state": "SKIPPED"}
    assert recommend_start(runs, "score", PARENT, tried=[refused]).arms == ()


def test_a_parent_past_its_peak_is_tried_from_an_earlier_epoch_too() -> None:
    past = Parent("best", PARENT.parameters, 7, PARENT.path, 4, "/out/best-000004.safetensors")
    starts = [arm.parameters.get(START) for arm in recommend_start(world(1, 0.0, pairs=0), "score", past).arms]
    assert starts == [PARENT.path, "/out/best-000004.safetensors", None]


def test_lower_may_be_better() -> None:
    runs = world(3, 8.0, pairs=10)
    assert recommend_start(runs.assign(score=-runs["score"]), "score", lower_is_better=True).start == "checkpoint"


def test_nothing_known_is_unknown() -> None:
    empty = pd.DataFrame(columns=["run_name", "configuration", "parent", "from_best", "score"])
    found = recommend_start(empty, "score")
    assert (found.start, found.checkpoint, found.arms) == ("unknown", None, ())
