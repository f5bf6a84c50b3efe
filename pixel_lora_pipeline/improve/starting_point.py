"""Where the next training should start: at the base model, or at a checkpoint of an earlier run, and at which epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from pixel_lora_pipeline.improve.configuration import SEED, as_written, number_of
from pixel_lora_pipeline.improve.draft import Base, Draft

Start = Literal["checkpoint", "base", "no difference", "unknown"]

START: Final = "network_weights"
"""Kohya's parameter that names the checkpoint to start from."""

# Above the usual 95 %, because the question is asked again after every run.
LEVEL: Final = 0.98
# Fewer runs on either side say too little, however far apart they are.
FEWEST: Final = 3
# Less than a point either way is the gain for which nobody would train differently.
_SAME_WITHIN: Final = 1.0
_CONFIDENCE: Final = 0.5  # nobody knows which of the arms wins
_SCORE: Final = 0.3


@dataclass(frozen=True)
class Contrast:
    """The mean difference between two kinds of runs that were trained alike otherwise.

    Attributes
    ----------
    gain, interval
        None where too few runs match to tell.
    n_treated, n_others
        Runs of each kind in configurations that have both.
    n_configurations
        Of those.
    """

    gain: float | None
    interval: tuple[float, float] | None
    n_treated: int
    n_others: int
    n_configurations: int


@dataclass(frozen=True)
class Parent:
    """The run from which the next would start.

    Attributes
    ----------
    parameters
        Its whole configuration, its own start included.
    best_epoch, path
        Its best checkpoint.
    other_epoch, other_path
        An earlier one, if the run was past its peak: the best epoch need not be the best one to start from.
    """

    run_name: str
    parameters: Mapping[str, Any]
    best_epoch: int
    path: str
    other_epoch: int | None = None
    other_path: str | None = None


@dataclass(frozen=True)
class StartingPoint:
    """What is recommended, what it rests on, and how to find out.

    Attributes
    ----------
    checkpoint
        The parent's best one as RUN:EPOCH; None where no checkpoint is known.
    gain
        Of runs that started from a checkpoint over those from the base model, in the metric's units.
    unmatched_gain
        The plain difference of all runs. It is told and never decides: runs that start from a checkpoint are the later
        ones, and with them everything else was better chosen too.
    epoch_gain
        Of runs that started from their parent's best epoch over those from another.
    arms
        Experiments that would tell, for the queue; empty where enough is known, or they wait already.
    """

    start: Start
    reason: str
    checkpoint: str | None
    gain: Contrast
    unmatched_gain: float | None
    epoch_gain: Contrast
    epoch_reason: str
    arms: tuple[Draft, ...]

    def to_dict(self) -> dict[str, Any]:
        """What was found, as JSON-ready values."""
        return {
            "start": self.start,
            "reason": self.reason,
            "checkpoint": self.checkpoint,
            "gain": asdict(self.gain),
            "unmatched_gain": self.unmatched_gain,
            "epoch_gain": asdict(self.epoch_gain),
            "epoch_reason": self.epoch_reason,
            "proposed": [{"title": arm.title, "parameters": dict(arm.parameters)} for arm in self.arms],
        }


