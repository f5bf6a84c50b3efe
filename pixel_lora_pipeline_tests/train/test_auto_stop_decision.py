"""What the guard decides: nothing on one reading or on old ones, and nothing that should stop goes on unnoticed."""

import itertools
import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from pixel_lora_pipeline.train.auto_stop import (
    Decision,
    Look,
    MachineReading,
    Mode,
    Policy,
    Rule,
    Spent,
    State,
    Verdict,
    Watch,
    decide,
)

START = datetime(2026, 12, 1, 12, tzinfo=UTC)
TICK = timedelta(seconds=30)
STOP = Policy(mode="stop")
RUNNING = MachineReading("running", "RUNNING", Decimal("0.50"))
STOPPED = MachineReading("stopped", "EXITED")
GONE = MachineReading("gone", "404")
UNKNOWN = MachineReading("unknown", "RunPod answered 500")
DEGRADING = Verdict("degrading", "It gets worse since epoch 6.")


@dataclass
class Course:
    """Looks at one machine, one after the other, each remembered as the database remembers it."""

    policy: Policy = STOP
    now: datetime = START
    watch: Watch = field(default_factory=lambda: Watch("armed", START, None, START, hours_limit=None))
    decisions: list[Decision] = field(default_factory=list)

    def look(
        self,
        machine: MachineReading = RUNNING,
        *,
        after: timedelta = TICK,
        age: timedelta = timedelta(seconds=1),
        **found: object,
    ) -> Decision:
        self.now += after
        decision = decide(self.watch, Look(self.now - age, machine, **found), self.policy, self.now)  # type: ignore[arg-type]
        self.watch = decision.watch
        self.decisions.append(decision)
        return decision

    @property
    def actions(self) -> list[str]:
        return [decision.action for decision in self.decisions]

    @property
    def topics(self) -> list[str]:
        """Of news, each occasion once, as people hear it."""
        told = dict.fromkeys((news.topic, news.occasion) for each in self.decisions for news in each.news)
        return [topic for topic, _ in told]


def limited(hours: float | None = None, usd: str | None = None, **policy: object) -> Course:
    watch = Watch("armed", START, None, START, None if usd is None else Decimal(usd), hours)
    return Course(replace(STOP, **policy), watch=watch)  # type: ignore[arg-type]


def spent(amount: str, as_of: datetime) -> tuple[Spent, ...]:
    return (Spent(Decimal(amount), Decimal(10), as_of, "accrued"),)


def found_by(rule: Rule, now: datetime) -> dict[str, object]:
    return {
        "degrading": {"verdict": DEGRADING},
        "optimal": {"verdict": Verdict("optimal", "It is as good as it gets.")},
        "diverged": {"divergence": "Its loss is NaN."},
        "budget": {"spent": spent("10.00", now)},
    }[rule]


REASONS: tuple[Rule, ...] = ("degrading", "optimal", "diverged", "budget")


@pytest.mark.parametrize("rule", REASONS)
def test_two_fresh_readings_that_agree_stop_a_machine_and_one_does_not(rule: Rule) -> None:
    course = Course()
    first = course.look(**found_by(rule, START))
    assert (first.action, first.rules) == ("confirm", (rule,))
    second = course.look(**found_by(rule, START))
    assert (second.action, second.rules) == ("stop", (rule,))
    assert course.watch.phase == "stopping"


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(REASONS[1:], 2)))
def test_two_readings_with_different_reasons_do_not_agree(first: Rule, second: Rule) -> None:
    course = Course()
    course.look(**found_by(first, START))
    assert course.look(**found_by(second, START)).action == "confirm"


@pytest.mark.parametrize("between", ["nothing", "unknown", "old", "long ago"])
def test_what_lies_between_two_readings_makes_them_no_two_in_a_row(between: str) -> None:
    course = Course()
    course.look(verdict=DEGRADING)
    match between:
        case "nothing":
            course.look()
        case "unknown":
            course.look(UNKNOWN, verdict=DEGRADING)
        case "old":
            course.look(verdict=DEGRADING, age=timedelta(seconds=121))
    after = timedelta(seconds=200) if between == "long ago" else TICK
    assert course.look(verdict=DEGRADING, after=after).action == "confirm"


