"""The persistent study, on a real Postgres server."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import psycopg
import pytest
from optuna.trial import TrialState

from pixel_lora_pipeline.improve.study import SearchStudy
from pixel_lora_pipeline.store import Database

SPACE = {
    "network_dim": [16, 32, 64],
    "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "optimizer_type": ["AdamW8bit", "Lion"],
    "max_train_epochs": {"low": 4, "high": 20},
}
CONFIGURATION = {"network_dim": 32, "learning_rate": 1e-4, "optimizer_type": "Lion", "max_train_epochs": 10}


def a_history(n: int = 4) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **CONFIGURATION,
                "run_name": f"run_{at}",
                "max_train_epochs": 4 + at,
                "quality_score": 60.0 + at,
            }
            for at in range(n)
        ]
    )


def in_another_process(url: str, work: str) -> subprocess.Popen[str]:
    """Runs a statement on `study` elsewhere; `ready()` in it says so here."""
    script = (
        "import sys, time\n"
        "from pixel_lora_pipeline.improve.study import SearchStudy\n"
        "from pixel_lora_pipeline_tests.improve.test_study import CONFIGURATION, SPACE, a_history\n"
        "def ready(): print('ready', flush=True)\n"
        f"study = SearchStudy({url!r}, SPACE)\n"
        f"{work}\n"
    )
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)


def states(study: SearchStudy) -> list[TrialState]:
    return [trial.state for trial in study.study.get_trials()]


def test_tables_land_in_a_schema_of_their_own(database: Database) -> None:
    SearchStudy(database.url, SPACE)
    with psycopg.connect(database.url) as connection:
        schemas = {
            schema
            for (schema,) in connection.execute(
                "SELECT table_schema FROM information_schema.tables WHERE table_name IN ('trials', 'alembic_version')"
            )
        }
    assert schemas == {"optuna"}


def test_no_connection_is_left_behind(database: Database) -> None:
    with SearchStudy(database.url, SPACE) as study:
        study.add_history(a_history())
    with psycopg.connect(database.url) as connection:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        deadline = time.monotonic() + 10
        while (left := connection.execute(others).fetchone()) != (0,) and time.monotonic() < deadline:
            connection.rollback()
            time.sleep(0.05)
    assert left == (0,)


def test_a_run_is_added_once_however_often_the_history_is_read(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    assert study.add_history(a_history()).added == ["run_0", "run_1", "run_2", "run_3"]
    again = SearchStudy(database.url, SPACE).add_history(a_history(5))
    assert (again.added, again.unchanged) == (["run_4"], ["run_0", "run_1", "run_2", "run_3"])
    assert len(study.study.get_trials()) == 5


def test_two_processes_that_read_the_same_history_add_each_run_once(database: Database) -> None:
    SearchStudy(database.url, SPACE)
    with ThreadPoolExecutor(4) as pool:
        recorded = list(pool.map(lambda _: SearchStudy(database.url, SPACE).add_history(a_history()), range(4)))
    assert sum(len(each.added) for each in recorded) == 4
    assert len(SearchStudy(database.url, SPACE).study.get_trials()) == 4


def test_a_changed_result_takes_the_place_of_the_former(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    history = a_history()
    study.add_history(history)
    history.loc[2, "quality_score"] = 91.5
    recorded = study.add_history(history)
    assert (recorded.updated, len(recorded.unchanged)) == (["run_2"], 3)
    assert study.result("run_2") == 91.5
    assert study.add_history(history).unchanged == ["run_0", "run_1", "run_2", "run_3"]


def test_runs_that_are_no_trials_are_named_with_the_reason(database: Database) -> None:
    history = a_history()
    history.loc[1, "network_dim"] = 128
    history["optimizer_type"] = history["optimizer_type"].astype(object)
    history.loc[2, "optimizer_type"] = None
    recorded = SearchStudy(database.url, SPACE).add_history(history)
    assert recorded.added == ["run_0", "run_3"]
    assert "network_dim = 128" in recorded.left_out["run_1"]
    assert "optimizer_type" in recorded.left_out["run_2"]


def test_a_history_without_names_is_refused(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    with pytest.raises(ValueError, match="run_name"):
        study.add_history(a_history().drop(columns="run_name"))
    with pytest.raises(ValueError, match="several runs named run_0"):
        study.add_history(pd.concat([a_history(1), a_history(1)]))


def test_an_experiment_has_one_trial_and_keeps_it(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    number = study.ask("17", CONFIGURATION)
    assert SearchStudy(database.url, SPACE).ask("17", CONFIGURATION) == number
    assert study.ask("18", {**CONFIGURATION, "network_dim": 64}) == number + 1
    with pytest.raises(ValueError, match="another configuration is another experiment"):
        study.ask("17", {**CONFIGURATION, "network_dim": 64})
    with pytest.raises(ValueError, match="network_dim = 48: outside of the search space"):
        study.ask("19", {**CONFIGURATION, "network_dim": 48})
    assert states(study) == [TrialState.RUNNING, TrialState.RUNNING], "a refused experiment left a trial behind"


def test_an_experiment_that_is_in_the_history_too_counts_once(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    study.ask("17", CONFIGURATION, run="run_0")
    history = pd.DataFrame([{**CONFIGURATION, "run_name": "run_0", "quality_score": 70.0}])
    assert study.add_history(history).updated == ["run_0"]
    study.tell("17", 70.0)
    assert study.add_history(history).unchanged == ["run_0"]
    assert states(study) == [TrialState.COMPLETE]


def test_a_result_that_comes_after_the_run_was_given_up_is_kept(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    study.ask("17", CONFIGURATION)
    study.fail("17")
    assert states(study) == [TrialState.FAIL]
    study.tell("17", 64.0)
    assert study.result("17") == 64.0
    study.fail("17")
    assert study.result("17") == 64.0


def test_what_was_never_asked_for_cannot_end(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    with pytest.raises(KeyError, match="ask for it first"):
        study.tell("17", 64.0)
    study.ask("17", CONFIGURATION)
    with pytest.raises(ValueError, match="it failed"):
        study.tell("17", float("nan"))


def test_nothing_is_left_running_after_kill_9(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    study.ask("alive", CONFIGURATION)
    worker = in_another_process(database.url, "study.ask('dead', CONFIGURATION); ready(); time.sleep(600)")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    worker.kill()
    worker.wait()
    assert states(study) == [TrialState.RUNNING, TrialState.RUNNING]
    assert len(study.reconcile(living={"alive"})) == 1
    assert states(study) == [TrialState.RUNNING, TrialState.FAIL]
    assert study.reconcile(living=set()) == [0]
    assert TrialState.RUNNING not in states(study)


def test_a_trial_that_was_asked_of_optuna_itself_is_not_left_running(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    study.study.ask()
    assert study.reconcile(living={"17"}) == [0]


def test_a_process_killed_while_it_reads_the_history_blocks_nobody_and_loses_nothing(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    worker = in_another_process(database.url, "ready(); study.add_history(a_history(400))")
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    while not study.study.get_trials():
        time.sleep(0.01)
    worker.kill()
    worker.wait()
    written = len(study.study.get_trials())
    recorded = study.add_history(a_history(12))
    assert 0 < written < 400
    assert len(recorded.added) + len(recorded.unchanged) == 12
    assert TrialState.RUNNING not in states(study)


def test_another_space_is_another_study(database: Database) -> None:
    SearchStudy(database.url, SPACE).add_history(a_history())
    other = SearchStudy(database.url, {**SPACE, "network_dim": [16, 32, 64, 128]})
    assert other.study.get_trials() == []
    assert len(other.add_history(a_history()).added) == 4


def test_experiments_that_run_are_known_to_the_search(database: Database) -> None:
    study = SearchStudy(database.url, SPACE)
    study.ask("17", CONFIGURATION, run="run_9")
    history = study.with_running(a_history())
    assert list(history["run_name"]) == ["run_0", "run_1", "run_2", "run_3", "run_9"]
    assert pd.isna(history["quality_score"].iloc[-1])
    study.tell("17", 64.0)
    assert len(study.with_running(a_history())) == 4
