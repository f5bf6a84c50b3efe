import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.store import Database, Store, UnknownCheckpointError
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint


def rows(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query.encode()).fetchall()


def test_a_checkpoint_is_found_again_by_its_partition_key(store: Store, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, 3)
    epoch_id = store.checkpoints.register(checkpoint)

    stored = store.checkpoints.get(checkpoint.partition_key)
    assert (stored.epoch_id, stored.run_name, stored.epoch, stored.step) == (epoch_id, "portrait", 3, 300)
    assert (stored.sha256, stored.path) == (checkpoint.sha256, str(checkpoint.path))
    assert stored.planned_epochs == 10
    assert stored.parameters == checkpoint.to_json()


def test_an_unknown_partition_key_says_what_to_do(store: Store) -> None:
    with pytest.raises(UnknownCheckpointError, match=r"nothing-000001.*model_checkpoint"):
        store.checkpoints.get("nothing-000001")


def test_parameters_are_stored_complete_with_sources_and_gaps_and_in_typed_columns(
    store: Store, tmp_path: Path
) -> None:
    checkpoint = save_checkpoint(tmp_path, 3)
    store.checkpoints.register(checkpoint)
    (run,) = rows(store.database, "SELECT * FROM training_runs")

    assert run["all_parameters"] == checkpoint.to_json()
    assert run["parameter_sources"] == checkpoint.sources_json()
    assert run["parameters_missing"] == checkpoint.missing
    typed = {
        "network_dim": 4,
        "network_alpha": 2.0,
        "learning_rate": 1e-4,
        "lr_scheduler": "cosine",
        "max_train_epochs": 10,
        "keep_tokens": 3,
        "min_snr_gamma": 5.0,
        "noise_offset": None,
        "flip_aug": False,
        "base_model": "v1-5-pruned-emaonly.safetensors",
        "base_architecture": "sd15",
        "adapter": "lora",
        "planned_epochs": 10,
        "session_id": "1001",
        "output_name": "portrait",
        "status": "training",
    }
    assert {column: run[column] for column in typed} == typed
    assert run["run_date"].isoformat() == "2025-11-10T14:03:00+00:00"


def test_registering_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    checkpoint = save_checkpoint(tmp_path, 3)
    first = store.checkpoints.register(checkpoint)
    store.epochs.set_status(first, "evaluated")
    query = "SELECT id, run_name, run_identity, all_parameters, run_date FROM training_runs"
    epochs = "SELECT id, checkpoint_sha256, evaluation_status, superseded_at FROM epoch_results"
    before = rows(store.database, query), rows(store.database, epochs)

    assert store.checkpoints.register(checkpoint) == first
    assert (rows(store.database, query), rows(store.database, epochs)) == before


def test_two_daemons_and_many_workers_make_one_row_of_each(store: Store, tmp_path: Path) -> None:
    checkpoints = [save_checkpoint(tmp_path / str(n), n) for n in range(1, 5)]
    others = [save_checkpoint(tmp_path / f"other{n}", 1, session=str(n)) for n in range(4)]
    with ThreadPoolExecutor(16) as pool:
        ids = list(pool.map(store.checkpoints.register, (checkpoints + others) * 6))

    assert ids == ids[:8] * 6
    runs = rows(store.database, "SELECT run_name FROM training_runs ORDER BY run_name")
    names = [run["run_name"] for run in runs]
    assert len(names) == len(set(names)) == 5, names
    counted = rows(store.database, "SELECT count(*) AS n FROM epoch_results WHERE superseded_at IS NULL")
    assert counted == [{"n": 8}]


def test_another_run_under_the_same_name_is_told_apart_by_its_date(store: Store, tmp_path: Path) -> None:
    november = 1_762_783_380.0
    for session, started_at in [("1", november), ("2", november + 86_400), ("3", november + 86_400)]:
        store.checkpoints.register(save_checkpoint(tmp_path / session, 1, session=session, started_at=started_at))
    runs = rows(store.database, "SELECT run_name, output_name FROM training_runs ORDER BY id")
    assert [run["run_name"] for run in runs] == [
        "portrait",
        "portrait-2025-11-11-1403",
        "portrait-2025-11-11-1403-2",
    ]
    assert {run["output_name"] for run in runs} == {"portrait"}


