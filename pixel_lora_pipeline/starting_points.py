"""Where the next training should start, from what is stored of runs and their lineage."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.improve.configuration import configuration_of
from pixel_lora_pipeline.improve.starting_point import START, Parent, StartingPoint, recommend_start
from pixel_lora_pipeline.store import EvaluatedEpoch, NothingEvaluatedError, Store, UnknownRunError
from pixel_lora_pipeline.training_history import LOWER_IS_BETTER, TrainingHistory

_NEITHER: Final = ("seed", START)
# Runs of which not even this is known match nothing.
_LEAST_KNOWN: Final = ("network_dim", "learning_rate")


def starting_point(store: Store, history: TrainingHistory, *, untouched: frozenset[Any] = frozenset()) -> StartingPoint:
    """Recommend where to start, and propose experiments where nobody knows.

    Parameters
    ----------
    untouched
        Ids of experiments about which nobody has decided anything: they may be proposed again.

    Raises
    ------
    NothingEvaluatedError
        If no run has ended.
    """
    if not history.metrics:
        raise NothingEvaluatedError("no run has ended yet: nothing is known of where to start.")
    metric = history.metrics[0]
    lower = metric in LOWER_IS_BETTER
    tried = [
        {"parameters": known.parameters, "source": known.source, "state": known.state}
        for known in store.experiments.all()
        if known.experiment_id not in untouched
    ]
    runs = _with_starts(store, history)
    return recommend_start(
        runs, metric, _parent(store, runs, history, metric, lower), lower_is_better=lower, tried=tried
    )


def _with_starts(store: Store, history: TrainingHistory) -> pd.DataFrame:
    """The history with `parent`, `from_best`, and configurations that are the same but for seed and start."""
    links = {link.run_name: link for link in store.lineage.links()}
    names = {link.run_id: link.run_name for link in links.values()}
    best = dict(zip(history.runs["run_name"], history.runs["best_epoch"], strict=True))
    parents: list[str | None] = []
    from_best: list[bool | None] = []
    open_starts: list[bool] = []
    for run in history.runs.to_dict("records"):
        link = links.get(run["run_name"])
        parent = None if link is None else names.get(link.parent_id)
        theirs = best.get(parent)
        known = link is not None and link.parent_epoch is not None and theirs is not None and not pd.isna(theirs)
        parents.append(parent)
        from_best.append(link.parent_epoch == theirs if known and link is not None else None)
        # It went on from something that is no known checkpoint: neither from the base model, nor from a run of ours.
        open_starts.append(parent is None and isinstance(run.get(START), str) and run[START] not in ("", "None"))
    chosen = [name for name in history.parameters if name not in _NEITHER]
    alike = pd.util.hash_pandas_object(history.runs[chosen].astype(str), index=False)
    unknown = history.runs[[*_LEAST_KNOWN]].isna().any(axis=1)
    return history.runs.assign(
        parent=pd.Series(parents, index=history.runs.index, dtype=object),
        from_best=pd.Series(from_best, index=history.runs.index, dtype=object),
        configuration=alike.astype(str).where(~unknown, history.runs["run_name"]),
    )[[not is_open for is_open in open_starts]]


def _parent(store: Store, runs: pd.DataFrame, history: TrainingHistory, metric: str, lower: bool) -> Parent | None:
    """The best run whose best checkpoint is still there."""
    known = runs[runs[metric].notna()].sort_values(metric, ascending=lower, kind="stable")
    for run in known.to_dict("records"):
        try:
            run_id = store.conclusions.run(run["run_name"]).run_id
            verdict = store.conclusions.verdict(run_id)
        except (UnknownRunError, NothingEvaluatedError):
            continue
        epochs = {epoch.epoch: epoch for epoch in store.conclusions.epochs(run_id) if _is_there(epoch)}
        best = verdict.get("best_epoch")
        if best in epochs:
            return _described(run, verdict, epochs, best, history.parameters)
    return None


def _described(
    run: Mapping[str, Any],
    verdict: Mapping[str, Any],
    epochs: Mapping[int, EvaluatedEpoch],
    best: int,
    parameters: list[str],
) -> Parent:
    is_past_peak = verdict.get("status") in ("degrading", "optimal") and max(epochs) > best
    earlier = [epoch for epoch in epochs if epoch < best]
    # Half-way up, it has learnt less of what would have to be unlearnt.
    other = min(earlier, key=lambda epoch: abs(epoch - best / 2)) if is_past_peak and earlier else None
    return Parent(
        run_name=str(run["run_name"]),
        parameters=configuration_of(run, parameters),
        best_epoch=best,
        path=str(epochs[best].path),
        other_epoch=other,
        other_path=None if other is None else str(epochs[other].path),
    )


def _is_there(epoch: EvaluatedEpoch) -> bool:
    return epoch.path is not None and Path(epoch.path).is_file()
