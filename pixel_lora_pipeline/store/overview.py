"""What the lab's pages show of runs and epochs, each page in few queries that read rollups and never all images."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

import psycopg

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.epochs import UnknownEpochError, UnknownRunError

# Of each epoch the newest file that was saved at its end, as `Conclusions.epochs` chooses it.
_NEWEST_FILE: Final = (
    "epoch_number, partition_key ~ '-step[0-9]+$' NULLS LAST, registered_at DESC NULLS LAST, epoch_results.id DESC"
)
_CURRENT: Final = "superseded_at IS NULL AND epoch_number IS NOT NULL"
# The index on images covers those that were painted for us; older tables have others, without a file.
_PAINTED: Final = "fingerprint_hash IS NOT NULL AND image_sha256 IS NOT NULL AND purpose = 'evaluation'"

_RUNS: Final = f"""
    SELECT run.id AS run_id, coalesce(run.run_name, 'run ' || run.id) AS run_name, run.status,
           run.planned_epochs, run.convergence, run.quality_score,
           run.overall_verdict, run.base_model, run.gpu_type, run.gpu_seconds, run.cost_usd, run.cost_counted,
           run.last_checkpoint_at,
           run.report IS NOT NULL AS has_report, coalesce(course.scores, '[]') AS scores, course.latest_epoch
    FROM ({{runs}}) run
    LEFT JOIN LATERAL (
        SELECT jsonb_agg(jsonb_build_array(epoch, score) ORDER BY epoch)
                   FILTER (WHERE jsonb_typeof(score) = 'number') AS scores,
               max(epoch) AS latest_epoch
        FROM (SELECT DISTINCT ON (epoch_number)
                     epoch_number AS epoch, quantitative_metrics::jsonb -> 'overall_score' AS score
              FROM epoch_results WHERE training_run_id = run.id AND {_CURRENT} ORDER BY {_NEWEST_FILE}) newest
    ) course ON true
    ORDER BY run.last_checkpoint_at DESC NULLS LAST, run.id DESC
