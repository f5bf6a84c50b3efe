"""Conclusions about epochs and runs come back as they were stored."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.store import RowId, Store, UnknownEpochError, UnknownRunError
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint

METRICS = {"overall_score": 71.5, "color_accuracy": {"overall": 67.7}}


def evaluated(store: Store, folder: Path, epoch: int, **changes: object) -> RowId:
    epoch_id = store.checkpoints.register(save_checkpoint(folder, epoch, **changes))  # type: ignore[arg-type]
    store.epochs.record_evaluation(epoch_id, METRICS)
    return epoch_id


def column(store: Store, table: str, name: str, row_id: RowId) -> object:
    with store.database.connection() as connection:
        row = connection.execute(f"SELECT {name} AS value FROM {table} WHERE id = %s", (row_id,)).fetchone()
    assert row is not None
    return row["value"]


def test_epochs_come_in_order_once_each_and_only_if_measured(store: Store, tmp_path: Path) -> None:
    evaluated(store, tmp_path, 2)
    evaluated(store, tmp_path, 1)
    evaluated(store, tmp_path, 1, step=150)
    store.checkpoints.register(save_checkpoint(tmp_path, 3))
    replaced = evaluated(store, tmp_path, 2, weight=0.5)
    epochs = store.conclusions.epochs(store.conclusions.run("portrait").run_id)
    assert [(row.epoch, row.step) for row in epochs] == [(1, 100), (2, 200)]
    assert epochs[1].epoch_id == replaced, "the file that was overwritten"
    assert epochs[0].metrics["overall_score"] == 71.5


def test_a_run_is_found_by_name_or_as_the_newest(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="no training run yet"):
        store.conclusions.run()
    evaluated(store, tmp_path, 1, run="sprites", session="7")
    evaluated(store, tmp_path, 1)
    assert store.conclusions.run().run_name == "portrait"
    run = store.conclusions.run("sprites")
    assert (run.planned_epochs, run.parameters["keep_tokens"]) == (10, 3)
    with pytest.raises(UnknownRunError, match="Known runs, newest first: portrait, sprites"):
        store.conclusions.run("portrat")


def test_issues_verdict_recommendations_and_reports_are_kept(store: Store, tmp_path: Path) -> None:
    epoch_id = evaluated(store, tmp_path, 1)
    run_id = store.conclusions.run().run_id
    verdict = {"status": "plateau", "best_epoch": 1, "probability_of_gain": float("nan")}
    store.conclusions.record_issues({epoch_id: [{"issue": "photorealism", "share": 0.5}]})
    store.conclusions.record_convergence(run_id, epoch_id, verdict)
    store.conclusions.record_recommendations(epoch_id, ["Promote epoch 1."])
    store.conclusions.record_epoch_report(epoch_id, tmp_path / "epoch_1_report.html")
    store.conclusions.record_run_report(run_id, tmp_path / "run_report.html")
    assert column(store, "epoch_results", "diagnosed_issues", epoch_id) == [{"issue": "photorealism", "share": 0.5}]
    assert column(store, "epoch_results", "convergence_status", epoch_id) == "plateau"
    assert column(store, "epoch_results", "convergence", epoch_id) == {**verdict, "probability_of_gain": None}
    assert column(store, "epoch_results", "recommendations", epoch_id) == ["Promote epoch 1."]
    assert column(store, "epoch_results", "report", epoch_id) == str(tmp_path / "epoch_1_report.html")
    assert column(store, "training_runs", "best_epoch", run_id) == 1
    assert column(store, "training_runs", "convergence_status", run_id) == "plateau"
    assert column(store, "training_runs", "report", run_id) == str(tmp_path / "run_report.html")


def test_conclusions_on_a_deleted_epoch_are_not_lost_in_silence(store: Store, tmp_path: Path) -> None:
    epoch_id = evaluated(store, tmp_path, 1)
    run_id = store.conclusions.run().run_id
    with pytest.raises(UnknownEpochError, match="4711"):
        store.conclusions.record_issues({epoch_id: [{"issue": "photorealism"}], 4711: []})
    assert column(store, "epoch_results", "diagnosed_issues", epoch_id) is None, "half of it was written"
    with pytest.raises(UnknownEpochError):
        store.conclusions.record_convergence(run_id, 4711, {"status": "continue"})
    with pytest.raises(UnknownEpochError):
        store.conclusions.record_recommendations(4711, [])
