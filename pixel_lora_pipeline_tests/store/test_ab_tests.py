"""Blind tests: a judge has one say on each pair, nobody else has it, and what was said stays on record."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from pixel_lora_pipeline.analyze.ab_plan import plan_showings
from pixel_lora_pipeline.store import (
    ABCase,
    ABModel,
    ABTestEndedError,
    JudgeError,
    RowId,
    Store,
    UnknownABTestError,
    VoteRefusedError,
)

MODELS = [ABModel(1, "portrait", 5), ABModel(2, "portrait", 7)]
CASES = [ABCase(f"p{n}", f"prompt {n}", "", 11, (f"a{n}", f"b{n}")) for n in range(10)]
PLAN = plan_showings([case.prompt for case in CASES], 2, seed=1)


@pytest.fixture
def test_id(store: Store) -> RowId:
    return store.ab_tests.create("five or seven", MODELS, CASES, "somebody")


@pytest.fixture
def secret(store: Store, test_id: RowId) -> str:
    return store.ab_tests.join(test_id, "Ann", PLAN, "ann")


def test_a_test_comes_back_as_it_was_made(store: Store, test_id: RowId) -> None:
    (test,) = store.ab_tests.all()
    assert test == store.ab_tests.get(test_id) == store.ab_tests.get(str(test_id))
    assert (test.models, test.cases, test.created_by) == (tuple(MODELS), tuple(CASES), "somebody")
    assert test.models[1].name == "portrait, epoch 7"
    with pytest.raises(UnknownABTestError, match="no blind test 999"):
        store.ab_tests.get(999)


def test_a_judge_votes_through_the_plan_and_every_vote_is_kept(store: Store, test_id: RowId, secret: str) -> None:
    for number, showing in enumerate(PLAN):
        pair = store.ab_tests.show(test_id, secret)
        assert (pair.showing, pair.done, pair.planned) == (showing, number, 12)
        store.ab_tests.vote(test_id, secret, pair.token, "left" if number else "tie")
    last = store.ab_tests.show(test_id, secret)
    assert (last.showing, last.done) == (None, 12)
    ballots = store.ab_tests.ballots(test_id)
    assert [(b.case, b.left, b.right, b.kind) for b in ballots] == [(s.case, s.left, s.right, s.kind) for s in PLAN]
    assert [b.choice for b in ballots] == ["tie", *["left"] * 11]
    (judge,) = store.ab_tests.judges(test_id)
    assert (judge.judge, judge.joined_by, judge.votes, judge.planned) == ("Ann", "ann", 12, 12)
    with pytest.raises(VoteRefusedError):
        store.ab_tests.vote(test_id, secret, last.token, "left")


def test_forged_used_and_outdated_tokens_are_refused(store: Store, test_id: RowId, secret: str) -> None:
    outdated = store.ab_tests.show(test_id, secret).token
    token = store.ab_tests.show(test_id, secret).token
    for wrong in (outdated, "", "A" * 32, token[:-1], token + "A", "\ud800", token.swapcase()):
        with pytest.raises(VoteRefusedError, match="not open for your vote"):
            store.ab_tests.vote(test_id, secret, wrong, "left")
    store.ab_tests.vote(test_id, secret, token, "left")
    with pytest.raises(VoteRefusedError, match="judged already"):
        store.ab_tests.vote(test_id, secret, token, "right")
    assert [ballot.choice for ballot in store.ab_tests.ballots(test_id)] == ["left"]


def test_nobody_votes_for_another_judge_or_in_another_test(store: Store, test_id: RowId, secret: str) -> None:
    token = store.ab_tests.show(test_id, secret).token
    other_secret = store.ab_tests.join(test_id, "Bob", PLAN, "bob")
    other_test = store.ab_tests.create("another", MODELS, CASES, "somebody")
    with pytest.raises(VoteRefusedError):
        store.ab_tests.vote(test_id, other_secret, token, "left")
    for wrong in ("", "forged", secret + "x"):
        with pytest.raises(JudgeError, match="You are no judge"):
            store.ab_tests.show(test_id, wrong)
    with pytest.raises(JudgeError, match="You are no judge"):
        store.ab_tests.vote(other_test, secret, token, "left")
    assert store.ab_tests.ballots(test_id) == []


def test_a_name_judges_once(store: Store, test_id: RowId, secret: str) -> None:
    for taken in ("Ann", "ann", "  ANN "):
        with pytest.raises(JudgeError, match="judges this test already"):
            store.ab_tests.join(test_id, taken, PLAN, "ann")
    for wrong in ("", "  ", "x" * 61):
        with pytest.raises(JudgeError, match="name of 1 to 60"):
            store.ab_tests.join(test_id, wrong, PLAN, "ann")
    assert secret


def test_of_many_votes_at_once_one_counts(store: Store, test_id: RowId, secret: str) -> None:
    token = store.ab_tests.show(test_id, secret).token

    def vote(_: int) -> bool:
        try:
            store.ab_tests.vote(test_id, secret, token, "left")
        except VoteRefusedError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(vote, range(8))) == 1
    assert len(store.ab_tests.ballots(test_id)) == 1


def test_two_judges_at_once_do_not_get_into_each_others_way(store: Store, test_id: RowId) -> None:
    def judge(name: str) -> None:
        secret = store.ab_tests.join(test_id, name, PLAN, name)
        while (pair := store.ab_tests.show(test_id, secret)).showing is not None:
            store.ab_tests.vote(test_id, secret, pair.token, "right")

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(judge, ("Ann", "Bob")))
    ballots = store.ab_tests.ballots(test_id)
    assert len(ballots) == 24
    for name in ("Ann", "Bob"):
        assert [b.case for b in ballots if b.judge == name] == [showing.case for showing in PLAN]


def test_the_last_vote_can_be_taken_back_once_and_stays_on_record(store: Store, test_id: RowId, secret: str) -> None:
    with pytest.raises(VoteRefusedError, match="no vote to take back"):
        store.ab_tests.undo(test_id, secret)
    for choice in ("left", "right"):
        store.ab_tests.vote(test_id, secret, store.ab_tests.show(test_id, secret).token, choice)  # type: ignore[arg-type]
    open_token = store.ab_tests.show(test_id, secret).token
    store.ab_tests.undo(test_id, secret)
    with pytest.raises(VoteRefusedError):
        store.ab_tests.vote(test_id, secret, open_token, "left")
    pair = store.ab_tests.show(test_id, secret)
    assert (pair.showing, pair.done, pair.can_undo) == (PLAN[1], 1, False)
    with pytest.raises(VoteRefusedError, match="only the last one can be, and once"):
        store.ab_tests.undo(test_id, secret)
    store.ab_tests.vote(test_id, secret, pair.token, "tie")
    assert store.ab_tests.show(test_id, secret).can_undo
    assert [ballot.choice for ballot in store.ab_tests.ballots(test_id)] == ["left", "tie"]
    with store.database.connection() as connection:
        kept = connection.execute("SELECT choice, undone_at IS NULL AS stands FROM ab_votes ORDER BY id").fetchall()
    assert kept == [
        {"choice": "left", "stands": True},
        {"choice": "right", "stands": False},
        {"choice": "tie", "stands": True},
    ]


def test_an_ended_test_takes_no_votes_until_it_is_reopened(store: Store, test_id: RowId, secret: str) -> None:
    token = store.ab_tests.show(test_id, secret).token
    store.ab_tests.end(test_id, "boss")
    store.ab_tests.end(test_id, "boss")
    for attempt in (
        lambda: store.ab_tests.vote(test_id, secret, token, "left"),
        lambda: store.ab_tests.show(test_id, secret),
        lambda: store.ab_tests.undo(test_id, secret),
        lambda: store.ab_tests.join(test_id, "Bob", PLAN, "bob"),
    ):
        with pytest.raises(ABTestEndedError, match="has ended"):
            attempt()
    store.ab_tests.reopen(test_id, "boss")
    store.ab_tests.vote(test_id, secret, token, "left")
    decisions = store.ab_tests.get(test_id).decisions
    assert [(decision["did"], decision["by"]) for decision in decisions] == [("ended", "boss"), ("reopened", "boss")]
    assert all(decision["at"] for decision in decisions)


def test_a_judge_who_is_left_out_does_not_count_and_can_be_taken_in_again(
    store: Store, test_id: RowId, secret: str
) -> None:
    store.ab_tests.vote(test_id, secret, store.ab_tests.show(test_id, secret).token, "left")
    store.ab_tests.leave_out(test_id, "Ann", "boss", "always left")
    assert store.ab_tests.ballots(test_id) == []
    assert [(judge.judge, judge.counts, judge.votes) for judge in store.ab_tests.judges(test_id)] == [("Ann", False, 1)]
    store.ab_tests.count_again(test_id, "Ann", "boss")
    assert len(store.ab_tests.ballots(test_id)) == 1
    first, second = store.ab_tests.get(test_id).decisions
    assert (first["did"], first["why"], second["did"]) == ("left out Ann", "always left", "counted Ann again")
    with pytest.raises(JudgeError, match="Bob is no judge"):
        store.ab_tests.leave_out(test_id, "Bob", "boss", "")


def test_only_hashes_of_secrets_are_stored(store: Store, test_id: RowId, secret: str) -> None:
    token = store.ab_tests.show(test_id, secret).token
    with store.database.connection() as connection:
        row = connection.execute("SELECT ab_judges::text AS everything FROM ab_judges").fetchone()
    assert row is not None
    assert secret not in row["everything"] and token not in row["everything"]
