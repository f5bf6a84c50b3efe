"""The queue of experiments: proposed, decided on by people, started once, and compared with what came of them."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import canonical_json, clean_text, jsonb

State = Literal[
    "PROPOSED",
    "QUEUED",
    "RUNNING",
    "EVALUATING",
    "DONE",
    "FAILED",
    "SKIPPED",
    "PENDING DATA",
    "REQUIRES DATASET WORK",
]

ENDED: Final[tuple[State, ...]] = ("DONE", "FAILED", "SKIPPED")
OPEN: Final[tuple[State, ...]] = ("PROPOSED", "PENDING DATA", "REQUIRES DATASET WORK")
"""States of what nobody has decided on."""

UNDER_WAY: Final[tuple[State, ...]] = ("RUNNING", "EVALUATING")

_NEXT: Final[Mapping[State, tuple[State, ...]]] = {
    "PROPOSED": ("QUEUED", "SKIPPED", "PENDING DATA", "REQUIRES DATASET WORK"),
    "PENDING DATA": ("PROPOSED", "QUEUED", "SKIPPED", "REQUIRES DATASET WORK"),
    "REQUIRES DATASET WORK": ("PROPOSED", "QUEUED", "SKIPPED", "PENDING DATA"),
    "QUEUED": ("PROPOSED", "RUNNING", "SKIPPED"),
    "RUNNING": ("EVALUATING", "DONE", "FAILED"),
    "EVALUATING": ("DONE", "FAILED"),
    "DONE": (),
    "FAILED": (),
    "SKIPPED": (),
}
# Of what waits, the more useful first; within a priority in the order of their places.
_ORDER: Final = """
    ORDER BY array_position(ARRAY['RUNNING', 'EVALUATING', 'QUEUED', 'PROPOSED', 'PENDING DATA',
                                  'REQUIRES DATASET WORK', 'DONE', 'FAILED', 'SKIPPED'], state),
             CASE WHEN state IN ('DONE', 'FAILED', 'SKIPPED') THEN ended_at END DESC NULLS LAST, place, id
"""
_ROWS: Final = """
    SELECT id AS experiment_id, title, rationale, source, priority, state, place, parameters, proposal, prediction,
           outcome, output_name, training_run_id, campaign_id, claimed_by, training, decisions, created_at, started_at,
           ended_at
    FROM experiments
