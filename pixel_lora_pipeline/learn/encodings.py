"""The forms in which a parameter may act: in proportion, above a threshold, best in between, or by its value.

With few runs nobody knows which form is right, and a straight line through "fine up to 32, spoilt above" misses most
of it. So each form is a candidate of its own, and the parameter is judged by all of them together.
"""

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, ParameterColumn

EncodingKind = Literal["linear", "threshold", "peak", "level"]
_Shape = tuple[EncodingKind, Any, Floats]

# Thresholds and peaks that are looked at where a parameter took more values; at its quantiles.
MOST_PLACES: Final = 7


@dataclass(frozen=True)
class Encoding:
    """A parameter, as a single number a configuration.

    Attributes
    ----------
    kind
        "linear"; "threshold", 1 above `value` and 0 up to it; "peak", falling with the distance from `value`;
        "level", 1 at `value` and 0 elsewhere.
    value
        Where; None for linear.
    by_level
        float[levels]: the number for each of the parameter's levels.
    share
        Of the parameter's prior probability. The kinds have the same, and so have the places within a kind.
    """

    kind: EncodingKind
    value: Any
    by_level: Floats
    share: float

    def statement(self, name: str) -> str:
        """As "network_dim > 32"."""
        value = f"{self.value:.4g}" if isinstance(self.value, float) else self.value
        match self.kind:
            case "threshold":
                return f"{name} > {value}"
            case "peak":
                return f"{name} near {value}"
            case "level":
                return f"{name} = {value}"
        return name


def encodings_of(column: ParameterColumn) -> list[Encoding]:
    """Every form in which a parameter may act, none if it did not vary or if it is a name that never repeats."""
    n_levels = len(column.levels)
    if n_levels < 2:
        return []
    at = np.arange(n_levels)
    if column.positions is None:
        counts = np.bincount(column.codes[column.known], minlength=n_levels)
        if counts.max() == 1:
            return []
        # Of two names, one says it all; of many, the most frequent are looked at.
        frequent = [0] if n_levels == 2 else np.sort(np.argsort(-counts, kind="stable")[:MOST_PLACES])
        shaped: list[_Shape] = [("level", column.levels[level], (at == level).astype(float)) for level in frequent]
        return _shared(shaped)
    if n_levels == 2:
        return _shared([("threshold", column.levels[0], at.astype(float))])
    positions = column.positions
    cuts = _places(column, at[:-1])
    return _shared(
        [
            ("linear", None, positions),
            *(("threshold", column.levels[cut], (at > cut).astype(float)) for cut in cuts),
            *(("peak", column.levels[top], -np.abs(positions - positions[top])) for top in _places(column, at[1:-1])),
        ]
    )


def values_of(encoding: Encoding, column: ParameterColumn) -> Floats:
    """float[n]: the encoding of each row; NaN where the parameter is not known."""
    values = np.full(len(column.codes), np.nan)
    values[column.known] = encoding.by_level[column.codes[column.known]]
    return values


def standardised(values: Floats) -> Floats:
    """Centred and of length one; the mean where not known. All zero if nothing varies."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros_like(values)
    centred = np.where(known, values - values[known].mean(), 0.0)
    length = float(np.linalg.norm(centred))
    return centred / length if length > np.abs(values[known]).max(initial=0.0) * 1e-9 else np.zeros_like(values)


def balanced_split(column: ParameterColumn) -> int:
    """The level up to which most nearly half of the rows lie."""
    counts = np.bincount(column.codes[column.known], minlength=len(column.levels))
    below = np.cumsum(counts)[:-1]
    return int(np.argmin(np.abs(below - counts.sum() / 2)))


def _places(column: ParameterColumn, candidates: NDArray[np.int64]) -> list[int]:
    if len(candidates) <= MOST_PLACES:
        return [int(at) for at in candidates]
    codes = column.codes[column.codes != MISSING]
    quantiles = np.quantile(codes, (np.arange(MOST_PLACES) + 0.5) / MOST_PLACES, method="inverted_cdf")
    return sorted({int(at) for at in np.clip(quantiles, candidates[0], candidates[-1])})


def _shared(shaped: list[_Shape]) -> list[Encoding]:
    kinds = [kind for kind, _, _ in shaped]
    return [
        Encoding(kind, value, by_level, 1 / len(set(kinds)) / kinds.count(kind)) for kind, value, by_level in shaped
    ]
