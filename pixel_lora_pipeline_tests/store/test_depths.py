"""An epoch is looked at as thoroughly as was ever decided, and never less again."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.store import Store, UnknownEpochError
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint


def test_a_depth_that_was_decided_only_grows(store: Store, tmp_path: Path) -> None:
    epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    decided = [store.depths.deepen(epoch_id, depth) for depth in ("quick", "full", "medium")]  # type: ignore[arg-type]
    assert decided == ["quick", "full", "full"]
    with pytest.raises(UnknownEpochError, match="4711"):
        store.depths.deepen(4711, "full")


def test_a_run_knows_the_depths_of_its_epochs_and_the_files_to_look_at_again(store: Store, tmp_path: Path) -> None:
    first, second, within = (
        store.checkpoints.register(save_checkpoint(tmp_path, epoch, step=step))
        for epoch, step in ((1, None), (2, None), (2, 250))
    )
    undecided = save_checkpoint(tmp_path, 3)
    store.checkpoints.register(undecided)
    for epoch_id, depth in ((second, "full"), (first, "quick"), (within, "medium")):
        store.depths.deepen(epoch_id, depth)  # type: ignore[arg-type]
    run = store.checkpoints.get(undecided.partition_key).training_run_id
    rows = store.depths.of_run(run)
    assert [(row.epoch, row.epoch_id, row.depth) for row in rows] == [(1, first, "quick"), (2, second, "full")]
    assert all(store.checkpoints.get(row.partition_key).epoch_id == row.epoch_id for row in rows)
    assert all(row.signature for row in rows)


def test_an_overwritten_epoch_is_looked_at_anew(store: Store, tmp_path: Path) -> None:
    old = save_checkpoint(tmp_path, 1)
    store.depths.deepen(store.checkpoints.register(old), "full")
    new = store.checkpoints.register(save_checkpoint(tmp_path, 1, weight=0.5))
    store.depths.deepen(new, "quick")
    run = store.checkpoints.get(old.partition_key).training_run_id
    assert [(row.epoch_id, row.depth) for row in store.depths.of_run(run)] == [(new, "quick")]


def test_a_finer_look_is_waited_for_until_it_was_taken(store: Store, tmp_path: Path) -> None:
    epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    metrics = {"color_accuracy": {"overall": 67.7}}
    store.depths.deepen(epoch_id, "quick")
    assert store.depths.waiting() == [], "not evaluated at all yet: that is asked for anyway"
    store.epochs.record_evaluation(epoch_id, metrics)
    store.depths.deepen(epoch_id, "quick")
    assert store.depths.waiting() == []
    store.depths.deepen(epoch_id, "full")
    assert [(row.epoch_id, row.depth) for row in store.depths.waiting()] == [(epoch_id, "full")]
    store.epochs.record_evaluation(epoch_id, metrics)
    assert store.depths.waiting() == []
