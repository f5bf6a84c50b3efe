"""Training runs and their checkpoints: tables `training_runs` and `epoch_results`."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, DatabaseError, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb, write_what_fits

if TYPE_CHECKING:
    from pixel_lora_pipeline.train import Checkpoint, RunIdentity

# Parameters that have a column of their own, under the same name.
_PARAMETER_COLUMNS = (
    "network_dim", "network_alpha", "conv_dim", "conv_alpha", "learning_rate", "unet_lr", "text_encoder_lr",
    "lr_scheduler", "lr_warmup_steps", "optimizer_type", "max_train_epochs", "max_train_steps",
    "train_batch_size", "gradient_accumulation_steps", "seed", "clip_skip", "caption_version", "keep_tokens",
    "shuffle_caption", "caption_dropout_rate", "color_aug", "flip_aug", "noise_offset", "min_snr_gamma",
    "max_grad_norm", "mixed_precision", "resolution", "min_bucket_reso", "max_bucket_reso",
    "bucket_no_upscale",
)  # fmt: skip

_BETWEEN_EPOCHS = re.compile(r"-step\d+$")  # ends the partition key of a file saved within an epoch
_SHA256 = re.compile(r"[0-9a-f]{64}")
_NEW_RUN_LOCK = 7_315_041_903  # beside the migrations' lock

_STATUSES_BY_CHECKPOINTS = (None, "", "training")  # from then on: completed, or what people say

logger = logging.getLogger(__name__)


class UnknownCheckpointError(LookupError):
    """No checkpoint of that key is registered."""


@dataclass(frozen=True)
class StoredCheckpoint:
    """A registered checkpoint, as `epoch_results` and its run know it.

    Attributes
    ----------
    epoch, step
        None where neither header nor file name tell them.
    planned_epochs
        How many epochs the run was started for, if known.
    path
        Where the file was when it was last seen.
    parameters
        `training_runs.all_parameters`: parameter name to value.
    """

    partition_key: str
    epoch_id: RowId
    training_run_id: RowId
    run_name: str
    epoch: int | None
    step: int | None
    planned_epochs: int | None
    sha256: str
    path: str
    parameters: dict[str, Any]


class Checkpoints:
    """What checkpoints exist and what they say of themselves."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def register(self, checkpoint: "Checkpoint") -> RowId:
        """Record a checkpoint and its run, and return the id of its row in `epoch_results`.

        The same file may be registered any number of times, by several processes at once: there is one row. A
        file with other content under the same partition key gets a row of its own and supersedes the one
        before it. A row that was only scored by hand so far, without a file, becomes the checkpoint's.

        A run is known by its identity. If another run has its name already, the name is told apart by the
        date of its start. What people or other tools have written into the rows stays; the run's parameters
        are those of its furthest checkpoint.
        """
        sha256 = checkpoint.sha256  # reads the whole file: not while holding locks
        with self._database.connection() as connection:
            return write_checkpoint(connection, checkpoint, sha256)

    def get(self, partition_key: str) -> StoredCheckpoint:
        """The checkpoint that has this partition key now.

        Raises
        ------
        UnknownCheckpointError
            If none was registered under it.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                """
                SELECT epoch.partition_key, epoch.id AS epoch_id, epoch.training_run_id, run.run_name,
                       epoch.epoch_number AS epoch, epoch.step, run.planned_epochs,
                       epoch.checkpoint_sha256 AS sha256, epoch.checkpoint_path AS path,
                       coalesce(run.all_parameters::jsonb, '{}') AS parameters
                FROM epoch_results epoch JOIN training_runs run ON run.id = epoch.training_run_id
                WHERE epoch.partition_key = %s AND epoch.superseded_at IS NULL
                ORDER BY epoch.registered_at DESC LIMIT 1
                """,
                (partition_key,),
            ).fetchone()
        if row is None:
            raise UnknownCheckpointError(
                f"no checkpoint is registered as {partition_key}: materialise model_checkpoint for it first."
            )
        return StoredCheckpoint(**row)


def write_checkpoint(connection: psycopg.Connection[DictRow], checkpoint: "Checkpoint", sha256: str) -> RowId:
    """`Checkpoints.register` in the caller's transaction."""
    run_id = lock_run(connection, checkpoint.run)
    epoch_id = _write_epoch(connection, run_id, checkpoint, sha256)
    _write_run(connection, run_id, checkpoint)
    return epoch_id


