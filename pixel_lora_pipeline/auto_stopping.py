"""The guard: looks at every registered machine, decides, stops what should be stopped, and says so.

One look at a machine is one call of `guard`; nothing is remembered in between but what stands in the database. What is
about to be done is written there before it is done, so that whoever comes after a crash knows it. Machines that nobody
has registered are never asked about.
"""

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from pixel_lora_pipeline.config import AutoStopSettings, Settings
from pixel_lora_pipeline.notify import machine_news
from pixel_lora_pipeline.store import Message, Store, WatchedMachine
from pixel_lora_pipeline.train import auto_stop, find_landings
from pixel_lora_pipeline.train.auto_stop import (
    Decision,
    Look,
    MachineReading,
    News,
    Policy,
    Spent,
    Verdict,
    Watch,
    decide,
)
from pixel_lora_pipeline.train.auto_stop.machines import (
    Machine,
    NamedPodMachine,
    PodMachine,
    ProcessMachine,
    UnreachableMachine,
)
from pixel_lora_pipeline.train.event_file import EventFileError
from pixel_lora_pipeline.train.loss_log import find_divergence, read_losses
from pixel_lora_pipeline.train.run_identity import read_file_name
from pixel_lora_pipeline.train.runpod import RunPod, RunPodError, RunPodUnavailableError
from pixel_lora_pipeline.train.trainers import LocalProcess, Trainer
from pixel_lora_pipeline.train.weights import NOT_FINITE

Reach = Callable[[WatchedMachine], Machine]
"""How a registered machine is looked at and stopped."""

Spending = Callable[[WatchedMachine], Iterable[Spent]]
"""What the books say was spent on a machine, of which budgets."""

# Two readings a moment apart are one: two daemons would agree with each other.
_APART: Final = timedelta(seconds=10)
_POLL_SECONDS: Final = 2.0
# Dagster gives a sensor 60 seconds. What has not stopped by then is looked at by the next call.
_LONGEST_STOP_SECONDS: Final = 20.0
_AT_ONCE: Final = 8
# A call to RunPod is repeated up to four times, and one look with a stop is two calls.
_ANSWER_SECONDS: Final = 5.0
_LONGEST_PAUSE_SECONDS: Final = 4.0

_T = TypeVar("_T")


@dataclass(frozen=True)
class Outcome:
    """What one look at a machine has led to."""

    machine: str
    action: str
    reason: str


def reach_with(trainer: Trainer, account: RunPod | str) -> Reach:
    """How machines are reached from here.

    Parameters
    ----------
    trainer
        What has started the trainings of the campaigns.
    account
        Whose pods are watched; where it cannot be asked, why.
    """

    def reach(machine: WatchedMachine) -> Machine:
        if machine.kind == "training":
            return ProcessMachine(trainer, machine.found_by)
        return reach_by_hand(machine.kind, machine.found_by, account)

    return reach


def reach_by_hand(kind: Literal["pod", "process"], found_by: Mapping[str, Any], account: RunPod | str) -> Machine:
    """A pod or a process, as people register them; `account` as `reach_with` takes it."""
    if kind == "process":
        return ProcessMachine(LocalProcess([]), found_by)
    if isinstance(account, str):
        return UnreachableMachine(account)
    if "pod_id" in found_by:
        return PodMachine(account, found_by["pod_id"])
    return NamedPodMachine(account, found_by["pod_name"])


@contextmanager
def asked_account(settings: Settings, timeout: float = _ANSWER_SECONDS) -> Iterator[RunPod | str]:
    """The RunPod account of the configuration, or why it cannot be asked."""
    if settings.runpod_api_key is None:
        yield "no key for RunPod is configured: set RUNPOD_API_KEY"
        return
    try:
        account = RunPod(settings.runpod_api_key, settings.runpod_url, timeout=timeout, sleep=_pause)
    except RunPodError as error:
        yield str(error)
        return
    try:
        yield account
    finally:
        account.close()


def policy_of(settings: Settings, *, is_switched_off: bool) -> Policy:
    """The policy that the configuration and the kill switch in the database add up to."""
    configured: AutoStopSettings = settings.auto_stop
    return Policy(
        mode=configured.mode,
        is_killed=settings.auto_stop_kill or is_switched_off,
        fresh=timedelta(seconds=configured.fresh_seconds),
        spending_fresh=timedelta(hours=configured.spending_fresh_hours),
        checkpoint_wait=timedelta(minutes=configured.checkpoint_wait_minutes),
        alarm_after=timedelta(minutes=configured.alarm_minutes),
        hard_cap=configured.hard_cap,
    )


def _pause(seconds: float) -> None:
    """Between two attempts of a call. Who is told to wait for longer comes back with the next look."""
    if seconds > _LONGEST_PAUSE_SECONDS:
        raise RunPodUnavailableError("wait", f"asks to be left alone for {seconds:g} s", "It is looked at again then.")
    time.sleep(seconds)


