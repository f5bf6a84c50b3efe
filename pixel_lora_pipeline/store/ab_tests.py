"""Blind tests: what is compared, who judges, and every vote, given once and never erased."""

import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb

if TYPE_CHECKING:
    from pixel_lora_pipeline.analyze.ab_ballot import Ballot, Choice
    from pixel_lora_pipeline.analyze.ab_plan import Showing

_LONGEST_NAME: Final = 60
_TOKEN_BYTES: Final = 24  # 192 bits: nobody guesses one
_TESTS: Final = """
    SELECT test.id AS test_id, test.name, test.models, test.cases, test.created_at, test.created_by, test.ended_at,
           test.decisions
    FROM ab_tests test WHERE test.models IS NOT NULL
"""


class UnknownABTestError(LookupError):
    """There is no such test."""


class JudgeError(ValueError):
    """Somebody cannot judge, or is not the judge that they say: says why."""


class ABTestEndedError(ValueError):
    """A test takes no votes any more."""

    def __init__(self) -> None:
        super().__init__("This test has ended: nobody can vote any more.")


class VoteRefusedError(ValueError):
    """A vote or taking it back cannot be accepted: says why. Nothing has changed."""


@dataclass(frozen=True)
class ABModel:
    """A checkpoint that takes part in a test."""

    epoch_id: RowId
    run_name: str
    epoch: int | None

    @property
    def name(self) -> str:
        """Run and epoch, for people who may know."""
        return self.run_name if self.epoch is None else f"{self.run_name}, epoch {self.epoch}"


@dataclass(frozen=True)
class ABCase:
    """A prompt with a seed.

    Attributes
    ----------
    images
        Names of the image files, one of each model, in their order.
    """

    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    images: tuple[str, ...]


@dataclass(frozen=True)
class ABTest:
    """What is compared.

    Attributes
    ----------
    decisions
        Who ended or reopened it, or left a judge out, when and why.
    """

    test_id: RowId
    name: str
    models: tuple[ABModel, ...]
    cases: tuple[ABCase, ...]
    created_at: datetime
    created_by: str
    ended_at: datetime | None
    decisions: list[dict[str, Any]]


@dataclass(frozen=True)
class ABJudge:
    """Somebody who judges; `votes` of the `planned` pairs are given."""

    judge: str
    joined_at: datetime
    joined_by: str
    counts: bool
    votes: int
    planned: int


@dataclass(frozen=True)
class ShownPair:
    """What a judge has to decide next.

    Attributes
    ----------
    showing, case
        The pair, and what it was painted of; None when the judge has seen all of them.
    token
        What votes on it, once; worthless as soon as the judge is shown a pair again.
    done, planned
        How many pairs are judged, and of how many.
    can_undo
        Whether the judge may take the last vote back.
    """

    showing: "Showing | None"
    case: ABCase | None
    token: str
    done: int
    planned: int
    can_undo: bool


