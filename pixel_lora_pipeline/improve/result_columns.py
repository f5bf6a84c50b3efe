"""Which columns of a history say how good the runs were, in other respects than the metric."""

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

# Columns that measure how good a run is, by a word of their name.
_RESULT: Final = re.compile(r"(^|_)(score|accuracy|quality|purity|share|rating|adherence|coherence)(_|$)")


def result_columns(runs: pd.DataFrame, parameters: Sequence[str], metric: str) -> list[str]:
    """Columns of numbers that are results beside the metric, and known of every run that has the metric."""
    scored = runs[np.isfinite(pd.to_numeric(runs[metric], errors="coerce"))]
    return [
        name
        for name in map(str, runs.columns)
        if name != metric
        and name not in parameters
        and _RESULT.search(name.lower())
        and pd.api.types.is_numeric_dtype(runs[name].dtype)
        and not pd.api.types.is_bool_dtype(runs[name].dtype)
        and np.isfinite(scored[name].to_numpy(dtype=float, na_value=np.nan)).all()
        and scored[name].nunique() > 1
    ]