def limited(machine: WatchedMachine, defaults: AutoStopSettings) -> Watch:
    """With the limits of the configuration where a machine has none of its own; only pods have a rate."""
    usd, hours = machine.watch.usd_limit, machine.watch.hours_limit
    if usd is None and machine.kind == "pod" and defaults.usd_limit is not None:
        usd = Decimal(str(defaults.usd_limit))
    return replace(machine.watch, usd_limit=usd, hours_limit=defaults.hours_limit if hours is None else hours)


@dataclass(frozen=True)
class Guard:
    """Looks at machines, and stops them.

    Attributes
    ----------
    clock
        The database's, unless a test has its own.
    polls
        How often a machine that was asked to stop is looked at within the same call.
    sleep
        How to wait between these looks.
    """

    store: Store
    settings: Settings
    reach: Reach
    spending: Spending = lambda _: ()
    clock: Callable[[], datetime] | None = None
    polls: int = 10
    sleep: Callable[[float], None] = time.sleep

    def look_at_all(self) -> list[Outcome]:
        """Look at every machine once; one that another process is busy with, or has just looked at, is left out."""
        if self.settings.auto_stop.mode == "off":
            return []
        self.store.auto_stop.adopt_trainings()
        self.store.auto_stop.prune()
        machines = self.store.auto_stop.to_look_at()
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as threads:
            return [outcome for outcome in threads.map(self._look_after, machines) if outcome is not None]

    def policy(self) -> Policy:
        """As it is at this moment: the kill switch works at once."""
        switch = self.store.auto_stop.kill_switch()
        return policy_of(self.settings, is_switched_off=switch is not None and switch.is_off)

    def _look_after(self, machine: WatchedMachine) -> Outcome | None:
        with self.store.auto_stop.sole(machine.machine_id) as is_ours:
            if not is_ours:
                return None
            try:
                return self._attend(self.store.auto_stop.get(machine.machine_id))
            except Exception as error:  # noqa: BLE001 - what is wrong with one machine must not hide the others
                return self._admit(machine, error)

    def _attend(self, machine: WatchedMachine) -> Outcome | None:
        machine = replace(machine, watch=limited(machine, self.settings.auto_stop))
        asked_at = self._now()
        looked_at = machine.watch.looked_at
        if looked_at is not None and timedelta(0) <= asked_at - looked_at < _APART:
            return None
        reached = self.reach(machine)
        look = read(self.store, machine, reached, self.spending, asked_at)
        policy = self.policy()
        decision = decide(machine.watch, look, policy, self._now())
        if not self._record(machine, decision, look, policy):
            return None
        if decision.action == "stop":
            decision = self._stop(replace(machine, watch=decision.watch), reached, decision)
        return Outcome(machine.name, decision.action, decision.reason)

    def _stop(self, machine: WatchedMachine, reached: Machine, intent: Decision) -> Decision:
        """Ask a machine to stop, and look at it until it has, or until the next call will."""
        if not self.policy().may_stop:  # somebody may have used the switch a moment ago
            return intent
        watch, until = intent.watch, time.monotonic() + _LONGEST_STOP_SECONDS
        self._note(machine, watch, "asked", _ask_to_stop(reached))
        for _ in range(self.polls):
            if time.monotonic() > until:
                break
            look, policy = Look(self._now(), _look_at(reached)), self.policy()
            decision = decide(watch, look, policy, self._now())
            watch = decision.watch
            if decision.action not in ("stop", "look_again"):
                self._record(machine, decision, look, policy)
                return decision
            if look.machine.state == "unknown":
                break
            self.sleep(_POLL_SECONDS)
        return intent

    def _record(self, machine: WatchedMachine, decision: Decision, look: Look, policy: Policy) -> bool:
        looked_at = decision.watch.looked_at
        assert looked_at is not None  # noqa: S101 - a decision follows a look
        return self.store.auto_stop.record(
            machine,
            decision.watch,
            action=decision.action,
            rules=decision.rules,
            reason=decision.reason,
            policy=policy.to_dict(),
            reading=look.to_dict(),
            age=looked_at - look.asked_at,
            by=_who(),
            version=_version(),
            news=_messages(machine, decision.watch, decision.news) if policy.may_tell else (),
        )

    def _note(self, machine: WatchedMachine, watch: Watch, action: str, reason: str, news: Sequence[News] = ()) -> None:
        """Record what is no decision on a reading."""
        policy = self.policy()
        self.store.auto_stop.record(
            machine,
            watch,
            action=action,
            rules=(),
            reason=reason,
            policy=policy.to_dict(),
            reading=None,
            age=None,
            by=_who(),
            version=_version(),
            news=_messages(machine, watch, news) if policy.may_tell else (),
        )

    def _admit(self, machine: WatchedMachine, error: Exception) -> Outcome:
        """A fault of our own: it is told, and the machine is looked at again."""
        text = f"The guard itself has failed: {type(error).__name__}: {error}"
        fault = News("unreadable", f"fault {self._now():%Y-%m-%d %H}", text)
        known = self.store.auto_stop.get(machine.machine_id)
        self._note(known, known.watch, "fault", text, [fault])
        return Outcome(machine.name, "fault", text)

    def _now(self) -> datetime:
        return self.store.auto_stop.clock() if self.clock is None else self.clock()


