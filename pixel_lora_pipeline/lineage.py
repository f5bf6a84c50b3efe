"""Which run came from which checkpoint, and what that brought."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pixel_lora_pipeline.analyze.comparison import Comparison, compare
from pixel_lora_pipeline.analyze.tested_image import by_question
from pixel_lora_pipeline.store import EvaluatedEpoch, RowId, RunOrigin, Store, StoredImage
from pixel_lora_pipeline.train.lineage import (
    ancestors,
    descendants,
    may_descend,
    origins,
    read_starting_file,
    trace_key,
)


@dataclass(frozen=True)
class Gain:
    """How a run's best epoch compares with its parent's best one, and with the very epoch from which it started.

    Attributes
    ----------
    over_best, over_start
        None where an epoch of the two is not known; where nothing compares, the comparison says so in its sentence.
    """

    over_best: Comparison | None
    over_start: Comparison | None


@dataclass(frozen=True)
class Relative:
    """A run in its family.

    Attributes
    ----------
    generation
        0 for the run that was asked about, -1 for its parent, 1 for those that came from it.
    best_epoch, best_score
        By its verdict; None without one. The score is the overall score, 0-100.
    """

    generation: int
    origin: RunOrigin
    best_epoch: int | None
    best_score: float | None
    gain: Gain | None


def trace_lineage(store: Store) -> list[RunOrigin]:
    """Find from which checkpoints the runs started of which that is not settled, and store it; return what has changed.

    It may be called at any time and any number of times: parents may be found later than their children.
    """
    # What was recorded is looked at again, too: what it rested on may be gone.
    due = [traced for traced in store.lineage.unsettled() if traced.key is not None or may_descend(traced.run)]
    known = store.lineage.checkpoints() if due else []
    changed = []
    for traced in due:
        file, path = traced.file, traced.run.starting_path
        if file is None and path is not None:
            file = read_starting_file(path, traced.run.started_at)
        found = origins(traced.run, file, known)
        if trace_key(traced.run, file, found) != traced.key:
            store.lineage.record(traced.run, file, found)
            changed.append(traced.run.run_id)
    return store.lineage.origins(changed)


def family(store: Store, run_id: RowId, *, with_gains: bool = True) -> list[Relative]:
    """A run with those it comes from, the oldest first, and those that came from it, each after its parent.

    Parameters
    ----------
    with_gains
        Whether the images of parents and children are compared, too.

    Raises
    ------
    UnknownRunError
        If there is no such run.
    """
    links = store.lineage.links()
    older, younger = ancestors(links, run_id), descendants(links, run_id)
    own = store.lineage.origin(run_id)
    generations = {
        **{link.run_id: -at for at, link in enumerate(older, start=1)},
        own.run_id: 0,
        **{link.run_id: generation for generation, link in younger},
    }
    order = [*(link.run_id for link in reversed(older)), own.run_id, *(link.run_id for _, link in younger)]
    return _relatives(store, order, generations, with_gains)


def runs_from(store: Store, run_id: RowId, epoch: int | None = None) -> list[Relative]:
    """The runs that started from a run, or from one epoch of it."""
    children = [
        link.run_id
        for link in store.lineage.links()
        if link.parent_id == run_id and link.run_id != run_id and epoch in (None, link.parent_epoch)
    ]
    return _relatives(store, children, dict.fromkeys(children, 1), with_gains=True)


def _relatives(
    store: Store, run_ids: Sequence[RowId], generations: dict[RowId, int], with_gains: bool
) -> list[Relative]:
    by_id = {origin.run_id: origin for origin in store.lineage.origins(run_ids)}
    summaries = {run.run_id: run for run in store.overview.runs_by_id(run_ids)}
    found = []
    for run_id in run_ids:
        if run_id not in by_id or run_id not in summaries:
            continue  # deleted since
        best = (summaries[run_id].convergence or {}).get("best_epoch")
        score = dict(summaries[run_id].scores).get(best) if isinstance(best, int) else None
        gain = gain_over_parent(store, by_id[run_id]) if with_gains else None
        found.append(Relative(generations[run_id], by_id[run_id], best, score, gain))
    return found


def how_known(origin: RunOrigin) -> str:
    """By what a run's parent is known, and how surely."""
    if origin.set_by is not None:
        return f"said by {origin.set_by}"
    return f"{origin.confidence}: {origin.evidence}" if origin.confidence else "it was there before the pipeline"


def best_epoch(store: Store, run_id: RowId) -> EvaluatedEpoch | None:
    """The epoch that the verdict on a run names; None without a verdict, or if it is not measured any more."""
    try:
        number = store.conclusions.verdict(run_id).get("best_epoch")
    except LookupError:
        return None
    return _epoch(store, run_id, number)


def _epoch(store: Store, run_id: RowId, number: Any) -> EvaluatedEpoch | None:
    return next((epoch for epoch in store.conclusions.epochs(run_id) if epoch.epoch == number), None)


def gain_over_parent(store: Store, origin: RunOrigin) -> Gain | None:
    """What a run brought over its parent; None for one that has none, or no verdict yet."""
    best = best_epoch(store, origin.run_id)
    if origin.parent_run_id is None or best is None:
        return None
    name = origin.parent_name or "its parent"
    theirs = best_epoch(store, origin.parent_run_id)
    start = None if origin.parent_epoch is None else _epoch(store, origin.parent_run_id, origin.parent_epoch)
    return Gain(
        over_best=None if theirs is None else _compared(store, best, theirs, f"the best epoch of {name}"),
        over_start=None if start is None else _compared(store, best, start, f"epoch {start.epoch} of {name}"),
    )


def _compared(store: Store, epoch: EvaluatedEpoch, other: EvaluatedEpoch, name: str) -> Comparison:
    """On the same prompts and seeds, painted on the same base model and with the same strength."""
    ours, theirs = (store.images.of_epoch(each.epoch_id) for each in (epoch, other))
    shared = _painted_with(ours) & _painted_with(theirs)
    return compare(_of(ours, shared), _of(theirs, shared), baseline=name)


def _painted_with(images: Iterable[StoredImage]) -> set[tuple[Any, float | None]]:
    return {(image.fingerprint.get("base"), image.strength) for image in images}


def _of(images: Iterable[StoredImage], painted_with: set[tuple[Any, float | None]]) -> list[StoredImage]:
    kept = (image for image in images if (image.fingerprint.get("base"), image.strength) in painted_with)
    return list(by_question(kept).values())
