"""From which checkpoint each run started: `run_lineage`, and what of it is in `training_runs`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.checkpoints import moment
from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.epochs import UnknownRunError
from pixel_lora_pipeline.store.values import clean_text, jsonb, write_what_fits
from pixel_lora_pipeline.train.lineage import (
    NEEDED_PARAMETERS,
    KnownCheckpoint,
    Link,
    Origin,
    StartedRun,
    StartingFile,
    ancestors,
    starting_path,
    trace_key,
    training_key,
)

_LOCK: Final = 7_315_041_920  # two that write at once could close a circle that neither sees
# Whole documents hold every tag of every caption.
_PARAMETERS: Final = (
    "(SELECT jsonb_object_agg(key, value) FROM jsonb_each(CASE WHEN jsonb_typeof(run.all_parameters::jsonb) = 'object' "
    "THEN run.all_parameters::jsonb ELSE '{}' END) WHERE key = ANY (%(needed)s))"
)
_NEEDED: Final = {"needed": list(NEEDED_PARAMETERS)}
# What a person or another tool has written stays: what somebody is on record for, and a parent that we did not write.
_THEIRS: Final = "(lineage.set_by IS NOT NULL OR run.parent_run_id IS DISTINCT FROM lineage.parent_run_id)"


class LineageError(ValueError):
    """A run cannot come from what somebody says it came from: says why."""


@dataclass(frozen=True)
class TracedRun:
    """A run whose beginning is not settled, with the file from which it started as it was last read.

    `key` is the `trace_key` of what was recorded last; None if nothing was.
    """

    run: StartedRun
    file: StartingFile | None
    key: str | None


@dataclass(frozen=True)
class RunOrigin:
    """Where a run started, and how that is known.

    Attributes
    ----------
    starting_checkpoint
        As the run says it; the checkpoint's path where it says nothing.
    evidence, confidence
        None where nothing is known, or where it was there before the pipeline.
    candidates
        Several that the evidence does not tell apart: nothing is decided then.
    set_by
        The person who said so.
    """

    run_id: RowId
    run_name: str
    parent_run_id: RowId | None
    parent_name: str | None
    parent_epoch: int | None
    parent_sha256: str | None
    starting_checkpoint: str | None
    evidence: str | None
    confidence: str | None
    candidates: tuple[str, ...]
    set_by: str | None


class Lineage:
    """Tables `run_lineage` and `training_runs`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unsettled(self) -> list[TracedRun]:
        """Runs that may have started from a checkpoint, and of which it is neither certain nor said by a person."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                SELECT run.id AS run_id, run.output_name, {_PARAMETERS} AS parameters,
                       coalesce(nullif(run.starting_checkpoint, lineage.written_checkpoint), asked.weights) AS stated,
                       lineage.starting_path,
                       lineage.starting_sha256, lineage.starting_model_hash, lineage.file_is_of_then, lineage.trace_key,
                       course.first_epoch
                FROM training_runs run
                LEFT JOIN run_lineage lineage ON lineage.training_run_id = run.id
                LEFT JOIN LATERAL (SELECT parameters ->> 'network_weights' AS weights FROM experiments
                                   WHERE output_name = run.output_name LIMIT 1) asked ON true
                LEFT JOIN LATERAL (SELECT min(epoch_number) AS first_epoch FROM epoch_results
                                   WHERE training_run_id = run.id AND checkpoint_sha256 IS NOT NULL) course ON true
                WHERE NOT {_THEIRS} AND lineage.confidence IS DISTINCT FROM 'certain'
                ORDER BY run.id
                """.encode(),  # noqa: S608 - put together from constants, here and below
                _NEEDED,
            ).fetchall()
        return [_traced(row) for row in rows]

    def checkpoints(self) -> list[KnownCheckpoint]:
        """Every checkpoint that was ever seen, also those that others have taken the place of."""
        with self._database.connection() as connection:
            runs = connection.execute(
                f"SELECT id, run_name, output_name, {_PARAMETERS} AS parameters FROM training_runs run".encode(),  # noqa: S608
                _NEEDED,
            ).fetchall()
            rows = connection.execute(
                """
                SELECT training_run_id AS run_id, epoch_number AS epoch, checkpoint_sha256 AS sha256, model_hash,
                       checkpoint_path AS path, saved_at
                FROM epoch_results WHERE checkpoint_sha256 IS NOT NULL AND checkpoint_path IS NOT NULL ORDER BY id
                """
            ).fetchall()
        of_run = {
            run["id"]: {
                "run_name": run["run_name"],
                "output_name": run["output_name"],
                "training_key": training_key(run["parameters"] or {}),
            }
            for run in runs
        }
        return [KnownCheckpoint(**row, **of_run[row["run_id"]]) for row in rows]

    def record(self, run: StartedRun, file: StartingFile | None, found: Sequence[Origin]) -> None:
        """Store what was found of a run's beginning.

        One checkpoint becomes its parent, unless the run would then descend from itself; several are kept beside each
        other, and nothing is decided. What a person has said stays.
        """
        with self._database.connection() as connection:
            links = _locked_links(connection)
            row = connection.execute(
                f"""
                SELECT {_THEIRS} AS theirs FROM training_runs run
                LEFT JOIN run_lineage lineage ON lineage.training_run_id = run.id WHERE run.id = %s
                """.encode(),  # noqa: S608
                (run.run_id,),
            ).fetchone()
            if row is None or row["theirs"]:
                return
            possible = [each for each in found if not _would_circle(links, run.run_id, each.checkpoint.run_id)]
            only = possible[0] if len(possible) == 1 and len(found) == 1 else None
            several = [] if only else [_described(each) for each in found]
            connection.execute(
                """
                INSERT INTO run_lineage AS lineage
                    (training_run_id, parent_run_id, starting_path, starting_sha256, starting_model_hash,
                     file_is_of_then, parent_epoch, parent_sha256, evidence, confidence, candidates, trace_key)
                VALUES (%(run)s, %(parent)s, %(path)s, %(sha256)s, %(model_hash)s, %(is_of_then)s, %(epoch)s,
                        %(parent_sha256)s, %(evidence)s, %(confidence)s, %(candidates)s, %(key)s)
                ON CONFLICT (training_run_id) DO UPDATE SET
                    parent_run_id = excluded.parent_run_id, starting_path = excluded.starting_path,
                    starting_sha256 = excluded.starting_sha256, starting_model_hash = excluded.starting_model_hash,
                    file_is_of_then = excluded.file_is_of_then, parent_epoch = excluded.parent_epoch,
                    parent_sha256 = excluded.parent_sha256, evidence = excluded.evidence,
                    confidence = excluded.confidence, candidates = excluded.candidates,
                    trace_key = excluded.trace_key, traced_at = now()
                """,
                {
                    "run": run.run_id,
                    "parent": None if only is None else only.checkpoint.run_id,
                    "path": None if run.starting_path is None else clean_text(run.starting_path),
                    "sha256": None if file is None else file.sha256,
                    "model_hash": None if file is None else file.model_hash,
                    "is_of_then": None if file is None else file.is_of_then,
                    "epoch": None if only is None else only.checkpoint.epoch,
                    "parent_sha256": None if only is None else only.checkpoint.sha256,
                    "evidence": None if not found else found[0].evidence,
                    "confidence": None if only is None else only.confidence,
                    "candidates": jsonb(several),
                    # What would close a circle is looked at again: the circle may be undone.
                    "key": trace_key(run, file, found) if len(possible) == len(found) else None,
                },
            )
            parent = None if only is None else only.checkpoint
            connection.execute(
                "UPDATE training_runs SET parent_run_id = %s WHERE id = %s",
                (None if parent is None else parent.run_id, run.run_id),
            )
            path = run.starting_path or (None if parent is None else parent.path)
            _note_checkpoint(connection, run.run_id, None if path is None else clean_text(path))

    def state(self, run_name: str, parent: tuple[str, int] | None, by: str) -> None:
        """What a person says of a run's beginning: run and epoch, or None for the base model. It is final.

        Raises
        ------
        UnknownRunError
            If there is no such run.
        LineageError
            If the parent has no such epoch, or comes from this run itself.
        """
        with self._database.connection() as connection:
            links = _locked_links(connection)
            run_id = _run_id(connection, run_name)
            parent_id, epoch, sha256, path = None, None, None, None
            if parent is not None:
                parent_id, epoch = _run_id(connection, parent[0]), parent[1]
                if _would_circle(links, run_id, parent_id):
                    raise LineageError(f"{run_name} cannot come from {parent[0]}, which comes from {run_name} itself.")
                row = connection.execute(
                    """
                    SELECT checkpoint_sha256 AS sha256, checkpoint_path AS path FROM epoch_results
                    WHERE training_run_id = %s AND epoch_number = %s
                    ORDER BY superseded_at IS NULL DESC, partition_key ~ '-step[0-9]+$' NULLS LAST, id DESC LIMIT 1
                    """,
                    (parent_id, epoch),
                ).fetchone()
                if row is None:
                    raise LineageError(f"{parent[0]} has no epoch {epoch}: `pixel-lora report` lists those it has.")
                sha256, path = row["sha256"], row["path"]
            connection.execute(
                """
                INSERT INTO run_lineage (training_run_id, parent_run_id, parent_epoch, parent_sha256, evidence,
                                         confidence, candidates, set_by)
                VALUES (%(run)s, %(parent)s, %(epoch)s, %(sha256)s, 'person', NULL, '[]', %(by)s)
                ON CONFLICT (training_run_id) DO UPDATE SET
                    parent_run_id = excluded.parent_run_id, parent_epoch = excluded.parent_epoch,
                    parent_sha256 = excluded.parent_sha256, evidence = excluded.evidence,
                    confidence = excluded.confidence, candidates = excluded.candidates, set_by = excluded.set_by,
                    traced_at = now()
                """,
                {"run": run_id, "parent": parent_id, "epoch": epoch, "sha256": sha256, "by": clean_text(by)},
            )
            connection.execute("UPDATE training_runs SET parent_run_id = %s WHERE id = %s", (parent_id, run_id))
            if parent is None:
                connection.execute("UPDATE training_runs SET starting_checkpoint = NULL WHERE id = %s", (run_id,))
            else:
                name = path or f"{parent[0]}:{parent[1]}"
                write_what_fits(connection, "training_runs", run_id, {"starting_checkpoint": name})

    def links(self) -> list[Link]:
        """Every run with its parent, in the order of their ids."""
        with self._database.connection() as connection:
            return _links(connection)

    def origin(self, run_id: RowId) -> RunOrigin:
        """What is known of one run's beginning.

        Raises
        ------
        UnknownRunError
            If there is no such run.
        """
        found = self.origins([run_id])
        if not found:
            raise UnknownRunError(f"there is no training run {run_id}.")
        return found[0]

    def origins(self, run_ids: Sequence[RowId]) -> list[RunOrigin]:
        """What is known of these runs' beginnings."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT run.id AS run_id, coalesce(run.run_name, 'run ' || run.id) AS run_name, run.parent_run_id,
                       coalesce(parent.run_name, 'run ' || parent.id) AS parent_name, lineage.parent_epoch,
                       lineage.parent_sha256, run.starting_checkpoint, lineage.evidence, lineage.confidence,
                       coalesce(lineage.candidates, '[]') AS candidates, lineage.set_by
                FROM training_runs run
                LEFT JOIN training_runs parent ON parent.id = run.parent_run_id
                LEFT JOIN run_lineage lineage ON lineage.training_run_id = run.id
                     AND lineage.parent_run_id IS NOT DISTINCT FROM run.parent_run_id
                WHERE run.id = ANY (%s) ORDER BY run.id
                """,
                (list(run_ids),),
            ).fetchall()
        return [RunOrigin(**{**row, "candidates": tuple(row["candidates"])}) for row in rows]


