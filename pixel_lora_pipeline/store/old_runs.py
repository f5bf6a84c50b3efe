"""Fills in runs of which only traces are left; what is known already stays as it is."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.checkpoints import lock_run, parameter_columns, write_checkpoint
from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb, plain, write_what_fits
from pixel_lora_pipeline.train.derived_parameters import derive_parameters
from pixel_lora_pipeline.train.parameter_difference import same_value
from pixel_lora_pipeline.train.parameter_table import parameter_table, typed_value
from pixel_lora_pipeline.train.parameter_value import ParameterValue, of_run
from pixel_lora_pipeline.train.parameters import NOTHING_FOUND
from pixel_lora_pipeline.train.taxonomy import MEASURED_PARAMETERS, is_observable, run_taxonomy

if TYPE_CHECKING:
    from pixel_lora_pipeline.train import Checkpoint, RunIdentity
    from pixel_lora_pipeline.train.observations import EpochObservation

OBSERVED_VERSION: Final = "observations"
"""`metrics_version` of measurements that people noted."""

# When something was written says nothing of what was; it alone is no reason to write again.
_TIMES_OF_WRITING: Final = frozenset(
    {"last_checkpoint_at", "registered_at", "scored_at", "measured_at", "superseded_at", "created_at", "updated_at"}
)


@dataclass(frozen=True)
class RunPlan:
    """What is to be filled into a run.

    Attributes
    ----------
    run_name
        Of the run; a new one gets it.
    row_id
        Its row; None if it is known by its identity or is new.
    run
        Its identity, if a header tells it; a row without one becomes this run's.
    checkpoints
        To register, in the order of training.
    parameters
        What is known beside the checkpoints.
    missing
        Why other parameters are not known; empty if no file of the run was found.
    facts
        Column of `training_runs` → value.
    epochs
        What was noted of them.
    painted_epochs
        Epochs of which there are images: each gets a row.
    """

    run_name: str
    row_id: RowId | None = None
    run: "RunIdentity | None" = None
    checkpoints: tuple["Checkpoint", ...] = ()
    parameters: Mapping[str, ParameterValue] = field(default_factory=dict, repr=False)
    missing: Mapping[str, str] = field(default_factory=dict, repr=False)
    facts: Mapping[str, Any] = field(default_factory=dict)
    epochs: tuple["EpochObservation", ...] = ()
    painted_epochs: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Change:
    """A value that was, or would be, written: "run" or "epoch 5", the field, and its value before and after."""

    place: str
    field: str
    before: Any
    after: Any


@dataclass(frozen=True)
class FilledRun:
    """A run after it was filled in.

    Attributes
    ----------
    is_new
        Whether it had no row before.
    changes
        Nothing if all of it was there.
    kept
        Sentences: what is there differs from what was found, and stays.
    n_known
        Parameters that are known of it now.
    missing
        The others, each with the reason.
    unevaluated
        Paths of checkpoints that are registered and not evaluated.
    painted
        The row of each epoch of which there are images. What a dry run made is not there any more.
    """

    run_name: str
    run_id: RowId
    is_new: bool
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    n_known: int
    missing: dict[str, str] = field(repr=False)
    unevaluated: tuple[str, ...]
    painted: dict[int, RowId] = field(repr=False)


class OldRuns:
    """Rows of `training_runs` and `epoch_results`, completed from what is left of the trainings."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fill(self, plan: RunPlan, *, dry_run: bool = False) -> FilledRun:
        """Fill in one run, all of it or nothing.

        Only what is empty is filled, but for the parameters that the run's furthest checkpoint tells. A run for
        which there is nothing new is not touched, so that filling in twice changes nothing. With `dry_run` nothing
        is written: everything is done, compared and rolled back.

        Raises
        ------
        DatabaseError
            If an older constraint forbids a row.
        """
        hashes = [checkpoint.sha256 for checkpoint in plan.checkpoints]  # reads the files: not while holding locks
        with self._database.connection() as connection, connection.transaction():
            row_id = plan.row_id if plan.row_id is not None else _find(connection, plan)
            before = _snapshot(connection, row_id)
            if row_id is None:
                row_id = _insert(connection, plan)
            kept = _fill(connection, row_id, plan, hashes)
            painted = {epoch: _epoch(connection, row_id, epoch)["id"] for epoch in sorted(plan.painted_epochs)}
            after = _snapshot(connection, row_id)
            changes = _differences(before, after)
            filled = _filled(plan, row_id, before, after, changes, kept, painted)
            if dry_run or not changes:
                raise psycopg.Rollback
        return filled


