"""Parameters that always changed together: no analysis of these runs can tell them apart."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.stats import rankdata
from scipy.stats.contingency import association

from pixel_lora_pipeline.learn.parameter_column import MISSING, Floats, Integers, ParameterColumn

# From here on two parameters are called nearly inseparable.
NEAR: Final = 0.9
_ROUNDING: Final = 1e-9
_FEWEST: Final = 3  # configurations below which any two parameters look alike


@dataclass(frozen=True)
class ParameterClass:
    """Parameters that divide the configurations in the same way, and so are one hypothesis.

    Attributes
    ----------
    columns
        One or more, in the order of their names.
    """

    columns: tuple[ParameterColumn, ...]

    @property
    def leader(self) -> ParameterColumn:
        """The column that stands for the class: an ordered one, if there is one."""
        return next((column for column in self.columns if column.is_ordered), self.columns[0])

    @property
    def names(self) -> tuple[str, ...]:
        """Of the parameters."""
        return tuple(column.name for column in self.columns)

    @property
    def is_varied(self) -> bool:
        """Whether there is more than one value."""
        return self.leader.is_varied


def alias_classes(columns: Sequence[ParameterColumn]) -> list[ParameterClass]:
    """Put together what the configurations cannot tell apart.

    Two ordered parameters are aliases if they have the same order over the configurations, or the reverse; a name
    and another parameter, if they divide the configurations into the same groups. So a name may make aliases of
    ordered parameters whose orders differ. Parameters that never varied, and names that never repeat, have a class of
    their own.
    """
    classes: list[list[ParameterColumn]] = []
    by_order: dict[bytes, list[ParameterColumn]] = {}
    by_groups: dict[bytes, list[list[ParameterColumn]]] = {}
    for column in sorted(columns, key=lambda column: (not column.is_ordered, column.name)):
        groups, orders = _groups(column.codes), _order(column)
        found = None
        if column.is_ordered and len(column.levels) > 2:
            found = by_order.get(orders)
        elif column.is_varied and len(column.levels) < column.known.sum():
            found = _merged(by_groups.get(groups, []), classes)
        if found is None:
            found = []
            classes.append(found)
            if column.is_varied:
                by_order.setdefault(orders, found)
                by_groups.setdefault(groups, []).append(found)
        found.append(column)
    ordered = [ParameterClass(tuple(sorted(members, key=lambda column: column.name))) for members in classes]
    return sorted(ordered, key=lambda members: members.names)


def _merged(alike: list[list[ParameterColumn]], classes: list[list[ParameterColumn]]) -> list[ParameterColumn] | None:
    """The classes that divide the configurations in the same way, as one; None if there is none."""
    if not alike:
        return None
    first, *others = alike
    for other in others:
        first.extend(other)
        classes[:] = [members for members in classes if members is not other]
    del alike[1:]
    return first


def near_aliases(classes: Sequence[ParameterClass]) -> list[tuple[str, ...]]:
    """For each class, the parameters of other classes that nearly always changed with it.

    Nearly is a rank correlation of at least 0.9, in size; with names, a Cramér's V of at least 0.9.
    """
    near: list[list[str]] = [[] for _ in classes]
    for first, second in _near_pairs([members.leader for members in classes]):
        near[first] += classes[second].names
        near[second] += classes[first].names
    return [tuple(sorted(names)) for names in near]


def _near_pairs(leaders: Sequence[ParameterColumn]) -> Iterator[tuple[int, int]]:
    ordered = [at for at, column in enumerate(leaders) if column.is_varied and column.is_ordered]
    likeness = np.abs(_rank_correlations([leaders[at] for at in ordered]))
    for first, second in np.argwhere(np.triu(likeness >= NEAR, 1)):
        yield ordered[first], ordered[second]
    names = [at for at, column in enumerate(leaders) if column.is_varied and not column.is_ordered]
    for place, name in enumerate(names):
        for other in (*ordered, *names[place + 1 :]):
            if _association(leaders[name], leaders[other]) >= NEAR:
                yield name, other


def _rank_correlations(columns: Sequence[ParameterColumn]) -> Floats:
    """float[c, c]: Spearman's correlation over the rows in which both are known, ranked among all that are known."""
    if not columns:
        return np.zeros((0, 0))
    known = np.column_stack([column.known for column in columns]).astype(float)
    ranks = np.zeros_like(known)
    for at, column in enumerate(columns):
        ranks[column.known, at] = rankdata(column.codes[column.known])
    n = known.T @ known
    sums, squares = ranks.T @ known, (ranks**2).T @ known
    with np.errstate(divide="ignore", invalid="ignore"):
        variances = squares - sums**2 / n
        correlations = (ranks.T @ ranks - sums * sums.T / n) / np.sqrt(variances * variances.T)
    return np.where((n >= _FEWEST) & (variances > _ROUNDING) & (variances.T > _ROUNDING), correlations, 0.0)


def _association(first: ParameterColumn, second: ParameterColumn) -> float:
    """Cramér's V; 0 where one of the two is different in every row, or a number that hardly ever repeats."""
    both = first.known & second.known
    here, there = first.codes[both], second.codes[both]
    groups = len(np.unique(here)), len(np.unique(there))
    if both.sum() < _FEWEST or min(groups) == 1 or max(groups) > both.sum() / 2:
        return 0.0
    table = np.zeros((len(first.levels), len(second.levels)), dtype=np.int64)
    np.add.at(table, (here, there), 1)
    return float(association(table[table.any(axis=1)][:, table.any(axis=0)], method="cramer"))


def _groups(codes: Integers) -> bytes:
    """The same for columns that divide the rows into the same groups, whatever these are called."""
    present = codes != MISSING
    _, first, group = np.unique(codes[present], return_index=True, return_inverse=True)
    renamed = np.full(len(codes), MISSING, dtype=np.int64)
    renamed[present] = np.argsort(np.argsort(first))[group]
    return renamed.tobytes()


def _order(column: ParameterColumn) -> bytes:
    codes = column.codes
    if len(codes) == 0:
        return b""
    reverse = np.where(codes == MISSING, MISSING, codes.max() - codes)
    return min(codes.tobytes(), reverse.tobytes())