def _traced(row: DictRow) -> TracedRun:
    parameters = row["parameters"] or {}
    path = starting_path(parameters, row["stated"])
    file = None
    if row["starting_sha256"] is not None and row["starting_path"] == path:
        file = StartingFile(row["starting_sha256"], row["starting_model_hash"], bool(row["file_is_of_then"]))
    run = StartedRun(
        run_id=row["run_id"],
        output_name=row["output_name"],
        parameters=parameters,
        started_at=moment(parameters.get("training_started_at")),
        first_epoch=row["first_epoch"],
        starting_path=path,
    )
    return TracedRun(run, file, row["trace_key"])


def _locked_links(connection: psycopg.Connection[DictRow]) -> list[Link]:
    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    return _links(connection)


def _links(connection: psycopg.Connection[DictRow]) -> list[Link]:
    rows = connection.execute(
        """
        SELECT run.id AS run_id, coalesce(run.run_name, 'run ' || run.id) AS run_name, run.parent_run_id AS parent_id,
               lineage.parent_epoch
        FROM training_runs run
        LEFT JOIN run_lineage lineage ON lineage.training_run_id = run.id AND lineage.parent_run_id = run.parent_run_id
        ORDER BY run.id
        """
    )
    return [Link(**row) for row in rows]


def _would_circle(links: Sequence[Link], run_id: RowId, parent_id: RowId) -> bool:
    return parent_id == run_id or any(link.run_id == run_id for link in ancestors(links, parent_id))


