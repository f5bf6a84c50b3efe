"""Old runs in the database: from genuine files, from a made-up history, and from databases that were there before."""

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.backfilling import Backfill, backfill
from pixel_lora_pipeline.embedded.history import HISTORY, trajectory, write_history
from pixel_lora_pipeline.store import Database, Store, migrate
from pixel_lora_pipeline.store.old_runs import FilledRun
from pixel_lora_pipeline.store.runs import Runs
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.train.observations import ObservationError
from pixel_lora_pipeline.train.run_query import parse_run_query
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_adoption import (
    AS_DOCUMENTED,
    EVERY_SHAPE,
    OldDatabase,
    build,
    content,
    missing_from,
)
from pixel_lora_pipeline_tests.store.test_checkpoints import rows
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES

NOVEMBER = 1_762_783_380.0  # 2025-11-10


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("history")
    write_history(folder)
    return folder


def notes(folder: Path, text: str) -> Path:
    path = folder / "notes.csv"
    path.write_text(text)
    return path


def everything(database: Database) -> dict[str, list[dict[str, Any]]]:
    tables = ("training_runs", "epoch_results", "prompt_test_results", "refused_checkpoints", "landed_files")
    return {table: rows(database, f"SELECT * FROM {table} ORDER BY id") for table in tables}


def filled(done: Backfill) -> dict[str, FilledRun]:
    assert len({run.run_name for run in done.runs}) == len(done.runs)
    return {run.run_name: run for run in done.runs}


def test_genuine_runs_are_filled_in_with_complete_parameters(store: Store) -> None:
    done = backfill(store, [KOHYA_SAMPLES])
    assert done.problems == ()
    assert {name: len(run.unevaluated) for name, run in filled(done).items()} == {
        "pixchar_a": 3,
        "pixchar_diverge": 0,
        "pixchar_lokr": 1,
    }
    assert {error.path.name for error in done.refused} == {"pixchar_diverge.safetensors"}
    stored = {row["run_name"]: row for row in rows(store.database, "SELECT * FROM training_runs")}
    final = read_checkpoint(KOHYA_SAMPLES / "run_a" / "pixchar_a.safetensors")
    duration = {"total_training_time": final.parameters["total_training_time"].value}
    assert stored["pixchar_a"]["all_parameters"] == final.to_json() | duration
    assert stored["pixchar_a"]["status"] == "completed"
    assert (stored["pixchar_diverge"]["learning_rate"], stored["pixchar_lokr"]["network_dim"]) == (5.0, 8)
    assert stored["pixchar_diverge"]["run_date"].isoformat().startswith("2026-11-23")
    for name, run in filled(done).items():
        assert run.missing == stored[name]["parameters_missing"]
        assert all(run.missing.values()), "a gap without a reason"
        assert not run.missing.keys() & stored[name]["all_parameters"].keys()


def test_a_backfilled_checkpoint_is_evaluated_once_its_folder_is_watched(store: Store) -> None:
    backfill(store, [KOHYA_SAMPLES / "run_a"])
    assert store.landed_files.settled() == set(), "the sensor would pass it over"
    statuses = rows(store.database, "SELECT DISTINCT evaluation_status AS status FROM epoch_results")
    assert statuses == [{"status": "registered"}]


def test_old_runs_do_not_become_the_newest(store: Store, tmp_path: Path) -> None:
    current = save_checkpoint(tmp_path / "current", 1, run="current", session="7")
    store.checkpoints.register(current)
    save_checkpoint(tmp_path / "old", 5, run="old", header={"ss_training_finished_at": str(NOVEMBER + 3600)})
    backfill(store, [tmp_path / "old"])
    assert store.epochs.table(None)[0].run_name == "current"
    row = rows(store.database, "SELECT last_checkpoint_at AS at FROM training_runs WHERE run_name = 'old'")[0]
    assert row["at"].timestamp() == NOVEMBER + 3600


