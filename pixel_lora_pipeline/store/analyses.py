"""Which runs have measurements that nobody has drawn conclusions from yet, and what earlier runs looked like."""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import pandas as pd

from pixel_lora_pipeline.store.database import Database, RowId

# Enough to know where runs peak; older ones were often trained on other data.
_MOST_PAST_RUNS: Final = 30


@dataclass(frozen=True)
class DueRun:
    """A run whose newest measurement is younger than its last analysis; `waiting_since` is the oldest such one."""

    run_id: RowId
    run_name: str
    measured_at: datetime
    waiting_since: datetime


class Analyses:
    """When runs were measured, analysed and reported on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def due(self) -> list[DueRun]:
        """Runs that wait for an analysis, the most recently measured first; epochs without images take no part."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.id AS run_id, run.run_name, max(epoch.measured_at) AS measured_at,
                       min(epoch.measured_at) AS waiting_since
                FROM training_runs run JOIN epoch_results epoch ON epoch.training_run_id = run.id
                WHERE epoch.superseded_at IS NULL AND epoch.epoch_number IS NOT NULL
                  AND epoch.measured_at > coalesce(run.analyzed_until, '-infinity')
                  AND EXISTS (SELECT FROM prompt_test_results image
                              WHERE image.epoch_result_id = epoch.id AND image.purpose = 'evaluation')
                GROUP BY run.id, run.run_name
                ORDER BY measured_at DESC
                """
            )
            return [DueRun(**row) for row in rows]

    def measured_at(self, run_id: RowId) -> datetime | None:
        """When the newest measurement of a run was stored; ask before reading what is to be analysed."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT max(measured_at) AS newest FROM epoch_results WHERE training_run_id = %s", (run_id,)
            ).fetchone()
        newest: datetime | None = None if row is None else row["newest"]
        return newest

    def finish(self, run_id: RowId, measured_at: datetime | None) -> None:
        """Remember that a run was analysed with all measurements up to a moment."""
        with self._database.connection() as connection:
            connection.execute("UPDATE training_runs SET analyzed_until = %s WHERE id = %s", (measured_at, run_id))

    def unfinished(self) -> dict[str, list[Path]]:
        """Files of the epochs of runs that are not at their planned end and were not told to stop, by run name."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.run_name, array_agg(epoch.checkpoint_path ORDER BY epoch.epoch_number) AS paths
                FROM training_runs run JOIN epoch_results epoch ON epoch.training_run_id = run.id
                WHERE epoch.superseded_at IS NULL AND epoch.checkpoint_path IS NOT NULL AND epoch.epoch_number >= 1
                  AND coalesce(run.convergence_status, 'continue') = 'continue'
                GROUP BY run.id, run.run_name, run.planned_epochs
                HAVING max(epoch.epoch_number) < run.planned_epochs
                """
            )
            return {row["run_name"]: [Path(path) for path in row["paths"]] for row in rows}

    def past_curves(self, run_id: RowId) -> list[pd.DataFrame]:
        """Scores of other runs on the same kind of base model: `epoch`, `score` (0-100), `n_images`; newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.id AS run, epoch.epoch_number AS epoch,
                       coalesce(epoch.quantitative_metrics::jsonb ->> 'metrics_version', '') AS version,
                       (epoch.quantitative_metrics::jsonb ->> 'overall_score')::float AS score,
                       (epoch.quantitative_metrics::jsonb ->> 'n_images')::float AS n_images
                FROM (
                    SELECT id, last_checkpoint_at FROM training_runs
                    WHERE id <> %(run)s AND base_architecture IS NOT DISTINCT FROM (
                        SELECT base_architecture FROM training_runs WHERE id = %(run)s)
                    ORDER BY last_checkpoint_at DESC NULLS LAST LIMIT %(most)s
                ) run JOIN epoch_results epoch ON epoch.training_run_id = run.id
                WHERE epoch.superseded_at IS NULL AND epoch.epoch_number >= 1
                  AND jsonb_typeof(epoch.quantitative_metrics::jsonb -> 'overall_score') = 'number'
                ORDER BY run.last_checkpoint_at DESC NULLS LAST, run.id, epoch.epoch_number
                """,
                {"run": run_id, "most": _MOST_PAST_RUNS},
            ).fetchall()
        if not rows:
            return []
        table = pd.DataFrame(rows)
        # What was measured in different ways is no course.
        curves = table.groupby(["run", "version"], sort=False)
        return [curve.drop(columns=["run", "version"]).reset_index(drop=True) for _, curve in curves]

    def unreported_epochs(self, run_id: RowId) -> list[int]:
        """Epochs that were measured since their report was written, or have none."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT epoch_number AS epoch FROM epoch_results
                WHERE training_run_id = %s AND superseded_at IS NULL AND epoch_number IS NOT NULL
                  AND measured_at > coalesce(reported_at, '-infinity')
                ORDER BY epoch
                """,
                (run_id,),
            )
            return [row["epoch"] for row in rows]
