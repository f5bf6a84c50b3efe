"""What used a machine from when to when: table `gpu_usage`, and the save times that much of it is known by."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import psycopg
from psycopg import sql
from psycopg.rows import DictRow
from psycopg.types.range import TimestamptzRange

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb, write_what_fits
from pixel_lora_pipeline.train.costs import Save, Usage

_ROWS: Final = """
    SELECT used.kind, used.machine, lower(used.period) AS begins, upper(used.period) AS ends, used.source,
           coalesce(run.run_name, experiment.output_name) AS run, epoch.epoch_number AS epoch, used.provider, used.gpu,
           used.cloud, used.usd_per_hour, used.gigabytes, used.storage
    FROM gpu_usage used
    LEFT JOIN epoch_results epoch ON epoch.id = used.epoch_result_id
    LEFT JOIN training_runs run ON run.id = coalesce(used.training_run_id, epoch.training_run_id)
    LEFT JOIN experiments experiment ON experiment.id = used.experiment_id
    WHERE used.period IS NOT NULL AND used.kind IS NOT NULL
"""
_IN_PERIOD: Final = "used.period && %(period)s"
_ORDER: Final = "ORDER BY lower(used.period), used.id"


@dataclass(frozen=True)
class Subject:
    """What a machine is used for: a run, an epoch of one, or an experiment whose run is not there yet."""

    run_id: RowId | None = None
    epoch_id: RowId | None = None
    experiment_id: RowId | None = None


@dataclass(frozen=True)
class TimedRun:
    """A run as far as its time and money are concerned.

    Attributes
    ----------
    started_at
        `ss_training_started_at` in Unix seconds, as its parameters have it.
    is_resumed
        Whether it went on from an earlier training.
    saves
        Its checkpoints, by the id of their rows.
    gpu_type, gpu_seconds, cost_usd
        As the columns have them, whoever wrote them and of whatever type an older table has.
    counted
        What we have counted last; None if we never have.
    """

    run_id: RowId
    run_name: str
    started_at: Any
    is_resumed: bool
    saves: Mapping[RowId, Save]
    gpu_type: Any
    gpu_seconds: Any
    cost_usd: Any
    counted: dict[str, Any] | None
    status: str | None
    overall_verdict: str | None
    planned_epochs: int | None
    parameters: dict[str, Any]


class GpuUsage:
    """Who used which machine when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, usage: Usage, subject: Subject) -> None:
        """Keep that a machine was used; the same beginning again only moves the end.

        The names that `usage` has for its run and epoch are not stored: those of `subject` are.
        """
        with self._database.connection() as connection:
            _record(connection, usage, subject)

    def accrue(self, usage: Usage, subject: Subject) -> None:
        """Keep a reading of a machine that is held since `begins` and was at `ends`, at a rate.

        What was read before is prolonged where the rate is the same; else another row goes on where it ended. A reading
        that is older than the last changes nothing.
        """
        with self._database.connection() as connection:
            # Two readers at once would both go on from the same end.
            connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (usage.machine,))
            last = connection.execute(
                """
                SELECT id, upper(period) AS ends, usd_per_hour FROM gpu_usage
                WHERE machine = %s AND source = %s AND kind = %s AND storage IS NOT DISTINCT FROM %s
                  AND upper(period) > %s
                ORDER BY upper(period) DESC LIMIT 1
                """,
                (clean_text(usage.machine), usage.source, usage.kind, usage.storage, usage.begins),
            ).fetchone()
            if last is None:
                _record(connection, usage, subject)
            elif usage.ends <= last["ends"]:
                return
            elif last["usd_per_hour"] == usage.usd_per_hour:
                connection.execute(
                    "UPDATE gpu_usage SET period = tstzrange(lower(period), %s) WHERE id = %s", (usage.ends, last["id"])
                )
            else:
                _record(connection, usage, subject, begins=last["ends"])

    def replace_of_headers(self, of_runs: Mapping[RowId, Sequence[tuple[Usage, RowId | None]]]) -> None:
        """Keep what the headers of runs tell, each with the id of its epoch's row, in place of what they told before.

        Nothing is written where it is the same.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id, training_run_id, machine, epoch_result_id, lower(period) AS begins, upper(period) AS ends "
                "FROM gpu_usage WHERE training_run_id = ANY (%s) AND source = 'header'",
                (list(of_runs),),
            ).fetchall()
            present = {
                (row["training_run_id"], row["machine"], row["epoch_result_id"], row["begins"], row["ends"]): row["id"]
                for row in rows
            }
            wanted = {
                (run_id, usage.machine, epoch_id, usage.begins, usage.ends): usage
                for run_id, usages in of_runs.items()
                for usage, epoch_id in usages
            }
            gone = [row_id for fact, row_id in present.items() if fact not in wanted]
            if gone:
                connection.execute("DELETE FROM gpu_usage WHERE id = ANY (%s)", (gone,))
            for fact, usage in wanted.items():
                if fact not in present:
                    _record(connection, usage, Subject(run_id=fact[0], epoch_id=fact[2]))

    def within(self, begins: datetime, ends: datetime) -> list[Usage]:
        """What used any machine in a time, each with its whole period."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} AND {_IN_PERIOD} {_ORDER}", {"period": TimestamptzRange(begins, ends, "[)")}
            )
            return [Usage(**row) for row in rows]

    def of_run(self, run_name: str) -> list[Usage]:
        """What a run, or the experiment whose training has this name, used."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} AND coalesce(run.run_name, experiment.output_name) = %(name)s {_ORDER}", {"name": run_name}
            )
            return [Usage(**row) for row in rows]

    def of_machine(self, machine: str) -> list[Usage]:
        """What used a machine."""
        with self._database.connection() as connection:
            rows = connection.execute(f"{_ROWS} AND used.machine = %(machine)s {_ORDER}", {"machine": machine})
            return [Usage(**row) for row in rows]

    def of_machines(self, machines: Sequence[str], begins: datetime, ends: datetime) -> list[Usage]:
        """What used these machines in a time."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} AND {_IN_PERIOD} AND used.machine = ANY (%(machines)s) {_ORDER}",
                {"period": TimestamptzRange(begins, ends, "[)"), "machines": list(machines)},
            )
            return [Usage(**row) for row in rows]

    def timed_runs(self, run_id: RowId | None = None) -> list[TimedRun]:
        """Runs with the times of their checkpoints; all of them without an id."""
        with self._database.connection() as connection:
            runs = connection.execute(
                """
                SELECT id AS run_id, coalesce(run_name, 'run ' || id) AS run_name, gpu_type, gpu_seconds, cost_usd,
                       cost_counted AS counted, status, overall_verdict, planned_epochs,
                       parent_run_id IS NOT NULL OR starting_checkpoint IS NOT NULL AS is_resumed,
                       CASE WHEN jsonb_typeof(all_parameters::jsonb) = 'object' THEN all_parameters::jsonb
                            ELSE '{}' END AS parameters
                FROM training_runs WHERE %(id)s::text IS NULL OR id::text = %(id)s ORDER BY id
                """,
                {"id": None if run_id is None else str(run_id)},
            ).fetchall()
            saves = connection.execute(
                """
                SELECT id, training_run_id, epoch_number AS epoch, step, saved_at,
                       partition_key ~ '-step[0-9]+$' AS is_within_epoch
                FROM epoch_results
                WHERE checkpoint_sha256 IS NOT NULL AND epoch_number IS NOT NULL AND superseded_at IS NULL
                  AND (%(id)s::text IS NULL OR training_run_id::text = %(id)s)
                """,
                {"id": None if run_id is None else str(run_id)},
            ).fetchall()
        by_run: dict[RowId, dict[RowId, Save]] = {}
        for row in saves:
            by_run.setdefault(row["training_run_id"], {})[row["id"]] = Save(
                row["epoch"], row["step"], row["saved_at"], bool(row["is_within_epoch"])
            )
        return [
            TimedRun(
                **row,
                started_at=row["parameters"].get("training_started_at"),
                saves=by_run.get(row["run_id"], {}),
            )
            for row in runs
        ]

    def machines_of_trainings(self, run_name: str | None = None) -> dict[str, Usage]:
        """By run, what a trainer of ours or a pod told of its training first: on which machine it is."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} AND used.kind = 'training' AND used.source IN ('trainer', 'pod') "
                f"AND (%(name)s::text IS NULL OR coalesce(run.run_name, experiment.output_name) = %(name)s) {_ORDER}",
                {"name": run_name},
            )
            told: dict[str, Usage] = {}
            for row in rows:
                if row["run"] is not None:
                    told.setdefault(row["run"], Usage(**row))
        return told

    def subject_of(self, run_name: str | None) -> Subject:
        """What a training of this name is: an experiment, a run, or nothing that is known."""
        with self._database.connection() as connection:
            experiment = connection.execute("SELECT id FROM experiments WHERE output_name = %s", (run_name,)).fetchone()
            run = connection.execute(
                "SELECT id FROM training_runs WHERE run_name = %s ORDER BY id DESC LIMIT 1", (run_name,)
            ).fetchone()
        if experiment is not None:
            return Subject(experiment_id=experiment["id"])
        return Subject(run_id=None if run is None else run["id"])

    def machines(self) -> set[str]:
        """Every machine that was ever used."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT DISTINCT machine FROM gpu_usage WHERE machine IS NOT NULL")
            return {row["machine"] for row in rows}

    def noted_gpus(self) -> dict[str, str]:
        """By run, the GPU that somebody else has noted in its row."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT run_name, gpu_type::text AS gpu FROM training_runs WHERE gpu_type IS NOT NULL "
                "AND run_name IS NOT NULL "
                "AND gpu_type::text IS DISTINCT FROM cost_counted #>> '{columns,gpu_type}'"
            )
            return {row["run_name"]: row["gpu"] for row in rows}

    def counted(self, run_id: RowId) -> dict[str, Any] | None:
        """What was counted of a run last, as `record_counted` stored it; None if it never was."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT cost_counted FROM training_runs WHERE id = %s", (run_id,)).fetchone()
        return None if row is None else row["cost_counted"]

    def record_counted(
        self,
        run_id: RowId,
        counted: Mapping[str, Any],
        columns: Mapping[str, str | float | Decimal],
        cleared: Sequence[str] = (),
    ) -> None:
        """Store what was counted of a run: the document, and columns that are ours to fill or to empty."""
        with self._database.connection() as connection:
            connection.execute("UPDATE training_runs SET cost_counted = %s WHERE id = %s", (jsonb(counted), run_id))
            for column in cleared:
                connection.execute(
                    sql.SQL("UPDATE training_runs SET {} = NULL WHERE id = %s").format(sql.Identifier(column)),
                    (run_id,),
                )
            write_what_fits(
                connection,
                "training_runs",
                run_id,
                {name: str(value) if isinstance(value, Decimal) else value for name, value in columns.items()},
            )