def test_an_old_reading_stops_nothing_however_often_it_is_read() -> None:
    course = Course()
    for _ in range(10):
        course.look(verdict=DEGRADING, age=timedelta(seconds=121))
    assert set(course.actions) == {"unreadable"}
    assert course.topics == ["unreadable"], "people were not told, or told again and again"


def test_the_same_reading_is_no_second_one() -> None:
    course = Course()
    look = Look(START, RUNNING, verdict=DEGRADING)
    first = decide(course.watch, look, STOP, START)
    assert decide(first.watch, look, STOP, START + TICK).action == "confirm"


def test_a_reading_from_the_future_does_not_count() -> None:
    course = Course()
    course.look(verdict=DEGRADING, age=timedelta(seconds=-60))
    assert course.look(verdict=DEGRADING, age=timedelta(seconds=-60)).action == "unreadable"


def test_most_of_a_budget_warns_once_and_all_of_it_stops() -> None:
    course = Course()
    for amount in ("7.99", "8.00", "9.00", "9.99"):
        assert course.look(spent=spent(amount, course.now)).action == "none"
    assert course.topics == ["warning"]
    assert "8.00 of 10.00 US$" in course.decisions[1].news[0].text
    course.look(spent=spent("10.00", course.now))
    assert course.look(spent=spent("10.00", course.now)).action == "stop"


def test_an_amount_that_is_too_old_is_told_and_stops_nothing() -> None:
    course = Course()
    for _ in range(3):
        course.look(spent=spent("11.00", START - timedelta(hours=3)))
    assert set(course.actions) == {"unreadable"}
    assert course.topics[0] == "unreadable"
    assert "accrued" in course.decisions[0].news[0].text
    for _ in range(20):
        course.look(spent=spent("11.00", START - timedelta(hours=3)))
    assert "alarm" in course.topics, "a machine whose budget seems spent runs on, and nobody knows"


def test_an_amount_that_nobody_knows_is_told() -> None:
    course = Course()
    course.look(spent=(Spent(None, Decimal(10), START, "elapsed"),))
    assert course.actions == ["none"]
    assert "its budget is not watched" in course.decisions[0].news[0].text


def test_its_hours_are_counted_by_the_database_and_stop_it() -> None:
    course = limited(hours=1)
    course.look(after=timedelta(minutes=47))
    assert course.topics == []
    course.look(after=timedelta(minutes=2))
    assert course.topics == ["warning"]
    course.look(after=timedelta(minutes=12))
    assert course.look().rules == ("hours",)
    assert course.actions[-2:] == ["confirm", "stop"]


def test_hours_before_its_registration_count_where_two_readings_tell_of_them() -> None:
    course = limited(hours=6)
    long_ago = replace(RUNNING, uptime=timedelta(hours=60))
    assert course.look(long_ago).action == "confirm"
    assert course.look(RUNNING).action == "none", "one wrong reading was believed"
    course.look(long_ago)
    assert course.look(long_ago).action == "stop"


def test_the_hard_cap_stops_what_nobody_can_read() -> None:
    course = limited(hours=1)
    course.look(UNKNOWN, after=timedelta(minutes=74))
    assert course.actions == ["unreadable"], "stopped below the hard cap although nothing could be read"
    stop = course.look(UNKNOWN, after=timedelta(minutes=1))
    assert (stop.action, stop.rules) == ("stop", ("hard_cap", "hours"))