def test_the_made_up_history_can_be_asked_for_the_roadmaps_patterns(store: Store, history: Path) -> None:
    done = backfill(store, [history], [history / "observations.csv"])
    assert done.problems == ()
    assert len(done.runs) == 8

    runs = Runs(store.database)

    def ask(text: str) -> set[str]:
        return {str(run.run_name) for run in runs.find(parse_run_query(text, runs.names()))}

    assert ask("network_dim > 32") == ask("quality_score < 6") == {"history_6", "history_7", "history_8"}
    assert ask("keep_tokens = 3 and network_dim <= 32") == ask("quality_score > 8") == {"history_1", "history_2"}
    assert ask("hex_codes_per_caption = 12") == ask("caption_version = v3 and num_images is not missing")
    assert ask("lr_scheduler_num_cycles is missing") == {"history_5"}, "its configuration is lost, and no other's"
    assert ask("session_id is missing") == {"history_8"}, "its checkpoints are lost, and no other's"
    trend = rows(
        store.database,
        "SELECT epoch_number, (quantitative_metrics->'color_accuracy'->>'background_accuracy')::float AS background "
        "FROM epoch_results JOIN training_runs run ON run.id = training_run_id WHERE run_name = 'history_8' "
        "ORDER BY epoch_number",
    )
    expected = [metrics["color_accuracy"]["background_accuracy"] for metrics in trajectory(HISTORY[7], 7)]
    assert [row["background"] for row in trend] == expected
    scored = store.epochs.table("history_1")
    assert [row.epoch for row in scored] == list(range(1, 11))
    assert all(row.visual_quality_score for row in scored)


@pytest.mark.parametrize("source", ["samples", "history"])
def test_a_second_time_changes_nothing_at_all(store: Store, history: Path, source: str) -> None:
    folder = KOHYA_SAMPLES if source == "samples" else history
    observations = [] if source == "samples" else [history / "observations.csv"]
    first = backfill(store, [folder], observations)
    assert all(run.is_new and run.changes for run in first.runs)
    before = everything(store.database)
    second = backfill(store, [folder], observations)
    assert [(run.run_name, run.changes, run.kept) for run in second.runs if run.changes or run.kept] == []
    assert everything(store.database) == before


def test_a_dry_run_says_the_same_and_writes_nothing(store: Store, history: Path) -> None:
    store.checkpoints.register(save_checkpoint(history / "elsewhere", 1))
    shutil.rmtree(history / "elsewhere")
    before = everything(store.database)
    tried = backfill(store, [history], [history / "observations.csv"], dry_run=True)
    assert everything(store.database) == before
    done = backfill(store, [history], [history / "observations.csv"])

    def without_ids(report: Backfill) -> list[Any]:
        counted = ("id", "training_run_id")
        return [
            (run.run_name, run.is_new, run.missing, [change for change in run.changes if change.field not in counted])
            for run in report.runs
        ]

    assert without_ids(tried) == without_ids(done)


def test_what_was_added_to_the_folder_completes_the_run(store: Store, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(KOHYA_SAMPLES / "run_a", tmp_path / "run_a"))
    config = folder / "run_a.toml"
    text = config.read_text()
    config.unlink()
    backfill(store, [folder])
    config.write_text(text)
    run = filled(backfill(store, [folder]))["pixchar_a"]
    changed = {change.field: change.after for change in run.changes}
    assert changed["all_parameters.save_every_n_epochs"] == 1
    assert changed["parameter_sources.save_every_n_epochs"] == "sidecar"
    assert "parameters_missing.save_every_n_epochs" in changed


def test_rows_from_before_the_roadmap_get_their_columns_as_parameters(empty_database: Database, tmp_path: Path) -> None:
    build(empty_database, AS_DOCUMENTED)
    with empty_database.connection() as connection:
        connection.execute("UPDATE training_runs SET network_alpha = 16, learning_rate = 1e-4, caption_version = 'v2'")
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path / "images")
    done = backfill(store, [])
    assert filled(done).keys() == {"SD15_PERFECT", "SD15_BAD"}
    stored = rows(empty_database, "SELECT * FROM training_runs WHERE run_name = 'SD15_PERFECT'")[0]
    assert stored["all_parameters"] == {
        "network_dim": 32,
        "network_alpha": 16,
        "learning_rate": 1e-4,
        "caption_version": "v2",
        "alpha_per_rank": 0.5,
        "lr_times_alpha_per_rank": 5e-5,
    }
    assert set(stored["parameter_sources"].values()) == {"database"}
    assert len(stored["parameters_missing"]) > 150
    assert (stored["quality_score"], stored["status"], stored["best_epoch"]) == (9, "completed", 7)