class ABTests:
    """Tables `ab_tests`, `ab_judges` and `ab_votes`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def create(self, name: str, models: Sequence[ABModel], cases: Sequence[ABCase], by: str) -> RowId:
        """Keep a new test and return its id."""
        with self._database.connection() as connection:
            row = connection.execute(
                "INSERT INTO ab_tests (name, models, cases, created_by) VALUES (%s, %s, %s, %s) RETURNING id",
                (
                    clean_text(name),
                    jsonb([{**asdict(model), "epoch_id": _json_id(model.epoch_id)} for model in models]),
                    jsonb([asdict(case) for case in cases]),
                    clean_text(by),
                ),
            ).fetchone()
        assert row is not None  # noqa: S101 - RETURNING returns
        test_id: RowId = row["id"]
        return test_id

    def candidates(self, most: int) -> list[ABModel]:
        """Checkpoints that can take part in a test, those that were measured last first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT epoch.id AS epoch_id, run.run_name, epoch.epoch_number AS epoch
                FROM epoch_results epoch JOIN training_runs run ON run.id = epoch.training_run_id
                WHERE epoch.superseded_at IS NULL AND epoch.epoch_number IS NOT NULL AND run.run_name IS NOT NULL
                  AND jsonb_typeof(epoch.quantitative_metrics::jsonb) = 'object'
                  AND EXISTS (SELECT FROM prompt_test_results
                              WHERE epoch_result_id = epoch.id AND purpose = 'evaluation')
                ORDER BY epoch.measured_at DESC NULLS LAST, epoch.id DESC LIMIT %s
                """,
                (most,),
            )
            return [ABModel(**row) for row in rows]

    def all(self) -> list[ABTest]:
        """Every test, the newest first."""
        with self._database.connection() as connection:
            return [_test(row) for row in connection.execute(f"{_TESTS} ORDER BY test.created_at DESC, test.id DESC")]

    def get(self, test_id: RowId | str) -> ABTest:
        """One of them.

        Raises
        ------
        UnknownABTestError
            If there is none of this id.
        """
        with self._database.connection() as connection:
            return _test(_found(connection, test_id))

    def end(self, test_id: RowId | str, by: str) -> None:
        """Take no more votes; nothing changes if it has ended."""
        self._set_ended(test_id, by, ended=True)

    def reopen(self, test_id: RowId | str, by: str) -> None:
        """Take votes again; nothing changes if it does."""
        self._set_ended(test_id, by, ended=False)

    def _set_ended(self, test_id: RowId | str, by: str, *, ended: bool) -> None:
        with self._database.connection() as connection:
            row = _found(connection, test_id, "FOR UPDATE")
            if (row["ended_at"] is not None) == ended:
                return
            connection.execute(
                "UPDATE ab_tests SET ended_at = CASE WHEN %s THEN now() END WHERE id = %s", (ended, row["test_id"])
            )
            _record(connection, row["test_id"], {"did": "ended" if ended else "reopened", "by": by})

    def join(self, test_id: RowId | str, judge: str, plan: "Sequence[Showing]", by: str) -> str:
        """Let somebody judge, and return the secret that their votes have to come with; only its hash is kept.

        Parameters
        ----------
        judge
            A name; each judges a test once.
        plan
            What they are shown.
        by
            The login behind the name.

        Raises
        ------
        UnknownABTestError
            If there is no such test.
        JudgeError
            If the name is taken, empty or too long.
        ABTestEndedError
            If it has ended.
        """
        name = " ".join(clean_text(judge).split())
        if not 0 < len(name) <= _LONGEST_NAME:
            raise JudgeError(f"A judge needs a name of 1 to {_LONGEST_NAME} characters.")
        secret = secrets.token_urlsafe(_TOKEN_BYTES)
        with self._database.connection() as connection:
            test = _found(connection, test_id, "FOR SHARE")
            if test["ended_at"] is not None:
                raise ABTestEndedError
            added = connection.execute(
                "INSERT INTO ab_judges (ab_test_id, judge, joined_by, secret_sha256, plan) VALUES (%s, %s, %s, %s, %s) "
                "ON CONFLICT (ab_test_id, lower(judge)) DO NOTHING",
                (
                    test["test_id"],
                    name,
                    clean_text(by),
                    _sha256(secret),
                    jsonb([showing.to_dict() for showing in plan]),
                ),
            )
            if added.rowcount == 0:
                raise JudgeError(f"{name} judges this test already, from another browser: take another name.")
        return secret

    def show(self, test_id: RowId | str, secret: str) -> ShownPair:
        """The next pair of a judge, with a new token for it; older ones are worthless from now on.

        Raises
        ------
        UnknownABTestError
            If there is no such test.
        JudgeError
            If the secret is that of none of its judges.
        ABTestEndedError
            If it has ended.
        """
        with self._database.connection() as connection:
            return _show_next(connection, *_judge(connection, test_id, secret))

    def vote(self, test_id: RowId | str, secret: str, token: str, choice: "Choice") -> ShownPair:
        """Keep a judge's vote on the pair that the token was given for, and show the next; the vote is locked.

        Raises
        ------
        UnknownABTestError
            If there is no such test.
        JudgeError
            If the secret is that of none of its judges.
        ABTestEndedError
            If it has ended.
        VoteRefusedError
            If the token is not that of the pair before the judge's eyes: forged, used, or replaced by a newer one.
        """
        with self._database.connection() as connection:
            test, judge = _judge(connection, test_id, secret)
            expected = judge["token_sha256"]
            if expected is None or not secrets.compare_digest(expected, _sha256(token)):
                raise VoteRefusedError(
                    "This pair is not open for your vote: it was judged already or shown elsewhere. Load it again."
                )
            position = judge["shown_position"]
            showing = judge["plan"][position]
            case = test.cases[showing["case"]]
            connection.execute(
                """
                INSERT INTO ab_votes (
                    ab_test_id, ab_judge_id, position, case_number, prompt_id, seed, kind, left_model, right_model,
                    choice, shown_at, voted_at)
                VALUES (
                    %(test)s, %(judge)s, %(position)s, %(case)s, %(prompt_id)s, %(seed)s, %(kind)s, %(left)s,
                    %(right)s, %(choice)s, %(shown_at)s, clock_timestamp())
                """,
                {
                    **showing,
                    "test": test.test_id,
                    "judge": judge["id"],
                    "position": position,
                    "prompt_id": case.prompt_id,
                    "seed": case.seed,
                    "choice": choice,
                    "shown_at": judge["shown_at"],
                },
            )
            return _show_next(connection, test, judge)

    def undo(self, test_id: RowId | str, secret: str) -> ShownPair:
        """Take a judge's last vote back, and show its pair again; it stays on record.

        Only the very last one: after taking it back, the next to be taken back is the one that is given instead.

        Raises
        ------
        UnknownABTestError
            If there is no such test.
        JudgeError
            If the secret is that of none of its judges.
        ABTestEndedError
            If it has ended.
        VoteRefusedError
            If there is no vote, or if the last one was taken back already.
        """
        with self._database.connection() as connection:
            test, judge = _judge(connection, test_id, secret)
            undone = connection.execute(
                "UPDATE ab_votes SET undone_at = clock_timestamp() WHERE undone_at IS NULL "
                "AND id = (SELECT id FROM ab_votes WHERE ab_judge_id = %s ORDER BY id DESC LIMIT 1)",
                (judge["id"],),
            )
            if undone.rowcount == 0:
                raise VoteRefusedError("There is no vote to take back: only the last one can be, and once.")
            return _show_next(connection, test, judge)

    def judges(self, test_id: RowId | str) -> list[ABJudge]:
        """Everybody who judges a test, in the order in which they joined."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT judge, joined_at, joined_by, counts, jsonb_array_length(plan) AS planned,
                       (SELECT count(*) FROM ab_votes
                        WHERE ab_judge_id = ab_judges.id AND undone_at IS NULL) AS votes
                FROM ab_judges WHERE ab_test_id = %s ORDER BY joined_at, id
                """,
                (_found(connection, test_id)["test_id"],),
            )
            return [ABJudge(**row) for row in rows]

    def leave_out(self, test_id: RowId | str, judge: str, by: str, why: str) -> None:
        """Let a judge's votes not count; they stay on record.

        Raises
        ------
        UnknownABTestError
            If there is no such test.
        JudgeError
            If there is no such judge.
        """
        self._set_counts(test_id, judge, {"did": f"left out {judge}", "by": by, "why": why}, counts=False)

    def count_again(self, test_id: RowId | str, judge: str, by: str) -> None:
        """Let the votes of a judge who was left out count again; raises as `leave_out`."""
        self._set_counts(test_id, judge, {"did": f"counted {judge} again", "by": by}, counts=True)

    def _set_counts(self, test_id: RowId | str, judge: str, decision: dict[str, str], *, counts: bool) -> None:
        with self._database.connection() as connection:
            test = _found(connection, test_id, "FOR UPDATE")["test_id"]
            changed = connection.execute(
                "UPDATE ab_judges SET counts = %s WHERE ab_test_id = %s AND judge = %s",
                (counts, test, clean_text(judge)),
            )
            if changed.rowcount == 0:
                raise JudgeError(f"{judge} is no judge of this test.")
            _record(connection, test, decision)

    def ballots(self, test_id: RowId | str) -> "list[Ballot]":
        """The votes that count, in the order in which they were given."""
        from pixel_lora_pipeline.analyze.ab_ballot import Ballot

        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT judge.judge, vote.case_number AS case, vote.left_model AS left, vote.right_model AS right,
                       vote.kind, vote.choice
                FROM ab_votes vote JOIN ab_judges judge ON judge.id = vote.ab_judge_id
                WHERE vote.ab_test_id = %s AND vote.undone_at IS NULL AND judge.counts
                ORDER BY vote.id
                """,
                (_found(connection, test_id)["test_id"],),
            )
            return [Ballot(**row) for row in rows]


