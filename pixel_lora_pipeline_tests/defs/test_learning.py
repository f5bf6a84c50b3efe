"""Whenever a training was judged it is explained, and all trainings are learnt from; every week there is a report."""

import html
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.defs.learn.schedules import weekly_report
from pixel_lora_pipeline.defs.resources import resources
from pixel_lora_pipeline.embedded.history import HISTORY
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


def test_one_judged_training_is_enough_to_learn_from_while_others_were_never_judged(
    instance: dg.DagsterInstance,
) -> None:
    instance.add_dynamic_partitions("training_runs", ["judged", "never_judged"])
    before = dg.evaluate_automation_conditions(defs(), instance)
    assert before.total_requested == 0
    instance.report_runless_asset_event(dg.AssetMaterialization("convergence", partition="judged"))
    after = dg.evaluate_automation_conditions(defs(), instance, cursor=before.cursor)
    requested = {
        name
        for name in ("parameter_evidence", "general_principles", "parameter_impact_report")
        if after.get_num_requested(dg.AssetKey(name))
    }
    assert requested == {"parameter_evidence", "general_principles"}
    following = [after.get_num_requested(dg.AssetKey(name)) for name in ("hypotheses", "experiment_queue")]
    assert following == [1, 1], "what to run next is not proposed anew"


def test_an_analysis_explains_the_issues_of_the_training(
    settings: Settings, store: Store, instance: dg.DagsterInstance, run: list[RowId], tmp_path: Path
) -> None:
    assert settings and run
    evaluated(store, tmp_path, 4, "wrong background")
    instance.add_dynamic_partitions("training_runs", ["portraits"])
    result = defs().resolve_job_def("analyze_run").execute_in_process(instance=instance, partition_key="portraits")
    assert result.success
    (materialization,) = result.asset_materializations_for_node("diagnosis")
    latest = store.conclusions.latest_issues(store.conclusions.run("portraits").run_id)
    assert latest is not None and latest.issues
    assert materialization.metadata["n_issues"].value == len(latest.issues)
    assert all("causes" in issue for issue in latest.issues)
    causes = [cause["cause"] for issue in latest.issues for cause in issue["causes"]]
    assert causes
    for name in ("epoch_4_report", "run_report"):
        page = (tmp_path / "reports" / "portraits" / f"{name}.html").read_text(encoding="utf-8")
        assert "Likely causes" in page and html.escape(causes[0]) in page


@pytest.mark.made_up_history
def test_everything_is_learnt_and_reported_in_one_job_with_tables_in_the_ui(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    result = defs().resolve_job_def("report_on_parameters").execute_in_process(instance=instance)
    assert result.success
    (evidence,) = result.asset_materializations_for_node("parameter_evidence")
    table = evidence.metadata["background_accuracy"]
    assert isinstance(table, dg.TableMetadataValue)
    assert (table.records[0].data["parameters"], table.records[0].data["category"]) == ("keep_tokens", "CRITICAL")
    (principles,) = result.asset_materializations_for_node("general_principles")
    assert principles.metadata["n_proposed"].value == len(store.knowledge.principles())
    (report,) = result.asset_materializations_for_node("parameter_impact_report")
    assert "# Parameter Impact Report" in str(report.metadata["report"].value)
    assert Path(str(report.metadata["page"].value)).is_relative_to(settings.home / "reports")
    (check,) = result.get_asset_check_evaluations()
    assert check.passed, check.description
    assert store.notifications.count("pending") == 0, "what somebody asked for is no news"


@pytest.mark.made_up_history
def test_evidence_that_rests_on_few_runs_is_marked(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    assert settings
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET quality_score = NULL, planned_epochs = 20 WHERE run_name = 'history_1'"
        )
    result = defs().resolve_job_def("report_on_parameters").execute_in_process(instance=instance)
    (check,) = result.get_asset_check_evaluations()
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "7 runs of 7 configurations" in str(check.description)


def test_the_weekly_report_comes_on_monday_morning_of_the_time_zone_and_is_news(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    assert settings
    schedule = weekly_report("Europe/Berlin")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("0 8 * * 1", "Europe/Berlin")
    monday = datetime(2026, 11, 23, 7, 0, tzinfo=UTC)  # 08:00 in Berlin
    context = dg.build_schedule_context(instance=instance, scheduled_execution_time=monday)
    (request,) = schedule.evaluate_tick(context).run_requests or []
    assert request.run_key == "2026-11-22"
    job = defs().resolve_job_def("report_on_parameters")
    result = job.execute_in_process(instance=instance, run_config=dict(request.run_config))
    assert result.success, "a week in which nothing happened has a report, too"
    assert store.notifications.count("pending") == 1
    again = job.execute_in_process(instance=instance, run_config=dict(request.run_config))
    assert again.success
    assert store.notifications.count("pending") == 1, "the same week was told twice"


@pytest.mark.made_up_history
def test_what_to_run_next_is_proposed_and_queued_with_tables_in_the_ui(
    settings: Settings, store: Store, instance: dg.DagsterInstance
) -> None:
    assert settings
    result = dg.materialize(
        [asset for asset in defs().assets or [] if isinstance(asset, dg.AssetsDefinition)],
        selection=dg.AssetSelection.groups("improve"),
        instance=instance,
        resources=resources,
    )
    assert result.success
    (proposed,) = result.asset_materializations_for_node("hypotheses")
    assert 3 <= float(str(proposed.metadata["n_proposed"].value)) <= 5
    (queue,) = result.asset_materializations_for_node("experiment_queue")
    assert str(queue.metadata["queue"].value).startswith("# Experiment Queue")
    assert len(store.experiments.all()) == proposed.metadata["n_proposed"].value
    (predictions,) = result.asset_materializations_for_node("trial_predictions")
    assert predictions.metadata["n"].value == 0
    (search,) = result.asset_materializations_for_node("search_study")
    assert "network_dim" in str(search.metadata["incumbent"].value)
    with store.database.connection() as connection:
        trials = connection.execute("SELECT count(*) AS n FROM optuna.trials").fetchone()
    inside_the_space = sum(run.network_dim <= 48 for run in HISTORY)
    assert trials == {"n": inside_the_space}
    assert len(search.metadata["remarks"].value) >= len(HISTORY) - inside_the_space  # type: ignore[arg-type]
