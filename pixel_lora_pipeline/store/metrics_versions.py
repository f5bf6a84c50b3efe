"""What each version of the metrics measured: tables `image_measurements` and `epoch_metrics`.

The current numbers stand in `prompt_test_results.metrics` and `epoch_results.quantitative_metrics`; here they are kept
as well, so that a new version's do not overwrite them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import jsonb

UNKNOWN_VERSION: Final = "unknown"
"""Of a rollup that does not say which version of the metrics it is of, in a database that is older than they are."""


def keep_image_metrics(
    connection: psycopg.Connection[DictRow], metrics: Mapping[RowId, Mapping[str, Any]], metrics_version: str
) -> None:
    """Keep what a version measured on images, by the id of their rows, in the caller's transaction."""
    connection.cursor().executemany(
        """
        INSERT INTO image_measurements (prompt_test_result_id, metrics_version, image_sha256, metrics, measured_at)
        SELECT id, %s, image_sha256, %s, now() FROM prompt_test_results WHERE id = %s
        ON CONFLICT (prompt_test_result_id, metrics_version) DO UPDATE SET
            image_sha256 = excluded.image_sha256, metrics = excluded.metrics, measured_at = excluded.measured_at
        """,
        [(metrics_version, jsonb(measured), image_id) for image_id, measured in metrics.items()],
    )


def keep_epoch_metrics(connection: psycopg.Connection[DictRow], epoch_id: RowId, metrics: Mapping[str, Any]) -> None:
    """Keep an epoch's rollup under the version that it names, in the caller's transaction."""
    connection.execute(
        """
        INSERT INTO epoch_metrics (epoch_result_id, metrics_version, metrics, measured_at) VALUES (%s, %s, %s, now())
        ON CONFLICT (epoch_result_id, metrics_version) DO UPDATE SET
            metrics = excluded.metrics, measured_at = excluded.measured_at
        """,
        (epoch_id, metrics.get("metrics_version") or UNKNOWN_VERSION, jsonb(metrics)),
    )


@dataclass(frozen=True)
class MeasuredEpoch:
    """An epoch with its current rollup; `name` is run and epoch, for people."""

    epoch_id: RowId
    training_run_id: RowId
    name: str
    metrics: dict[str, Any]


class MetricsVersions:
    """The measurements of all versions."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_image(self, image_id: RowId) -> dict[str, dict[str, Any]]:
        """What each version measured on the picture that an image's row has now, the oldest measurement first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT kept.metrics_version, kept.metrics FROM image_measurements kept
                JOIN prompt_test_results image ON image.id = kept.prompt_test_result_id
                WHERE image.id = %s AND kept.image_sha256 = image.image_sha256
                ORDER BY kept.measured_at, kept.metrics_version
                """,
                (image_id,),
            )
            return {row["metrics_version"]: row["metrics"] for row in rows}

    def of_epoch(self, epoch_id: RowId) -> dict[str, dict[str, Any]]:
        """Each version's rollup of an epoch, the oldest measurement first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT metrics_version, metrics FROM epoch_metrics "
                "WHERE epoch_result_id = %s AND metrics_version IS NOT NULL ORDER BY measured_at, metrics_version",
                (epoch_id,),
            )
            return {row["metrics_version"]: row["metrics"] for row in rows}

    def measured_epochs(self, run_id: RowId | None = None) -> list[MeasuredEpoch]:
        """All epochs that were measured, of one run or of all, in the order of training; overwritten files included."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT epoch.id AS epoch_id, run.id AS training_run_id,
                       concat(run.run_name, ', epoch ', coalesce(epoch.epoch_number::text, '?'),
                              ', step ' || epoch.step) AS name,
                       epoch.quantitative_metrics::jsonb AS metrics
                FROM epoch_results epoch JOIN training_runs run ON run.id = epoch.training_run_id
                WHERE (%(run)s::text IS NULL OR run.id::text = %(run)s)
                  AND jsonb_typeof(epoch.quantitative_metrics::jsonb) = 'object'
                ORDER BY run.run_name, epoch.epoch_number, epoch.step, epoch.id
                """,
                {"run": None if run_id is None else str(run_id)},
            )
            return [MeasuredEpoch(**row) for row in rows]