def test_the_hard_cap_takes_the_highest_rate_that_two_readings_agree_on() -> None:
    course = limited(usd="10.00")
    dear = replace(RUNNING, usd_per_hour=Decimal(4))
    course.look()
    course.look(replace(RUNNING, usd_per_hour=Decimal(900)))
    course.look(dear)
    course.look(dear)
    course.look()
    assert course.watch.highest_rate == 4
    course.look(UNKNOWN, after=timedelta(hours=3))
    assert course.actions[-1] == "unreadable"
    assert course.look(UNKNOWN, after=timedelta(minutes=8)).rules == ("hard_cap",)
    assert course.actions[-1] == "stop"


def test_without_any_rate_the_hard_cap_of_a_budget_decides_nothing() -> None:
    course = limited(usd="10.00")
    assert course.look(UNKNOWN, after=timedelta(days=30)).action == "unreadable"


@pytest.mark.parametrize(("mode", "killed"), [("observe", False), ("notify", False), ("stop", True)])
def test_nothing_is_stopped_in_another_mode_or_after_the_kill_switch(mode: Mode, *, killed: bool) -> None:
    course = Course(replace(STOP, mode=mode, is_killed=killed))
    for _ in range(30):
        course.look(verdict=DEGRADING)
    assert set(course.actions) == {"confirm", "advise"}
    assert course.topics == ["advice"]


def test_the_kill_switch_ends_a_stop_that_had_begun() -> None:
    course = Course()
    course.look(verdict=DEGRADING)
    course.look(verdict=DEGRADING)
    course.policy = replace(STOP, is_killed=True)
    assert course.look(verdict=DEGRADING).action == "withdraw"
    assert course.look(verdict=DEGRADING).action == "advise"
    assert course.topics[0] == "withdrawn"


def test_a_stop_waits_for_a_checkpoint_but_not_for_ever() -> None:
    course = Course()
    for _ in range(30):
        course.look(verdict=DEGRADING, being_written="portraits-000007.safetensors")
        if course.actions[-1] == "stop":
            break
    assert course.actions[:2] == ["confirm", "wait"]
    assert course.actions[-1] == "stop"
    assert len(course.actions) == 1 + STOP.checkpoint_wait // TICK, "it did not wait for ten minutes"
    assert "portraits-000007.safetensors is being written" in course.decisions[1].reason
    assert "alarm" in course.topics


def test_a_stop_follows_at_once_when_the_checkpoint_is_written() -> None:
    course = Course()
    course.look(verdict=DEGRADING)
    course.look(verdict=DEGRADING, being_written="a.safetensors")
    assert course.look(verdict=DEGRADING).action == "stop"


def test_a_reason_that_every_second_reading_cannot_confirm_is_an_alarm() -> None:
    course = Course()
    for _ in range(6):
        course.look(verdict=DEGRADING)
        course.look(UNKNOWN)
    assert set(course.actions) == {"confirm", "unreadable"}
    assert "alarm" in course.topics, "it runs on although it should not, and nobody hears of it"


def test_a_locked_machine_is_refused_and_that_is_told_again_and_again() -> None:
    course = limited(hours=1)
    locked = replace(RUNNING, is_locked=True)
    course.look(locked, after=timedelta(hours=2))
    for _ in range(30):
        course.look(locked)
    assert "stop" not in course.actions
    assert course.topics.count("refused") == 1
    assert course.topics.count("alarm") == 3, f"{course.topics}: every five minutes, in a quarter of an hour"


def stopping() -> Course:
    course = Course()
    course.look(verdict=DEGRADING)
    course.look(verdict=DEGRADING)
    assert course.actions == ["confirm", "stop"]
    return course


def test_a_machine_has_stopped_when_two_readings_say_so() -> None:
    course = stopping()
    assert course.look(STOPPED).action == "look_again"
    assert course.look(STOPPED).action == "stopped"
    assert course.topics == ["stopped"]
    assert course.look(STOPPED).action == "none"


def test_a_machine_that_ignores_the_stop_is_asked_again_and_an_alarm_sounds_every_five_minutes() -> None:
    course = stopping()
    for _ in range(40):
        course.look()
    assert set(course.actions[2:]) == {"stop"}
    assert course.topics == ["alarm"] * 4
    asked = course.decisions[1].watch.stop_asked_at
    assert all(decision.watch.stop_asked_at == asked for decision in course.decisions[1:])