def _find(connection: psycopg.Connection[DictRow], plan: RunPlan) -> RowId | None:
    if plan.run is None:
        return None
    row = connection.execute("SELECT id FROM training_runs WHERE run_identity = %s", (plan.run.key,)).fetchone()
    return None if row is None else row["id"]


def _insert(connection: psycopg.Connection[DictRow], plan: RunPlan) -> RowId:
    if plan.run is not None:
        return lock_run(connection, plan.run)
    name = clean_text(plan.run_name)
    try:
        with connection.transaction():  # an older table may date new rows today, and this run is older
            query = "INSERT INTO training_runs (run_name, run_date) VALUES (%s, NULL) RETURNING id"
            row = connection.execute(query, (name,)).fetchone()
    except psycopg.errors.NotNullViolation:
        row = connection.execute("INSERT INTO training_runs (run_name) VALUES (%s) RETURNING id", (name,)).fetchone()
    assert row is not None  # noqa: S101 - RETURNING returns
    row_id: RowId = row["id"]
    return row_id


def _fill(connection: psycopg.Connection[DictRow], row_id: RowId, plan: RunPlan, hashes: list[str]) -> list[str]:
    row = connection.execute(
        "SELECT run_identity, last_checkpoint_at FROM training_runs WHERE id = %s FOR UPDATE", (row_id,)
    ).fetchone()
    assert row is not None  # noqa: S101 - it was found or made in this transaction
    if plan.run is not None and row["run_identity"] is None:
        connection.execute("UPDATE training_runs SET run_identity = %s WHERE id = %s", (plan.run.key, row_id))
        origin = {"session_id": plan.run.session_id, "output_name": plan.run.output_name}
        write_what_fits(connection, "training_runs", row_id, origin)
    kept = _fill_from_columns(connection, row_id)
    kept += _fill_columns(connection, "training_runs", row_id, plan.facts, "the run")
    for checkpoint, sha256 in zip(plan.checkpoints, hashes, strict=True):
        write_checkpoint(connection, checkpoint, sha256)
    if plan.checkpoints:  # registering them now does not make an old run the newest
        connection.execute(
            "UPDATE training_runs SET last_checkpoint_at = %s WHERE id = %s",
            (row["last_checkpoint_at"] or _finished(plan.checkpoints), row_id),
        )
    kept += _fill_parameters(connection, row_id, plan, is_claimed=row["run_identity"] is not None)
    for epoch in plan.epochs:
        kept += _fill_epoch(connection, row_id, epoch)
    return kept


def _finished(checkpoints: Iterable["Checkpoint"]) -> datetime | None:
    times = [checkpoint.parameters["training_finished_at"].value for checkpoint in checkpoints
             if "training_finished_at" in checkpoint.parameters]  # fmt: skip
    try:
        return max((datetime.fromtimestamp(time, UTC) for time in times if isinstance(time, int | float)), default=None)
    except (OverflowError, ValueError, OSError):  # a header may claim a time that no calendar has
        return None


def _fill_from_columns(connection: psycopg.Connection[DictRow], row_id: RowId) -> list[str]:
    """Parameters that only a column of their own has, as rows have it that are older than `all_parameters`."""
    row = connection.execute(
        """
        SELECT to_jsonb(run) AS columns, run.all_parameters::jsonb AS parameters FROM training_runs run WHERE id = %s
        """,
        (row_id,),
    ).fetchone()
    assert row is not None  # noqa: S101
    known = _object(row["parameters"])
    found: dict[str, ParameterValue] = {}
    unread = []
    for name, parameter in run_taxonomy().items():
        raw = row["columns"].get(name)
        if raw is None or name in known or not is_observable(parameter):
            continue
        try:
            found[name] = ParameterValue(typed_value(parameter, raw), "database")
        except ValueError as error:
            unread.append(f"the column {name} is {raw!r}, which is {error}, and was not taken for the parameter")
    _add_parameters(connection, row_id, found)
    return unread