def recommend_start(
    runs: pd.DataFrame,
    metric: str,
    parent: Parent | None = None,
    *,
    lower_is_better: bool = False,
    tried: Iterable[Mapping[str, Any]] = (),
) -> StartingPoint:
    """Say where to start, from the runs that started from checkpoints and those that started from the base model.

    Runs are compared within a configuration only: seed and start apart, they were trained alike. The difference is the
    coefficient of a linear model with a level for each such configuration, with Student's interval; it assumes that
    runs of one configuration scatter alike.

    Parameters
    ----------
    runs
        A row a run, in the order in which they were started: `run_name`; `configuration`, equal for runs that differ by
        seed and start only; `parent`, the name of the run that it came from, and None for the base model; `from_best`,
        whether it started from its parent's best epoch, None where that is not known; and the metric.
    parent
        From which the next run would start; None where no checkpoint is there.
    tried
        Experiments that wait or were ended: their `parameters`, and `source` and `state`.

    Notes
    -----
    A parent is chosen for being good, which it is partly by luck. Against children of its own configuration it would
    seem to win, and left out it would make the others seem worse than they are. So where a run from the base model has
    children of its own configuration, these are compared with runs from the base model that were started after the
    first of them, and all other children with the rest: whether those were lucky had no part in there being a child.
    """
    table = runs.assign(value=pd.to_numeric(runs[metric], errors="coerce").astype(float))
    table = table[table["value"].notna()]
    if lower_is_better:
        table["value"] = -table["value"]
    started = table["parent"].notna()
    gain = contrast(table.assign(configuration=_fair_opponents(table)), started.to_numpy())
    children = table[started & table["from_best"].notna()]
    epoch_gain = contrast(children, children["from_best"].astype(bool).to_numpy())
    start, reason = _judged(gain, metric, "a checkpoint", "the base model")
    checkpoint = None if parent is None else f"{parent.run_name}:{parent.best_epoch}"
    plain = _plain_gain(table["value"][started], table["value"][~started])
    if start == "unknown" and plain is not None:
        reason += f" (All runs, whatever their configuration: {plain:+.2g}; that decides nothing.)"
    wanted = [] if parent is None or start != "unknown" else _arms(parent, runs, metric)
    return StartingPoint(
        start=start,
        reason=reason,
        checkpoint=checkpoint,
        gain=gain,
        unmatched_gain=plain,
        epoch_gain=epoch_gain,
        epoch_reason=_epoch_reason(epoch_gain, metric, checkpoint),
        arms=() if _is_asked(wanted, tried) else tuple(wanted),
    )


def contrast(runs: pd.DataFrame, treated: NDArray[np.bool_]) -> Contrast:
    """Difference of `value` between treated and other runs within configurations that have both, see `recommend_start`.

    References
    ----------
    Student's interval of a coefficient of the linear model with fixed effects: Wooldridge, "Econometric Analysis of
    Cross Section and Panel Data", 2nd edition, MIT Press 2010, chapter 10.5.
    """
    table = pd.DataFrame(
        {
            "configuration": runs["configuration"].to_numpy(),
            "value": runs["value"].to_numpy(float),
            "treated": np.asarray(treated, float),
        }
    )
    both = table.groupby("configuration")["treated"].transform("nunique") == 2
    table = table[both]
    n_treated, n_groups = int(table["treated"].sum()), int(table["configuration"].nunique())
    n_others = len(table) - n_treated
    freedom = len(table) - n_groups - 1
    if min(n_treated, n_others) < FEWEST or freedom < 1:
        return Contrast(None, None, n_treated, n_others, n_groups)
    groups = table.groupby("configuration")
    x = (table["treated"] - groups["treated"].transform("mean")).to_numpy()
    y = (table["value"] - groups["value"].transform("mean")).to_numpy()
    gain = float(x @ y / (x @ x))
    error = math.sqrt(float(np.sum((y - gain * x) ** 2)) / freedom / float(x @ x))
    reach = float(stdtrit(freedom, 0.5 + LEVEL / 2)) * error
    return Contrast(gain, (gain - reach, gain + reach), n_treated, n_others, n_groups)


def _fair_opponents(table: pd.DataFrame) -> list[str]:
    """Each run's configuration, split so that nobody meets runs by whose result it was chosen."""
    from_base = table[table["parent"].isna()]
    own = dict(zip(from_base["run_name"], from_base["configuration"], strict=True))
    has_own_child: set[Any] = set()
    groups = []
    for run in table.to_dict("records"):
        configuration, is_child = run["configuration"], isinstance(run["parent"], str)
        is_own_child = is_child and own.get(run["parent"]) == configuration
        if is_own_child:
            has_own_child.add(configuration)
        is_after = is_own_child or (not is_child and configuration in has_own_child)
        groups.append(f"{configuration} {'after' if is_after else 'before'}")
    return groups


