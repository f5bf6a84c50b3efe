"""What became of every run: the numbers of its best epoch, and which issues each of its epochs had."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pixel_lora_pipeline.store.database import Database, RowId


@dataclass(frozen=True)
class RunResult:
    """A run that has come to an end, by its best epoch.

    Attributes
    ----------
    epoch
        The epoch that was judged best; the last one where none was.
    quality_score
        What a person gave the run, in whatever scale; None if nobody did.
    metrics
        Rollup of that epoch without its prompts, `epoch_results.quantitative_metrics`.
    metrics_version
        Of the metrics that it was measured by; "observations" where a person noted the numbers.
    gpu_seconds, cost_usd
        None where nobody has counted them.
    """

    run_id: RowId
    run_name: str
    run_date: datetime | None
    quality_score: float | None
    epoch: int | None
    metrics: dict[str, Any] | None
    metrics_version: str | None
    gpu_seconds: float | None
    cost_usd: float | None


@dataclass(frozen=True)
class EpochIssues:
    """What an epoch of a run showed: its rollup, and its issues where its images were judged."""

    run_name: str
    epoch: int
    metrics: dict[str, Any]
    issues: list[dict[str, Any]] | None


# In tables that are older than we are they may be of any type.
_NUMBERS: Final = ("quality_score", "gpu_seconds", "cost_usd")


class Results:
    """Results of runs, for learning across them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_ended_runs(self) -> list[RunResult]:
        """Runs that will not get better any more, in the order of their dates.

        They have all their epochs, were judged to have had their best one, or were scored by a person.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.id AS run_id, run.run_name, run.run_date, run.quality_score, best.epoch, best.metrics,
                       best.metrics ->> 'metrics_version' AS metrics_version, run.gpu_seconds, run.cost_usd
                FROM training_runs run
                LEFT JOIN LATERAL (
                    SELECT epoch_number AS epoch,
                           quantitative_metrics::jsonb - '{prompts,intervals}'::text[] AS metrics
                    FROM epoch_results
                    WHERE training_run_id = run.id AND superseded_at IS NULL AND epoch_number IS NOT NULL
                      AND jsonb_typeof(quantitative_metrics::jsonb) = 'object'
                    ORDER BY epoch_number = run.best_epoch DESC NULLS LAST, epoch_number DESC, id DESC
                    LIMIT 1
                ) best ON true
                WHERE run.run_name IS NOT NULL AND (
                    run.quality_score IS NOT NULL
                    OR run.convergence_status IN ('plateau', 'degrading', 'optimal')
                    OR (SELECT max(epoch_number) FROM epoch_results
                        WHERE training_run_id = run.id AND jsonb_typeof(quantitative_metrics::jsonb) = 'object')
                       >= run.planned_epochs
                )
                ORDER BY run.run_date NULLS FIRST, run.id
                """
            )
            return [RunResult(**{**row, **{name: _number(row[name]) for name in _NUMBERS}}) for row in rows]

    def issues_by_epoch(self) -> list[EpochIssues]:
        """Every measured epoch of every run, in order."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.run_name, epoch.epoch_number AS epoch,
                       CASE WHEN EXISTS (SELECT FROM prompt_test_results
                                         WHERE epoch_result_id = epoch.id AND purpose = 'evaluation')
                            THEN epoch.diagnosed_issues::jsonb END AS issues,
                       epoch.quantitative_metrics::jsonb - '{prompts,intervals}'::text[] AS metrics
                FROM epoch_results epoch JOIN training_runs run ON run.id = epoch.training_run_id
                WHERE epoch.superseded_at IS NULL AND epoch.epoch_number IS NOT NULL AND run.run_name IS NOT NULL
                  AND jsonb_typeof(epoch.quantitative_metrics::jsonb) = 'object'
                ORDER BY run.run_date NULLS FIRST, run.id, epoch.epoch_number, epoch.id
                """
            )
            return [EpochIssues(**row) for row in rows]


def _number(value: Any) -> float | None:
    """What a column holds, if it is a number."""
    try:
        return None if value is None else float(value)
    except ValueError:
        return None
