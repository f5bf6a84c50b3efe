"""Which checkpoint is in production, with everything that was before it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixel_lora_pipeline.store import NoBaselineError, RowId, Store
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint


@pytest.fixture
def epochs(store: Store, tmp_path: Path) -> list[RowId]:
    return [store.checkpoints.register(save_checkpoint(tmp_path, epoch)) for epoch in (1, 2, 3)]


def test_nothing_is_in_production_at_first(store: Store) -> None:
    assert store.baselines.current() is None
    assert store.baselines.history() == []
    with pytest.raises(NoBaselineError, match="nothing to take back"):
        store.baselines.undo("ada")


def test_the_last_promoted_is_the_baseline(store: Store, epochs: list[RowId]) -> None:
    store.baselines.promote(epochs[0], Path("/releases/a"), "a.safetensors", "aa", "ada")
    promoted = store.baselines.promote(epochs[2], Path("/releases/c"), "c.safetensors", "cc", "bob")
    assert store.baselines.current() == promoted
    assert (promoted.epoch, promoted.run_name, promoted.promoted_by) == (3, "portrait", "bob")
    assert promoted.name == "portrait, epoch 3"
    assert promoted.checkpoint == Path("/releases/c/c.safetensors")


def test_taking_back_leads_to_the_one_before_and_forgets_nothing(store: Store, epochs: list[RowId]) -> None:
    for epoch_id, name in zip(epochs, "abc", strict=True):
        store.baselines.promote(epoch_id, Path(f"/releases/{name}"), f"{name}.safetensors", name, "ada")
    assert store.baselines.undo("bob").epoch == 3
    current = store.baselines.current()
    assert current is not None
    assert current.epoch == 2
    again = store.baselines.promote(epochs[2], Path("/releases/c"), "c.safetensors", "c", "ada")
    assert store.baselines.current() == again
    history = store.baselines.history()
    assert [(row.epoch, row.undone_by) for row in history] == [(3, None), (3, "bob"), (2, None), (1, None)]


def test_promoting_what_is_in_production_changes_nothing(store: Store, epochs: list[RowId]) -> None:
    first = store.baselines.promote(epochs[0], Path("/releases/a"), "a.safetensors", "aa", "ada")
    assert store.baselines.promote(epochs[0], Path("/releases/a"), "a.safetensors", "aa", "bob") == first
    assert len(store.baselines.history()) == 1


def test_several_who_promote_the_same_at_once_make_one_row(store: Store, epochs: list[RowId]) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: store.baselines.promote(epochs[1], Path("/r"), "b.safetensors", "bb", "ada"), range(6)))
    assert len(store.baselines.history()) == 1