def _judged(found: Contrast, metric: str, one: str, other: str) -> tuple[Start, str]:
    counted = (
        f"{found.n_treated} runs from {one} and {found.n_others} from {other} in {found.n_configurations} "
        f"configuration{'s' * (found.n_configurations != 1)} with both"
    )
    if found.gain is None or found.interval is None:
        return "unknown", f"too few runs to tell: {counted}; {FEWEST} of each are needed."
    low, high = found.interval
    told = f"{metric} {found.gain:+.2g}, {LEVEL:.0%} interval {low:+.2g} to {high:+.2g}; {counted}."
    if low > 0:
        return "checkpoint", f"runs that start from {one} are better than those from {other}: {told}"
    if high < 0:
        return "base", f"runs that start from {one} are worse than those from {other}: {told}"
    if low >= -_SAME_WITHIN and high <= _SAME_WITHIN:
        return "no difference", f"runs from {one} and from {other} are alike: {told}"
    return "unknown", f"the difference is not to be told from chance: {told}"


def _epoch_reason(found: Contrast, metric: str, checkpoint: str | None) -> str:
    if checkpoint is None:
        return ""
    start, reason = _judged(found, metric, "their parent's best epoch", "another epoch")
    if start == "unknown":
        return f"unknown ({reason.rstrip('.')}); if a checkpoint, then the best: {checkpoint}."
    which = "another epoch than the best" if start == "base" else f"the best, {checkpoint}"
    return f"{which}: {reason}"


def _plain_gain(started: pd.Series, others: pd.Series) -> float | None:
    return float(started.mean() - others.mean()) if len(started) and len(others) else None


def _arms(parent: Parent, runs: pd.DataFrame, metric: str) -> list[Draft]:
    """The same configuration and seed from the base model, from the best checkpoint, and perhaps from an earlier one.

    The seed is new for all of them: the parent itself is no fair opponent, for it was chosen by its result. The base
    model comes last, so that it is a fair one (see `recommend_start`).
    """
    used = [number for value in runs.get(SEED, ()) if (number := number_of(value)) is not None]
    seed = int(max(used, default=0)) + 1
    configuration = {name: value for name, value in parent.parameters.items() if name != START}
    starts: list[tuple[str | None, str]] = [(parent.path, f"{parent.run_name}:{parent.best_epoch}")]
    if parent.other_path is not None:
        starts.append((parent.other_path, f"{parent.run_name}:{parent.other_epoch}"))
    starts.append((None, "the base model"))
    names = " and ".join(name for _, name in starts)
    return [
        Draft(
            title=f"Starting point: {parent.run_name}'s configuration from {name}",
            rationale=(
                f"Nobody knows whether starting from a checkpoint helps {metric}. The same configuration and seed "
                f"{seed} from {names} tell; run all of them, the base model last."
            ),
            source="starting point",
            base=Base(parent.run_name, configuration),
            changes={SEED: seed} if path is None else {SEED: seed, START: path},
            expected={},
            confidence=_CONFIDENCE,
            score=_SCORE / (1 + at),
            priority="MEDIUM",
            focus=frozenset({START}),
            is_repetition=path is None,
        )
        for at, (path, name) in enumerate(starts)
    ]


def _is_asked(wanted: Sequence[Draft], tried: Iterable[Mapping[str, Any]]) -> bool:
    """Whether the question is under way already, or somebody has taken these very experiments off the queue."""
    configurations = [_written(draft.parameters) for draft in wanted]
    return any(
        (each.get("source") == "starting point" and each.get("state") not in ("DONE", "FAILED", "SKIPPED"))
        or _written(each["parameters"]) in configurations
        for each in tried
    )


def _written(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {name: as_written(value) for name, value in parameters.items()}
