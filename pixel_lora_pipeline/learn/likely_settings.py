"""Which columns of a table of runs are settings, and which were measured, where nobody says so."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.configurations import RUN_DATE
from pixel_lora_pipeline.learn.diagnosis_rules import EPOCH, TellingMetric
from pixel_lora_pipeline.learn.domain_priors import domain_rules
from pixel_lora_pipeline.learn.failed_run import NAMES
from pixel_lora_pipeline.learn.run_condition import is_known
from pixel_lora_pipeline.train.taxonomy import ROADMAP_NAMES, run_taxonomy

# What a table of runs says beside parameters and measurements.
_ABOUT_THE_RUN: Final = frozenset(
    {
        *(*NAMES, RUN_DATE, EPOCH, "epoch_number", "step", "status", "parent_run", "parent_run_id", "created_at"),
        *("updated_at", "notes", "observations", "overall_verdict", "verdict", "best_epoch", "issue", "issues"),
    }
)
_RESULT_WORDS: Final = (
    *("score", "accuracy", "quality", "verdict", "rating", "purity", "sharpness", "photoreal", "toned", "adherence"),
    *("coherence", "palette_size", "_loss", "success", "fail"),
)
# Settings are used again, measurements hardly ever come out the same: so many different ones say a measurement.
_MEASURED: Final = 0.9


def likely_settings(runs: pd.DataFrame, asked: Mapping[str, Any], told: TellingMetric | None) -> Iterator[str]:
    """The columns that are settings, not measurements: those that are known, else by how they look.

    A run that was given without its metric was given by its settings.
    """
    settings = {*run_taxonomy(), *ROADMAP_NAMES, *(rule.parameter for rule in domain_rules())}
    is_given_by_settings = told is None or told.column not in asked
    for name in runs.columns:
        if name in _ABOUT_THE_RUN or (told is not None and name == told.column):
            continue
        if name in settings or (is_given_by_settings and name in asked) or not _looks_measured(name, runs[name]):
            yield name


def _looks_measured(name: str, values: pd.Series) -> bool:
    last = name.rpartition(".")[2].lower()
    if "." in name or any(word in last for word in _RESULT_WORDS):
        return True
    if pd.api.types.is_datetime64_any_dtype(values.dtype):
        return True
    if not is_numeric(values):
        return False
    numbers = pd.to_numeric(values).dropna().astype(float)
    return bool((numbers % 1 != 0).any()) and numbers.nunique() > _MEASURED * len(numbers)


def is_numeric(values: pd.Series) -> bool:
    """Whether all that is known are numbers or truths, and something is known."""
    known = [value for value in values if is_known(value)]
    return bool(known) and all(isinstance(value, int | float | np.number | np.bool_) for value in known)