"""
_NOT_IN_PROPOSAL: Final = frozenset({"parameters", "prediction"})  # they have columns of their own


class UnknownExperimentError(LookupError):
    """There is no such experiment."""


class ExperimentStateError(ValueError):
    """What was asked cannot be done with an experiment in its state: says why, and what can."""


@dataclass(frozen=True)
class Experiment:
    """A training that was proposed, with what became of it.

    Attributes
    ----------
    place
        Within the queue, the smallest first.
    parameters
        The whole configuration, in Kohya's names.
    proposal
        What the proposal said beside that: changes, expectations, confidence, estimates, risk.
    prediction
        Of its outcome, as it stood when it was started; before, as it was last made.
    outcome
        What came of it.
    output_name
        Of the training that was started for it.
    campaign_id
        Within whose budget it was started.
    claimed_by
        Who starts its training and watches it.
    training
        By what the trainer finds its training again.
    decisions
        Who did what and when, the first first.
    """

    experiment_id: RowId
    title: str
    rationale: str
    source: str
    priority: Literal["HIGH", "MEDIUM", "LOW"]
    state: State
    place: float
    parameters: dict[str, Any]
    proposal: dict[str, Any]
    prediction: dict[str, Any] | None
    outcome: dict[str, Any] | None
    output_name: str | None
    training_run_id: RowId | None
    campaign_id: RowId | None
    claimed_by: str | None
    training: dict[str, Any] | None
    decisions: list[dict[str, Any]]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Experiments:
    """Table `experiments`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def propose(self, proposals: Iterable[Mapping[str, Any]], by: str) -> list[RowId]:
        """Add proposals to the end of the queue, and return the ids of those that were not there.

        A configuration that is open, under whatever title, is not added again: its proposal is brought up to date
        while nobody has decided on it.

        Parameters
        ----------
        proposals
            JSON-ready: `title`, `rationale`, `source`, `priority`, `parameters`, and perhaps `state` (PROPOSED by
            default), `prediction`; what else there is is kept as it is.
        by
            Who or what proposes them.
        """
        added: list[RowId] = []
        with self._database.connection() as connection:
            for proposal in proposals:
                row = connection.execute(
                    """
                    INSERT INTO experiments
                        (title, rationale, source, priority, state, parameters, configuration, proposal, prediction,
                         place, decisions)
                    VALUES (%(title)s, %(rationale)s, %(source)s, %(priority)s, %(state)s, %(parameters)s,
                            %(configuration)s, %(proposal)s, %(prediction)s,
                            (SELECT coalesce(max(place), 0) + 1 FROM experiments),
                            jsonb_build_array(jsonb_build_object(
                                'at', now(), 'by', %(by)s::text, 'state', %(state)s::text)))
                    ON CONFLICT (configuration) WHERE state NOT IN ('DONE', 'FAILED', 'SKIPPED') DO UPDATE
                    SET title = excluded.title, rationale = excluded.rationale, source = excluded.source,
                        priority = excluded.priority, proposal = excluded.proposal, prediction = excluded.prediction
                    WHERE experiments.state = 'PROPOSED'
                    RETURNING id, xmax = 0 AS is_new
                    """,
                    {
                        **{name: clean_text(str(proposal[name])) for name in ("title", "rationale", "source")},
                        "priority": proposal["priority"],
                        "state": proposal.get("state", "PROPOSED"),
                        "parameters": jsonb(proposal["parameters"]),
                        "configuration": configuration_hash(proposal["parameters"]),
                        "proposal": jsonb(
                            {name: value for name, value in proposal.items() if name not in _NOT_IN_PROPOSAL}
                        ),
                        "prediction": None if proposal.get("prediction") is None else jsonb(proposal["prediction"]),
                        "by": clean_text(by),
                    },
                ).fetchone()
                if row is not None and row["is_new"]:
                    added.append(row["id"])
        return added

    def all(self, states: Sequence[State] | None = None) -> list[Experiment]:
        """The experiments in these states, or all: what runs first, then the queue in its order, what ended last."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} WHERE state IS NOT NULL AND (%(states)s::text[] IS NULL OR state = ANY(%(states)s)) {_ORDER}",
                {"states": None if states is None else list(states)},
            )
            return [Experiment(**row) for row in rows]

    def get(self, experiment_id: RowId | str) -> Experiment:
        """One of them; its id may be text.

        Raises
        ------
        UnknownExperimentError
            If there is none of this id.
        """
        with self._database.connection() as connection:
            return Experiment(**_found(connection, experiment_id))

    def move_to(self, experiment_id: RowId, state: State, by: str, why: str = "") -> None:
        """Put an experiment into another state: approve (QUEUED), take back, cancel (SKIPPED), …

        Raises
        ------
        UnknownExperimentError
            If there is none of this id.
        ExperimentStateError
            If that state does not follow from its present one.
        """
        with self._database.connection() as connection:
            _set_state(connection, _found(connection, experiment_id, lock=True), state, by, why)

    def edit(self, experiment_id: RowId, changes: Mapping[str, Any], by: str) -> None:
        """Change parameters of an experiment that was not started; a prediction of the old ones is dropped.

        Raises
        ------
        UnknownExperimentError
            If there is none of this id.
        ExperimentStateError
            If it was started or has ended, or if another open one has the same configuration by then.
        """
        with self._database.connection() as connection:
            row = _found(connection, experiment_id, lock=True)
            if row["state"] in (*UNDER_WAY, *ENDED):
                raise ExperimentStateError(
                    f"{row['title']!r} is {row['state']}: only what was not started can be edited."
                )
            parameters = {**row["parameters"], **changes}
            try:
                connection.execute(
                    "UPDATE experiments SET parameters = %s, configuration = %s, prediction = NULL, "
                    "decisions = decisions || %s WHERE id = %s",
                    (
                        jsonb(parameters),
                        configuration_hash(parameters),
                        jsonb([{"by": clean_text(by), "edited": dict(changes), "at": _now(connection)}]),
                        experiment_id,
                    ),
                )
            except psycopg.errors.UniqueViolation as error:
                raise ExperimentStateError(
                    f"Another open experiment has the configuration that {row['title']!r} would have: cancel one."
                ) from error

    def place_before(self, experiment_id: RowId, other_id: RowId | None, by: str) -> None:
        """Move an experiment in front of another one; None for the end of the queue.

        Raises
        ------
        UnknownExperimentError
            If one of them is not there.
        """
        with self._database.connection() as connection:
            _found(connection, experiment_id, lock=True)
            if other_id is None:
                last = connection.execute("SELECT coalesce(max(place), 0) AS place FROM experiments").fetchone()
                place = (0.0 if last is None else last["place"]) + 1
            else:
                following = _found(connection, other_id)["place"]
                before = connection.execute(
                    "SELECT max(place) AS place FROM experiments WHERE place < %s AND id <> %s",
                    (following, experiment_id),
                ).fetchone()
                preceding = following - 2 if before is None or before["place"] is None else before["place"]
                place = (preceding + following) / 2
            connection.execute(
                "UPDATE experiments SET place = %s, decisions = decisions || %s WHERE id = %s",
                (place, jsonb([{"by": clean_text(by), "moved_to": place, "at": _now(connection)}]), experiment_id),
            )

    def claim(
        self, *, most_running: int, most_started: int | None, by: str, campaign_id: RowId | None = None
    ) -> Experiment | None:
        """Take the first of the queue to start it; None if nothing is queued or nothing more may be started.

        However many ask at once, each experiment is given to one of them.

        Parameters
        ----------
        most_running
            How many may be under way at once.
        most_started
            How many may be started at all; None for no limit.
        by
            Who starts its training and watches it.
        campaign_id
            Whose budget it is: with it, only what was started for this campaign counts.
        """
        with self._database.connection() as connection:
            connection.execute("LOCK TABLE experiments IN SHARE ROW EXCLUSIVE MODE")
            counts = connection.execute(
                "SELECT count(*) FILTER (WHERE state IN ('RUNNING', 'EVALUATING')) AS running, "
                "count(*) FILTER (WHERE started_at IS NOT NULL) AS started FROM experiments "
                "WHERE %(campaign)s::text IS NULL OR campaign_id::text = %(campaign)s",
                {"campaign": None if campaign_id is None else str(campaign_id)},
            ).fetchone()
            assert counts is not None  # noqa: S101 - a count is always one row
            if counts["running"] >= most_running or (most_started is not None and counts["started"] >= most_started):
                return None
            row = connection.execute(
                f"{_ROWS} WHERE state = 'QUEUED' "
                "ORDER BY array_position(ARRAY['HIGH', 'MEDIUM', 'LOW'], priority), place, id LIMIT 1"
            ).fetchone()
            if row is None:
                return None
            _set_state(connection, row, "RUNNING", by, "")
            output_name = f"experiment_{row['experiment_id']}"
            connection.execute(
                "UPDATE experiments SET started_at = now(), output_name = %s, claimed_by = %s, campaign_id = %s "
                "WHERE id = %s",
                (output_name, clean_text(by), campaign_id, row["experiment_id"]),
            )
            return Experiment(**_found(connection, row["experiment_id"]))

    def take_over(self, experiment_id: RowId | str, by: str) -> Experiment:
        """Watch a training from now on that somebody else had started, who is gone.

        Its id may be text, as it travels through the configuration of a Dagster run.

        Raises
        ------
        UnknownExperimentError
            If there is none of this id.
        ExperimentStateError
            If it is not running.
        """
        with self._database.connection() as connection:
            row = _found(connection, experiment_id, lock=True)
            if row["state"] != "RUNNING":
                raise ExperimentStateError(f"{row['title']!r} is {row['state']}: there is no training to watch.")
            decision = {"by": clean_text(by), "took_over_from": row["claimed_by"], "at": _now(connection)}
            connection.execute(
                "UPDATE experiments SET claimed_by = %s, decisions = decisions || %s WHERE id = %s",
                (clean_text(by), jsonb([decision]), row["experiment_id"]),
            )
            return Experiment(**_found(connection, experiment_id))

    def record_training(
        self, experiment_id: RowId, training: Mapping[str, Any], prediction: Mapping[str, Any] | None
    ) -> None:
        """Keep by what the trainer finds a training again that it has started, and what was expected of it."""
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE experiments SET training = %s, prediction = coalesce(%s, prediction) WHERE id = %s",
                (jsonb(training), None if prediction is None else jsonb(prediction), experiment_id),
            )

    def of_campaign(self, campaign_id: RowId) -> list[Experiment]:
        """What was started for a campaign, the first first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                f"{_ROWS} WHERE campaign_id::text = %s ORDER BY started_at, id", (str(campaign_id),)
            )
            return [Experiment(**row) for row in rows]

    def record_outcome(
        self, experiment_id: RowId, state: Literal["DONE", "FAILED"], outcome: Mapping[str, Any], by: str
    ) -> None:
        """End an experiment with what came of it; the run of its training, if there is one, is found by its name."""
        with self._database.connection() as connection:
            row = _found(connection, experiment_id, lock=True)
            _set_state(connection, row, state, by, "")
            connection.execute(
                "UPDATE experiments SET outcome = %s, training_run_id = "
                "(SELECT id FROM training_runs WHERE run_name = %s ORDER BY id DESC LIMIT 1) WHERE id = %s",
                (jsonb(outcome), row["output_name"], experiment_id),
            )


