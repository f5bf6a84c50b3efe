"""What is concluded of epochs and runs: convergence, issues, recommendations, reports; and what it is drawn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.epochs import UnknownEpochError, UnknownRunError
from pixel_lora_pipeline.store.notifications import Message, Notifications
from pixel_lora_pipeline.store.values import clean_text, jsonb, write_what_fits


class NothingEvaluatedError(LookupError):
    """There is no evaluated epoch to conclude from: says what there is."""


@dataclass(frozen=True)
class RunRow:
    """A run; `gpu_seconds` and `cost_usd` are None where nobody has counted them."""

    run_id: RowId
    run_name: str
    base_model: str | None
    base_architecture: str | None
    planned_epochs: int | None
    parameters: dict[str, Any]
    gpu_type: str | None
    gpu_seconds: float | None
    cost_usd: Decimal | None


@dataclass(frozen=True)
class EvaluatedEpoch:
    """An epoch with its rollup, `quantitative_metrics`, and its file if one was seen."""

    epoch_id: RowId
    epoch: int
    step: int | None
    partition_key: str | None
    sha256: str | None
    path: str | None
    metrics: dict[str, Any]


@dataclass(frozen=True)
class LatestIssues:
    """The last measured epoch of a run: its rollup, and its issues where its images were judged."""

    epoch_id: RowId
    epoch: int
    metrics: dict[str, Any]
    issues: list[dict[str, Any]] | None


class Conclusions:
    """Columns of `training_runs` and `epoch_results` that hold conclusions."""

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    def run(self, run_name: str | None = None) -> RunRow:
        """A run by its name; None for the one whose checkpoint came last.

        Raises
        ------
        UnknownRunError
            If there is no run of that name, or none at all.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                """
                SELECT id AS run_id, run_name, base_model, base_architecture, planned_epochs,
                       coalesce(all_parameters::jsonb, '{}') AS parameters, gpu_type, gpu_seconds, cost_usd
                FROM training_runs WHERE %(name)s::text IS NULL OR run_name = %(name)s
                ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC LIMIT 1
                """,
                {"name": run_name},
            ).fetchone()
            names = connection.execute(
                "SELECT run_name FROM training_runs ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC"
            ).fetchall()
        if row is None and not names:
            raise UnknownRunError("there is no training run yet: runs appear with their first checkpoint.")
        if row is None:
            known = ", ".join(str(name["run_name"]) for name in names)
            raise UnknownRunError(f"there is no training run {run_name!r}. Known runs, newest first: {known}.")
        return RunRow(**row)

    def epochs(self, run_id: RowId) -> list[EvaluatedEpoch]:
        """The measured epochs of a run in order, one row each: the newest file that was saved at the epoch's end.

        Checkpoints of which no epoch is known are left out.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT DISTINCT ON (epoch_number)
                    id AS epoch_id, epoch_number AS epoch, step, partition_key, checkpoint_sha256 AS sha256,
                    checkpoint_path AS path, quantitative_metrics::jsonb AS metrics
                FROM epoch_results
                WHERE training_run_id = %s AND superseded_at IS NULL AND epoch_number IS NOT NULL
                  AND jsonb_typeof(quantitative_metrics::jsonb) = 'object'
                ORDER BY epoch_number, partition_key ~ '-step[0-9]+$' NULLS LAST, registered_at DESC NULLS LAST, id DESC
                """,
                (run_id,),
            )
            return [EvaluatedEpoch(**row) for row in rows]

    def record_issues(self, issues: Mapping[RowId, Sequence[Mapping[str, Any]]]) -> None:
        """Store the issues of epochs as they stood at each, by the id of their rows.

        Raises
        ------
        UnknownEpochError
            If one of the epochs is gone; none is written then.
        """
        with self._database.connection() as connection:
            for epoch_id, found in issues.items():
                updated = connection.execute(
                    "UPDATE epoch_results SET diagnosed_issues = %s WHERE id = %s", (jsonb(list(found)), epoch_id)
                )
                if updated.rowcount == 0:
                    raise _unknown_epoch(epoch_id)

    def verdict(self, run_id: RowId) -> dict[str, Any]:
        """The verdict on a run as it was stored last.

        Raises
        ------
        NothingEvaluatedError
            If there is none.
        """
        with self._database.connection() as connection:
            row = connection.execute("SELECT convergence FROM training_runs WHERE id = %s", (run_id,)).fetchone()
        if row is None or row["convergence"] is None:
            raise NothingEvaluatedError(f"run {run_id} has no verdict yet: materialise convergence for it first.")
        verdict: dict[str, Any] = row["convergence"]
        return verdict

    def verdicts(self) -> list[tuple[str, dict[str, Any]]]:
        """The verdicts on all runs that have one, with the run's name."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT run_name, convergence FROM training_runs WHERE convergence IS NOT NULL ORDER BY id"
            )
            return [(row["run_name"], row["convergence"]) for row in rows]

    def run_reports(self) -> list[str]:
        """Paths of the reports of all runs, the newest run first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT report FROM training_runs WHERE report IS NOT NULL ORDER BY last_checkpoint_at DESC NULLS LAST"
            )
            return [row["report"] for row in rows]

    def record_convergence(
        self, run_id: RowId, epoch_id: RowId, verdict: Mapping[str, Any], news: Sequence[Message] = ()
    ) -> None:
        """Store the verdict on a run as it stands at its last epoch, with both, and what people are told of it.

        Parameters
        ----------
        verdict
            JSON-ready; `status` and `best_epoch` get columns of their own as well.

        Raises
        ------
        UnknownEpochError
            If the epoch is gone.
        """
        document, status = jsonb(verdict), verdict.get("status")
        with self._database.connection() as connection:
            updated = connection.execute(
                "UPDATE epoch_results SET convergence = %s, convergence_status = %s WHERE id = %s",
                (document, status, epoch_id),
            )
            if updated.rowcount == 0:
                raise _unknown_epoch(epoch_id)
            connection.execute(
                "UPDATE training_runs SET convergence = %s, convergence_status = %s WHERE id = %s",
                (document, status, run_id),
            )
            write_what_fits(connection, "training_runs", run_id, {"best_epoch": verdict.get("best_epoch")})
            for message in news:
                self._notifications.add(connection, message)

    def record_recommendations(self, epoch_id: RowId, recommendations: Sequence[str]) -> None:
        """Store what to do after an epoch, in sentences.

        Raises
        ------
        UnknownEpochError
            If the epoch is gone.
        """
        texts = [clean_text(text) for text in recommendations]
        with self._database.connection() as connection:
            updated = connection.execute(
                "UPDATE epoch_results SET recommendations = %s WHERE id = %s", (texts, epoch_id)
            )
            if updated.rowcount == 0:
                raise _unknown_epoch(epoch_id)

    def diagnosed_issues(self, epoch_id: RowId) -> list[dict[str, Any]]:
        """The issues of an epoch as they were stored last."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT diagnosed_issues FROM epoch_results WHERE id = %s", (epoch_id,)).fetchone()
        return [] if row is None or row["diagnosed_issues"] is None else row["diagnosed_issues"]

    def latest_issues(self, run_id: RowId) -> LatestIssues | None:
        """What the last measured epoch of a run showed; None if none is measured."""
        with self._database.connection() as connection:
            row = connection.execute(
                """
                SELECT id AS epoch_id, epoch_number AS epoch, quantitative_metrics::jsonb AS metrics,
                       CASE WHEN EXISTS (SELECT FROM prompt_test_results
                                         WHERE epoch_result_id = epoch_results.id AND purpose = 'evaluation')
                            THEN diagnosed_issues::jsonb END AS issues
                FROM epoch_results
                WHERE training_run_id = %s AND superseded_at IS NULL AND epoch_number IS NOT NULL
                  AND jsonb_typeof(quantitative_metrics::jsonb) = 'object'
                ORDER BY epoch_number DESC, id DESC LIMIT 1
                """,
                (run_id,),
            ).fetchone()
        return None if row is None else LatestIssues(**row)

    def record_diagnosis(
        self, run_id: RowId, epoch_id: RowId, issues: Sequence[Mapping[str, Any]], next_steps: Sequence[str]
    ) -> None:
        """Store why a run has its issues, and what to do.

        Parameters
        ----------
        epoch_id
            The epoch that shows them.
        issues
            As `record_issues` takes them, each with its `causes`.
        next_steps
            Sentences.

        Raises
        ------
        UnknownEpochError
            If the epoch is gone.
        """
        document, steps = jsonb(list(issues)), [clean_text(step) for step in next_steps]
        with self._database.connection() as connection:
            updated = connection.execute(
                "UPDATE epoch_results SET diagnosed_issues = %s WHERE id = %s", (document, epoch_id)
            )
            if updated.rowcount == 0:
                raise _unknown_epoch(epoch_id)
            connection.execute(
                "UPDATE training_runs SET root_cause_diagnosis = %s, recommended_next_steps = %s WHERE id = %s",
                (document, steps, run_id),
            )

    def record_epoch_report(self, epoch_id: RowId, path: Path) -> None:
        """Record where an epoch's report lies."""
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE epoch_results SET report = %s, reported_at = now() WHERE id = %s",
                (clean_text(str(path)), epoch_id),
            )

    def record_run_report(self, run_id: RowId, path: Path) -> None:
        """Record where a run's report lies."""
        with self._database.connection() as connection:
            connection.execute("UPDATE training_runs SET report = %s WHERE id = %s", (clean_text(str(path)), run_id))


def _unknown_epoch(epoch_id: RowId) -> UnknownEpochError:
    return UnknownEpochError(
        f"epoch_results has no row {epoch_id}: it was deleted. Materialise model_checkpoint for the checkpoint again."
    )