def read(store: Store, machine: WatchedMachine, reached: Machine, spending: Spending, asked_at: datetime) -> Look:
    """Everything that is known of a machine now. A part that cannot be read leaves the others as they are."""
    reading = _look_at(reached)
    since = machine.watch.armed_at
    faults: list[str] = []

    def attempt(what: str, reads: Callable[[], _T], otherwise: _T) -> _T:
        try:
            return reads()
        except Exception as error:  # noqa: BLE001 - whatever is wrong with one part, the hard cap has to be looked at
            faults.append(f"{what} could not be read: {type(error).__name__}: {error}")
            return otherwise

    def verdict() -> Verdict | None:
        return None if machine.run_name is None else store.auto_stop.verdict(machine.run_name, since, machine.folder)

    nothing_spent: tuple[Spent, ...] = ()
    cannot_be_read: str | None = "what cannot be read"
    return Look(
        asked_at,
        reading,
        (
            *_elapsed_spending(machine.watch, reading, asked_at),
            *attempt("What was spent", lambda: tuple(spending(machine)), nothing_spent),
        ),
        attempt("The verdict on its run", verdict, None),
        attempt("Its checkpoints and its loss", lambda: _divergence(store, machine, asked_at), None),
        attempt("Its folder", lambda: _being_written(store, machine), cannot_be_read),
        tuple(faults),
    )


def _look_at(reached: Machine) -> MachineReading:
    try:
        return reached.look()
    except Exception as error:  # noqa: BLE001 - a reading that failed, whatever the fault
        return MachineReading("unknown", f"{type(error).__name__}: {error}")


def _ask_to_stop(reached: Machine) -> str:
    """What it answered, or why it did not: only looking at it says what has come of it."""
    try:
        return reached.stop()
    except Exception as error:  # noqa: BLE001 - it is looked at in any case
        return f"It could not be asked: {type(error).__name__}: {error}"


def _elapsed_spending(watch: Watch, reading: MachineReading, asked_at: datetime) -> tuple[Spent, ...]:
    """What a machine with a limit in US dollars has cost since it was armed, at its rate of now or the last known."""
    if watch.usd_limit is None:
        return ()
    seen = max(timedelta(0), asked_at - watch.armed_at)
    elapsed = Decimal(str(max(seen, reading.uptime or seen) / timedelta(hours=1)))
    if reading.usd_per_hour is not None:
        return (Spent(elapsed * reading.usd_per_hour, watch.usd_limit, asked_at, "elapsed"),)
    rate = watch.highest_rate
    return (Spent(None if rate is None else elapsed * rate, watch.usd_limit, watch.last_good_at, "elapsed"),)


def _divergence(store: Store, machine: WatchedMachine, asked_at: datetime) -> str | None:
    """Why a training is lost, by its checkpoints and its loss; None if nothing says so."""
    for path, fault in store.auto_stop.refused_since(machine.watch.armed_at, machine.folder):
        if NOT_FINITE in fault and (machine.folder is not None or read_file_name(path).base == machine.run_name):
            return f"The training has diverged: {path.name} {fault}."
    return None if machine.folder is None else _lost_loss(machine.folder, asked_at - machine.watch.armed_at)


def _lost_loss(folder: Path, armed_for: timedelta) -> str | None:
    """What the newest loss log of a training says, if it was written since the machine was armed."""
    newest: tuple[float, Path] | None = None
    for path in folder.rglob("events.out.tfevents.*"):
        try:
            newest = max(newest or (0.0, path), (path.stat().st_mtime, path))
        except OSError:
            continue
    if newest is None or time.time() - newest[0] > armed_for.total_seconds():
        return None
    try:
        found = find_divergence(read_losses(newest[1]).items())
    except (EventFileError, OSError):  # a log is extra: a damaged one decides nothing
        return None
    return None if found is None else f"The training has diverged: its loss is no number since step {found.step}."


def _being_written(store: Store, machine: WatchedMachine) -> str | None:
    if machine.folder is None:
        return None
    waiting = find_landings([machine.folder], store.landed_files.settled(), now=time.time()).waiting
    return waiting[-1].name if waiting else None


def _messages(machine: WatchedMachine, watch: Watch, news: Sequence[News]) -> list[Message]:
    return [
        machine_news(machine.name, machine.run_name, watch.armed_at, each.topic, each.occasion, each.text)
        for each in news
    ]


def _who() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


@cache
def _version() -> str:
    """Of the code that decides: the package's, and a hash of the rules, for which no version is changed."""
    digest = hashlib.sha256()
    for path in sorted(Path(auto_stop.__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"{version('pixel-lora-pipeline')}+{digest.hexdigest()[:8]}"