@pytest.mark.parametrize("old", EVERY_SHAPE, ids=lambda old: old.name)
def test_no_older_database_loses_anything_and_a_second_time_changes_nothing(
    empty_database: Database, old: OldDatabase, tmp_path: Path
) -> None:
    build(empty_database, old)
    before = content(empty_database, old)
    migrate(empty_database.url)
    store = Store(empty_database.url, tmp_path / "images")
    save_checkpoint(tmp_path / "runs", 1)
    observed = notes(tmp_path, "run,epoch,visual,quality_score\nportrait_2,3,7,8\n")
    backfill(store, [tmp_path / "runs"], [observed])
    documents = [row.pop("all_parameters", None) for row in before["training_runs"]]
    filled_in = content(empty_database, old)
    assert missing_from(before, filled_in) == []
    kept = [json.loads(row["all_parameters"] or "{}").items() for row in filled_in["training_runs"] if documents[0]]
    assert all(any(json.loads(document).items() <= now for now in kept) for document in documents if document)
    after = everything(empty_database)
    again = backfill(store, [tmp_path / "runs"], [observed])
    assert [change for run in again.runs for change in run.changes] == []
    assert everything(empty_database) == after


@pytest.fixture
def old_store(empty_database: Database, tmp_path: Path) -> Iterator[Store]:
    """A database as the documents describe it, with a run whose checkpoints are `save_checkpoint`'s."""
    build(empty_database, AS_DOCUMENTED)
    with empty_database.connection() as connection:
        connection.execute(
            "INSERT INTO training_runs (run_name, status, run_date, network_dim, quality_score, overall_verdict) "
            "VALUES ('portrait', 'failed', '2025-11-10', 4, 3.5, 'photorealistic')"
        )
        connection.execute(
            "INSERT INTO epoch_results (training_run_id, epoch_number, visual_quality_score, notes) "
            "SELECT id, 2, 4, 'blurry' FROM training_runs WHERE run_name = 'portrait'"
        )
    migrate(empty_database.url)
    yield Store(empty_database.url, tmp_path / "images")


def test_checkpoints_join_the_row_that_their_run_had_before(old_store: Store, tmp_path: Path) -> None:
    checkpoints = [save_checkpoint(tmp_path / "runs", epoch, final=epoch == 10) for epoch in (1, 2, 10)]
    done = backfill(old_store, [tmp_path / "runs"])
    assert done.problems == ()
    stored = rows(old_store.database, "SELECT * FROM training_runs WHERE run_name LIKE 'portrait%'")
    assert len(stored) == 1
    run = stored[0]
    assert (run["run_identity"], run["all_parameters"]["keep_tokens"]) == (checkpoints[0].run.key, 3)
    assert (run["status"], run["overall_verdict"], run["quality_score"]) == ("failed", "photorealistic", 3.5)
    table = old_store.epochs.table("portrait")
    assert [(row.epoch, row.visual_quality_score, row.notes) for row in table] == [
        (1, None, None),
        (2, 4, "blurry"),
        (10, None, None),
    ]
    # What the watching daemon does with the same files later.
    for checkpoint in checkpoints:
        old_store.checkpoints.register(checkpoint)
    after = rows(old_store.database, "SELECT * FROM training_runs WHERE run_name LIKE 'portrait%'")
    assert [(row["id"], row["status"]) for row in after] == [(run["id"], "failed")]


def test_a_row_that_contradicts_the_files_is_kept_apart_and_said_so(old_store: Store, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "runs", 1, rank=8)
    done = backfill(old_store, [tmp_path / "runs"])
    assert len(done.problems) == 1
    assert "network_dim = 4 where the file has 8" in done.problems[0]
    assert filled(done).keys() >= {"portrait", "portrait-2025-11-10-1403"}
    assert rows(old_store.database, "SELECT network_dim FROM training_runs WHERE run_name = 'portrait'") == [
        {"network_dim": 4}
    ]