def _test(row: DictRow) -> ABTest:
    cases = (ABCase(**{**case, "images": tuple(case["images"])}) for case in row["cases"])
    models = (ABModel(**{**model, "epoch_id": _id_of_json(model["epoch_id"])}) for model in row["models"])
    return ABTest(**{**row, "models": tuple(models), "cases": tuple(cases)})


def _json_id(row_id: RowId) -> int | str:
    return row_id if isinstance(row_id, int) else str(row_id)


def _id_of_json(value: int | str) -> RowId:
    return value if isinstance(value, int) else UUID(value)


def _found(connection: psycopg.Connection[DictRow], test_id: RowId | str, lock: str = "") -> DictRow:
    row = connection.execute(f"{_TESTS} AND test.id::text = %s {lock}", (str(test_id),)).fetchone()
    if row is None:
        raise UnknownABTestError(f"there is no blind test {test_id}: see `pixel-lora ab list`.")
    return row


def _judge(connection: psycopg.Connection[DictRow], test_id: RowId | str, secret: str) -> tuple[ABTest, DictRow]:
    """An open test and one of its judges, kept from voting twice at once until the end of the transaction."""
    test = _test(_found(connection, test_id, "FOR SHARE"))
    row = connection.execute(
        "SELECT id, plan, shown_position, shown_at, token_sha256 FROM ab_judges "
        "WHERE ab_test_id = %s AND secret_sha256 = %s FOR UPDATE",
        (test.test_id, _sha256(secret)),
    ).fetchone()
    if row is None:
        raise JudgeError("You are no judge of this test, or joined it from another browser: give your name first.")
    if test.ended_at is not None:
        raise ABTestEndedError
    return test, row


