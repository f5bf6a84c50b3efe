"""A new version of the metrics measures anew; what the old one measured can still be read."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.store import Database, RowId, Store, migrate
from pixel_lora_pipeline.store.migrations import SQL_FOLDER
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_images import an_image


def rollup(version: str, color: float, style: float = 80.0) -> dict[str, Any]:
    return {
        "color_accuracy": {"overall": color},
        "style_quality": {"overall": style},
        "overall_score": (color * style) ** 0.5,
        "metrics_version": version,
    }


def ask(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query.encode()).fetchall()


@pytest.fixture
def epoch_id(store: Store, tmp_path: Path) -> RowId:
    return store.checkpoints.register(save_checkpoint(tmp_path, 1))


def test_both_versions_of_an_image_are_kept_and_the_newest_is_current(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image()])
    (image,) = store.images.of_epoch(epoch_id)
    store.images.set_metrics({image.id: {"purity": 80.0}}, "1")
    store.images.set_metrics({image.id: {"purity": 90.0}}, "2")
    (image,) = store.images.of_epoch(epoch_id)
    assert (image.metrics, image.metrics_version) == ({"purity": 90.0}, "2")
    assert store.metrics_versions.of_image(image.id) == {"1": {"purity": 80.0}, "2": {"purity": 90.0}}


def test_measuring_again_by_the_same_version_replaces_its_numbers_alone(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image()])
    (image,) = store.images.of_epoch(epoch_id)
    for version, purity in (("1", 80.0), ("2", 90.0), ("2", 91.0)):
        store.images.set_metrics({image.id: {"purity": purity}}, version)
    assert store.metrics_versions.of_image(image.id) == {"1": {"purity": 80.0}, "2": {"purity": 91.0}}


def test_measurements_of_a_picture_that_was_replaced_are_not_taken_for_those_of_the_new_one(
    store: Store, epoch_id: RowId
) -> None:
    store.images.add(epoch_id, [an_image(1)])
    (image,) = store.images.of_epoch(epoch_id)
    store.images.set_metrics({image.id: {"purity": 80.0}}, "1")
    store.images.add(epoch_id, [an_image(1, color="#0000ff")])
    assert store.metrics_versions.of_image(image.id) == {}


def test_both_versions_of_an_epoch_are_kept_and_compared(store: Store, epoch_id: RowId) -> None:
    store.epochs.record_evaluation(epoch_id, rollup("1", 60.0))
    store.epochs.record_evaluation(epoch_id, rollup("2", 70.0, 75.0))
    assert store.epochs.metrics(epoch_id) == rollup("2", 70.0, 75.0)
    assert store.metrics_versions.of_epoch(epoch_id) == {"1": rollup("1", 60.0), "2": rollup("2", 70.0, 75.0)}
    old, new = ask(store.database, "SELECT * FROM v_metrics_versions")
    assert (old["metrics_version"], old["is_current"], old["color_accuracy_change"]) == ("1", False, None)
    assert (new["metrics_version"], new["is_current"]) == ("2", True)
    assert (new["color_accuracy_change"], new["style_quality_change"]) == (10.0, -5.0)
    assert (new["run_name"], new["epoch_number"]) == ("portrait", 1)


def test_what_was_measured_before_there_were_versions_is_kept_as_one(empty_database: Database, tmp_path: Path) -> None:
    before = tmp_path / "sql"
    before.mkdir()
    for path in sorted(SQL_FOLDER.glob("000[1-7]_*.sql")):
        shutil.copy(path, before)
    migrate(empty_database.url, before)
    with empty_database.connection() as connection:
        connection.execute("INSERT INTO training_runs (id, run_name) VALUES (1, 'portrait')")
        connection.execute(
            """
            INSERT INTO epoch_results (id, training_run_id, epoch_number, quantitative_metrics) VALUES
                (1, 1, 1, '{"color_accuracy": {"overall": 60.0}, "metrics_version": "1"}'),
                (2, 1, 2, '{"color_accuracy": {"overall": "n/a"}}'), (3, 1, 3, NULL), (4, 1, 4, '[]')
            """
        )
        connection.execute(
            """
            INSERT INTO prompt_test_results (id, epoch_result_id, fingerprint_hash, image_sha256, metrics,
                metrics_version) VALUES
                (1, 1, 'a', 'ff', '{"purity": 80.0}', '1'), (2, 1, 'b', 'fe', NULL, NULL), (3, 1, NULL, NULL, '1', NULL)
            """
        )
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path / "images")
    assert store.metrics_versions.of_image(1) == {"1": {"purity": 80.0}}
    assert store.metrics_versions.of_image(2) == store.metrics_versions.of_image(3) == {}
    assert store.metrics_versions.of_epoch(1).keys() == {"1"}
    assert store.metrics_versions.of_epoch(2).keys() == {"unknown"}
    assert store.metrics_versions.of_epoch(3) == store.metrics_versions.of_epoch(4) == {}
    rows = ask(empty_database, "SELECT epoch_number, is_current, color_accuracy FROM v_metrics_versions")
    assert rows == [
        {"epoch_number": 1, "is_current": True, "color_accuracy": 60.0},
        {"epoch_number": 2, "is_current": True, "color_accuracy": None},
    ]


def test_tables_of_the_same_name_that_were_there_before_keep_their_rows(
    empty_database: Database, tmp_path: Path
) -> None:
    with empty_database.connection() as connection:
        connection.execute(
            """
            CREATE TABLE epoch_metrics (id SERIAL PRIMARY KEY, epoch_number INTEGER NOT NULL, metrics JSON);
            INSERT INTO epoch_metrics (epoch_number, metrics) VALUES (5, '{"color": 1}');
            CREATE TABLE image_measurements (file TEXT, metrics TEXT);
            INSERT INTO image_measurements VALUES ('a.png', 'fine');
            """
        )
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path / "images")
    epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    store.epochs.record_evaluation(epoch_id, rollup("1", 60.0))
    assert store.metrics_versions.of_epoch(epoch_id).keys() == {"1"}
    assert ask(empty_database, "SELECT epoch_number FROM epoch_metrics WHERE metrics_version IS NULL") == [
        {"epoch_number": 5}
    ]
    assert ask(empty_database, "SELECT file FROM image_measurements") == [{"file": "a.png"}]


def test_the_documented_queries_compare_both_versions(store: Store, epoch_id: RowId) -> None:
    store.images.add(epoch_id, [an_image()])
    (image,) = store.images.of_epoch(epoch_id)
    for version, hair in (("1", 50.0), ("2", 75.0)):
        store.images.set_metrics({image.id: {"color_accuracy": {"hair_color_accuracy": hair}}}, version)
        store.epochs.record_evaluation(epoch_id, rollup(version, hair))
    with store.database.connection() as connection:
        connection.execute("UPDATE training_runs SET run_name = 'portraits'")
    text = (PROJECT_ROOT / "docs" / "metrics_versions.md").read_text(encoding="utf-8")
    of_epochs, of_images = (ask(store.database, query) for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL))
    assert [row["color_accuracy_change"] for row in of_epochs] == [None, 25.0]
    (row,) = of_images
    assert (row["prompt_id"], row["hair_before"], row["hair_now"]) == ("pink_hair_green_bg", "50.0", "75.0")


def test_nobody_but_the_owner_sees_the_new_tables(database: Database) -> None:
    rows = ask(database, "SELECT relname FROM pg_class WHERE relrowsecurity ORDER BY relname")
    assert {"epoch_metrics", "image_measurements"} <= {row["relname"] for row in rows}
