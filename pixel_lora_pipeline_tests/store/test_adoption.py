"""Databases that were there before: whatever shape their tables have, nothing in them is lost.

The shapes are those that the documents describe, that Supabase's table editor makes, and that two years of
pasting SQL leave behind.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pixel_lora_pipeline.store import Database, DatabaseError, MigrationError, Store, migrate
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_images import an_image


@dataclass(frozen=True)
class OldDatabase:
    name: str
    sql: str
    tables: tuple[str, ...] = ("training_runs", "epoch_results")


AS_DOCUMENTED = OldDatabase(
    "as the documents describe it, before the roadmap",
    """
    CREATE TABLE training_runs (
        id SERIAL PRIMARY KEY, run_name TEXT NOT NULL UNIQUE, status TEXT, run_date DATE DEFAULT CURRENT_DATE,
        network_dim INTEGER, network_alpha INTEGER, learning_rate DOUBLE PRECISION, caption_version TEXT,
        quality_score NUMERIC(3, 1), best_epoch INTEGER, overall_verdict TEXT);
    CREATE TABLE epoch_results (
        id SERIAL PRIMARY KEY, training_run_id INTEGER NOT NULL REFERENCES training_runs (id),
        epoch_number INTEGER NOT NULL, visual_quality_score INTEGER, style_match_score INTEGER,
        prompt_adherence_score INTEGER, notes TEXT, created_at TIMESTAMPTZ DEFAULT now());
    INSERT INTO training_runs (run_name, status, run_date, network_dim, quality_score, best_epoch, overall_verdict)
    VALUES ('SD15_PERFECT', 'completed', '2025-10-01', 32, 9.0, 7, 'production'),
           ('SD15_BAD', 'failed', '2025-10-09', 64, 3.5, NULL, 'photorealistic');
    INSERT INTO epoch_results
        (training_run_id, epoch_number, visual_quality_score, style_match_score, prompt_adherence_score, notes)
    VALUES (1, 5, 7, 8, 7, 'two-toned hair'), (1, 7, 9, 9, 9, 'best'), (2, 1, 3, 2, 4, NULL);
    """,
)
SUPABASE_AFTER_THE_ROADMAP = OldDatabase(
    "Supabase's table editor, with the roadmap's own SQL run",
    """
    CREATE TABLE training_runs (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        run_name TEXT, status TEXT, run_date TIMESTAMPTZ, network_dim BIGINT, learning_rate REAL,
        quality_score REAL, overall_verdict TEXT, best_epoch BIGINT);
    CREATE TABLE epoch_results (
        id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
        training_run_id BIGINT REFERENCES training_runs (id) ON DELETE CASCADE, epoch_number BIGINT,
        visual_quality_score SMALLINT, style_match_score SMALLINT, prompt_adherence_score SMALLINT);
    ALTER TABLE training_runs ENABLE ROW LEVEL SECURITY;
    CREATE POLICY "readable" ON training_runs FOR SELECT USING (true);
    ALTER TABLE training_runs ADD COLUMN all_parameters JSONB;
    CREATE INDEX idx_training_runs_parameters ON training_runs USING GIN (all_parameters);
    ALTER TABLE epoch_results ADD COLUMN quantitative_metrics JSONB;
    CREATE INDEX idx_epoch_results_metrics ON epoch_results USING GIN (quantitative_metrics);
    CREATE VIEW v_training_comparison AS
    SELECT run_name, all_parameters->>'network_dim' as network_dim,
        all_parameters->>'learning_rate' as learning_rate, all_parameters->>'caption_version' as caption_version,
        quality_score, overall_verdict, best_epoch
    FROM training_runs ORDER BY run_date DESC;
    ALTER TABLE training_runs ADD COLUMN parent_run_id INTEGER REFERENCES training_runs(id);
    ALTER TABLE training_runs ADD COLUMN starting_checkpoint TEXT;
    INSERT INTO training_runs (run_name, run_date, quality_score, all_parameters)
    VALUES ('SD15_PERFECT', '2025-10-01', 9, '{"network_dim": 32, "keep_tokens": "3"}');
    INSERT INTO training_runs (run_name, parent_run_id) VALUES ('SD15_NEXT', 1);
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score, quantitative_metrics)
    VALUES (1, 5, 7, '{"color_accuracy": {"overall": 67.7}}'), (1, 6, 8, '{"color_accuracy": {"overall": "n/a"}}');
    """,
)
FULL_OF_DUPLICATES = OldDatabase(
    "no constraints, names and epochs more than once",
    """
    CREATE TABLE training_runs (id SERIAL PRIMARY KEY, run_name VARCHAR(100), step INTEGER);
    CREATE TABLE epoch_results (
        id SERIAL PRIMARY KEY, training_run_id INTEGER, epoch_number INTEGER, visual_quality_score FLOAT,
        style_match_score FLOAT, prompt_adherence_score FLOAT);
    INSERT INTO training_runs (run_name) VALUES ('portrait'), ('portrait'), (NULL), (NULL), ('');
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score)
    VALUES (1, 5, 7.5), (1, 5, 8), (1, 5, 8), (99, 1, 2), (NULL, NULL, NULL), (NULL, NULL, 11);
    """,
)
UUID_KEYS = OldDatabase(
    "uuid keys",
    """
    CREATE TABLE training_runs (id UUID PRIMARY KEY DEFAULT gen_random_uuid(), run_name TEXT UNIQUE);
    CREATE TABLE epoch_results (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(), training_run_id UUID REFERENCES training_runs,
        epoch_number INTEGER, visual_quality_score INTEGER);
    INSERT INTO training_runs (run_name) VALUES ('SD15_PERFECT');
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score)
    SELECT id, 5, 7 FROM training_runs;
    """,
)
STRICT = OldDatabase(
    "strict and narrow: NOT NULL, CHECK, enum, json, short and whole numbers",
    """
    CREATE TYPE verdict AS ENUM ('good', 'bad');
    CREATE TABLE training_runs (
        id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, run_name VARCHAR(60) NOT NULL UNIQUE,
        status VARCHAR(20) NOT NULL CHECK (status IN ('planned', 'running', 'done')), run_date DATE NOT NULL,
        network_dim TEXT NOT NULL, network_alpha SMALLINT, learning_rate NUMERIC(4, 3) NOT NULL,
        min_snr_gamma INTEGER, lr_scheduler VARCHAR(3), optimizer_type TEXT NOT NULL DEFAULT 'AdamW8bit',
        flip_aug INTEGER, overall_verdict verdict, machine TEXT NOT NULL, all_parameters JSON);
    CREATE TABLE epoch_results (
        id INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
        training_run_id INTEGER NOT NULL REFERENCES training_runs ON DELETE CASCADE,
        epoch_number INTEGER NOT NULL CHECK (epoch_number > 0),
        visual_quality_score INTEGER NOT NULL CHECK (visual_quality_score BETWEEN 1 AND 10),
        style_match_score INTEGER NOT NULL CHECK (style_match_score BETWEEN 1 AND 10),
        prompt_adherence_score INTEGER NOT NULL, reviewer TEXT NOT NULL, quantitative_metrics JSON);
    INSERT INTO training_runs (run_name, status, run_date, network_dim, learning_rate, machine, all_parameters)
    VALUES ('SD15_PERFECT', 'done', '2025-10-01', 'thirty-two', 0.001, 'A40', '{"b": 1, "a":   2, "a": 3}');
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score, style_match_score,
        prompt_adherence_score, reviewer, quantitative_metrics)
    VALUES (1, 5, 7, 7, 7, 'me', '{"color_accuracy": {"overall": 67.7}}');
    """,
)
OTHER_THINGS_UNDER_OUR_NAMES = OldDatabase(
    "views, indexes and columns of the user's own under our names",
    """
    CREATE TABLE training_runs (id SERIAL PRIMARY KEY, run_name TEXT, quality_score INTEGER, session_id UUID,
        notes TEXT);
    CREATE TABLE epoch_results (id SERIAL PRIMARY KEY, training_run_id INTEGER, epoch_number INTEGER,
        visual_quality_score INTEGER, recommendations TEXT, diagnosed_issues TEXT);
    CREATE INDEX idx_training_runs_parameters ON training_runs (run_name);
    CREATE INDEX idx_epoch_results_metrics ON epoch_results (epoch_number);
    CREATE VIEW v_training_comparison AS SELECT id, run_name, quality_score FROM training_runs;
    CREATE VIEW my_dashboard AS SELECT count(*) AS runs FROM v_training_comparison;
    CREATE MATERIALIZED VIEW v_epoch_progress AS SELECT epoch_number FROM epoch_results;
    CREATE TABLE prompt_test_results (id SERIAL PRIMARY KEY, prompt TEXT, score INTEGER NOT NULL);
    INSERT INTO training_runs (run_name, quality_score, notes) VALUES ('SD15_PERFECT', 9, 'keep');
    INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score, recommendations)
    VALUES (1, 5, 7, 'longer');
    INSERT INTO prompt_test_results (prompt, score) VALUES ('pink hair', 4), ('pink hair', 4);
    """,
    ("training_runs", "epoch_results", "prompt_test_results"),
)
KEYS_BY_HAND = OldDatabase(
    "ids written by hand, or imported past the sequence",
    """
    CREATE TABLE training_runs (id INTEGER PRIMARY KEY, run_name TEXT);
    CREATE TABLE epoch_results (id SERIAL, training_run_id INTEGER, epoch_number INTEGER);
    INSERT INTO training_runs VALUES (1, 'a'), (12, 'b'), (40, 'c');
    INSERT INTO epoch_results (id, training_run_id, epoch_number) VALUES (1, 12, 1), (2, 12, 2), (300, 12, 3);
    """,
)
ONLY_RUNS = OldDatabase(
    "runs only, without a key",
    "CREATE TABLE training_runs (run_name TEXT); INSERT INTO training_runs VALUES ('SD15_PERFECT'), (NULL);",
    ("training_runs",),
)
EPOCHS_BY_NAME = OldDatabase(
    "epochs that refer to their run by name",
    """
    CREATE TABLE training_runs (id SERIAL PRIMARY KEY, run_name TEXT);
    CREATE TABLE epoch_results (run_name TEXT NOT NULL, epoch_number INTEGER NOT NULL, visual_quality_score INTEGER,
        PRIMARY KEY (run_name, epoch_number, visual_quality_score));
    INSERT INTO training_runs (run_name) VALUES ('SD15_PERFECT');
    INSERT INTO epoch_results VALUES ('SD15_PERFECT', 5, 7), ('SD15_PERFECT', 6, 8);
    """,
)
EVERY_SHAPE = [
    AS_DOCUMENTED,
    SUPABASE_AFTER_THE_ROADMAP,
    FULL_OF_DUPLICATES,
    UUID_KEYS,
    STRICT,
    OTHER_THINGS_UNDER_OUR_NAMES,
    KEYS_BY_HAND,
    ONLY_RUNS,
]
every_shape = pytest.mark.parametrize("old", EVERY_SHAPE, ids=lambda old: old.name)


def build(database: Database, old: OldDatabase) -> None:
    with database.connection() as connection:
        connection.execute(old.sql.encode())


def content(database: Database, old: OldDatabase) -> dict[str, list[dict[str, Any]]]:
    """Every row of the old tables, with its columns as text, as Postgres would dump them."""
    found: dict[str, list[dict[str, Any]]] = {}
    with database.connection() as connection:
        for table in old.tables:
            columns = [
                row["attname"]
                for row in connection.execute(
                    "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", (table,)
                )
            ]
            texts = ", ".join(f"{column}::text" for column in columns)
            found[table] = connection.execute(f"SELECT {texts} FROM {table}".encode()).fetchall()
    return found


def missing_from(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> list[Any]:
    """What of the rows before is not among the rows after, each compared in the columns that it had."""
    lost = []
    for table, rows in before.items():
        left = list(after[table])
        for row in rows:
            match = next((other for other in left if row.items() <= other.items()), None)
            if match is None:
                lost.append((table, row))
            else:
                left.remove(match)
    return lost


@every_shape
def test_nothing_is_lost_and_a_second_time_changes_nothing(empty_database: Database, old: OldDatabase) -> None:
    build(empty_database, old)
    before = content(empty_database, old)
    assert sum(map(len, before.values())) > 0
    migrate(empty_database.url)
    after = content(empty_database, old)
    assert missing_from(before, after) == []
    assert {table: len(rows) for table, rows in after.items()} == {table: len(rows) for table, rows in before.items()}
    assert migrate(empty_database.url) == []
    assert missing_from(after, content(empty_database, old)) == []


@every_shape
def test_an_adopted_database_takes_new_runs_beside_the_old(
    empty_database: Database, old: OldDatabase, tmp_path: Path
) -> None:
    build(empty_database, old)
    before = content(empty_database, old)
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path / "images")
    ids = [store.checkpoints.register(save_checkpoint(tmp_path, epoch)) for epoch in (1, 2)]
    overwritten = save_checkpoint(tmp_path, 2, weight=0.5)
    newest = store.checkpoints.register(overwritten)
    store.epochs.record_evaluation(newest, {"color_accuracy": {"overall": 67.7}})
    scored = store.epochs.log_subjective(None, 2, 8, 8, 9, "much improved")
    store.epochs.log_subjective(None, 3, 7, 7, 7)
    store.images.add(newest, [an_image()])

    assert scored == newest
    rows = store.epochs.table()
    assert [row.epoch for row in rows] == [1, 2, 3]
    assert [row.epoch_id for row in rows][:2] == [ids[0], newest]
    assert (rows[1].visual_quality_score, rows[1].color_accuracy) == (8, 67.7)
    assert [image.prompt_id for image in store.images.of_epoch(newest)] == ["pink_hair_green_bg"]
    stored = store.checkpoints.get(overwritten.partition_key)
    assert stored.parameters["keep_tokens"] == 3
    assert missing_from(before, content(empty_database, old)) == []
    with empty_database.connection() as connection:
        found = connection.execute(
            "SELECT run_name FROM training_runs WHERE all_parameters->>'keep_tokens' = '3' AND run_identity IS NOT NULL"
        ).fetchall()
        assert found == [{"run_name": stored.run_name}]
        compared = connection.execute("SELECT run_name, network_dim FROM v_training_comparison").fetchall()
        assert {"run_name": stored.run_name, "network_dim": "4"} in compared


def test_old_epochs_are_scored_and_listed_by_the_name_of_their_run(empty_database: Database, tmp_path: Path) -> None:
    build(empty_database, AS_DOCUMENTED)
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path)
    store.epochs.log_subjective("SD15_PERFECT", 5, 8, 8, 8)
    store.epochs.log_subjective("SD15_PERFECT", 8, 6, 6, 6, "overtrained")
    listed = [(row.epoch, row.visual_quality_score, row.notes) for row in store.epochs.table("SD15_PERFECT")]
    assert listed == [(5, 8, "two-toned hair"), (7, 9, "best"), (8, 6, "overtrained")]


def test_an_old_run_of_the_same_name_stays_beside_the_new_one(empty_database: Database, tmp_path: Path) -> None:
    build(empty_database, FULL_OF_DUPLICATES)
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path)
    checkpoint = save_checkpoint(tmp_path, 5)
    store.checkpoints.register(checkpoint)
    assert store.checkpoints.get(checkpoint.partition_key).run_name == "portrait-2025-11-10-1403"
    with empty_database.connection() as connection:
        row = connection.execute("SELECT count(*) AS n FROM training_runs WHERE run_name = 'portrait'").fetchone()
    assert row == {"n": 2}


def test_a_name_that_is_too_long_for_an_old_column_is_shortened_and_stays_unique(
    empty_database: Database, tmp_path: Path
) -> None:
    with empty_database.connection() as connection:
        connection.execute("CREATE TABLE training_runs (id SERIAL PRIMARY KEY, run_name VARCHAR(30) UNIQUE)")
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path)
    names = []
    for session in ("1", "2", "3"):
        checkpoint = save_checkpoint(tmp_path, 1, run="SD15_FINAL_CORRECTED_CAPTIONS_V2", session=session)
        store.checkpoints.register(checkpoint)
        names.append(store.checkpoints.get(checkpoint.partition_key).run_name)
    assert names == [
        "SD15_FINAL_CORRECTED_CAPTIONS_",
        "SD15_FINAL_COR-2025-11-10-1403",
        "SD15_FINAL_C-2025-11-10-1403-2",
    ]


def test_a_value_that_an_old_column_cannot_hold_stays_in_all_parameters_and_the_rest_is_written(
    empty_database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    build(empty_database, STRICT)
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path)
    with caplog.at_level(logging.WARNING):
        store.checkpoints.register(save_checkpoint(tmp_path, 1))
    with empty_database.connection() as connection:
        run = connection.execute("SELECT * FROM training_runs WHERE run_name = 'portrait'").fetchone()
    assert run is not None
    assert (run["network_dim"], run["network_alpha"], run["min_snr_gamma"]) == ("4", 2, 5)
    assert (run["status"], run["lr_scheduler"], run["flip_aug"]) == (None, None, None)
    assert run["all_parameters"]["lr_scheduler"] == "cosine"
    assert run["run_date"].isoformat() == "2025-11-10"
    for column in ("status", "lr_scheduler", "flip_aug"):
        assert column in caplog.text


def test_the_users_own_view_is_kept_under_another_name_and_what_reads_it_still_works(
    empty_database: Database,
) -> None:
    build(empty_database, OTHER_THINGS_UNDER_OUR_NAMES)
    migrate(empty_database.url)
    with empty_database.connection() as connection:
        kept = connection.execute("SELECT * FROM v_training_comparison_before_pixel_lora").fetchall()
        assert kept == [{"id": 1, "run_name": "SD15_PERFECT", "quality_score": 9}]
        assert connection.execute("SELECT * FROM my_dashboard").fetchall() == [{"runs": 1}]
        assert connection.execute("SELECT * FROM v_epoch_progress_before_pixel_lora").fetchall() == []
        ours = connection.execute("SELECT run_name, best_epoch FROM v_training_comparison").fetchall()
        assert ours == [{"run_name": "SD15_PERFECT", "best_epoch": None}]


def test_a_view_that_the_user_made_from_the_roadmap_stays(empty_database: Database) -> None:
    build(empty_database, SUPABASE_AFTER_THE_ROADMAP)
    view = "SELECT 'v_training_comparison'::regclass::oid AS oid, pg_get_viewdef('v_training_comparison') AS query"
    with empty_database.connection() as connection:
        before = connection.execute(view.encode()).fetchone()
    migrate(empty_database.url)
    with empty_database.connection() as connection:
        assert connection.execute(view.encode()).fetchone() == before


def test_row_level_security_of_tables_that_were_there_is_left_alone(empty_database: Database) -> None:
    build(empty_database, SUPABASE_AFTER_THE_ROADMAP)
    migrate(empty_database.url)
    with empty_database.connection() as connection:
        rows = connection.execute(
            "SELECT relname, relrowsecurity FROM pg_class WHERE relname IN "
            "('training_runs', 'epoch_results', 'prompt_test_results', 'refused_checkpoints')"
        ).fetchall()
        policies = connection.execute("SELECT tablename, policyname FROM pg_policies").fetchall()
    assert {row["relname"]: row["relrowsecurity"] for row in rows} == {
        "training_runs": True,
        "epoch_results": False,
        "prompt_test_results": True,
        "refused_checkpoints": True,
    }
    assert policies == [{"tablename": "training_runs", "policyname": "readable"}]


def test_an_upsert_of_the_users_scripts_still_works(empty_database: Database) -> None:
    build(empty_database, AS_DOCUMENTED)
    migrate(empty_database.url)
    with empty_database.connection() as connection:
        connection.execute(
            "INSERT INTO training_runs (run_name, network_dim) VALUES ('SD15_PERFECT', 16) "
            "ON CONFLICT (run_name) DO UPDATE SET network_dim = excluded.network_dim"
        )
        connection.execute("INSERT INTO epoch_results (training_run_id, epoch_number) VALUES (1, 5)")
        row = connection.execute("SELECT network_dim FROM training_runs WHERE id = 1").fetchone()
    assert row == {"network_dim": 16}


def test_what_was_changed_for_new_rows_to_fit_is_said(
    empty_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    build(empty_database, STRICT)
    with caplog.at_level(logging.WARNING):
        migrate(empty_database.url)
    for expected in ("training_runs.machine may now be empty", "epoch_results.reviewer may now be empty"):
        assert expected in caplog.text
    assert "run_name may now" not in caplog.text


def test_one_row_an_epoch_by_the_users_own_constraint_is_respected_with_a_word_how_to_lift_it(
    empty_database: Database, tmp_path: Path
) -> None:
    build(empty_database, AS_DOCUMENTED)
    with empty_database.connection() as connection:
        connection.execute("ALTER TABLE epoch_results ADD CONSTRAINT one_each UNIQUE (training_run_id, epoch_number)")
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path)
    first = store.checkpoints.register(save_checkpoint(tmp_path, 1))
    assert store.epochs.log_subjective(None, 1, 5, 5, 5) == first
    with pytest.raises(DatabaseError, match=r"epoch 1 .*one_each.*drop that constraint"):
        store.checkpoints.register(save_checkpoint(tmp_path, 1, weight=0.5))
    assert [row.epoch_id for row in store.epochs.table()] == [first]


def test_a_parameter_column_that_is_no_document_is_refused_with_the_command_that_converts_it(
    empty_database: Database,
) -> None:
    with empty_database.connection() as connection:
        connection.execute("CREATE TABLE training_runs (id SERIAL PRIMARY KEY, run_name TEXT, all_parameters TEXT)")
        connection.execute("""INSERT INTO training_runs (run_name, all_parameters) VALUES ('a', '{"x": 1}')""")
    with pytest.raises(MigrationError, match="all_parameters is of type text") as refusal:
        migrate(empty_database.url)
    command = str(refusal.value).partition("document: ")[2].partition(" Nothing")[0]
    with psycopg.connect(empty_database.url) as connection:
        connection.execute(command.encode())
    migrate(empty_database.url)


def test_epochs_with_a_key_that_forbids_new_rows_are_adopted_and_the_old_stay(empty_database: Database) -> None:
    build(empty_database, EPOCHS_BY_NAME)
    before = content(empty_database, EPOCHS_BY_NAME)
    migrate(empty_database.url)
    assert missing_from(before, content(empty_database, EPOCHS_BY_NAME)) == []