def test_a_stop_whose_outcome_nobody_can_read_is_an_alarm_too() -> None:
    course = stopping()
    for _ in range(15):
        course.look(UNKNOWN)
    assert "alarm" in course.topics


def test_a_stop_that_nobody_followed_up_is_decided_on_anew() -> None:
    course = stopping()
    later = course.look(after=timedelta(hours=8))
    assert (later.action, course.watch.phase) == ("none", "armed"), "a machine that was resumed meanwhile was stopped"


def test_a_machine_that_somebody_else_stops_is_no_news() -> None:
    course = Course()
    course.look()
    course.look(STOPPED)
    assert course.look(STOPPED).action == "ended"
    assert course.topics == []


def test_a_machine_that_is_gone_is_recorded_and_told_once() -> None:
    course = Course()
    for _ in range(4):
        course.look(GONE)
    assert course.actions == ["look_again", "gone", "none", "none"]
    assert course.topics == ["gone"]


def test_a_single_wrong_word_about_its_state_changes_nothing() -> None:
    course = limited(hours=1)
    for lie in (STOPPED, GONE):
        course.look()
        course.look(lie)
    course.look()
    assert (course.watch.phase, course.watch.armed_at) == ("armed", START)


def test_a_resumed_machine_is_armed_again_with_all_of_its_hours() -> None:
    course = limited(hours=1)
    course.look(after=timedelta(hours=1))
    course.look()
    course.look(STOPPED)
    course.look(STOPPED)
    assert course.watch.phase == "stopped"
    course.look(after=timedelta(hours=5))
    assert course.look().action == "armed"
    assert course.watch.armed_at == course.now - TICK - timedelta(seconds=1)
    assert course.look(after=timedelta(minutes=30)).action == "none"
    course.look(after=timedelta(minutes=30))
    assert course.look().action == "stop", "it is not guarded after it was resumed"


def test_a_verdict_on_a_machine_that_runs_no_longer_is_nothing() -> None:
    course = Course()
    for _ in range(3):
        course.look(STOPPED, verdict=DEGRADING)
    assert course.actions == ["look_again", "ended", "none"]


# What follows draws thousands of courses of events by lot: true states, faults, lies, breaks, resumptions.

STATES: dict[State, MachineReading] = {"running": RUNNING, "stopped": STOPPED, "gone": GONE, "unknown": UNKNOWN}


@dataclass
class World:
    """A machine as it is, and as it reads."""

    lot: random.Random
    runs: bool = True
    obeys: bool = True
    locked: bool = False

    def reading(self) -> MachineReading:
        fault = self.lot.random()
        if fault < 0.15:
            return UNKNOWN
        # A lie lasts for one reading: two in a row are no lie that anybody could see through.
        if fault < 0.2 and self.lies_not_yet:
            self.lies_not_yet = False
            return self.lot.choice([STOPPED, GONE, RUNNING])
        self.lies_not_yet = True
        rate = self.lot.choice([None, Decimal("0.5"), Decimal("0.5"), Decimal(900)])
        return replace(RUNNING, is_locked=self.locked, usd_per_hour=rate) if self.runs else STOPPED

    lies_not_yet: bool = True