def lock_run(connection: psycopg.Connection[DictRow], run: "RunIdentity") -> RowId:
    """Find or make the run's row, and keep others from working on it until the end of the transaction."""
    key = run.key
    find = "SELECT id FROM training_runs WHERE run_identity = %s FOR UPDATE"
    row = connection.execute(find, (key,)).fetchone()
    if row is None:
        # One new run at a time: the choice of a free name looks at all the others.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_NEW_RUN_LOCK,))
        row = connection.execute(find, (key,)).fetchone()
    if row is None:
        row = connection.execute(
            "INSERT INTO training_runs (run_name, run_identity) VALUES (%s, %s) RETURNING id",
            (_free_name(connection, run), key),
        ).fetchone()
        assert row is not None  # noqa: S101 - RETURNING returns
        origin = {
            "run_date": _started(run).isoformat(),
            "session_id": run.session_id,
            "output_name": run.output_name,
        }
        write_what_fits(connection, "training_runs", row["id"], origin)
    run_id: RowId = row["id"]
    return run_id


def _free_name(connection: psycopg.Connection[DictRow], run: "RunIdentity") -> str:
    name, date = clean_text(run.name), f"-{_started(run):%Y-%m-%d-%H%M}"
    taken = {row["run_name"] for row in connection.execute("SELECT run_name FROM training_runs")}
    # An older database may allow its names fewer characters than we need.
    column = connection.execute(
        "SELECT atttypmod - 4 AS longest FROM pg_attribute "
        "WHERE attrelid = 'training_runs'::regclass AND attname = 'run_name' AND atttypmod > 0"
    ).fetchone()
    longest = None if column is None else column["longest"]
    suffixes = ["", date, *(f"{date}-{number}" for number in range(2, len(taken) + 2))]
    candidates = (name[: None if longest is None else longest - len(suffix)] + suffix for suffix in suffixes)
    return next(candidate for candidate in candidates if candidate not in taken)


def _started(run: "RunIdentity") -> datetime:
    """When the training began; now, if its header does not say or claims a time that no calendar has."""
    return moment(run.started_at) or datetime.now(UTC)


def _saved_at(checkpoint: "Checkpoint") -> datetime | None:
    """When the file was written, by its header."""
    finished = checkpoint.parameters.get("training_finished_at")
    return None if finished is None else moment(finished.value)


def _model_hash(checkpoint: "Checkpoint") -> str | None:
    """SHA-256 of the weights, as the header claims it; None for a claim that is no such hash."""
    claimed = checkpoint.parameters.get("model_hash")
    text = None if claimed is None else str(claimed.value).lower()
    return text if text is not None and _SHA256.fullmatch(text) else None