def _fill_parameters(
    connection: psycopg.Connection[DictRow], row_id: RowId, plan: RunPlan, *, is_claimed: bool
) -> list[str]:
    row = connection.execute(
        "SELECT all_parameters::jsonb AS parameters, coalesce(parameters_missing::jsonb, '{}') AS missing "
        "FROM training_runs WHERE id = %s",
        (row_id,),
    ).fetchone()
    assert row is not None  # noqa: S101
    known = _object(row["parameters"])
    new = {name: found for name, found in plan.parameters.items() if name not in known}
    kept = [
        f"{name} is {known[name]!r}; the observations say {found.value!r}"
        for name, found in plan.parameters.items()
        if name in known and found.source == "observations" and not same_value(known[name], plain(found.value))
    ]
    _add_parameters(connection, row_id, new)
    _add_calculated(connection, row_id)
    reasons = {**plan.missing, **row["missing"]} if is_claimed else {**row["missing"], **plan.missing}
    reasons = reasons or dict.fromkeys(parameter_table().keys() & run_taxonomy().keys(), NOTHING_FOUND)
    missing = {name: why for name, why in reasons.items() if name not in known and name not in new}
    connection.execute("UPDATE training_runs SET parameters_missing = %s WHERE id = %s", (jsonb(missing), row_id))
    values = {name: found.value for name, found in new.items()}
    columns = {
        **parameter_columns(values),
        "base_model": values.get("pretrained_model_name_or_path"),
        "planned_epochs": values.get("max_train_epochs"),
    }
    _fill_columns(connection, "training_runs", row_id, columns, "the run")
    return kept


def _add_calculated(connection: psycopg.Connection[DictRow], row_id: RowId) -> None:
    """What follows from a run's parameters; where tensors were read, it was calculated with them."""
    row = connection.execute(
        """
        SELECT all_parameters::jsonb AS parameters, parameter_sources::jsonb AS sources FROM training_runs WHERE id = %s
        """,
        (row_id,),
    ).fetchone()
    assert row is not None  # noqa: S101
    sources = _object(row["sources"])
    known = {
        name: ParameterValue(value, sources.get(name, "database")) for name, value in _object(row["parameters"]).items()
    }
    if not known.keys() & MEASURED_PARAMETERS.keys():
        _add_parameters(connection, row_id, of_run(derive_parameters(known, None)))


def _add_parameters(
    connection: psycopg.Connection[DictRow], row_id: RowId, parameters: Mapping[str, ParameterValue]
) -> None:
    if not parameters:  # a row of which nothing is known stays without a document
        return
    connection.execute(
        """
        UPDATE training_runs SET
            all_parameters = %(values)s ||
                CASE jsonb_typeof(all_parameters::jsonb) WHEN 'object' THEN all_parameters::jsonb ELSE '{}' END,
            parameter_sources = %(sources)s || coalesce(parameter_sources::jsonb, '{}')
        WHERE id = %(run)s
        """,
        {
            "values": jsonb({name: found.value for name, found in parameters.items()}),
            "sources": jsonb({name: found.source for name, found in parameters.items()}),
            "run": row_id,
        },
    )


def _fill_columns(
    connection: psycopg.Connection[DictRow], table: str, row_id: RowId, values: Mapping[str, Any], of: str
) -> list[str]:
    """Fill columns that are empty; sentences about those that are not, and say otherwise."""
    query = f"SELECT to_jsonb(filled) AS columns FROM {table} filled WHERE id = %s"  # noqa: S608 - the names are ours
    row = connection.execute(query.encode(), (row_id,)).fetchone()
    assert row is not None  # noqa: S101
    present = {name: row["columns"].get(name) for name in values}
    empty = {name: value for name, value in values.items() if value is not None and present[name] is None}
    unfit = write_what_fits(connection, table, row_id, empty)
    kept = [f"the column {name} of {of} cannot hold {values[name]!r}" for name in unfit]
    for name, value in values.items():
        if present[name] is not None and value is not None and not _is_same(name, present[name], value):
            kept.append(f"{name} of {of} is {present[name]!r}; the observations say {value!r}")
    return kept


def _is_same(column: str, present: Any, value: Any) -> bool:
    if column == "run_date":  # a column of dates keeps no time
        return str(present)[:10] == str(value)[:10]
    return same_value(present, plain(value))