def test_of_two_runs_of_one_name_the_one_of_the_rows_day_joins_it(old_store: Store, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "late", 1, session="2", started_at=NOVEMBER + 86_400)
    mine = save_checkpoint(tmp_path / "right", 1, session="1", started_at=NOVEMBER)
    done = backfill(old_store, [tmp_path / "late", tmp_path / "right"])
    assert ["the row's date fits another" in problem for problem in done.problems] == [True]
    joined = rows(old_store.database, "SELECT run_identity AS key FROM training_runs WHERE run_name = 'portrait'")
    assert joined == [{"key": mine.run.key}]


def test_a_note_about_one_of_several_runs_of_a_name_needs_the_day(store: Store, tmp_path: Path) -> None:
    for session, start in (("1", NOVEMBER), ("2", NOVEMBER + 86_400)):
        save_checkpoint(tmp_path / session, 1, session=session, started_at=start)
    folders = [tmp_path / "1", tmp_path / "2"]
    done = backfill(store, folders, [notes(tmp_path, "run,quality_score\nportrait,8\n")])
    assert ["several runs are called portrait" in problem for problem in done.problems] == [True]
    done = backfill(store, folders, [notes(tmp_path, "run,quality_score,run_date\nportrait,8,2025-11-11\n")])
    assert done.problems == ()
    scored = rows(store.database, "SELECT session_id FROM training_runs WHERE quality_score = 8")
    assert scored == [{"session_id": "2"}]


def test_what_is_there_stays_and_the_difference_is_said(store: Store, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "runs", 5)
    backfill(store, [tmp_path / "runs"])
    store.epochs.log_subjective("portrait", 5, 7, 8, 9, "mine")
    observed = notes(
        tmp_path,
        "run,epoch,visual,style,notes,network_dim,overall_verdict,color_accuracy.overall\n"
        "portrait,5,2,8,theirs,64,bad,50\n",
    )
    run = filled(backfill(store, [tmp_path / "runs"], [observed]))["portrait"]
    assert {change.field for change in run.changes} == {"overall_verdict", "quantitative_metrics"}
    assert len(run.kept) == 3
    for said in (
        "visual_quality_score of epoch 5 is 7; the observations say 2",
        "notes of epoch 5",
        "network_dim is 4",
    ):
        assert any(said in sentence for sentence in run.kept), run.kept
    epoch = store.epochs.table("portrait")[0]
    assert (epoch.visual_quality_score, epoch.notes, epoch.color_accuracy) == (7, "mine", 50)
    store.epochs.record_evaluation(epoch.epoch_id, {"color_accuracy": {"overall": 61.0}})
    run = filled(backfill(store, [tmp_path / "runs"], [observed]))["portrait"]
    assert store.epochs.table("portrait")[0].color_accuracy == 61.0, "a note replaced a measurement"
    assert any("measurements of epoch 5 are there already" in sentence for sentence in run.kept)


def test_a_later_checkpoint_keeps_what_a_person_noted(store: Store, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "runs", 1)
    backfill(store, [tmp_path / "runs"], [notes(tmp_path, "run,caption_version,caption_extension\nportrait,v3,.txt\n")])
    store.checkpoints.register(save_checkpoint(tmp_path / "runs", 2))
    run = rows(store.database, "SELECT * FROM training_runs")[0]
    assert (run["all_parameters"]["caption_version"], run["caption_version"]) == ("v3", "v3")
    assert run["parameter_sources"]["caption_extension"] == "observations"
    assert "caption_extension" not in run["parameters_missing"]


def test_a_configuration_alone_is_no_run_until_somebody_says_that_it_was(store: Store, tmp_path: Path) -> None:
    shutil.copy(KOHYA_SAMPLES / "run_diverge" / "run_diverge.toml", tmp_path)
    done = backfill(store, [tmp_path])
    assert (done.runs, len(done.problems)) == ((), 1)
    assert "run_diverge.toml would be of a run called pixchar_diverge" in done.problems[0]
    done = backfill(store, [tmp_path], [notes(tmp_path, "run,quality_score,run_date\npixchar_diverge,1,2025-10-01\n")])
    assert done.problems == ()
    run = rows(store.database, "SELECT * FROM training_runs")[0]
    assert (run["network_dim"], run["quality_score"], run["run_date"].isoformat()[:10]) == (8, 1, "2025-10-01")
    assert run["parameter_sources"]["network_dim"] == "sidecar"


