"""The failed run among all runs: it may be one of them already, under its name or without."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from pixel_lora_pipeline.learn.run_condition import is_known

# Columns that name a run, the first of them that there is.
NAMES: Final = ("run_name", "run_id", "id", "name")
_UNNAMED_RUN: Final = "this run"


def all_runs(history: pd.DataFrame, asked: dict[str, Any], label: Any) -> tuple[pd.DataFrame, Any, dict[str, Any]]:
    """All runs with this one as the last, its name, and all that is known of it."""
    runs = history.rename(columns=str)
    if twice := sorted(set(runs.columns[runs.columns.duplicated()])):
        raise ValueError(f"history has several columns named {', '.join(twice)}: keep one of each")
    named = next((name for name in NAMES if name in runs), None)
    names = runs.index.to_series() if named is None else runs[named]
    given = next((asked[name] for name in (named, *NAMES) if name is not None and is_known(asked.get(name))), None)
    rows: list[int] = []
    if given is not None:
        rows = np.flatnonzero((names.astype(str) == str(given)).to_numpy()).tolist()
    if len(rows) == 0 and (given is None or named is None):
        rows = _rows_like(asked, runs, label)
    known = {name: value for name, value in asked.items() if is_known(value)}
    others, run_name = runs, _UNNAMED_RUN if given is None else given
    if len(rows):
        row = rows[-1]
        run_name = scalar(names.iloc[row])
        known = {**{name: scalar(value) for name, value in runs.iloc[row].items() if is_known(value)}, **known}
        kept = np.arange(len(runs)) != row
        others, names = runs[kept], names[kept]
    table = _appended(others, known)
    table["run_name"] = pd.Series([*map(scalar, names), run_name], dtype=object, index=table.index)
    return table, run_name, known


def _appended(others: pd.DataFrame, known: Mapping[str, Any]) -> pd.DataFrame:
    columns = list(dict.fromkeys([*others.columns, *known]))
    cells = {
        name: [*(others[name].tolist() if name in others else [None] * len(others)), known.get(name)]
        for name in columns
    }
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in cells.items()}).infer_objects()


def _rows_like(asked: Mapping[str, Any], runs: pd.DataFrame, label: Any) -> list[int]:
    """The rows that say the same as the run wherever both say something; that of its label, if it is among them."""
    shared = [name for name in runs.columns if is_known(asked.get(name))]
    if not shared:
        return []
    alike = np.ones(len(runs), dtype=bool)
    for name in shared:
        alike &= np.array([not is_known(cell) or _is_same(cell, asked[name]) for cell in runs[name]], dtype=bool)
    rows = [int(row) for row in np.flatnonzero(alike)]
    of_label = [row for row in rows if label is not None and runs.index[row] == label]
    return of_label or rows


def _is_same(cell: Any, value: Any) -> bool:
    number = as_number(cell)
    return str(cell) == str(value) if number is None else number == as_number(value)


def as_number(value: Any) -> float | None:
    """None for what is no number."""
    return float(value) if isinstance(value, int | float | np.number | np.bool_) else None


def scalar(value: Any) -> Any:
    """A plain Python value for one of NumPy."""
    return value.item() if isinstance(value, np.generic) else value
