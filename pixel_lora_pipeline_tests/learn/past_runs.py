"""The eight made-up runs of `embedded.history` as tables: what was set, what came of it, and how it went."""

from dataclasses import fields
from typing import Any

import pandas as pd

from pixel_lora_pipeline.embedded.history import HISTORY, trajectory


def past_runs() -> pd.DataFrame:
    """A row a run: settings, and the measurements of its last epoch."""
    return pd.DataFrame([_row(number) for number in range(len(HISTORY))])


def trajectories() -> pd.DataFrame:
    """At which epochs the hair was two-toned."""
    return pd.DataFrame(
        {
            "run_name": run.name,
            "epoch": epoch,
            "issue": "two_toned_hair",
            "present": measured["color_accuracy"]["hair_two_toned"],
        }
        for number, run in enumerate(HISTORY)
        for epoch, measured in enumerate(trajectory(run, number), 1)
    )


def _row(number: int) -> dict[str, Any]:
    run = HISTORY[number]
    settings = {field.name: getattr(run, field.name) for field in fields(run) if field.name not in ("name", "left")}
    measured = trajectory(run, number)[-1]
    metrics = {f"{group}.{name}": value for group, values in measured.items() for name, value in values.items()}
    return {"run_name": run.name, **settings, **metrics}