def drawn_course(seed: int) -> Iterable[tuple[World, Course, Look, Decision, Watch]]:
    lot = random.Random(seed)  # noqa: S311
    course = limited(
        hours=lot.choice([None, 0.2, 1.0]),
        usd=lot.choice([None, "0.10"]),
        mode=lot.choice(["observe", "notify", "stop", "stop", "stop"]),
    )
    world = World(lot, obeys=lot.random() < 0.7, locked=lot.random() < 0.1)
    reasons: list[Rule] = []
    for _ in range(120):
        if lot.random() < 0.05:
            reasons = lot.sample(REASONS, lot.randint(0, 2))
        if lot.random() < 0.02:
            course.policy = replace(course.policy, is_killed=not course.policy.is_killed)
        if not world.runs and lot.random() < 0.1:
            world.runs = True
        after = lot.choice([TICK, TICK, TICK, timedelta(seconds=45), timedelta(minutes=4)])
        found: dict[str, object] = {}
        for rule in reasons:
            stale = lot.random() < 0.2
            found |= found_by(rule, course.now - timedelta(hours=3 if stale else 0))
        if lot.random() < 0.1:
            found["being_written"] = "portraits-000003.safetensors"
        before = course.watch
        course.now += after
        age = timedelta(seconds=lot.choice([0, 1, 30, 119, 121, 500]))
        look = Look(course.now - age, world.reading(), **found)  # type: ignore[arg-type]
        decision = decide(before, look, course.policy, course.now)
        course.watch = decision.watch
        course.decisions.append(decision)
        if decision.action == "stop" and world.obeys and not world.locked and lot.random() < 0.8:
            world.runs = False
        yield world, course, look, decision, before


@pytest.mark.parametrize("block", range(8))
def test_by_lot_nothing_is_stopped_on_one_reading_or_on_old_ones(block: int) -> None:
    stops = 0
    for seed in range(block * 50, block * 50 + 50):
        for _, course, look, decision, before in drawn_course(seed):
            if decision.action != "stop":
                continue
            stops += 1
            told = f"seed {seed}: {decision}"
            assert course.policy.may_stop, told
            assert not look.machine.is_locked, told
            if before.phase == "stopping" or "hard_cap" in decision.rules:
                elapsed, limit = course.now - before.armed_at, before.hours_limit
                assert before.phase == "stopping" or (
                    (limit is not None and elapsed >= STOP.hard_cap * timedelta(hours=limit))
                    or elapsed >= STOP.hard_cap * timedelta(hours=float(before.usd_limit or 1000) / 0.5)
                    or (look.spent and elapsed >= STOP.hard_cap * timedelta(hours=10 / 0.5))
                    or before.highest_rate == 900
                ), told
                continue
            previous = before.previous
            assert previous is not None, told
            assert look.machine.state == previous.state == "running", told
            assert course.now - look.asked_at <= STOP.fresh, told
            assert course.now - previous.asked_at <= STOP.fresh, told
            assert not previous.rules.isdisjoint(decision.rules), told
    assert stops > 100, f"only {stops} stops were drawn: nothing was tested"


@pytest.mark.parametrize("block", range(4))
def test_by_lot_no_machine_beyond_its_hard_cap_runs_on_unnoticed(block: int) -> None:
    """It is asked to stop, or people hear something new, again and again; where the guard may not stop it, once."""
    patience = STOP.checkpoint_wait + STOP.alarm_after + 2 * timedelta(minutes=4)
    beyond = 0
    for seed in range(1000 + block * 50, 1000 + block * 50 + 50):
        noticed: datetime | None = None
        heard: set[tuple[datetime, str, str]] = set()
        for world, course, _, decision, before in drawn_course(seed):
            fresh_news = {(before.armed_at, news.topic, news.occasion) for news in decision.news} - heard
            heard |= fresh_news
            limit = before.hours_limit
            over = limit is not None and course.now - before.armed_at > STOP.hard_cap * timedelta(hours=limit)
            if not (world.runs and over and before.phase in ("armed", "stopping")) or course.policy.mode == "observe":
                noticed = None
                continue
            beyond += 1
            told_before = any(armed_at == before.armed_at for armed_at, _, _ in heard)
            if decision.action == "stop" or fresh_news or (told_before and not course.policy.may_stop):
                noticed = course.now
            noticed = noticed or course.now
            assert course.now - noticed <= patience, f"seed {seed}: nothing was done or said"
    assert beyond > 500, f"{beyond} looks beyond a cap: nothing was tested"