def _show_next(connection: psycopg.Connection[DictRow], test: ABTest, judge: DictRow) -> ShownPair:
    from pixel_lora_pipeline.analyze.ab_plan import Showing

    given = connection.execute(
        "SELECT position, undone_at IS NULL AS stands FROM ab_votes WHERE ab_judge_id = %s ORDER BY id",
        (judge["id"],),
    ).fetchall()
    done = {vote["position"] for vote in given if vote["stands"]}
    plan = [Showing(**showing) for showing in judge["plan"]]
    position = next((position for position in range(len(plan)) if position not in done), None)
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    connection.execute(
        "UPDATE ab_judges SET shown_position = %s, shown_at = clock_timestamp(), token_sha256 = %s WHERE id = %s",
        (position, None if position is None else _sha256(token), judge["id"]),
    )
    return ShownPair(
        showing=None if position is None else plan[position],
        case=None if position is None else test.cases[plan[position].case],
        token=token,
        done=len(done),
        planned=len(plan),
        can_undo=bool(given) and given[-1]["stands"],
    )


def _record(connection: psycopg.Connection[DictRow], test_id: RowId, decision: dict[str, str]) -> None:
    document = jsonb({name: clean_text(value) for name, value in decision.items()})
    connection.execute(
        "UPDATE ab_tests SET decisions = decisions || jsonb_build_array(%s || jsonb_build_object('at', now())) "
        "WHERE id = %s",
        (document, test_id),
    )


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
