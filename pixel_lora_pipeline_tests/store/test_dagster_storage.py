"""That Dagster keeps its tables in their own schema, over the addresses that we make for it."""

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster import AssetKey, DagsterInstance
from dagster._core.test_utils import instance_for_test

from pixel_lora_pipeline.store import Database, DatabaseError, dagster_url


def _instance(url: str, folder: Path) -> Iterator[DagsterInstance]:
    storage = {
        "module": "pixel_lora_pipeline.defs.pooled_storage",
        "class": "PooledPostgresStorage",
        "config": {"postgres_url": dagster_url(url)},
    }
    overrides = {"storage": {"custom": storage}}
    with instance_for_test(overrides=overrides, temp_dir=str(folder)) as instance:
        yield instance


@pytest.fixture
def instance(database: Database, tmp_path: Path) -> Iterator[DagsterInstance]:
    yield from _instance(database.url, tmp_path)


def _relations(database: Database) -> dict[str, set[str]]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        )
        found: dict[str, set[str]] = {}
        for row in rows:
            found.setdefault(row["schemaname"], set()).add(row["tablename"])
    return found


@dg.asset
def measured() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"score": 7.5})


def test_dagster_runs_with_its_tables_in_its_own_schema(database: Database, instance: DagsterInstance) -> None:
    before = _relations(database)["public"]
    assert dg.materialize([measured], instance=instance).success
    event = instance.get_latest_materialization_event(AssetKey("measured"))
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["score"].value == 7.5

    instance.add_dynamic_partitions("checkpoints", ["portrait-000001"])
    assert instance.get_dynamic_partitions("checkpoints") == ["portrait-000001"]

    after = _relations(database)
    assert after["public"] == before, "Dagster put tables among the domain's"
    assert {"runs", "event_logs", "job_ticks", "alembic_version", "dynamic_partitions"} <= after["dagster"]


def test_the_web_servers_own_connections_stay_in_the_schema(database: Database, instance: DagsterInstance) -> None:
    # The web server replaces the engine by a pooled one with options of its own.
    instance.optimize_for_webserver(statement_timeout=5000, pool_recycle=3600, max_overflow=20)
    assert dg.materialize([measured], instance=instance).success
    assert instance.get_runs_count() == 1
    with database.connection() as connection:
        assert connection.execute("SELECT count(*) AS n FROM dagster.runs").fetchone() == {"n": 1}


def test_a_second_instance_finds_the_first_ones_runs(
    database: Database, instance: DagsterInstance, tmp_path: Path
) -> None:
    dg.materialize([measured], instance=instance)
    for again in _instance(database.url, tmp_path):
        assert again.get_runs_count() == 1


def test_the_schema_is_verified_before_dagster_is_let_loose(database: Database, empty_database: Database) -> None:
    database.verify_dagster_schema()
    with pytest.raises(DatabaseError, match="pixel-lora migrate"):
        empty_database.verify_dagster_schema()


def _dagster_connections(database: Database) -> list[int]:
    with database.connection() as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        return [row["pid"] for row in rows]


def test_dagsters_connections_are_kept_and_few(database: Database, instance: DagsterInstance) -> None:
    dg.materialize([measured], instance=instance)
    kept = _dagster_connections(database)
    dg.materialize([measured], instance=instance)
    assert _dagster_connections(database) == kept
    assert 1 <= len(kept) <= 2


def test_a_database_that_closed_its_connections_is_asked_again(database: Database, instance: DagsterInstance) -> None:
    dg.materialize([measured], instance=instance)
    kept = _dagster_connections(database)
    with database.connection() as connection:
        for pid in kept:
            connection.execute("SELECT pg_terminate_backend(%s, 5000)", (pid,))
    assert dg.materialize([measured], instance=instance).success
