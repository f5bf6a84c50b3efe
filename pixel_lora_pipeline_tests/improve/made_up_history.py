"""The eight made-up runs of `embedded.history` as hypotheses are made of them: runs, evidence, diagnoses."""

from functools import cache
from typing import Any

import pandas as pd

from pixel_lora_pipeline.embedded.history import HISTORY, trajectory
from pixel_lora_pipeline.learn import Diagnosis, assess_parameters, diagnose

PARAMETERS = [
    *("network_dim", "network_alpha", "keep_tokens", "learning_rate", "caption_version"),
    *("num_images", "gradient_accumulation_steps", "caption_dropout_rate"),
]
METRICS = ["quality_score", "background_accuracy", "accessory_accuracy", "pixel_art_purity"]


@cache
def made_up_runs() -> pd.DataFrame:
    """A row a run, with what it took."""
    return pd.DataFrame([_row(number) for number in range(len(HISTORY))])


@cache
def made_up_evidence() -> dict[str, pd.DataFrame]:
    """For each metric."""
    return {metric: assess_parameters(made_up_runs(), PARAMETERS, metric) for metric in METRICS}


def made_up_diagnoses(run_name: str, *issues: str) -> list[Diagnosis]:
    """Why a run has these issues at its last epoch."""
    runs = made_up_runs()
    run = runs[runs["run_name"] == run_name].iloc[0].to_dict()
    found: list[Diagnosis] = []
    for issue in issues:
        found += diagnose({"issue": issue, "epoch": 10, "state": "persisting"}, run, runs, parameters=PARAMETERS)
    return found


def _row(number: int) -> dict[str, Any]:
    run, measured = HISTORY[number], trajectory(HISTORY[number], number)[-1]
    color, style = measured["color_accuracy"], measured["style_quality"]
    epochs, images = run.config.max_train_epochs or 0, run.num_images
    return {
        "run_name": run.name,
        "run_date": pd.Timestamp("2025-09-01") + pd.Timedelta(weeks=number),
        "network_dim": run.network_dim,
        "network_alpha": run.config.network_alpha,
        "keep_tokens": run.keep_tokens,
        "learning_rate": run.learning_rate,
        "caption_version": run.caption_version,
        "num_images": images,
        "gradient_accumulation_steps": run.gradient_accumulation_steps,
        "caption_dropout_rate": run.caption_dropout_rate,
        "max_train_epochs": epochs,
        "seed": 42,
        "gpu_seconds": 1.5 * images * epochs * (1 + 0.02 * number),
        "background_accuracy": color["background_accuracy"],
        "accessory_accuracy": color["accessory_accuracy"],
        "pixel_art_purity": style["pixel_art_purity"],
        "quality_score": round(0.05 * color["overall"] + 0.05 * style["overall"], 1),
    }
