"""Histories that lead to principles, and their evidence."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd

from pixel_lora_pipeline.embedded.history import HISTORY, PastRun, trajectory
from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.principle import Principle
from pixel_lora_pipeline.learn.principles import update_principles

NOW = datetime(2026, 1, 5, tzinfo=UTC)
ROADMAP_PARAMETERS = [
    *("network_dim", "keep_tokens", "learning_rate", "caption_version"),
    *("num_images", "gradient_accumulation_steps", "caption_dropout_rate"),
]
ROADMAP_METRICS = ("pixel_art_purity", "background_accuracy")
# The synthetic history goes on with a run that repeats a success, and one that breaks it.
LATER = (
    replace(HISTORY[0], name="later_1", num_images=300, caption_dropout_rate=0.1),
    replace(HISTORY[0], name="later_2", network_dim=64),
)


def roadmap_runs(past: Sequence[PastRun]) -> pd.DataFrame:
    """A row a run: parameters, and the measurements of its last epoch."""
    rows = []
    for number, run in enumerate(past):
        last = trajectory(run, number)[-1]
        rows.append(
            {
                "run_name": run.name,
                "run_date": pd.Timestamp("2025-09-01", tz="UTC") + pd.Timedelta(weeks=number),
                **{name: getattr(run, name) for name in ROADMAP_PARAMETERS},
                "network_alpha": run.config.network_alpha,
                "pixel_art_purity": last["style_quality"]["pixel_art_purity"],
                "photorealism_score": last["style_quality"]["photorealism_score"],
                "background_accuracy": last["color_accuracy"]["background_accuracy"],
            }
        )
    return pd.DataFrame(rows)


def hair_over_epochs(past: Sequence[PastRun]) -> pd.DataFrame:
    """Whether the hair of each epoch was two-toned."""
    return pd.DataFrame(
        {
            "run_name": run.name,
            "epoch": epoch,
            "issue": "two_toned_hair",
            "present": measured["color_accuracy"]["hair_two_toned"],
        }
        for number, run in enumerate(past)
        for epoch, measured in enumerate(trajectory(run, number), 1)
    )


def updated(
    known: Sequence[Principle],
    runs: pd.DataFrame,
    parameters: list[str],
    *metrics: str,
    now: datetime = NOW,
    lower_is_better: Sequence[str] = (),
    trajectories: pd.DataFrame | None = None,
) -> list[Principle]:
    """Assess, then update."""
    prior = dict.fromkeys(parameters, 0.3)
    evidence = {metric: assess_parameters(runs, parameters, metric, prior=prior) for metric in metrics}
    return update_principles(known, evidence, runs, now, lower_is_better=lower_is_better, trajectories=trajectories)


RANK = ["network_dim", "num_repeats", "flip_aug"]


def rank_runs(
    dims: Sequence[int], *, first: int = 0, noise: float = 1.0, spoilt_above: int = 32, drop: float = 20.0
) -> pd.DataFrame:
    """Runs in which the quality drops above a rank, and two more parameters do nothing."""
    random = np.random.default_rng([first, len(dims)])
    above = np.array([dim > spoilt_above for dim in dims])
    return pd.DataFrame(
        {
            "run_name": [f"run_{first + at}" for at in range(len(dims))],
            "network_dim": list(dims),
            "num_repeats": random.choice([5, 10, 15, 20, 25, 30], len(dims)),
            "flip_aug": random.random(len(dims)) < 0.5,
            "quality": 80.0 - drop * above + random.normal(0, noise, len(dims)),
        }
    )


STATED_BY = rank_runs([16, 32, 64, 128, 32, 16, 64, 128, 32, 64])