def _epoch(connection: psycopg.Connection[DictRow], row_id: RowId, epoch: int) -> DictRow:
    """The row of an epoch's end, its `id` and `metrics`, made if there is none."""
    row = connection.execute(
        """
        SELECT id, quantitative_metrics::jsonb AS metrics FROM epoch_results
        WHERE training_run_id = %s AND epoch_number = %s AND superseded_at IS NULL
        ORDER BY partition_key ~ '-step[0-9]+$', registered_at DESC NULLS LAST, id DESC LIMIT 1
        """,
        (row_id, epoch),
    ).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO epoch_results (training_run_id, epoch_number) VALUES (%s, %s) "
            "RETURNING id, NULL::jsonb AS metrics",
            (row_id, epoch),
        ).fetchone()
    assert row is not None  # noqa: S101 - RETURNING returns
    return row


def _fill_epoch(connection: psycopg.Connection[DictRow], row_id: RowId, noted: "EpochObservation") -> list[str]:
    row = _epoch(connection, row_id, noted.epoch)
    of = f"epoch {noted.epoch}"
    kept = _fill_columns(connection, "epoch_results", row["id"], {**noted.scores, "notes": noted.notes}, of)
    if noted.scores:
        connection.execute(
            "UPDATE epoch_results SET scored_at = coalesce(scored_at, now()) WHERE id = %s", (row["id"],)
        )
    metrics = {**noted.metrics, "metrics_version": OBSERVED_VERSION}
    if noted.metrics and row["metrics"] is None:
        connection.execute(
            "UPDATE epoch_results SET quantitative_metrics = %s WHERE id = %s", (jsonb(metrics), row["id"])
        )
    elif noted.metrics and row["metrics"] != plain(metrics):
        kept.append(f"the measurements of {of} are there already; those of the observations were not used")
    return kept


@dataclass(frozen=True)
class _Snapshot:
    """A run's row and those of its epochs, as JSON; empty for a run that is not there."""

    run: dict[str, Any]
    epochs: dict[str, dict[str, Any]]


def _snapshot(connection: psycopg.Connection[DictRow], row_id: RowId | None) -> _Snapshot:
    if row_id is None:
        return _Snapshot({}, {})
    run = connection.execute(
        "SELECT to_jsonb(run) AS columns FROM training_runs run WHERE id = %s", (row_id,)
    ).fetchone()
    epochs = connection.execute(
        """
        SELECT id::text AS id,
               to_jsonb(epoch) || jsonb_build_object('superseded', superseded_at IS NOT NULL) AS columns
        FROM epoch_results epoch WHERE training_run_id = %s ORDER BY epoch_number, step NULLS FIRST, id
        """,
        (row_id,),
    ).fetchall()
    return _Snapshot({} if run is None else run["columns"], {epoch["id"]: epoch["columns"] for epoch in epochs})


def _differences(before: _Snapshot, after: _Snapshot) -> tuple[Change, ...]:
    changes = list(_changed("run", before.run, after.run))
    for key, columns in after.epochs.items():
        changes += _changed(_epoch_name(columns), before.epochs.get(key, {}), columns)
    return tuple(changes)


def _changed(place: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[Change]:
    for name, value in after.items():
        if name in _TIMES_OF_WRITING or before.get(name) == value:
            continue
        if name in ("all_parameters", "parameter_sources", "parameters_missing"):
            was, now = _object(before.get(name)), _object(value)
            for key in sorted(was.keys() | now.keys()):
                if was.get(key) != now.get(key) or (key in was) != (key in now):
                    yield Change(place, f"{name}.{key}", was.get(key), now.get(key))
        else:
            yield Change(place, name, before.get(name), value)


def _object(document: Any) -> dict[str, Any]:
    return document if isinstance(document, dict) else {}


def _epoch_name(columns: Mapping[str, Any]) -> str:
    within = re.search(r"-step0*(\d+)$", columns["partition_key"] or "")
    return f"epoch {columns['epoch_number']}" + (f" (step {within[1]})" if within else "")


def _filled(
    plan: RunPlan,
    row_id: RowId,
    before: _Snapshot,
    after: _Snapshot,
    changes: tuple[Change, ...],
    kept: list[str],
    painted: dict[int, RowId],
) -> FilledRun:
    return FilledRun(
        run_name=str(after.run["run_name"] or plan.run_name),
        run_id=row_id,
        painted=painted,
        is_new=not before.run,
        changes=changes,
        kept=tuple(kept),
        n_known=len(_object(after.run["all_parameters"])),
        missing=_object(after.run["parameters_missing"]),
        unevaluated=tuple(
            str(epoch["checkpoint_path"])
            for epoch in after.epochs.values()
            if epoch["checkpoint_path"] and not epoch["superseded"] and epoch["evaluation_status"] != "evaluated"
        ),
    )
