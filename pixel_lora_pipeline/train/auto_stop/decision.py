"""What is done about a machine: a pure function of what was read, of what is remembered, of the policy and the time.

Two readings in a row that are fresh and agree are needed for anything that cannot be taken back by waiting: for a stop,
and for believing that a machine has stopped, is gone, or runs again. The hard cap alone needs no reading.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from pixel_lora_pipeline.train.auto_stop.policy import Policy
from pixel_lora_pipeline.train.auto_stop.reading import Look, State
from pixel_lora_pipeline.train.auto_stop.reasons import Reasons, find_reasons, stale_spending
from pixel_lora_pipeline.train.auto_stop.watch import RULES, PastLook, Rule, Watch

Action = Literal[
    "none",  # there is nothing to do
    "look_again",  # the machine's state seems to have changed; a second reading decides
    "confirm",  # there is a reason to stop it; a second reading has to agree
    "unreadable",  # what was read is too old, or could not be read
    "advise",  # it would be stopped now, if the guard might
    "wait",  # it is stopped when the checkpoint is written
    "refuse",  # its owner has locked it
    "stop",  # it is asked to stop, for the first time or again
    "withdraw",  # it was to be stopped, and the guard may not any more
    "stopped",  # it has stopped because we asked it to
    "ended",  # it has stopped by itself or by somebody else
    "gone",  # it is not there any more
    "armed",  # it runs again, and is watched from the beginning
]
Topic = Literal["warning", "advice", "alarm", "unreadable", "refused", "withdrawn", "stopped", "gone"]

URGENT: Final[frozenset[Action]] = frozenset({"confirm", "unreadable", "wait", "refuse"})
"""With a reason to stop, what has to come to an end within `Policy.alarm_after`, or people are told."""


@dataclass(frozen=True)
class News:
    """What people are told.

    Attributes
    ----------
    occasion
        The same occasion of the same topic is told once, as long as the machine is not armed again.
    """

    topic: Topic
    occasion: str
    text: str


@dataclass(frozen=True)
class Decision:
    """What is done and why.

    Attributes
    ----------
    rules
        The reasons to stop it, as far as there are any.
    reason
        In sentences, for people.
    watch
        What is remembered from now on.
    """

    action: Action
    rules: tuple[Rule, ...]
    reason: str
    watch: Watch
    news: tuple[News, ...] = ()


def decide(watch: Watch, look: Look, policy: Policy, now: datetime) -> Decision:
    """What to do about a machine.

    Parameters
    ----------
    watch
        What is remembered from the looks before.
    look
        What was read just now.
    now
        By the database's clock, as all moments here: nobody else's clock takes part.
    """
    state = look.machine.state if _counts(look, policy, now) else "unknown"
    reasons = find_reasons(watch, look, state, policy, now)
    known = _remembered(watch, look, state, reasons, now)
    match watch.phase:
        case "armed":
            return _decide_armed(watch, known, look, reasons, policy, now)
        case "stopping":
            return _decide_stopping(watch, known, look, reasons, policy, now)
        case "stopped" | "gone":
            return _decide_resting(watch, known, look)


def _counts(look: Look, policy: Policy, now: datetime) -> bool:
    return timedelta(0) <= now - look.asked_at <= policy.fresh


def _remembered(watch: Watch, look: Look, state: State, reasons: Reasons, now: datetime) -> Watch:
    rate = look.machine.usd_per_hour if state == "running" else None
    highest, before = watch.highest_rate, watch.previous
    if rate is not None and before is not None and before.usd_per_hour is not None:
        confirmed = min(rate, before.usd_per_hour)
        highest = confirmed if highest is None else max(highest, confirmed)
    # What is gone is not heard of again: this stays the moment at which it was.
    is_news = state != "unknown" and not state == watch.phase == "gone"
    return replace(
        watch,
        looked_at=now,
        last_good_at=look.asked_at if is_news else watch.last_good_at,
        highest_rate=highest,
        previous=PastLook(look.asked_at, state, frozenset(reasons.read), rate),
    )


def _seen_twice(watch: Watch, known: Watch) -> bool:
    assert known.previous is not None  # noqa: S101 - it is the present look
    return watch.previous is not None and watch.previous.state == known.previous.state


def _decide_armed(watch: Watch, known: Watch, look: Look, reasons: Reasons, policy: Policy, now: datetime) -> Decision:
    assert known.previous is not None  # noqa: S101
    state = known.previous.state
    if state in ("stopped", "gone"):
        return _decide_ended(watch, known, look, by_us=False)
    due: Mapping[Rule, str] = {**reasons.suspected, **reasons.read, **reasons.certain}
    warnings = tuple(News("warning", limit, text) for limit, text in reasons.warnings.items())
    warnings += _unreadable_news(known, look, state, policy, now)
    if not due:
        # Of a machine that could not be read, nobody knows whether the reason is gone.
        rested = replace(known, due_since=None) if state == "running" else known
        if state == "unknown":
            return Decision("unreadable", (), f"It could not be read: {_told(look)}", rested, warnings)
        return Decision("none", (), " ".join(reasons.warnings.values()), rested, warnings)
    rules, why = _in_order(due)
    since = watch.due_since or now
    known = replace(known, due_since=since)
    action, addition = _answer_to_reasons(watch, look, state, reasons, policy, now, since)
    if action == "stop":
        known = replace(known, phase="stopping", stop_asked_at=now)
    news = (*warnings, *_news_of_reasons(action, rules, f"{why} {addition}", policy, now, since))
    return Decision(action, rules, f"{why} {addition}".strip(), known, news)


def _answer_to_reasons(
    watch: Watch, look: Look, state: State, reasons: Reasons, policy: Policy, now: datetime, since: datetime
) -> tuple[Action, str]:
    """What is done where there is a reason to stop, and what is said of that."""
    before = watch.previous
    agreed = (
        before is not None
        and timedelta(0) < look.asked_at - before.asked_at
        and now - before.asked_at <= policy.fresh
        and not before.rules.isdisjoint(reasons.read)
    )
    if not agreed and not reasons.certain:
        if state == "unknown" or not reasons.read:
            return "unreadable", f"That is not known for certain, and nothing is stopped for it. {_told(look)}".strip()
        return "confirm", "A second reading has to agree."
    if not policy.may_stop:
        switch = " The kill switch is on." if policy.is_killed else ""
        return "advise", f"It would be stopped now, but the guard may only {policy.mode}.{switch}"
    return _obstacle(look, policy, now, since) or ("stop", "")


def _obstacle(look: Look, policy: Policy, now: datetime, since: datetime) -> tuple[Action, str] | None:
    """What a stop has to wait for, or stops at."""
    if look.machine.is_locked:
        return "refuse", "It is not stopped, because its owner has locked it."
    if look.being_written is not None and now - since < policy.checkpoint_wait:
        return "wait", f"{look.being_written} is being written: the stop waits for it, but not for ever."
    return None


def _news_of_reasons(
    action: Action, rules: tuple[Rule, ...], text: str, policy: Policy, now: datetime, since: datetime
) -> tuple[News, ...]:
    news = []
    if action == "advise":
        news.append(News("advice", " ".join(rules), text))
    if action == "refuse":
        news.append(News("refused", "locked", text))
    if action in URGENT:
        news += _alarm(f"There is a reason to stop it since {_clock(since)}: {text}", policy, now, since)
    return tuple(news)


def _alarm(text: str, policy: Policy, now: datetime, since: datetime) -> tuple[News, ...]:
    """Told after each `alarm_after` once more."""
    times = (now - since) // policy.alarm_after
    return (News("alarm", f"{since.isoformat()} {times}", text),) if times > 0 else ()


def _unreadable_news(known: Watch, look: Look, state: State, policy: Policy, now: datetime) -> tuple[News, ...]:
    news = []
    if state == "unknown" and now - known.last_good_at > policy.fresh:
        text = f"Nothing fresh was read of it since {_clock(known.last_good_at)}. {_told(look)}"
        news.append(News("unreadable", known.last_good_at.isoformat(), text))
    if state == "running":
        for fault in look.faults:
            news.append(News("unreadable", fault.partition(":")[0], fault))
        for spent in stale_spending(look, policy, now):
            known_until = (
                "is not known" if spent.amount is None else f"is known only up to {_clock(spent.as_of)} ({spent.kind})"
            )
            text = f"What it has spent of {spent.budget:.2f} US$ {known_until}: its budget is not watched."
            news.append(News("unreadable", f"{spent.kind} {spent.as_of.isoformat() if spent.amount else ''}", text))
    return tuple(news)


def _decide_stopping(
    watch: Watch, known: Watch, look: Look, reasons: Reasons, policy: Policy, now: datetime
) -> Decision:
    assert known.previous is not None and watch.stop_asked_at is not None  # noqa: S101
    state, asked = known.previous.state, watch.stop_asked_at
    if state in ("stopped", "gone"):
        return _decide_ended(watch, known, look, by_us=True)
    rules, why = _in_order({**reasons.suspected, **reasons.read, **reasons.certain})
    if watch.looked_at is not None and now - watch.looked_at > policy.fresh:
        # Nobody has looked for a while: it may have stopped and been resumed in between.
        return _decide_armed(
            replace(watch, phase="armed", stop_asked_at=None, previous=None),
            replace(known, phase="armed", stop_asked_at=None),
            look,
            reasons,
            policy,
            now,
        )
    since = f"It was asked to stop at {_clock(asked)} and has not stopped. {_told(look)}".strip()
    if not policy.may_stop:
        text = f"{since} It is not asked again, because the guard may not stop anything any more."
        calm = replace(known, phase="armed", stop_asked_at=None)
        return Decision("withdraw", rules, text, calm, (News("withdrawn", asked.isoformat(), text),))
    news = _alarm(since, policy, now, asked)
    if look.machine.is_locked:
        text = f"{since} Its owner has locked it meanwhile."
        return Decision("refuse", rules, text, known, (*news, News("refused", "locked", text)))
    return Decision("stop", rules, f"{why} {since}".strip(), known, news)


def _decide_ended(watch: Watch, known: Watch, look: Look, *, by_us: bool) -> Decision:
    """A machine that reads as stopped or gone."""
    assert known.previous is not None  # noqa: S101
    said = _told(look)
    if not _seen_twice(watch, known):
        return Decision("look_again", (), f"It seems to run no longer. {said} A second reading decides.", known)
    calm = replace(known, due_since=None, stop_asked_at=None)
    if known.previous.state == "gone":
        text = f"It is not there any more. {said}"
        return Decision("gone", (), text, replace(calm, phase="gone"), (News("gone", "gone", text),))
    calm = replace(calm, phase="stopped")
    if not by_us:
        return Decision("ended", (), f"It has stopped, and not because of the guard. {said}", calm)
    text = f"It has stopped. {said}"
    return Decision("stopped", (), text, calm, (News("stopped", "stopped", text),))


def _decide_resting(watch: Watch, known: Watch, look: Look) -> Decision:
    """A machine that had stopped or was gone."""
    assert known.previous is not None  # noqa: S101
    state, said = known.previous.state, _told(look)
    if state == "unknown" or state == watch.phase:
        return Decision("none", (), said, known)
    if not _seen_twice(watch, known):
        return Decision("look_again", (), f"It was {watch.phase}. {said} A second reading decides.", known)
    if state == "gone":
        return Decision("gone", (), said, replace(known, phase="gone"))
    if state == "stopped":
        return Decision("ended", (), said, replace(known, phase="stopped"))
    assert watch.previous is not None  # noqa: S101 - it was seen twice
    armed = replace(known, phase="armed", armed_at=watch.previous.asked_at, due_since=None, stop_asked_at=None)
    return Decision("armed", (), f"It runs again: it is watched from now on as if it were new. {said}", armed)


def _in_order(due: Mapping[Rule, str]) -> tuple[tuple[Rule, ...], str]:
    rules = tuple(rule for rule in RULES if rule in due)
    return rules, " ".join(due[rule] for rule in rules)


def _told(look: Look) -> str:
    return f"It reads: {look.machine.said.rstrip('.')}."


def _clock(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S %Z}"