def test_a_configuration_that_lies_elsewhere_completes_its_run(store: Store, tmp_path: Path) -> None:
    run_a = Path(shutil.copytree(KOHYA_SAMPLES / "run_a", tmp_path / "output"))
    (tmp_path / "configs").mkdir()
    for path in run_a.glob("*.toml"):
        path.rename(tmp_path / "configs" / path.name)
    done = backfill(store, [tmp_path])
    run = rows(store.database, "SELECT * FROM training_runs")
    assert (len(run), done.problems) == (1, ())
    assert run[0]["all_parameters"]["save_every_n_epochs"] == 1
    assert run[0]["parameter_sources"]["save_every_n_epochs"] == "sidecar"
    assert run[0]["parameter_sources"]["network_dim"] == "header"


def test_a_wrong_note_stops_everything_before_anything_is_read_or_written(store: Store, tmp_path: Path) -> None:
    wrong = notes(tmp_path, "run,epoch,visual\nportrait,1,77\n")
    save_checkpoint(tmp_path / "runs", 1)
    with pytest.raises(ObservationError, match=r"notes\.csv, line 2"):
        backfill(store, [tmp_path / "runs"], [wrong])
    assert rows(store.database, "SELECT * FROM training_runs") == []


def test_a_run_noted_in_two_files_is_refused_with_both_places(store: Store, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("run\nportrait\n")
    (tmp_path / "b.csv").write_text("run\nportrait\n")
    with pytest.raises(ObservationError, match=r"b\.csv, line 2: portrait stands at .*a\.csv, line 2"):
        backfill(store, [], [tmp_path / "a.csv", tmp_path / "b.csv"])


def test_a_run_that_an_old_constraint_forbids_is_left_whole_and_the_others_are_filled_in(
    old_store: Store, tmp_path: Path
) -> None:
    with old_store.database.connection() as connection:
        connection.execute("ALTER TABLE epoch_results ADD CONSTRAINT one_each UNIQUE (training_run_id, epoch_number)")
    save_checkpoint(tmp_path / "runs" / "a", 1)
    save_checkpoint(tmp_path / "runs" / "b", 1, weight=0.5)
    save_checkpoint(tmp_path / "runs" / "c", 1, run="sprites", session="9")
    done = backfill(old_store, [tmp_path / "runs"])
    assert ["portrait was left as it is" in problem and "one_each" in problem for problem in done.problems] == [True]
    assert "sprites" in filled(done)
    identities = rows(old_store.database, "SELECT run_identity FROM training_runs WHERE run_name = 'portrait'")
    assert identities == [{"run_identity": None}]


def test_hostile_texts_are_stored_as_texts(store: Store, tmp_path: Path) -> None:
    evil = "'; DROP TABLE training_runs; --\x01"
    (tmp_path / "notes.yaml").write_text(
        '- run: "\'; DROP TABLE training_runs; --"\n  overall_verdict: "<script>\\0 $1 %s {x}"\n'
    )
    save_checkpoint(tmp_path / "runs", 1, header={"ss_training_comment": evil, "ss_x'; --": "1"})
    backfill(store, [tmp_path / "runs"], [tmp_path / "notes.yaml"])
    names = {row["run_name"] for row in rows(store.database, "SELECT run_name FROM training_runs")}
    assert names == {"portrait", "'; DROP TABLE training_runs; --"}


def test_runs_can_be_filled_in_while_a_daemon_registers_their_files(store: Store, tmp_path: Path) -> None:
    checkpoints = [save_checkpoint(tmp_path / "runs", epoch) for epoch in (1, 2)]
    with ThreadPoolExecutor(4) as pool:
        registered = [pool.submit(store.checkpoints.register, checkpoint) for checkpoint in checkpoints * 3]
        backfilled = [pool.submit(backfill, store, [tmp_path / "runs"]) for _ in range(3)]
        assert [future.result().problems for future in backfilled] == [()] * 3
        assert len({future.result() for future in registered}) == 2
    counted = "SELECT count(*) AS runs, (SELECT count(*) FROM epoch_results) AS epochs FROM training_runs"
    assert rows(store.database, counted) == [{"runs": 1, "epochs": 2}]
