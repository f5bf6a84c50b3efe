"""How thoroughly each epoch is looked at: column `depth` of `epoch_results`."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.epochs import UnknownEpochError

if TYPE_CHECKING:
    from pixel_lora_pipeline.validate.depth import Depth

_ORDER: Final = ["quick", "medium", "full"]


@dataclass(frozen=True)
class EpochDepth:
    """A checkpoint at the end of an epoch, and how it is looked at; the signature is that of its file.

    Attributes
    ----------
    is_settled
        Whether the look that was decided on has been taken. Until then nothing else may be decided: an evaluation
        that is on its way would find itself short of images that nobody had asked it for when it began.
    """

    epoch: int
    epoch_id: RowId
    partition_key: str
    signature: str
    depth: "Depth"
    is_settled: bool


class Depths:
    """What was decided on how thoroughly to evaluate epochs. It only ever becomes more."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def deepen(self, epoch_id: RowId, depth: "Depth") -> "Depth":
        """Decide to look at an epoch this thoroughly, or as it was decided before if that was more.

        Returns
        -------
        What holds now.

        Raises
        ------
        UnknownEpochError
            If there is no such epoch.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                """
                UPDATE epoch_results SET depth = %(depth)s, depth_decided_at = clock_timestamp()
                WHERE id = %(epoch)s
                  AND coalesce(array_position(%(order)s, depth::text), 0) < array_position(%(order)s, %(depth)s)
                RETURNING depth
                """,
                {"epoch": epoch_id, "depth": depth, "order": _ORDER},
            ).fetchone()
            if row is None:  # it was as deep already
                row = connection.execute("SELECT depth FROM epoch_results WHERE id = %s", (epoch_id,)).fetchone()
        if row is None:
            raise UnknownEpochError(f"epoch_results has no row {epoch_id}.")
        held: Depth = row["depth"]
        return held

    def of(self, epoch_id: RowId) -> "Depth":
        """How thoroughly an epoch is looked at; fully if nothing else was decided."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT depth FROM epoch_results WHERE id = %s", (epoch_id,)).fetchone()
        depth: Depth | None = None if row is None else row["depth"]
        return depth or "full"

    def of_run(self, training_run_id: RowId) -> list[EpochDepth]:
        """The epochs of a run of which a depth was decided, in order."""
        return self._epochs(training_run_id, waiting_only=False)

    def waiting(self) -> list[EpochDepth]:
        """The epochs of all runs that a finer look was decided on since they were evaluated."""
        return self._epochs(None, waiting_only=True)

    def _epochs(self, training_run_id: RowId | None, *, waiting_only: bool) -> list[EpochDepth]:
        """Files saved within an epoch are no epochs."""
        with self._database.connection() as connection:
            rows = connection.execute(
                r"""
                SELECT DISTINCT ON (training_run_id, epoch_number) epoch_number AS epoch, id AS epoch_id,
                       partition_key, checkpoint_signature AS signature, depth,
                       evaluation_status = 'evaluated' AND coalesce(depth_decided_at <= measured_at, true) AS is_settled
                FROM epoch_results
                WHERE epoch_number IS NOT NULL AND depth IS NOT NULL AND superseded_at IS NULL
                  AND checkpoint_signature IS NOT NULL AND partition_key !~ '-step[0-9]+$'
                  AND (%(run)s::text IS NULL OR training_run_id::text = %(run)s::text)
                  AND (NOT %(waiting)s OR evaluation_status = 'evaluated' AND depth_decided_at > measured_at)
                ORDER BY training_run_id, epoch_number, registered_at DESC
                """,
                {"run": training_run_id, "waiting": waiting_only},
            )
            return [EpochDepth(**row) for row in rows]