def configuration_hash(parameters: Mapping[str, Any]) -> str:
    """The same for the same configuration."""
    return hashlib.sha256(canonical_json(dict(parameters)).encode()).hexdigest()


def _found(connection: psycopg.Connection[DictRow], experiment_id: RowId | str, *, lock: bool = False) -> DictRow:
    row = connection.execute(
        f"{_ROWS} WHERE id::text = %s{' FOR UPDATE' if lock else ''}", (str(experiment_id),)
    ).fetchone()
    if row is None:
        raise UnknownExperimentError(f"there is no experiment {experiment_id}: see `pixel-lora experiments`.")
    return row


def _set_state(connection: psycopg.Connection[DictRow], row: DictRow, state: State, by: str, why: str) -> None:
    possible = _NEXT[row["state"]]
    if state not in possible:
        after = f"it can become {', '.join(possible)}" if possible else "it has ended"
        raise ExperimentStateError(f"{row['title']!r} is {row['state']} and cannot become {state}: {after}.")
    decision = {
        "by": clean_text(by),
        "state": state,
        "at": _now(connection),
        **({"why": clean_text(why)} if why else {}),
    }
    connection.execute(
        "UPDATE experiments SET state = %s, decisions = decisions || %s, "
        "ended_at = CASE WHEN %s THEN now() ELSE ended_at END WHERE id = %s",
        (state, jsonb([decision]), state in ENDED, row["experiment_id"]),
    )


def _now(connection: psycopg.Connection[DictRow]) -> str:
    row = connection.execute("SELECT now()::text AS now").fetchone()
    assert row is not None  # noqa: S101 - the clock always answers
    now: str = row["now"]
    return now
