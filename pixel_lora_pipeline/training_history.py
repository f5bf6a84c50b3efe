"""All runs in the tables that learning works on: what they were trained with, and what became of them."""

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.analyze.rollup_issues import rollup_issues
from pixel_lora_pipeline.store import EpochIssues, RunResult, Store
from pixel_lora_pipeline.train.taxonomy import chosen_parameters

METRICS: Final[dict[str, tuple[str, ...]]] = {
    "overall_score": ("overall_score",),
    "color_accuracy": ("color_accuracy", "overall"),
    "background_accuracy": ("color_accuracy", "background_accuracy"),
    "hair_accuracy": ("color_accuracy", "hair_accuracy"),
    "hair_two_toned_share": ("color_accuracy", "hair_two_toned_share"),
    "accessory_accuracy": ("color_accuracy", "accessory_accuracy"),
    "style_quality": ("style_quality", "overall"),
    "pixel_art_purity": ("style_quality", "pixel_art_purity"),
}
"""What is learnt of beside `quality_score` and `best_epoch`: each with its place in an epoch's rollup."""

# What matters most comes first.
_ALL_METRICS: Final = ("quality_score", *METRICS, "best_epoch")
_COSTS: Final = ("gpu_seconds", "cost_usd", "total_training_time")

LOWER_IS_BETTER: Final = frozenset({"hair_two_toned_share", "best_epoch"})
"""Of the metrics; an early best epoch costs less."""

CONFIGURATION: Final = "configuration"
"""Column that is equal for runs which are repetitions of each other."""

# Runs of which not even this is known are no repetitions of each other, however alike they look.
_LEAST_KNOWN: Final = ("network_dim", "learning_rate")


@dataclass(frozen=True)
class TrainingHistory:
    """What is known of the runs that have come to an end.

    Attributes
    ----------
    runs
        A row a run, in the order of their dates: `run_name`, `run_date`, `configuration` (the name of the first run
        that was trained alike but for the seed), a column a parameter, a column a metric, and what it took:
        `gpu_seconds`, `cost_usd`, `total_training_time` (seconds), where they are known.
    parameters
        Columns that were chosen before the training and are known of some run.
    metrics
        Columns that are results and are known of some run.
    trajectories
        `run_name`, `epoch`, `issue`, `present`: which failures each epoch of every run had, ended or not.
    left_out
        Runs whose measurements are of another version than most runs', by that version: they are known by their
        parameters and by what people gave them.
    """

    runs: pd.DataFrame
    parameters: list[str]
    metrics: list[str]
    trajectories: pd.DataFrame
    left_out: dict[str, int]


def read_history(store: Store) -> TrainingHistory:
    """Read all that runs can be compared by.

    Measurements of different versions do not compare: those that most runs have are taken, of equally common ones
    the newest run's.
    """
    results = store.results.of_ended_runs()
    parameters = {run.run_id: run.parameters.values for run in store.runs.find()}
    versions = Counter(result.metrics_version for result in reversed(results) if result.metrics_version is not None)
    shared = max(versions, key=lambda version: versions[version]) if versions else None
    names = chosen_parameters()
    rows = [
        {
            "run_name": result.run_name,
            "run_date": result.run_date,
            **{name: _scalar(value) for name, value in parameters.get(result.run_id, {}).items() if name in names},
            **_figures(result, shared),
            "gpu_seconds": result.gpu_seconds,
            "cost_usd": result.cost_usd,
            "total_training_time": parameters.get(result.run_id, {}).get("total_training_time"),
        }
        for result in results
    ]
    columns = ["run_name", "run_date", *names, *_ALL_METRICS, *_COSTS]
    runs = pd.DataFrame(rows, columns=columns).astype(dict.fromkeys((*_ALL_METRICS, *_COSTS), float)).copy()
    known = set(runs.columns[runs.notna().any()])
    return TrainingHistory(
        runs=runs.assign(**{CONFIGURATION: _configurations(runs, [name for name in names if name != "seed"])}),
        parameters=[name for name in names if name in known],
        metrics=[name for name in _ALL_METRICS if name in known],
        trajectories=_trajectories(store.results.issues_by_epoch()),
        left_out={version: count for version, count in versions.items() if version != shared},
    )


def describe_run(store: Store, run_name: str, epoch: int | None, metrics: dict[str, Any]) -> dict[str, Any]:
    """A run as a row of `TrainingHistory.runs`, with the figures of one of its epochs."""
    names = chosen_parameters()
    values = store.runs.get(run_name).parameters.values
    return {
        "run_name": run_name,
        "epoch": epoch,
        **{name: _scalar(value) for name, value in values.items() if name in names},
        **{name: _at(metrics, path) for name, path in METRICS.items()},
    }


def _configurations(runs: pd.DataFrame, parameters: list[str]) -> pd.Series:
    """For each run the name of the first that was trained with the same parameters."""
    contents = pd.util.hash_pandas_object(runs[parameters].astype(str), index=False)
    alike = runs["run_name"].groupby(contents, sort=False).transform("first")
    return alike.where(runs[list(_LEAST_KNOWN)].notna().all(axis=1), runs["run_name"])


def _figures(result: RunResult, shared: str | None) -> dict[str, float | None]:
    figures: dict[str, float | None] = {"quality_score": result.quality_score, "best_epoch": result.epoch}
    if result.metrics_version == shared:
        figures |= {name: _at(result.metrics, path) for name, path in METRICS.items()}
    return figures


def _at(metrics: dict[str, Any] | None, path: tuple[str, ...]) -> float | None:
    value: Any = metrics
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, bool | int | float) and np.isfinite(value) else None


def _scalar(value: Any) -> Any:
    """A parameter as something that can be equal or not: lists and tables, which some are, as text."""
    return json.dumps(value, sort_keys=True) if isinstance(value, list | dict) else value


def _trajectories(epochs: list[EpochIssues]) -> pd.DataFrame:
    rows = [
        (epoch.run_name, epoch.epoch, issue, present)
        for epoch in epochs
        for issue, present in {**rollup_issues(epoch.metrics), **_judged(epoch)}.items()
    ]
    return pd.DataFrame(rows, columns=["run_name", "epoch", "issue", "present"])


def _judged(epoch: EpochIssues) -> dict[str, bool]:
    """The issues of which the epoch's images decide."""
    return {
        issue["issue"]: observation["seen"]
        for issue in epoch.issues or ()
        for observation in issue["history"]
        if observation["epoch"] == epoch.epoch and observation["seen"] is not None
    }
