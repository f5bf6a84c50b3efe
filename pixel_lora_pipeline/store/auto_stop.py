"""Machines that may be stopped, every decision about each, and the kill switch: see `sql/0022_auto_stop.sql`."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Literal, get_args

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.notifications import Message, Notifications
from pixel_lora_pipeline.store.values import clean_text, jsonb
from pixel_lora_pipeline.train.auto_stop.reading import Verdict
from pixel_lora_pipeline.train.auto_stop.watch import PastLook, Rule, Watch

KEPT: Final = timedelta(days=14)
"""How long decisions to do nothing are kept. All others are kept for good."""

_LOCK: Final = 731_504  # beside a machine's id; the migrations' lock has another form
_FORGOTTEN: Final = timedelta(days=1)  # what is gone for so long does not come back

_ROWS: Final = """
    SELECT id AS machine_id, kind, name, found_by, run_name, folder, usd_limit, hours_limit, registered_by,
           registered_at, phase, armed_at, looked_at, last_good_at, highest_rate, due_since, stop_asked_at, previous
    FROM auto_stop_machines
"""


class AutoStopError(ValueError):
    """What was asked of the guard cannot be done: says why, and what can."""


@dataclass(frozen=True)
class WatchedMachine:
    """A registered machine.

    Attributes
    ----------
    found_by
        `{"pod_id": …}`, what a trainer has returned for its training (the name of a pod whose id it has not heard yet),
        or number, start and host of a process.
    run_name
        Of the training on it; None where its verdict takes no part.
    folder
        The training's own, in which its checkpoints land; None if it is not known.
    watch
        Its limits, and what is remembered of it.
    """

    machine_id: RowId
    kind: Literal["training", "pod", "process"]
    name: str
    found_by: dict[str, Any]
    run_name: str | None
    folder: Path | None
    registered_by: str
    registered_at: datetime
    watch: Watch


@dataclass(frozen=True)
class StopDecision:
    """A decision as it was recorded.

    Attributes
    ----------
    reading
        What was read, see `Look.to_dict`; None where nothing was.
    age_seconds
        How old that was when it was decided on.
    previous
        The look before, as it took part.
    """

    decision_id: RowId
    at: datetime
    machine: str
    action: str
    rules: list[str]
    reason: str
    phase: str | None
    mode: str | None
    reading: dict[str, Any] | None
    age_seconds: float | None
    previous: dict[str, Any] | None
    version: str | None
    decided_by: str


@dataclass(frozen=True)
class KillSwitch:
    """The kill switch as it was set last."""

    is_off: bool
    why: str
    switched_by: str
    at: datetime


class AutoStop:
    """Tables `auto_stop_machines`, `auto_stop_decisions` and `auto_stop_switches`."""

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    def clock(self) -> datetime:
        """Now, by the one clock that counts."""
        with self._database.connection() as connection:
            row = connection.execute("SELECT clock_timestamp() AS now").fetchone()
        assert row is not None  # noqa: S101 - the clock always answers
        now: datetime = row["now"]
        return now

    def register(
        self,
        kind: Literal["pod", "process"],
        name: str,
        found_by: Mapping[str, Any],
        by: str,
        *,
        run_name: str | None = None,
        folder: Path | None = None,
        usd_limit: float | None = None,
        hours_limit: float | None = None,
    ) -> WatchedMachine:
        """Watch a pod or a process from now on.

        Parameters
        ----------
        usd_limit, hours_limit
            What it may cost and how long it may run, each time it runs; None for what the configuration says.

        Raises
        ------
        AutoStopError
            If it is watched already.
        """
        try:
            with self._database.connection() as connection:
                # The number of a process that has ended may be that of another one now.
                connection.execute(
                    "UPDATE auto_stop_machines SET unwatched_at = clock_timestamp() "
                    "WHERE name = %s AND kind = 'process' AND phase = 'stopped' AND unwatched_at IS NULL",
                    (clean_text(name),),
                )
                row = connection.execute(
                    """
                    INSERT INTO auto_stop_machines
                        (kind, name, found_by, run_name, folder, usd_limit, hours_limit, registered_by)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING id
                    """,
                    (
                        kind,
                        clean_text(name),
                        jsonb(found_by),
                        None if run_name is None else clean_text(run_name),
                        None if folder is None else clean_text(str(folder)),
                        None if usd_limit is None else Decimal(str(usd_limit)),
                        hours_limit,
                        clean_text(by),
                    ),
                ).fetchone()
                assert row is not None  # noqa: S101 - RETURNING returns
                _note(connection, row["id"], name, "watched", "It was registered by hand.", by)
        except psycopg.errors.UniqueViolation as error:
            raise AutoStopError(
                f"{name} is watched already: `pixel-lora auto-stop unwatch {name}` first, to change its limits."
            ) from error
        return self.get(row["id"])

    def adopt_trainings(self) -> int:
        """Register every training that we have started and that runs; return for how many that was new."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                INSERT INTO auto_stop_machines
                    (kind, name, found_by, run_name, folder, registered_by, experiment_id)
                SELECT CASE WHEN training ?| ARRAY['pod_id', 'pod_name'] THEN 'pod' ELSE 'training' END,
                       coalesce(training ->> 'pod_id', output_name), training, output_name,
                       regexp_replace(training ->> 'last_checkpoint', '[/\\\\][^/\\\\]*$', ''),
                       'trainer', id
                FROM experiments WHERE state = 'RUNNING' AND training IS NOT NULL AND output_name IS NOT NULL
                ON CONFLICT DO NOTHING
                RETURNING id, name
                """
            ).fetchall()
            for row in rows:
                _note(
                    connection, row["id"], row["name"], "watched", "It is a training that we have started.", "trainer"
                )
            return len(rows)

    def unwatch(self, name: str, by: str) -> None:
        """Leave a machine alone from now on.

        Raises
        ------
        AutoStopError
            If it is not watched.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "UPDATE auto_stop_machines SET unwatched_at = clock_timestamp() "
                "WHERE name = %s AND unwatched_at IS NULL RETURNING id",
                (clean_text(name),),
            ).fetchone()
            if row is None:
                raise AutoStopError(f"{name} is not watched: see `pixel-lora auto-stop status`.")
            _note(connection, row["id"], name, "unwatched", "It is left alone from now on.", by)

    def watched(self) -> list[WatchedMachine]:
        """All machines that are watched, the first registered first."""
        with self._database.connection() as connection:
            rows = connection.execute(f"{_ROWS} WHERE unwatched_at IS NULL AND phase IS NOT NULL ORDER BY id")
            return [_machine(row) for row in rows]

    def to_look_at(self) -> list[WatchedMachine]:
        """Those of which something may be new: processes that have ended are over, pods can be resumed."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"""
                {_ROWS} WHERE unwatched_at IS NULL AND phase IS NOT NULL
                  AND NOT (phase = 'stopped' AND kind <> 'pod')
                  AND NOT (phase = 'gone' AND last_good_at < clock_timestamp() - %s)
                ORDER BY looked_at NULLS FIRST, id
                """,
                (_FORGOTTEN,),
            )
            return [_machine(row) for row in rows]

    def get(self, machine_id: RowId) -> WatchedMachine:
        """One of them, watched or not.

        Raises
        ------
        AutoStopError
            If there is none of this id.
        """
        with self._database.connection() as connection:
            row = connection.execute(f"{_ROWS} WHERE id::text = %s", (str(machine_id),)).fetchone()
        if row is None:
            raise AutoStopError(f"no machine {machine_id} is registered.")
        return _machine(row)

    @contextmanager
    def sole(self, machine_id: RowId) -> Iterator[bool]:
        """Whether nobody else is busy with a machine; nobody is, then, as long as the context lasts.

        It ends with the process that holds it, however that ends.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT pg_try_advisory_xact_lock(%s, hashtext(%s)) AS is_mine", (_LOCK, str(machine_id))
            ).fetchone()
            yield row is not None and bool(row["is_mine"])

    def record(
        self,
        machine: WatchedMachine,
        watch: Watch,
        *,
        action: str,
        rules: Sequence[Rule],
        reason: str,
        policy: Mapping[str, Any],
        reading: Mapping[str, Any] | None,
        age: timedelta | None,
        by: str,
        version: str,
        news: Sequence[Message] = (),
    ) -> bool:
        """Record a decision, what is remembered from then on, and what people are told: all of it or nothing.

        Returns
        -------
        bool
            False if the machine is not watched any more: then nothing was written, and nothing may be done.
        """
        with self._database.connection() as connection:
            found = connection.execute(
                """
                UPDATE auto_stop_machines
                SET phase = %(phase)s, armed_at = %(armed_at)s, looked_at = %(looked_at)s,
                    last_good_at = %(last_good_at)s, highest_rate = %(highest_rate)s, due_since = %(due_since)s,
                    stop_asked_at = %(stop_asked_at)s, previous = %(previous)s
                WHERE id = %(id)s AND unwatched_at IS NULL
                """,
                {
                    "id": machine.machine_id,
                    "phase": watch.phase,
                    "armed_at": watch.armed_at,
                    "looked_at": watch.looked_at,
                    "last_good_at": watch.last_good_at,
                    "highest_rate": watch.highest_rate,
                    "due_since": watch.due_since,
                    "stop_asked_at": watch.stop_asked_at,
                    "previous": _previous_json(watch.previous),
                },
            )
            if found.rowcount == 0:
                return False
            connection.execute(
                """
                INSERT INTO auto_stop_decisions
                    (machine_id, machine, action, rules, reason, phase, mode, policy, reading, age_seconds, previous,
                     version, decided_by)
                VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
                """,
                (
                    machine.machine_id,
                    machine.name,
                    action,
                    list(rules),
                    clean_text(reason),
                    watch.phase,
                    policy.get("mode"),
                    jsonb(policy),
                    None if reading is None else jsonb(reading),
                    None if age is None else age.total_seconds(),
                    _previous_json(machine.watch.previous),
                    version,
                    clean_text(by),
                ),
            )
            for message in news:
                self._notifications.add(connection, message)
        return True

    def log(self, name: str | None = None, limit: int = 50, *, idle: bool = False) -> list[StopDecision]:
        """Decisions on a machine, or on all, the newest first.

        Parameters
        ----------
        idle
            Whether decisions to do nothing are among them.
        """
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT id AS decision_id, at, machine, action, coalesce(rules, '{}') AS rules, reason, phase, mode,
                       reading, age_seconds, previous, version, decided_by
                FROM auto_stop_decisions
                WHERE (%(name)s::text IS NULL OR machine = %(name)s) AND (%(idle)s OR action <> 'none')
                ORDER BY at DESC, id DESC LIMIT %(limit)s
                """,
                {"name": name, "idle": idle, "limit": limit},
            )
            return [StopDecision(**row) for row in rows]

    def prune(self) -> int:
        """Delete old decisions to do nothing; return how many those were."""
        with self._database.connection() as connection:
            return connection.execute(
                "DELETE FROM auto_stop_decisions WHERE action = 'none' AND at < clock_timestamp() - %s", (KEPT,)
            ).rowcount

    def switch(self, by: str, why: str, *, is_off: bool) -> None:
        """Set the kill switch: while it is off, nothing is stopped, whatever the configuration says."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO auto_stop_switches (is_off, why, switched_by) VALUES (%s, %s, %s)",
                (is_off, clean_text(why), clean_text(by)),
            )

    def kill_switch(self) -> KillSwitch | None:
        """The kill switch as it was set last; None if it never was."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT is_off, why, switched_by, at FROM auto_stop_switches "
                "WHERE is_off IS NOT NULL ORDER BY id DESC LIMIT 1"
            ).fetchone()
        return None if row is None else KillSwitch(**row)

    def verdict(self, run_name: str, since: datetime, folder: Path | None) -> Verdict | None:
        """The verdict that a training should stop, if its newest judged epoch says so.

        Only epochs whose files have landed since a moment count: an older training may have had the same name.

        Parameters
        ----------
        folder
            Where its files are, if that is known: another training may have the same name now.
        """
        with self._database.connection() as connection:
            row = connection.execute(
                """
                SELECT epoch.convergence::jsonb AS verdict
                FROM training_runs run
                JOIN epoch_results epoch ON epoch.training_run_id = run.id
                JOIN landed_files file ON file.signature = epoch.checkpoint_signature
                WHERE (run.run_name = %(name)s OR run.output_name = %(name)s) AND file.landed_at >= %(since)s
                  AND epoch.convergence IS NOT NULL AND epoch.superseded_at IS NULL
                  AND (%(folder)s::text IS NULL OR starts_with(file.path, %(folder)s))
                ORDER BY file.landed_at DESC, epoch.epoch_number DESC NULLS LAST LIMIT 1
                """,
                {"name": clean_text(run_name), "since": since, "folder": _prefix(folder)},
            ).fetchone()
        if row is None or not row["verdict"].get("should_stop"):
            return None
        status, reason = row["verdict"].get("status"), str(row["verdict"].get("reason") or "")
        return Verdict(status, reason) if status in ("degrading", "optimal") else None

    def refused_since(self, since: datetime, folder: Path | None) -> list[tuple[Path, str]]:
        """Checkpoints that were refused since a moment, with their faults, the newest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT path, fault FROM refused_checkpoints "
                "WHERE refused_at >= %(since)s AND (%(folder)s::text IS NULL OR starts_with(path, %(folder)s)) "
                "ORDER BY refused_at DESC, id DESC",
                {"since": since, "folder": _prefix(folder)},
            )
            return [(Path(row["path"]), row["fault"]) for row in rows]