"""  # noqa: S608 - put together from constants, here and below
_FOUND: Final = "run_name ILIKE '%%' || %(search)s || '%%'"


@dataclass(frozen=True)
class RunSummary:
    """A line of the list of runs.

    Attributes
    ----------
    convergence
        The verdict as it was stored last; None if there is none yet.
    quality_score
        By a person; of whatever type an older table has it.
    cost_counted
        What was counted of it, see `GpuUsage.record_counted`; None if it never was.
    scores
        Epoch and overall score, 0-100, of the measured epochs in order.
    latest_epoch
        The highest epoch that a checkpoint or a score is known of.
    """

    run_id: RowId
    run_name: str
    status: str | None
    planned_epochs: int | None
    convergence: dict[str, Any] | None
    quality_score: Any
    overall_verdict: str | None
    base_model: str | None
    gpu_type: str | None
    gpu_seconds: float | None
    cost_usd: Decimal | None
    cost_counted: dict[str, Any] | None
    last_checkpoint_at: datetime | None
    has_report: bool
    scores: list[tuple[int, float]]
    latest_epoch: int | None


@dataclass(frozen=True)
class EpochSummary:
    """An epoch of a run; `metrics` is its rollup without the single prompts, None if it was not measured."""

    epoch_id: RowId
    epoch: int
    step: int | None
    partition_key: str | None
    evaluation_status: str | None
    visual_quality_score: int | None
    style_match_score: int | None
    prompt_adherence_score: int | None
    notes: str | None
    registered_at: datetime | None
    measured_at: datetime | None
    has_report: bool
    metrics: dict[str, Any] | None
    issues: list[dict[str, Any]]
    recommendations: list[str]


@dataclass(frozen=True)
class EpochUnderWay:
    """An epoch whose evaluation has begun and not ended, and how many of its images there are."""

    run_id: RowId
    run_name: str
    epoch: int | None
    planned_epochs: int | None
    evaluation_status: str
    registered_at: datetime
    images: int


@dataclass(frozen=True)
class ShownImage:
    """An image as a page shows it: by the hash of its file, and of its copy on its own grid where there is one."""

    image_id: RowId
    epoch_id: RowId | None
    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    sha256: str
    snapped_sha256: str | None
    fault: str | None


@dataclass(frozen=True)
class ExplainedImage:
    """An image with everything that was measured on it, and of which run and epoch it is."""

    image_id: RowId
    run_id: RowId | None
    run_name: str | None
    epoch: int | None
    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    sha256: str
    fault: str | None
    warnings: list[str]
    metrics: dict[str, Any] | None


@dataclass(frozen=True)
class Trouble:
    """Something that wants attention: when, of which run if it is about one, and in words."""

    kind: str
    at: datetime
    run_id: RowId | None
    text: str


class Overview:
    """Reads `training_runs`, `epoch_results` and `prompt_test_results` for pages. Ids may be given as text."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def runs(self, search: str = "", *, limit: int, offset: int = 0) -> list[RunSummary]:
        """Runs whose name contains a text, those with the newest checkpoint first."""
        chosen = (
            f"SELECT * FROM training_runs WHERE {_FOUND} "  # noqa: S608
            "ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC LIMIT %(limit)s OFFSET %(offset)s"
        )
        with self._database.connection() as connection:
            rows = connection.execute(
                _RUNS.format(runs=chosen).encode(), {"search": _literal(search), "limit": limit, "offset": offset}
            )
            return [_summary(row) for row in rows]

    def count_runs(self, search: str = "") -> int:
        """How many those are."""
        with self._database.connection() as connection:
            row = connection.execute(
                f"SELECT count(*) AS runs FROM training_runs WHERE {_FOUND}",  # noqa: S608
                {"search": _literal(search)},
            ).fetchone()
        return 0 if row is None else int(row["runs"])

    def run(self, run_id: RowId | str) -> RunSummary:
        """One run.

        Raises
        ------
        UnknownRunError
            If there is none of that id.
        """
        found = self.runs_by_id([run_id])
        if not found:
            raise UnknownRunError(f"there is no training run {run_id}.")
        return found[0]

    def runs_by_id(self, run_ids: Sequence[RowId | str]) -> list[RunSummary]:
        """Those of these runs that there are, the newest first."""
        chosen = "SELECT * FROM training_runs WHERE id::text = ANY (%(ids)s)"
        with self._database.connection() as connection:
            rows = connection.execute(_RUNS.format(runs=chosen).encode(), {"ids": [str(run_id) for run_id in run_ids]})
            return [_summary(row) for row in rows]

    def epochs(self, run_id: RowId) -> list[EpochSummary]:
        """The epochs of a run in order, one row each."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT DISTINCT ON (epoch_number)
                       id AS epoch_id, epoch_number AS epoch, step, partition_key, evaluation_status,
                       visual_quality_score, style_match_score, prompt_adherence_score, notes, registered_at,
                       measured_at, report IS NOT NULL AS has_report,
                       CASE WHEN jsonb_typeof(quantitative_metrics::jsonb) = 'object'
                            THEN quantitative_metrics::jsonb - 'prompts' END AS metrics,
                       CASE WHEN jsonb_typeof(diagnosed_issues::jsonb) = 'array'
                            THEN diagnosed_issues::jsonb ELSE '[]' END AS issues,
                       coalesce(recommendations, '{{}}') AS recommendations
                FROM epoch_results WHERE training_run_id = %s AND {_CURRENT} ORDER BY {_NEWEST_FILE}
                """,  # noqa: S608
                (run_id,),
            )
            return [EpochSummary(**row) for row in rows]

    def prompt_scores(self, epoch_ids: Sequence[RowId]) -> dict[RowId, dict[str, float]]:
        """The overall score of every prompt, 0-100, by epoch."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT epoch.id, prompt.key AS prompt_id, (prompt.value ->> 'overall_score')::float8 AS score
                FROM epoch_results epoch
                CROSS JOIN LATERAL jsonb_each(quantitative_metrics::jsonb -> 'prompts') prompt
                WHERE epoch.id = ANY (%s) AND jsonb_typeof(quantitative_metrics::jsonb -> 'prompts') = 'object'
                  AND jsonb_typeof(prompt.value -> 'overall_score') = 'number'
                """,
                (list(epoch_ids),),
            )
            scores: dict[RowId, dict[str, float]] = {}
            for row in rows:
                scores.setdefault(row["id"], {})[row["prompt_id"]] = row["score"]
        return scores

    def images(self, epoch_ids: Sequence[RowId]) -> list[ShownImage]:
        """The images of epochs, one a question: of those that were painted again the last."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT DISTINCT ON (epoch_result_id, prompt_id, seed, prompt, negative_prompt)
                       id AS image_id, epoch_result_id AS epoch_id, prompt_id, prompt, negative_prompt, seed,
                       image_sha256 AS sha256, snapped_sha256, fault
                FROM prompt_test_results
                WHERE epoch_result_id = ANY (%s) AND {_PAINTED}
                ORDER BY epoch_result_id, prompt_id, seed, prompt, negative_prompt, id DESC
                """,  # noqa: S608
                (list(epoch_ids),),
            )
            return [ShownImage(**row) for row in rows]

    def images_without_lora(self, epoch_id: RowId) -> list[ShownImage]:
        """Images of the base model alone, on the base model that an epoch was painted on."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT DISTINCT ON (prompt_id, seed, prompt, negative_prompt)
                       id AS image_id, epoch_result_id AS epoch_id, prompt_id, prompt, negative_prompt, seed,
                       image_sha256 AS sha256, snapped_sha256, fault
                FROM prompt_test_results
                WHERE epoch_result_id IS NULL AND {_PAINTED}
                  AND fingerprint ->> 'base' IN (
                      SELECT fingerprint ->> 'base' FROM prompt_test_results
                      WHERE epoch_result_id = %s AND {_PAINTED})
                ORDER BY prompt_id, seed, prompt, negative_prompt, id DESC
                """,  # noqa: S608
                (epoch_id,),
            )
            return [ShownImage(**row) for row in rows]

    def latest_images(self) -> tuple[RowId, str, int, list[ShownImage]] | None:
        """Id and name of the run and number of the epoch that was measured last, with its images."""
        with self._database.connection() as connection:
            row = connection.execute(
                f"""
                SELECT epoch_results.id AS epoch_id, run.id AS run_id, run.run_name, epoch_number AS epoch
                FROM epoch_results JOIN training_runs run ON run.id = training_run_id
                WHERE {_CURRENT} AND measured_at IS NOT NULL AND EXISTS (
                    SELECT FROM prompt_test_results WHERE epoch_result_id = epoch_results.id AND {_PAINTED})
                ORDER BY measured_at DESC LIMIT 1
                """  # noqa: S608
            ).fetchone()
        if row is None:
            return None
        return row["run_id"], row["run_name"], row["epoch"], self.images([row["epoch_id"]])

    def image(self, image_id: RowId | str) -> ExplainedImage:
        """One image.

        Raises
        ------
        UnknownEpochError
            If there is none of that id.
        """
        with self._database.connection() as connection:
            try:
                row = connection.execute(
                    """
                    SELECT image.id AS image_id, run.id AS run_id, run.run_name, epoch.epoch_number AS epoch,
                           image.prompt_id, image.prompt, image.negative_prompt, image.seed, image.width, image.height,
                           image.image_sha256 AS sha256, image.fault, coalesce(image.warnings, '{}') AS warnings,
                           image.metrics
                    FROM prompt_test_results image
                    LEFT JOIN epoch_results epoch ON epoch.id = image.epoch_result_id
                    LEFT JOIN training_runs run ON run.id = epoch.training_run_id
                    WHERE image.id = %s AND image.image_sha256 IS NOT NULL
                    """,
                    (str(image_id),),
                ).fetchone()
            except psycopg.DataError:
                row = None
        if row is None:
            raise UnknownEpochError(f"there is no image {image_id}.")
        return ExplainedImage(**row)

    def under_way(self) -> list[EpochUnderWay]:
        """Epochs that are evaluated now, then those in watched folders that wait for it since less than a day."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT run.id AS run_id, run.run_name, epoch_number AS epoch, run.planned_epochs, evaluation_status,
                       registered_at, painted.images
                FROM epoch_results JOIN training_runs run ON run.id = training_run_id
                CROSS JOIN LATERAL (SELECT count(*) AS images FROM prompt_test_results image
                                    WHERE image.epoch_result_id = epoch_results.id AND {_PAINTED}) painted
                WHERE superseded_at IS NULL AND evaluation_status IN ('registered', 'generated')
                  AND registered_at > now() - interval '1 day'
                  -- Others were filled in from where nobody watches, and wait for nothing.
                  AND (painted.images > 0 OR EXISTS (SELECT FROM landed_files file
                                                     WHERE file.signature = epoch_results.checkpoint_signature))
                ORDER BY painted.images = 0, registered_at, epoch_results.id
                """  # noqa: S608
            )
            return [EpochUnderWay(**row) for row in rows]

    def trouble(self, most: int) -> list[Trouble]:
        """What of the last week wants attention, the newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT * FROM (
                    SELECT 'refused' AS kind, refused_at AS at, NULL AS run_id,
                           regexp_replace(path, '^.*[/\\\\]', '') || ': ' || fault AS text
                    FROM refused_checkpoints WHERE refused_at > now() - interval '7 days'
                    UNION ALL
                    SELECT 'failed', registered_at, run.id::text,
                           format('%%s, epoch %%s: the evaluation failed', run_name, epoch_number)
                    FROM epoch_results JOIN training_runs run ON run.id = training_run_id
                    WHERE evaluation_status = 'failed' AND superseded_at IS NULL
                      AND registered_at > now() - interval '7 days'
                    UNION ALL
                    SELECT convergence_status, last_checkpoint_at, id::text,
                           run_name || ': ' || (convergence ->> 'reason')
                    FROM training_runs
                    WHERE convergence_status = 'degrading' AND last_checkpoint_at > now() - interval '7 days'
                    UNION ALL
                    SELECT 'unsent', max(created_at), NULL,
                           format('%%s messages could not be sent, the last: %%s', count(*),
                                  (array_agg(subject ORDER BY created_at DESC))[1])
                    FROM notifications WHERE state = 'dead' HAVING count(*) > 0
                ) trouble WHERE text IS NOT NULL ORDER BY at DESC LIMIT %s
                """,
                (most,),
            )
            return [Trouble(**row) for row in rows]

    def report_of_run(self, run_id: RowId | str) -> str | None:
        """Path of a run's report; None if there is none, or no such run."""
        return self._path("SELECT report AS path FROM training_runs WHERE id = %s", run_id)

    def report_of_epoch(self, epoch_id: RowId | str) -> str | None:
        """Path of an epoch's report; None if there is none, or no such epoch."""
        return self._path("SELECT report AS path FROM epoch_results WHERE id = %s", epoch_id)

    def impact_report(self, report_id: RowId | str) -> str | None:
        """Path of a parameter impact report; None if there is none of that id."""
        return self._path("SELECT page AS path FROM impact_reports WHERE id = %s", report_id)

    def impact_reports(self, most: int) -> list[tuple[RowId, datetime]]:
        """Ids and dates of the newest parameter impact reports."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT id, created_at FROM impact_reports WHERE page IS NOT NULL "
                "ORDER BY created_at DESC, id DESC LIMIT %s",
                (most,),
            )
            return [(row["id"], row["created_at"]) for row in rows]

    def _path(self, query: str, row_id: RowId | str) -> str | None:
        with self._database.connection() as connection:
            try:
                row = connection.execute(query.encode(), (str(row_id),)).fetchone()
            except psycopg.DataError:
                return None
        return None if row is None else row["path"]


def _literal(search: str) -> str:
    """A text that LIKE takes letter by letter."""
    return search.replace("\x00", "").replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _summary(row: dict[str, Any]) -> RunSummary:
    return RunSummary(**{**row, "scores": [(epoch, score) for epoch, score in row["scores"]]})