def _note_checkpoint(connection: psycopg.Connection[DictRow], run_id: RowId, path: str | None) -> None:
    """Write `starting_checkpoint`, unless somebody else has, and remember that it was us."""
    row = connection.execute(
        """
        SELECT run.starting_checkpoint AS present, lineage.written_checkpoint AS written
        FROM training_runs run JOIN run_lineage lineage ON lineage.training_run_id = run.id WHERE run.id = %s
        """,
        (run_id,),
    ).fetchone()
    if row is None or row["present"] not in (None, row["written"]) or row["present"] == path:
        return
    if path is None:
        connection.execute("UPDATE training_runs SET starting_checkpoint = NULL WHERE id = %s", (run_id,))
    elif write_what_fits(connection, "training_runs", run_id, {"starting_checkpoint": path}):
        return
    connection.execute("UPDATE run_lineage SET written_checkpoint = %s WHERE training_run_id = %s", (path, run_id))


def _described(origin: Origin) -> str:
    at = origin.checkpoint
    epoch = "an unknown epoch" if at.epoch is None else f"epoch {at.epoch}"
    return f"{epoch} of {at.run_name} ({origin.evidence})"


def _run_id(connection: psycopg.Connection[DictRow], run_name: str) -> Any:
    row = connection.execute(
        "SELECT id FROM training_runs WHERE run_name = %s ORDER BY last_checkpoint_at DESC NULLS LAST, id DESC LIMIT 1",
        (run_name,),
    ).fetchone()
    if row is None:
        raise UnknownRunError(f"there is no training run {run_name!r}: `pixel-lora runs` lists them.")
    return row["id"]