def _record(
    connection: psycopg.Connection[DictRow], usage: Usage, subject: Subject, begins: datetime | None = None
) -> None:
    connection.execute(
        """
        INSERT INTO gpu_usage (kind, source, machine, provider, gpu, cloud, period, usd_per_hour, gigabytes, storage,
                               training_run_id, epoch_result_id, experiment_id)
        VALUES (%(kind)s, %(source)s, %(machine)s, %(provider)s, %(gpu)s, %(cloud)s, %(period)s, %(usd_per_hour)s,
                %(gigabytes)s, %(storage)s, %(run)s, %(epoch)s, %(experiment)s)
        ON CONFLICT (machine, source, kind, (coalesce(storage, '')), (coalesce(epoch_result_id::text, '')),
                     (coalesce(training_run_id::text, '')), (coalesce(experiment_id::text, '')), lower(period))
        DO UPDATE SET period = tstzrange(lower(gpu_usage.period), greatest(upper(gpu_usage.period),
                                                                           upper(excluded.period)))
        """,
        {
            "kind": usage.kind,
            "source": usage.source,
            "machine": clean_text(usage.machine),
            "provider": usage.provider,
            "gpu": usage.gpu,
            "cloud": usage.cloud,
            "period": TimestamptzRange(begins or usage.begins, usage.ends, "[)"),
            "usd_per_hour": usage.usd_per_hour,
            "gigabytes": usage.gigabytes,
            "storage": usage.storage,
            "run": subject.run_id,
            "epoch": subject.epoch_id,
            "experiment": subject.experiment_id,
        },
    )
