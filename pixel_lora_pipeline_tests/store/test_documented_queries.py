"""The queries of the roadmap, word for word."""

from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.store import Database, Store
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint

COMPARE_NETWORK_DIM = """
-- Compare network_dim across runs
SELECT
    run_name,
    all_parameters->>'network_dim' as network_dim,
    quality_score
FROM training_runs
ORDER BY quality_score DESC;
"""
RUNS_WITH_KEEP_TOKENS_3 = """
-- Find all runs with keep_tokens=3
SELECT * FROM training_runs
WHERE all_parameters->>'keep_tokens' = '3';
"""
COLOR_ACCURACY_TREND = """
-- Get color accuracy trend for a run
SELECT
    epoch_number,
    quantitative_metrics->'color_accuracy'->>'overall' as color_accuracy
FROM epoch_results
WHERE training_run_id = 12
ORDER BY epoch_number;
"""
COMPARISON_VIEW = ["run_name", "network_dim", "learning_rate", "caption_version",
                   "quality_score", "overall_verdict", "best_epoch"]  # fmt: skip


@pytest.fixture
def filled(store: Store, tmp_path: Path) -> Store:
    with store.database.connection() as connection:
        connection.execute("ALTER TABLE training_runs ALTER COLUMN id RESTART WITH 12")
    for epoch in (2, 1):
        epoch_id = store.checkpoints.register(save_checkpoint(tmp_path, epoch))
        store.epochs.record_evaluation(epoch_id, {"color_accuracy": {"overall": 60.5 + epoch}})
    later = save_checkpoint(
        tmp_path, 1, run="sprites", session="2", started_at=1.8e9, rank=8, header={"ss_keep_tokens": "1"}
    )
    store.checkpoints.register(later)
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET quality_score = 8.5, overall_verdict = 'production', best_epoch = 2, "
            """all_parameters = all_parameters || '{"caption_version": "v3"}' WHERE run_name = 'portrait'"""
        )
        connection.execute("UPDATE training_runs SET quality_score = 4 WHERE run_name = 'sprites'")
    return store


def ask(database: Database, query: str) -> list[dict[str, Any]]:
    with database.connection() as connection:
        return connection.execute(query.encode()).fetchall()


def test_network_dim_is_compared_across_runs(filled: Store) -> None:
    assert ask(filled.database, COMPARE_NETWORK_DIM) == [
        {"run_name": "portrait", "network_dim": "4", "quality_score": 8.5},
        {"run_name": "sprites", "network_dim": "8", "quality_score": 4.0},
    ]


def test_runs_with_three_kept_tokens_are_found(filled: Store) -> None:
    found = ask(filled.database, RUNS_WITH_KEEP_TOKENS_3)
    assert [run["run_name"] for run in found] == ["portrait"]


def test_the_colour_accuracy_of_a_run_is_followed(filled: Store) -> None:
    assert ask(filled.database, COLOR_ACCURACY_TREND) == [
        {"epoch_number": 1, "color_accuracy": "61.5"},
        {"epoch_number": 2, "color_accuracy": "62.5"},
    ]


def test_the_comparison_view_has_the_documented_columns_and_order(filled: Store) -> None:
    rows = ask(filled.database, "SELECT * FROM v_training_comparison")
    assert [list(row) for row in rows] == [COMPARISON_VIEW] * 2
    assert [list(row.values()) for row in rows] == [
        ["sprites", "8", "0.0001", None, 4.0, None, None],  # the newer run
        ["portrait", "4", "0.0001", "v3", 8.5, "production", 2],
    ]


def test_parameters_and_metrics_have_the_documented_indexes(database: Database) -> None:
    rows = ask(database, "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'")
    definitions = {row["indexname"]: row["indexdef"] for row in rows}
    assert definitions["idx_training_runs_parameters"].endswith("USING gin (all_parameters)")
    assert definitions["idx_epoch_results_metrics"].endswith("USING gin (quantitative_metrics)")
