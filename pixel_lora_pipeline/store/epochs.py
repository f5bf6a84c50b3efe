"""What is known of each epoch: scores by eye, measurements, state. Table `epoch_results`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.metrics_versions import keep_epoch_metrics
from pixel_lora_pipeline.store.values import clean_text, jsonb, write_what_fits

EvaluationStatus = Literal["registered", "generated", "evaluated", "failed"]

_ROWS = """
    SELECT shown.run_name, shown.epoch_result_id AS epoch_id, shown.epoch_number AS epoch, shown.step,
           shown.visual_quality_score, shown.style_match_score, shown.prompt_adherence_score, shown.color_accuracy,
           shown.style_quality, epoch.quantitative_metrics::jsonb AS quantitative_metrics, shown.evaluation_status,
           shown.contact_sheet, shown.notes
    FROM v_epoch_progress shown JOIN epoch_results epoch ON epoch.id = shown.epoch_result_id
"""

OF_SAMPLES: Final = " on the trainer's samples "
"""In the `metrics_version` of what was measured on images that the trainer painted: the metrics' version stands before
it, and a hash of the prompts after it."""

_LOWEST_SCORE, _HIGHEST_SCORE = 1, 10


class UnknownRunError(LookupError):
    """No training run has that name; the message lists those that there are."""


class UnknownEpochError(LookupError):
    """No row of `epoch_results` has that id."""


def samples_version(metrics: Mapping[str, Any]) -> str | None:
    """The hash of the sample prompts that a rollup is of; None if it is not of the trainer's images."""
    _, mark, prompts = str(metrics.get("metrics_version")).partition(OF_SAMPLES)
    return prompts if mark else None


@dataclass(frozen=True)
class EpochRow:
    """One line of a run's table.

    Attributes
    ----------
    visual_quality_score, style_match_score, prompt_adherence_score
        1 to 10, by eye; None if nobody has scored.
    color_accuracy, style_quality
        0 to 100, `overall` of the two groups in `quantitative_metrics`; None if not measured.
    quantitative_metrics
        The whole rollup; None if not measured.
    contact_sheet
        Path of the picture with all images of the epoch.
    """

    run_name: str
    epoch_id: RowId
    epoch: int | None
    step: int | None
    visual_quality_score: float | None
    style_match_score: float | None
    prompt_adherence_score: float | None
    color_accuracy: float | None
    style_quality: float | None
    quantitative_metrics: dict[str, Any] | None
    evaluation_status: EvaluationStatus | None
    contact_sheet: str | None
    notes: str | None