def test_an_overwritten_file_supersedes_the_one_before_and_keeps_its_history(store: Store, tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path, 3, weight=0.25)
    first_id = store.checkpoints.register(first)
    store.epochs.log_subjective("portrait", 3, 4, 4, 4, "blurry")
    second = save_checkpoint(tmp_path, 3, weight=0.5)
    second_id = store.checkpoints.register(second)

    assert second_id != first_id
    assert store.checkpoints.get(first.partition_key).sha256 == second.sha256
    assert [row.epoch_id for row in store.epochs.table("portrait")] == [second_id]
    kept = rows(
        store.database,
        "SELECT notes, superseded_at IS NOT NULL AS superseded FROM epoch_results ORDER BY id",
    )
    assert kept == [{"notes": "blurry", "superseded": True}, {"notes": None, "superseded": False}]
    signatures = rows(store.database, "SELECT checkpoint_signature AS signature FROM epoch_results")
    assert {row["signature"] for row in signatures} == {first.signature, second.signature}


def test_a_file_that_comes_back_takes_its_place_again(store: Store, tmp_path: Path) -> None:
    first = save_checkpoint(tmp_path / "backup", 3, weight=0.25)
    first_id = store.checkpoints.register(first)
    store.checkpoints.register(save_checkpoint(tmp_path, 3, weight=0.5))
    assert store.checkpoints.register(first) == first_id
    assert store.checkpoints.get(first.partition_key).epoch_id == first_id
    current = rows(store.database, "SELECT id FROM epoch_results WHERE superseded_at IS NULL")
    assert current == [{"id": first_id}]


def test_files_saved_within_an_epoch_stand_beside_the_epoch(store: Store, tmp_path: Path) -> None:
    for checkpoint in [
        save_checkpoint(tmp_path, 1),
        save_checkpoint(tmp_path, 1, step=150),
        save_checkpoint(tmp_path, 1, step=180),
        save_checkpoint(tmp_path, 2),
    ]:
        store.checkpoints.register(checkpoint)
    listed = [(row.epoch, row.step) for row in store.epochs.table()]
    assert listed == [(1, 100), (1, 150), (1, 180), (2, 200)]


def test_the_runs_parameters_are_those_of_its_furthest_checkpoint_in_whatever_order_files_come(
    store: Store, tmp_path: Path
) -> None:
    early = save_checkpoint(tmp_path / "early", 2, header={"ss_training_comment": "early"})
    late = save_checkpoint(tmp_path / "late", 5, header={"ss_training_comment": "late"})
    last = save_checkpoint(tmp_path / "last", 10, final=True, header={"ss_training_comment": "last"})
    for checkpoint, comment, status in [
        (late, "late", "training"),
        (early, "late", "training"),
        (last, "last", "completed"),
        (early, "last", "completed"),
    ]:
        store.checkpoints.register(checkpoint)
        (run,) = rows(store.database, "SELECT all_parameters, status FROM training_runs")
        assert (run["all_parameters"]["training_comment"], run["status"]) == (comment, status)


def test_what_people_wrote_into_a_run_stays(store: Store, tmp_path: Path) -> None:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET caption_version = 'v3', overall_verdict = 'promising', "
            """all_parameters = all_parameters || '{"caption_version": "v3"}'"""
        )
    store.checkpoints.register(save_checkpoint(tmp_path, 2))
    (run,) = rows(store.database, "SELECT * FROM training_runs")
    assert (run["caption_version"], run["overall_verdict"]) == ("v3", "promising")
    assert run["all_parameters"]["caption_version"] == "v3"


def test_a_header_that_claims_anything_is_stored_as_text_and_as_far_as_it_fits(
    store: Store, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = save_checkpoint(
        tmp_path,
        1,
        started_at=1e300,
        header={
            "ss_keep_tokens": "99999999999999999999",
            "ss_training_comment": "x\x00y <script>alert(1)</script>",
            "ss_learning_rate": "1e999",
        },
    )
    with caplog.at_level(logging.WARNING):
        store.checkpoints.register(checkpoint)
    (run,) = rows(store.database, "SELECT * FROM training_runs")
    assert run["network_dim"] == 4, "one bad value must not cost the good ones"
    assert "\x00" not in run["all_parameters"]["training_comment"]
    assert store.checkpoints.get(checkpoint.partition_key).epoch == 1
