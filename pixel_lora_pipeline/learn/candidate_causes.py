"""Everything that may explain the metric: parameters in all their forms, products, accidents, and drift."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.learn.alias_classes import ParameterClass
from pixel_lora_pipeline.learn.derived_features import DerivedFeature, derived_features
from pixel_lora_pipeline.learn.domain_priors import FLAT
from pixel_lora_pipeline.learn.encodings import Encoding, balanced_split, encodings_of, standardised, values_of
from pixel_lora_pipeline.learn.parameter_column import Floats, ParameterColumn
from pixel_lora_pipeline.learn.variable_selection import Candidates

# That a single run went wrong, or surprisingly well, for a reason that is no parameter: a bad seed, a broken file. A
# parameter that differed in that run only has to compete with it.
ACCIDENT: Final = 0.05
# That results drifted with time, whatever was set: another version of a library, a change of the data.
DRIFT: Final = 0.10
# In larger tables a single run changes nothing.
_FEW_RUNS: Final = 40
# A product is this much less probable than its factors are, on average.
_PRODUCT_SHARE: Final = 0.5


@dataclass(frozen=True)
class CandidateCauses:
    """Columns for the search, and what each stands for.

    Attributes
    ----------
    candidates
        p columns of `sources` causes: the classes first, then products, then nuisances.
    encodings
        Of each column; None for a nuisance.
    names
        Of each column's parameter or product; empty for a nuisance.
    owned
        bool[classes, p]: columns in which a class acts, products included.
    own
        bool[classes, p]: without products.
    given, flat
        float[sources]: prior probabilities.
    is_nuisance
        bool[sources]: accidents and drift.
    """

    candidates: Candidates
    encodings: tuple[Encoding | None, ...]
    names: tuple[str, ...]
    owned: NDArray[np.bool_]
    own: NDArray[np.bool_]
    given: Floats
    flat: Floats
    is_nuisance: NDArray[np.bool_]


def candidate_causes(
    classes: Sequence[ParameterClass], prior: Mapping[str, float], n: int, days: Floats | None = None
) -> CandidateCauses:
    """Lay out the causes.

    Parameters
    ----------
    classes
        Of n configurations.
    prior
        Probability of each parameter that it acts.
    n
        Number of configurations.
    days
        float[n]: when they were run; None if not known.
    """
    features = derived_features(classes)
    nuisances = [(ACCIDENT, (np.arange(n) == row).astype(float)) for row in range(n if n <= _FEW_RUNS else 0)]
    if days is not None:
        nuisances.append((DRIFT, days))
    n_classes, n_parameters = len(classes), len(classes) + len(features)
    columns: list[Floats] = []
    sources: list[int] = []
    shares: list[float] = []
    encodings: list[Encoding | None] = []
    names: list[str] = []
    for source, column in enumerate([*(members.leader for members in classes), *(each.column for each in features)]):
        for encoding in encodings_of(column):
            columns.append(standardised(values_of(encoding, column)))
            sources.append(source)
            shares.append(encoding.share)
            encodings.append(encoding)
            names.append(column.name)
    for at, (_, values) in enumerate(nuisances):
        columns.append(standardised(values))
        sources.append(n_parameters + at)
        shares.append(1.0)
        encodings.append(None)
        names.append("")
    source_of = np.array(sources, dtype=np.int64)
    own = source_of == np.arange(n_classes)[:, None]
    owned = own.copy()
    for at, feature in enumerate(features):
        owned[list(feature.parents)] |= source_of == n_classes + at
    of_nuisances = [probability for probability, _ in nuisances]
    given = [_any_of([prior[name] for name in members.names]) for members in classes]
    flat = [FLAT] * n_classes
    return CandidateCauses(
        candidates=Candidates(np.array(columns).reshape(len(columns), n).T, source_of, np.array(shares)),
        encodings=tuple(encodings),
        names=tuple(names),
        owned=owned,
        own=own,
        given=np.array([*given, *_of_products(features, given), *of_nuisances]),
        flat=np.array([*flat, *_of_products(features, flat), *of_nuisances]),
        is_nuisance=np.arange(n_parameters + len(nuisances)) >= n_parameters,
    )


def _any_of(probabilities: Sequence[float]) -> float:
    return probabilities[0] if len(probabilities) == 1 else float(1 - np.prod(1 - np.array(probabilities)))


def _of_products(features: Sequence[DerivedFeature], of_classes: Sequence[float]) -> list[float]:
    return [
        _PRODUCT_SHARE * float(np.exp(np.mean(np.log([of_classes[parent] for parent in feature.parents]))))
        for feature in features
    ]


def sides(encoding: Encoding | None, column: ParameterColumn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The levels that a form puts on its low and on its high side.

    bool[levels] each: up to a threshold and above it; a value and the others; for a form without a boundary, the two
    halves.
    """
    at = np.arange(len(column.levels))
    if encoding is None or encoding.kind == "linear":
        low = at <= balanced_split(column)
    elif encoding.kind == "threshold":
        low = encoding.by_level == 0
    else:
        low = encoding.by_level < encoding.by_level.max()
    return low, ~low


def extremes(encoding: Encoding | None, column: ParameterColumn) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The levels between which an effect is stated.

    bool[levels] each: from the lowest to the highest; for a threshold, from all below to all above it, because a
    single run at an end may be an accident; for a peak, from both ends to the peak; for a name, from the others to it.
    """
    at = np.arange(len(column.levels))
    ends = (at == 0) | (at == len(at) - 1)
    if encoding is None or encoding.kind == "linear":
        return at == 0, at == len(at) - 1
    if encoding.kind == "threshold":
        return sides(encoding, column)
    high = encoding.by_level == encoding.by_level.max()
    return (ends if encoding.kind == "peak" else ~high), high