def _prefix(folder: Path | None) -> str | None:
    return None if folder is None else clean_text(f"{folder}{os.sep}")


def _note(
    connection: psycopg.Connection[DictRow], machine_id: RowId, name: str, action: str, reason: str, by: str
) -> None:
    """Record what a person or a trainer has done."""
    connection.execute(
        "INSERT INTO auto_stop_decisions (machine_id, machine, action, rules, reason, decided_by) "
        "VALUES (%s, %s, %s, '{}', %s, %s)",
        (machine_id, clean_text(name), action, reason, clean_text(by)),
    )


def _machine(row: DictRow) -> WatchedMachine:
    watch = Watch(
        phase=row["phase"],
        armed_at=row["armed_at"],
        looked_at=row["looked_at"],
        last_good_at=row["last_good_at"],
        usd_limit=row["usd_limit"],
        hours_limit=row["hours_limit"],
        highest_rate=row["highest_rate"],
        due_since=row["due_since"],
        stop_asked_at=row["stop_asked_at"],
        previous=_previous(row["previous"]),
    )
    return WatchedMachine(
        row["machine_id"],
        row["kind"],
        row["name"],
        row["found_by"],
        row["run_name"],
        None if row["folder"] is None else Path(row["folder"]),
        row["registered_by"],
        row["registered_at"],
        watch,
    )


def _previous_json(previous: PastLook | None) -> Any:
    if previous is None:
        return None
    return jsonb(
        {
            "asked_at": previous.asked_at.isoformat(),
            "state": previous.state,
            "rules": sorted(previous.rules),
            "usd_per_hour": None if previous.usd_per_hour is None else str(previous.usd_per_hour),
        }
    )


def _previous(document: Mapping[str, Any] | None) -> PastLook | None:
    if document is None:
        return None
    rate = document["usd_per_hour"]
    return PastLook(
        datetime.fromisoformat(document["asked_at"]),
        document["state"],
        frozenset(rule for rule in document["rules"] if rule in get_args(Rule)),
        None if rate is None else Decimal(rate),
    )
