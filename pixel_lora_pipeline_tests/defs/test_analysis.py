"""A run whose epochs were measured is judged and reported on, once for all of them."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.analyze.sensors import measured_runs, silent_trainings
from pixel_lora_pipeline.defs.execution import RUN_TAG
from pixel_lora_pipeline.store import RowId, Store
from pixel_lora_pipeline_tests.test_run_reports import evaluated, run

__all__ = ["run"]  # a fixture


@pytest.fixture
def settings(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path))
    monkeypatch.setenv("PIXEL_LORA_NOTIFY", '["json://127.0.0.1:9"]')
    return Settings()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


def tick(store: Store, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """One look of the sensor, its partitions added as the daemon does it."""
    result = measured_runs(dg.build_sensor_context(instance=instance, resources={"store": store}))
    if isinstance(result, dg.SkipReason):
        return []
    assert isinstance(result, dg.SensorResult)
    for request in result.dynamic_partitions_requests or []:
        instance.add_dynamic_partitions("training_runs", list(request.partition_keys))
    return list(result.run_requests or [])


def analyze(instance: dg.DagsterInstance, run_name: str) -> dg.ExecuteInProcessResult:
    return defs().resolve_job_def("analyze_run").execute_in_process(instance=instance, partition_key=run_name)


def test_epochs_that_were_measured_together_are_analyzed_in_one_run(
    settings: Settings, store: Store, instance: dg.DagsterInstance, run: list[RowId], tmp_path: Path
) -> None:
    (request,) = tick(store, instance)
    assert request.partition_key == "portraits"
    assert [again.run_key for again in tick(store, instance)] == [request.run_key]

    result = analyze(instance, "portraits")
    assert result.success
    assert tick(store, instance) == [], "asked for again though nothing was measured"

    verdict = store.conclusions.verdict(store.conclusions.run("portraits").run_id)
    assert verdict["best_epoch"] == 3, verdict
    checks = {check.check_name: check.passed for check in result.get_asset_check_evaluations()}
    assert checks == {"training_is_worth_going_on": not verdict["should_stop"], "epochs_keep_coming": True}
    folder = settings.home / "reports" / "portraits"
    pages = {path.name for path in folder.glob("*.html")}
    assert pages == {"epoch_1_report.html", "epoch_2_report.html", "epoch_3_report.html", "run_report.html"}
    with store.database.connection() as connection:
        rows = connection.execute("SELECT diagnosed_issues, convergence_status FROM epoch_results ORDER BY id")
        issues = [row["diagnosed_issues"] for row in rows]
    assert all(issues), issues

    before = {path: path.stat().st_mtime_ns for path in folder.glob("epoch_*.html")}
    evaluated(store, tmp_path, 4, "sprite")
    (again,) = tick(store, instance)
    assert again.run_key != request.run_key
    assert analyze(instance, "portraits").success
    assert {path: path.stat().st_mtime_ns for path in before} == before, "pages of epochs as they stood are rewritten"
    assert (folder / "epoch_4_report.html").exists()
    assert len(run) == 3


def test_an_analysis_waits_for_epochs_that_are_being_evaluated_but_not_for_ever(
    settings: Settings, store: Store, instance: dg.DagsterInstance, run: list[RowId]
) -> None:
    assert settings and run
    evaluation = defs().resolve_job_def("evaluate_checkpoint")
    instance.create_run_for_job(evaluation, tags={RUN_TAG: "portraits"}, status=dg.DagsterRunStatus.STARTED)
    assert tick(store, instance) == []
    with store.database.connection() as connection:
        connection.execute("UPDATE epoch_results SET measured_at = measured_at - interval '2 minutes'")
    (request,) = tick(store, instance)
    assert request.partition_key == "portraits"
    instance.create_run_for_job(
        defs().resolve_job_def("analyze_run"), tags={RUN_TAG: "portraits"}, status=dg.DagsterRunStatus.STARTED
    )
    assert tick(store, instance) == [], "asked for while it is being analysed"


def test_a_training_that_falls_silent_is_told_once_and_again_when_it_goes_on(
    settings: Settings, store: Store, instance: dg.DagsterInstance, run: list[RowId]
) -> None:
    assert settings and run
    with store.database.connection() as connection:
        connection.execute("UPDATE training_runs SET planned_epochs = 10")
    (paths,) = store.analyses.unfinished().values()
    now = time.time()

    def look(cursor: str | None, last_saved_hours_ago: float) -> dg.SensorResult | dg.SkipReason:
        for at, path in enumerate(reversed(paths)):
            saved = now - 3600 * (last_saved_hours_ago + at)
            os.utime(path, (saved, saved))
        context = dg.build_sensor_context(instance=instance, resources={"store": store}, cursor=cursor)
        result = silent_trainings(context)
        assert isinstance(result, dg.SensorResult | dg.SkipReason)
        return result

    assert isinstance(look(None, 2), dg.SkipReason)
    silent = look(None, 4)
    assert isinstance(silent, dg.SensorResult)
    (evaluation,) = silent.asset_events
    assert isinstance(evaluation, dg.AssetCheckEvaluation)
    assert not evaluation.passed and "portraits for 240 minutes" in str(evaluation.description)
    assert isinstance(look(silent.cursor, 4.5), dg.SkipReason)
    again = look(silent.cursor, 0)
    assert isinstance(again, dg.SensorResult) and isinstance(again.asset_events[0], dg.AssetCheckEvaluation)
    assert again.asset_events[0].passed