def moment(unix_seconds: Any) -> datetime | None:
    """A time as headers have it; None for what is no time, or one that no calendar has."""
    if not isinstance(unix_seconds, int | float) or isinstance(unix_seconds, bool):
        return None
    try:
        return datetime.fromtimestamp(unix_seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def _write_epoch(
    connection: psycopg.Connection[DictRow], run_id: RowId, checkpoint: "Checkpoint", sha256: str
) -> RowId:
    values = {
        "run": run_id,
        "epoch": checkpoint.epoch,
        "step": checkpoint.step,
        "sha256": sha256,
        "path": clean_text(str(checkpoint.path)),
        "size": checkpoint.size,
        "signature": checkpoint.signature,
        "partition_key": checkpoint.partition_key,
        "is_final": checkpoint.is_final,
        "saved_at": _saved_at(checkpoint),
        "model_hash": _model_hash(checkpoint),
        "whole_epoch": _BETWEEN_EPOCHS.search(checkpoint.partition_key) is None,
    }
    row = connection.execute(
        """
        SELECT id FROM epoch_results
        WHERE training_run_id = %(run)s AND epoch_number IS NOT DISTINCT FROM %(epoch)s
          AND (checkpoint_sha256 IS NULL AND step IS NULL AND %(whole_epoch)s
               OR checkpoint_sha256 = %(sha256)s AND step IS NOT DISTINCT FROM %(step)s)
        ORDER BY checkpoint_sha256 NULLS LAST, scored_at DESC NULLS LAST LIMIT 1
        """,
        values,
    ).fetchone()
    if row is None:
        try:
            row = connection.execute(
                "INSERT INTO epoch_results (training_run_id, epoch_number, evaluation_status) "
                "VALUES (%(run)s, %(epoch)s, 'registered') RETURNING id",
                values,
            ).fetchone()
        except psycopg.errors.UniqueViolation as fault:
            raise DatabaseError(
                f"epoch {checkpoint.epoch} of this run has a row already, and {fault.diag.constraint_name}, "
                "which was in this database before, allows only one. A file with other content needs one of "
                "its own: drop that constraint or index of epoch_results, then try again."
            ) from fault
    assert row is not None  # noqa: S101 - RETURNING returns
    epoch_id: RowId = row["id"]
    connection.execute(
        """
        UPDATE epoch_results SET
            step = %(step)s, checkpoint_sha256 = %(sha256)s, checkpoint_path = %(path)s,
            checkpoint_size = %(size)s, checkpoint_signature = %(signature)s,
            partition_key = %(partition_key)s, is_final = %(is_final)s, saved_at = %(saved_at)s,
            model_hash = %(model_hash)s,
            registered_at = clock_timestamp(), superseded_at = NULL,
            evaluation_status = coalesce(evaluation_status, 'registered')
        WHERE id = %(id)s
        """,
        {**values, "id": epoch_id},
    )
    connection.execute(
        "UPDATE epoch_results SET superseded_at = now() "
        "WHERE training_run_id = %s AND partition_key = %s AND id <> %s AND superseded_at IS NULL",
        (run_id, checkpoint.partition_key, epoch_id),
    )
    return epoch_id


def _write_run(connection: psycopg.Connection[DictRow], run_id: RowId, checkpoint: "Checkpoint") -> None:
    connection.execute("UPDATE training_runs SET last_checkpoint_at = now() WHERE id = %s", (run_id,))
    further = connection.execute(
        "SELECT 1 FROM epoch_results WHERE training_run_id = %s AND checkpoint_sha256 IS NOT NULL "
        "AND (coalesce(epoch_number, -1), coalesce(step, -1)) > (%s::bigint, %s::bigint) LIMIT 1",
        (
            run_id,
            -1 if checkpoint.epoch is None else checkpoint.epoch,
            -1 if checkpoint.step is None else checkpoint.step,
        ),
    ).fetchone()
    if further is not None:
        return
    parameters, sources = checkpoint.to_json(), dict(checkpoint.sources_json())
    # A run has lasted as long as its furthest checkpoint says.
    if (duration := checkpoint.parameters.get("total_training_time")) is not None:
        parameters["total_training_time"], sources["total_training_time"] = duration.value, duration.source
    # What others know of the run (a person's notes, rows that were there before) is neither dropped nor missing.
    connection.execute(
        """
        UPDATE training_runs SET
            all_parameters = coalesce(all_parameters::jsonb, '{}') || %(parameters)s,
            parameter_sources = coalesce(parameter_sources::jsonb, '{}') || %(sources)s,
            parameters_missing = %(missing)s - ARRAY(
                SELECT jsonb_object_keys(all_parameters::jsonb) WHERE jsonb_typeof(all_parameters::jsonb) = 'object')
        WHERE id = %(run)s
        """,
        {
            "parameters": jsonb(parameters),
            "sources": jsonb(sources),
            "missing": jsonb(checkpoint.missing),
            "run": run_id,
        },
    )
    columns = _columns(checkpoint, parameters)
    if not _is_status_ours(connection, run_id):
        del columns["status"]
    unfit = write_what_fits(connection, "training_runs", run_id, columns)
    if unfit:
        logger.warning(
            "training_runs row %s: columns %s cannot hold their parameters and were left as they were; "
            "all_parameters has them",
            run_id,
            ", ".join(unfit),
        )


def _is_status_ours(connection: psycopg.Connection[DictRow], run_id: RowId) -> bool:
    """Whether a run's status may follow its checkpoints: not if a person or another tool has called it failed."""
    row = connection.execute("SELECT status::text AS status FROM training_runs WHERE id = %s", (run_id,)).fetchone()
    return row is None or row["status"] in _STATUSES_BY_CHECKPOINTS


def _columns(checkpoint: "Checkpoint", parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **parameter_columns(parameters),
        "base_model": parameters.get("pretrained_model_name_or_path"),
        "base_architecture": checkpoint.base_architecture,
        "adapter": checkpoint.adapter.adapter,
        "planned_epochs": checkpoint.planned_epochs,
        "status": "completed" if checkpoint.is_final else "training",
    }


def parameter_columns(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that have a column of their own; None for those that are not known.

    A list means that the subsets of the training data differ: there is no one value for the column.
    """
    single = {name: value for name, value in parameters.items() if not isinstance(value, list | dict)}
    return {name: single.get(name) for name in _PARAMETER_COLUMNS}
