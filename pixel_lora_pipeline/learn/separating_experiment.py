"""The cheapest run that would tell apart parameters that always, or nearly always, changed together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np

from pixel_lora_pipeline.learn.alias_classes import ParameterClass
from pixel_lora_pipeline.learn.configurations import Configurations
from pixel_lora_pipeline.learn.parameter_column import ParameterColumn

# What such a change costs beside the run itself, in runs: pictures must be drawn, captions be written again.
_DATASET_WORK: Final = frozenset(
    {"num_images", "img_count", "num_train_images", "caption_version", "caption_complexity", "prompt_complexity"}
)
_COST_OF_DATASET_WORK: Final = 2


@dataclass(frozen=True)
class SeparatingExperiment:
    """A run to make.

    Attributes
    ----------
    base_run
        A run of the configuration with the highest metric; everything that is not in `change` stays as it was there.
    change
        Parameter → value there, value to try.
    separates
        The two groups that the result tells apart: those that change, and those that stay.
    expected_difference
        Of the metric against the base run, if the first group is the cause; about zero if the second is.
    runs
        How many such runs it takes, at most, until a single parameter is left.
    cost
        In runs, the work on a dataset included.
    """

    base_run: Any
    change: dict[str, list[Any]]
    separates: list[list[str]]
    expected_difference: float
    runs: int
    cost: int

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON-ready values."""
        return asdict(self)


def separating_experiment(
    members: ParameterClass,
    near: Sequence[str],
    configurations: Configurations,
    prior: Mapping[str, float],
    partial_effect: Sequence[float],
) -> SeparatingExperiment | None:
    """One run that halves a class of aliases, as cheaply as it can be done, or tells it from its near aliases.

    Starting from the configuration with the highest metric, some of the parameters are set to the level whose effect
    differs most, and the others are left. Which ones: the half that is as probable to hold the cause as the rest, by
    what was believed before; of equally good halves the one without work on the dataset, with the fewest changes.
    Every further run halves again. A class of one is changed, and its near aliases are left.

    Parameters
    ----------
    members
        The class.
    near
        Parameters that nearly always changed with it.
    configurations
        All of them.
    prior
        Probability of each parameter.
    partial_effect
        Estimated effect at each level of the class's leader.

    Returns
    -------
    SeparatingExperiment or None
        None for a class of one without near aliases, or where it did not vary.
    """
    known = np.flatnonzero(members.leader.known)
    if not members.is_varied or (len(members.columns) == 1 and not near):
        return None
    best = int(known[np.argmax(configurations.metric[known])])
    effects = np.asarray(partial_effect)
    here = members.leader.codes[best]
    other = int(np.argmax(np.abs(effects - effects[here])))
    if other == here:
        other = int(np.argmax(np.arange(len(effects)) != here))
    changed = _half(members, prior)
    row = int(np.flatnonzero(members.leader.codes == other)[0])
    stay = [name for name in members.names if name not in changed] or list(near)
    by_name = {column.name: column for column in members.columns}
    return SeparatingExperiment(
        base_run=configurations.runs[best][0],
        change={name: [_value(by_name[name], best), _value(by_name[name], row)] for name in changed},
        separates=[changed, stay],
        expected_difference=float(effects[other] - effects[here]),
        runs=max(1, (len(members.columns) - 1).bit_length()),
        cost=1 + _COST_OF_DATASET_WORK * any(name in _DATASET_WORK for name in changed),
    )


def _half(members: ParameterClass, prior: Mapping[str, float]) -> list[str]:
    """Names of the members to change."""
    names = sorted(members.names, key=lambda name: (-prior[name], name))
    if len(names) == 1:
        return names
    total = sum(prior[name] for name in names)
    halves: list[list[str]] = []
    taken: list[str] = []
    for name in names[:-1]:
        taken = [*taken, name]
        halves += [taken, [other for other in names if other not in taken]]
    by_work = {True: _COST_OF_DATASET_WORK, False: 0}

    def badness(half: list[str]) -> tuple[float, int, int, list[str]]:
        imbalance = round(abs(sum(prior[name] for name in half) / total - 0.5), 6)
        return imbalance, by_work[any(name in _DATASET_WORK for name in half)], len(half), half

    return sorted(sorted(halves, key=badness)[0])


def _value(column: ParameterColumn, row: int) -> Any:
    return column.levels[column.codes[row]]
