from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from pixel_lora_pipeline.store import Store, UnknownEpochError, UnknownRunError
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint

METRICS = {
    "color_accuracy": {
        "background_accuracy": 85.3,
        "hair_accuracy": 72.1,
        "hair_two_toned": True,
        "accessory_accuracy": 45.0,
        "overall": 67.7,
    },
    "style_quality": {
        "edge_sharpness": 88.5,
        "pixel_art_purity": 91.2,
        "photorealism_score": 8.8,
        "color_palette_size": 34,
        "overall": 86.7,
    },
}


def test_scores_and_measurements_of_a_run_come_back_as_its_table(store: Store, tmp_path: Path) -> None:
    ids = [store.checkpoints.register(save_checkpoint(tmp_path, epoch)) for epoch in (2, 1)]
    store.epochs.record_evaluation(ids[0], METRICS, "/home/sheets/2.png")
    store.epochs.log_subjective("portrait", 2, 8, 8, 9, "much improved")

    first, second = store.epochs.table("portrait")
    assert (first.epoch, first.visual_quality_score, first.color_accuracy) == (1, None, None)
    assert first.evaluation_status == "registered"
    assert (second.epoch, second.color_accuracy, second.style_quality) == (2, 67.7, 86.7)
    assert (second.visual_quality_score, second.style_match_score, second.prompt_adherence_score) == (8, 8, 9)
    assert (second.notes, second.evaluation_status) == ("much improved", "evaluated")
    assert second.contact_sheet == "/home/sheets/2.png"


def test_metrics_are_stored_in_the_documented_shape(store: Store, tmp_path: Path) -> None:
    epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    metrics = {**METRICS, "color_accuracy_score": 6.8}
    store.epochs.record_evaluation(epoch_id, metrics)
    with store.database.connection() as connection:
        row = connection.execute("SELECT quantitative_metrics, color_accuracy_score FROM epoch_results").fetchone()
    assert row == {"quantitative_metrics": metrics, "color_accuracy_score": 6.8}


def test_what_could_not_be_measured_is_null_and_numpy_numbers_are_numbers(store: Store, tmp_path: Path) -> None:
    epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    store.epochs.record_evaluation(
        epoch_id,
        {
            "color_accuracy": {"overall": np.float32("nan"), "accessory_accuracy": None},
            "style_quality": {"overall": np.float64(86.5), "color_palette_size": np.int64(34)},
            "flags": [np.bool_(True), np.array([1.5, np.inf])],
        },
    )
    (row,) = store.epochs.table()
    assert (row.color_accuracy, row.style_quality) == (None, 86.5)
    with store.database.connection() as connection:
        stored = connection.execute("SELECT quantitative_metrics AS metrics FROM epoch_results").fetchone()
    assert stored is not None
    assert stored["metrics"]["flags"] == [True, [1.5, None]]


@pytest.mark.parametrize("score", [0, 11, -3, 7.5, True, "8"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_score_outside_one_to_ten_is_refused(store: Store, tmp_path: Path, score: int, place: int) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    scores = [5, 5, 5]
    scores[place] = score
    with pytest.raises(ValueError, match=f"from 1 to 10, not {score!r}"):
        store.epochs.log_subjective("portrait", 1, *scores)
    assert store.epochs.table()[0].visual_quality_score is None


def test_scoring_again_replaces_the_scores_and_keeps_notes_unless_there_are_new_ones(
    store: Store, tmp_path: Path
) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    store.epochs.log_subjective(None, 1, 3, 3, 3, "two-toned hair")
    store.epochs.log_subjective(None, 1, 4, 5, 6)
    (row,) = store.epochs.table()
    assert (row.visual_quality_score, row.style_match_score, row.prompt_adherence_score) == (4, 5, 6)
    assert row.notes == "two-toned hair"


def test_scores_of_an_unknown_run_are_refused_with_the_runs_that_there_are(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="no training run yet"):
        store.epochs.log_subjective(None, 1, 5, 5, 5)
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    store.checkpoints.register(save_checkpoint(tmp_path, 1, run="sprites", session="7"))
    with pytest.raises(UnknownRunError, match=r"'portrat'.*sprites, portrait"):
        store.epochs.log_subjective("portrat", 1, 5, 5, 5)
    with pytest.raises(UnknownRunError, match="sprites, portrait"):
        store.epochs.table("portrat")


def test_without_a_name_the_run_whose_checkpoint_came_last_is_meant(store: Store, tmp_path: Path) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1, run="sprites", session="7"))
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    assert [row.run_name for row in store.epochs.table()] == ["portrait"]
    store.checkpoints.register(save_checkpoint(tmp_path, 2, run="sprites", session="7"))
    assert [row.run_name for row in store.epochs.table()] == ["sprites", "sprites"]


def test_an_empty_database_has_an_empty_table(store: Store) -> None:
    assert store.epochs.table() == []


def test_an_epoch_scored_before_its_checkpoint_comes_is_joined_by_it(store: Store, tmp_path: Path) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    scored = store.epochs.log_subjective("portrait", 2, 8, 8, 9)
    within = store.checkpoints.register(save_checkpoint(tmp_path, 2, step=250))
    assert within != scored, "a file saved after the epoch is not the epoch"
    assert store.checkpoints.register(save_checkpoint(tmp_path, 2)) == scored
    store.epochs.log_subjective("portrait", 2, 9, 9, 9)
    rows = [(row.epoch, row.step, row.visual_quality_score) for row in store.epochs.table()]
    assert rows == [(1, 100, None), (2, 200, 9), (2, 250, None)]


def test_two_people_scoring_the_same_new_epoch_make_one_row(store: Store, tmp_path: Path) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda score: store.epochs.log_subjective("portrait", 2, score, 5, 5), range(1, 9)))
    assert len(ids) == 1
    assert len(store.epochs.table()) == 2


def test_metrics_of_a_deleted_epoch_are_not_lost_in_silence(store: Store) -> None:
    with pytest.raises(UnknownEpochError, match="4711"):
        store.epochs.record_evaluation(4711, METRICS)