class Epochs:
    """Scores and measurements of epochs."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record_evaluation(
        self, epoch_id: RowId, quantitative_metrics: Mapping[str, Any], contact_sheet: str | None = None
    ) -> None:
        """Store what an epoch's evaluation found, all of it or nothing, and call the epoch evaluated.

        The colour score of 1 to 10 gets a column of its own as well, and what other versions of the metrics found is
        kept beside it.

        Parameters
        ----------
        quantitative_metrics
            The rollup of all images.
        contact_sheet
            Path of the picture with all images; None leaves the one that is there.

        Raises
        ------
        UnknownEpochError
            If there is no such epoch.
        """
        document = jsonb(quantitative_metrics)
        with self._database.connection() as connection:
            found = connection.execute(
                """
                UPDATE epoch_results SET quantitative_metrics = %s, measured_at = now(),
                    contact_sheet = coalesce(%s, contact_sheet), evaluation_status = 'evaluated'
                WHERE id = %s
                """,
                (document, None if contact_sheet is None else clean_text(contact_sheet), epoch_id),
            )
            if found.rowcount == 0:
                raise _unknown_epoch(epoch_id)
            keep_epoch_metrics(connection, epoch_id, quantitative_metrics)
            write_what_fits(
                connection,
                "epoch_results",
                epoch_id,
                {"color_accuracy_score": document.obj.get("color_accuracy_score")},
            )

    def record_samples(self, epoch_id: RowId, quantitative_metrics: Mapping[str, Any], contact_sheet: str) -> None:
        """Store what was found on images that the trainer painted, if nothing else was measured of the epoch.

        It does not make the epoch evaluated.

        Parameters
        ----------
        quantitative_metrics
            The rollup of the images, whose `metrics_version` has `OF_SAMPLES` in it.
        contact_sheet
            Path of the picture with all of them.
        """
        with self._database.connection() as connection:
            connection.execute(
                """
                UPDATE epoch_results SET quantitative_metrics = %(metrics)s,
                    contact_sheet = CASE WHEN quantitative_metrics IS NULL THEN coalesce(contact_sheet, %(sheet)s)
                                         ELSE %(sheet)s END
                WHERE id = %(id)s AND (
                    quantitative_metrics IS NULL
                    OR position(%(of_samples)s IN quantitative_metrics::jsonb ->> 'metrics_version') > 0)
                """,
                {
                    "metrics": jsonb(quantitative_metrics),
                    "sheet": clean_text(contact_sheet),
                    "id": epoch_id,
                    "of_samples": OF_SAMPLES,
                },
            )

    def metrics(self, epoch_id: RowId) -> dict[str, Any]:
        """An epoch's rollup; empty if it was not measured.

        Raises
        ------
        UnknownEpochError
            If there is no such epoch.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT coalesce(quantitative_metrics::jsonb, '{}') AS metrics FROM epoch_results WHERE id = %s",
                (epoch_id,),
            ).fetchone()
        if row is None:
            raise UnknownEpochError(f"epoch_results has no row {epoch_id}.")
        metrics: dict[str, Any] = row["metrics"]
        return metrics

    def set_status(self, epoch_id: RowId, status: EvaluationStatus) -> None:
        """Record how far the evaluation of an epoch has come.

        Raises
        ------
        UnknownEpochError
            If there is no such epoch.
        """
        with self._database.connection() as connection:
            found = connection.execute(
                "UPDATE epoch_results SET evaluation_status = %s WHERE id = %s", (status, epoch_id)
            )
            if found.rowcount == 0:
                raise _unknown_epoch(epoch_id)

    def log_subjective(
        self,
        run_name: str | None,
        epoch: int,
        visual: int,
        style: int,
        prompt_adherence: int,
        notes: str | None = None,
    ) -> RowId:
        """Record a person's scores of an epoch and return the id of its row.

        Scoring an epoch again replaces its scores. An epoch that no checkpoint has been seen of yet gets a
        row, and the checkpoint joins it when it comes.

        Parameters
        ----------
        run_name
            The run's name; None for the run whose checkpoint came last.
        epoch
            Counted from 1.
        visual, style, prompt_adherence
            Whole numbers from 1 (worst) to 10.
        notes
            None leaves notes that are there as they are.

        Raises
        ------
        ValueError
            If a score is not a whole number from 1 to 10, or the epoch not one from 1.
        UnknownRunError
            If there is no run of that name, or none at all.
        """
        scores = {"visual": visual, "style": style, "prompt adherence": prompt_adherence}
        for name, score in scores.items():
            if not _is_whole(score) or not _LOWEST_SCORE <= score <= _HIGHEST_SCORE:
                raise ValueError(
                    f"the {name} score must be a whole number from {_LOWEST_SCORE} to {_HIGHEST_SCORE}, not {score!r}."
                )
        if not _is_whole(epoch) or epoch < 1:
            raise ValueError(f"epochs are whole numbers from 1, not {epoch!r}.")
        with self._database.connection() as connection:
            run = _find_run(connection, run_name)
            # Two people scoring the same new epoch wait for each other here.
            connection.execute("SELECT id FROM training_runs WHERE id = %s FOR UPDATE", (run["id"],))
            row = connection.execute(
                """
                SELECT id FROM epoch_results
                WHERE training_run_id = %s AND epoch_number = %s AND superseded_at IS NULL
                ORDER BY partition_key ~ '-step[0-9]+$', registered_at DESC NULLS LAST, id DESC LIMIT 1
                """,
                (run["id"], epoch),
            ).fetchone()
            if row is None:
                row = connection.execute(
                    "INSERT INTO epoch_results (training_run_id, epoch_number) VALUES (%s, %s) RETURNING id",
                    (run["id"], epoch),
                ).fetchone()
            assert row is not None  # noqa: S101 - RETURNING returns
            connection.execute(
                """
                UPDATE epoch_results SET visual_quality_score = %s, style_match_score = %s,
                    prompt_adherence_score = %s, notes = coalesce(%s, notes), scored_at = now()
                WHERE id = %s
                """,
                (visual, style, prompt_adherence, None if notes is None else clean_text(notes), row["id"]),
            )
        epoch_id: RowId = row["id"]
        return epoch_id

    def table(self, run_name: str | None = None) -> list[EpochRow]:
        """The epochs of a run in the order of training; None for the run whose checkpoint came last.

        Of a file that was overwritten only the newest is listed. Without any run the table is empty.

        Raises
        ------
        UnknownRunError
            If there is no run of that name.
        """
        with self._database.connection() as connection:
            if run_name is None and _run_names(connection) == []:
                return []
            run = _find_run(connection, run_name)
            rows = connection.execute(
                f"{_ROWS} WHERE shown.training_run_id = %s "
                "ORDER BY shown.epoch_number, shown.step NULLS FIRST, shown.epoch_result_id",
                (run["id"],),
            )
            return [EpochRow(**row) for row in rows]

    def recent(self, limit: int = 200) -> list[EpochRow]:
        """The epochs of any run that were registered or measured last, the latest at the end."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} ORDER BY greatest(epoch.registered_at, epoch.measured_at) DESC NULLS LAST LIMIT %s", (limit,)
            ).fetchall()
            return [EpochRow(**row) for row in reversed(rows)]


def _unknown_epoch(epoch_id: RowId) -> UnknownEpochError:
    return UnknownEpochError(
        f"epoch_results has no row {epoch_id}: it was deleted. Materialise model_checkpoint for the checkpoint again."
    )


def _find_run(connection: psycopg.Connection[DictRow], run_name: str | None) -> DictRow:
    """The run of a name, or the newest; of several with one name (older tables may have them) the newest."""
    row = connection.execute(
        """
        SELECT id, run_name FROM training_runs WHERE %(name)s::text IS NULL OR run_name = %(name)s
        ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC LIMIT 1
        """,
        {"name": run_name},
    ).fetchone()
    if row is not None:
        return row
    known = _run_names(connection)
    if not known:
        raise UnknownRunError("there is no training run yet: runs appear with their first checkpoint.")
    raise UnknownRunError(f"there is no training run {run_name!r}. Known runs, newest first: {', '.join(known)}.")


def _run_names(connection: psycopg.Connection[DictRow]) -> list[str]:
    rows = connection.execute("SELECT run_name FROM training_runs ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC")
    return [row["run_name"] for row in rows]


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)
