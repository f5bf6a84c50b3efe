"""How often chance alone would order the configurations by a parameter as well as they are: permutation p-values.

One parameter at a time, by ranks. That answers a narrower question than it seems to: in a history in which habits
changed several parameters together, a parameter without any effect goes with the metric as well as its companion
that has one. These p-values are shown, verdicts do not rest on them.

References
----------
.. [1] Hothorn, Lausen, "On the exact distribution of maximally selected rank statistics", CSDA 43, 2003.
.. [2] Westfall, Young, "Resampling-Based Multiple Testing", 1993: the single-step minP adjustment.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Final

import numpy as np
from scipy.stats import false_discovery_control, rankdata

from pixel_lora_pipeline.learn.encodings import encodings_of, standardised, values_of
from pixel_lora_pipeline.learn.parameter_column import Floats, Integers, ParameterColumn

# Up to this many configurations all orders are looked at (5040 for 7), beyond a random sample of them.
ALL_ORDERS: Final = 7
ORDERS: Final = 5000
_FEWEST_ORDERS: Final = 500
_MOST_WORK: Final = 4e9  # multiplications; large tables are left with fewer random orders
_ROUNDING: Final = 1e-9
_SEED: Final = 20_251_110


@dataclass(frozen=True)
class MarginalEvidence:
    """For each parameter; NaN where it did not vary.

    Attributes
    ----------
    p
        Of the maximally selected rank statistic: the metric's ranks against the parameter's, against every
        threshold, and against every value.
    p_minimum
        The same, adjusted for all parameters together (Westfall and Young).
    q
        The same, adjusted by Benjamini and Hochberg.
    orders
        How many orders p rests on.
    is_exact
        Whether these are all that there are.
    """

    p: Floats
    p_minimum: Floats
    q: Floats
    orders: int
    is_exact: bool


def marginal_evidence(columns: Sequence[ParameterColumn], metric: Floats) -> MarginalEvidence:
    """Test each parameter by itself, all with the same permutations of the metric.

    A configuration whose parameter is not known takes part with the mean, so it says nothing either way.
    """
    n = len(metric)
    statistics = [_statistics(column) for column in columns]
    usable = [at for at, rows in enumerate(statistics) if len(rows)]
    p = np.full(len(columns), np.nan)
    adjusted, q = p.copy(), p.copy()
    n_rows = sum(len(rows) for rows in statistics)
    orders = _orders(n, n_rows)
    is_exact = n <= ALL_ORDERS
    if usable and np.ptp(metric) > 0:
        ranks = rankdata(metric) - (n + 1) / 2
        shuffled = ranks[orders]
        extremes = np.array([_extremes(statistics[at], shuffled) for at in usable])
        observed = np.array([_extremes(statistics[at], ranks[None])[0] for at in usable])
        extra = 0 if is_exact else 1  # the observed order is one of the random ones
        reached = (extremes >= observed[:, None] - _ROUNDING).sum(axis=1)
        p[usable] = (reached + extra) / (len(orders) + extra)
        # p-value of each order, if it had been the observed one.
        p_of_orders = rankdata(-np.round(extremes, 9), method="max", axis=1) / len(orders)
        smallest = p_of_orders.min(axis=0)
        adjusted[usable] = [
            ((smallest <= value + _ROUNDING).sum() + extra) / (len(orders) + extra) for value in reached / len(orders)
        ]
        adjusted[usable] = np.maximum(adjusted[usable], p[usable])
        q[usable] = false_discovery_control(p[usable], method="bh")
    return MarginalEvidence(p, adjusted, q, len(orders), is_exact)


def _statistics(column: ParameterColumn) -> Floats:
    """float[s, n]: what the ranks of the metric are compared with, centred and of length one."""
    if not column.is_varied:
        return np.empty((0, len(column.codes)))
    rows = [values_of(encoding, column) for encoding in encodings_of(column) if encoding.kind in ("threshold", "level")]
    if column.is_ordered:
        ranks = np.full(len(column.codes), np.nan)
        ranks[column.known] = rankdata(column.codes[column.known])
        inner = column.levels if len(column.levels) <= ALL_ORDERS else ()
        rows += [ranks, *(np.where(column.known, column.codes == level, np.nan) for level in range(len(inner)))]
    return np.array([standardised(np.asarray(row, dtype=float)) for row in rows]).reshape(len(rows), len(column.codes))


def _orders(n: int, n_rows: int) -> Integers:
    """int[orders, n]."""
    if n <= ALL_ORDERS:
        return np.array(list(permutations(range(n))), dtype=np.int64)
    count = int(np.clip(_MOST_WORK / max(n * n_rows, 1), _FEWEST_ORDERS, ORDERS))
    random = np.random.default_rng(_SEED)
    return random.permuted(np.tile(np.arange(n), (count, 1)), axis=1)


def _extremes(statistics: Floats, shuffled: Floats) -> Floats:
    return np.asarray(np.abs(statistics @ shuffled.T).max(axis=0))
