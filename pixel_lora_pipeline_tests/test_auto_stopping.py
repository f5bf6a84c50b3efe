"""The guard at work, with RunPod's API on this machine and real processes: what it stops, and what it never touches."""

import random
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from pixel_lora_pipeline.auto_stopping import Guard, Outcome, reach_with
from pixel_lora_pipeline.config import PROJECT_ROOT, AutoStopSettings, Settings
from pixel_lora_pipeline.notify import checkpoint_refused
from pixel_lora_pipeline.store import Store, WatchedMachine
from pixel_lora_pipeline.train import CheckpointError, find_landings, verify_weights
from pixel_lora_pipeline.train.auto_stop import MachineReading, Spent
from pixel_lora_pipeline.train.auto_stop.machines import found_process
from pixel_lora_pipeline.train.runpod import RunPod
from pixel_lora_pipeline.train.trainers import LocalProcess
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_experiments import proposal
from pixel_lora_pipeline_tests.train.runpod_server import KEY, FakePod, RunPodServer

OURS = "7h9k2m4n6p"
LOSS_LOG = Path(__file__).parent / "train/samples/20251110093000/network_train"


@dataclass
class Watchman:
    """A guard whose time passes when a test says so."""

    store: Store
    server: RunPodServer
    account: RunPod
    settings: AutoStopSettings
    offset: timedelta = timedelta()
    spending: Callable[[WatchedMachine], list[Spent]] = lambda _: []
    reach: Callable[[WatchedMachine], Any] | None = None
    outcomes: list[Outcome] = field(default_factory=list)

    def clock(self) -> datetime:
        return self.store.auto_stop.clock() + self.offset

    def guard(self) -> Guard:
        return Guard(
            self.store,
            Settings(auto_stop=self.settings),
            self.reach or reach_with(LocalProcess([]), self.account),
            self.spending,
            self.clock,
            polls=3,
            sleep=lambda _: None,
        )

    def look(self, times: int = 1, every: timedelta = timedelta(seconds=30)) -> list[str]:
        """Actions of each look, one machine."""
        actions = []
        for _ in range(times):
            self.offset += every
            found = self.guard().look_at_all()
            self.outcomes += found
            actions += [outcome.action for outcome in found]
        return actions

    def run_out(self) -> None:
        """Its hours are over, and the readings before are long past."""
        self.offset += timedelta(minutes=61)

    def watch(self, pod_id: str = OURS, **terms: Any) -> WatchedMachine:
        return self.store.auto_stop.register("pod", pod_id, {"pod_id": pod_id}, "me", **{"hours_limit": 1.0, **terms})

    @property
    def recorded(self) -> list[str]:
        return [decision.action for decision in reversed(self.store.auto_stop.log(limit=1000, idle=True))]

    @property
    def told(self) -> list[str]:
        """Subjects of messages, the first first."""
        return [message.subject for message in reversed(self.store.notifications.find(("pending",), 500))]

    @property
    def stops(self) -> list[str]:
        return [line for line in self.server.lines if line.endswith(" stop")]

    def pod(self, pod_id: str = OURS) -> FakePod:
        return self.server.pods[pod_id]


@pytest.fixture
def watchman(store: Store, tmp_path: Path, runpod_server: RunPodServer) -> Iterator[Watchman]:
    told = Store(store.database.url, tmp_path / "images", ["json-12345678"], keep_connections=True)
    account = RunPod(SecretStr(KEY), runpod_server.url, timeout=0.05, sleep=lambda _: None)
    yield Watchman(told, runpod_server, account, AutoStopSettings(mode="stop"))
    assert runpod_server.destructive == [], "a pod would have been terminated"
    account.close()


def test_a_pod_beyond_its_hours_is_stopped_confirmed_and_told_of(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, looks_to_exit=1)
    watchman.watch()
    assert watchman.look() == ["none"]
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "stopped"]
    assert watchman.pod().status == "EXITED"
    assert watchman.recorded == ["watched", "none", "confirm", "stop", "asked", "stopped"]
    assert watchman.told == [f"{OURS} was stopped"]
    assert watchman.stops == [f"POST /v2/pods/{OURS}/action stop"]
    assert watchman.look() == ["none"]


def test_every_decision_says_what_was_read_how_old_it_was_and_which_code_decided(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.look()
    watchman.run_out()
    watchman.look(2)
    (intent,) = [each for each in watchman.store.auto_stop.log() if each.action == "stop"]
    assert intent.rules == ["hours"] and "of 1 hours" in intent.reason
    assert intent.reading is not None and intent.reading["machine"]["usd_per_hour"] == 0.44
    assert intent.age_seconds is not None and 0 <= intent.age_seconds < 5
    assert intent.previous is not None and intent.previous["rules"] == ["hours"]
    assert (intent.mode, intent.phase) == ("stop", "stopping")
    assert intent.version and "+" in intent.version and ":" in intent.decided_by


@pytest.mark.parametrize("fault", ["401", "403", "404 once", "429", "500", "silent", "slow", "garbage", "truncated"])
def test_what_cannot_be_read_stops_nothing_below_the_hard_cap_and_is_told(watchman: Watchman, fault: str) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.look()
    break_down(watchman.server, fault, "GET")
    watchman.run_out()
    watchman.look(3)
    if fault == "404 once":
        assert watchman.stops == ["POST /v2/pods/7h9k2m4n6p/action stop"], "it was believed to be gone"
        return
    assert watchman.stops == [], "stopped although nothing could be read"
    assert f"{OURS} cannot be watched properly" in watchman.told
    watchman.offset += timedelta(minutes=14)
    watchman.look()
    assert len(watchman.stops) == 1, "it runs on beyond its hard cap"
    watchman.look(3, every=timedelta(seconds=110))
    assert f"{OURS} still runs, and should not" in watchman.told, "nobody knows whether it has stopped"
    watchman.server.calm()
    assert watchman.look()[-1] in ("stopped", "look_again")


@pytest.mark.parametrize("fault", ["401", "403", "409", "429", "500", "silent", "lost", "garbage", "truncated"])
def test_a_stop_that_fails_is_told_and_tried_again_until_the_pod_has_stopped(watchman: Watchman, fault: str) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    break_down(watchman.server, fault, "POST")
    actions = watchman.look(2)
    if fault in ("lost", "garbage", "truncated"):
        assert actions == ["confirm", "stopped"], "the answer was believed, and not the pod"
        return
    assert actions == ["confirm", "stop"]
    assert watchman.pod().status == "RUNNING"
    assert watchman.store.auto_stop.watched()[0].watch.phase == "stopping", "a refusal was taken for a stop"
    watchman.look(2, every=timedelta(seconds=110))
    watchman.look(1, every=timedelta(seconds=110))
    assert watchman.told.count(f"{OURS} still runs, and should not") == 1
    watchman.server.calm()
    assert watchman.look() == ["stopped"]
    assert watchman.told[-1] == f"{OURS} was stopped"


def break_down(server: RunPodServer, fault: str, on: str) -> None:
    """The fault lasts until `calm`, but for those that say otherwise."""
    match fault.split():
        case [status, *rest] if status.isdigit():
            server.fail(int(status), on, times=1 if rest else None)
        case ["silent"]:
            server.silent(on, times=None)
        case ["lost"]:
            server.lose(on, times=None)
        case ["slow"]:
            server.slow(1.0, on, times=None)
        case ["garbage"]:
            server.garble(on=on, times=None)
        case ["truncated"]:
            server.truncate(on, times=None)


def test_a_pod_that_ignores_the_stop_is_an_alarm_every_five_minutes(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, ignores_stop=True)
    watchman.watch()
    watchman.run_out()
    watchman.look(2)
    watchman.look(10, every=timedelta(seconds=100))
    assert watchman.told.count(f"{OURS} still runs, and should not") == 3, watchman.told
    assert len(watchman.stops) == 11, "it was not asked again at every look"


def test_a_pod_that_somebody_has_just_stopped_is_looked_at_and_not_believed_to_run(watchman: Watchman) -> None:
    pod = watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look()
    account, original = watchman.account, watchman.account.stop

    def stopped_meanwhile(pod_id: str) -> Any:
        pod.status = "EXITED"
        return original(pod_id)

    account.stop = stopped_meanwhile  # type: ignore[method-assign]
    assert watchman.look() == ["stopped"]
    (asked,) = [each for each in watchman.store.auto_stop.log() if each.action == "asked"]
    assert "409" in asked.reason


def test_a_vanished_pod_is_recorded_as_gone_and_told(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.look()
    watchman.server.vanish(OURS)
    assert watchman.look(2) == ["look_again", "gone"]
    assert watchman.told == [f"{OURS} is gone"]
    assert watchman.look(2) == ["none", "none"]
    with watchman.store.database.connection() as connection:
        connection.execute("UPDATE auto_stop_machines SET last_good_at = last_good_at - interval '2 days'")
    asked = len(watchman.server.requests)
    assert watchman.look(2) == []
    assert len(watchman.server.requests) == asked, "it is asked for ever"


def test_a_pod_that_vanishes_while_it_is_being_stopped_is_gone(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look()
    original = watchman.account.stop

    def vanish(pod_id: str) -> Any:
        watchman.server.vanish(OURS)
        return original(pod_id)

    watchman.account.stop = vanish  # type: ignore[method-assign]
    assert watchman.look() == ["gone"]
    assert watchman.told == [f"{OURS} is gone"]


@pytest.mark.parametrize("skew", [timedelta(days=-3), timedelta(days=3)])
def test_the_clock_of_the_provider_takes_no_part(watchman: Watchman, skew: timedelta) -> None:
    watchman.server.clock_skew = skew
    watchman.server.add_pod(OURS)
    watchman.watch()
    assert watchman.look(3) == ["none"] * 3, "stopped by a clock that is wrong"
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "stopped"]


def test_no_pod_is_touched_that_nobody_has_registered(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, name="pixel-lora-portraits")
    watchman.server.add_pod("0f3r31gn0", name="pixel-lora-portraits")
    watchman.server.add_pod("0f3r31gn1", name="pixel-lora-other", rate=99.0)
    watchman.watch()
    watchman.run_out()
    watchman.look(3)
    assert {line.split()[1].split("/")[3] for line in watchman.server.lines} == {OURS}, watchman.server.lines
    assert watchman.pod("0f3r31gn0").status == watchman.pod("0f3r31gn1").status == "RUNNING"


def test_a_pod_that_is_watched_no_longer_is_left_alone(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look()
    watchman.store.auto_stop.unwatch(OURS, "me")
    asked = len(watchman.server.requests)
    assert watchman.look(3) == []
    assert len(watchman.server.requests) == asked
    assert watchman.recorded[-1] == "unwatched"
    watchman.watch()
    assert watchman.look() == ["confirm"], "readings of before counted"


def test_a_locked_pod_is_not_even_asked_and_people_are_told(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, locked=True)
    watchman.watch()
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "refuse"]
    watchman.look(4, every=timedelta(seconds=100))
    assert watchman.stops == []
    assert watchman.told == [f"{OURS} should be stopped, but is locked", f"{OURS} still runs, and should not"]


def test_a_resumed_pod_is_watched_again_from_the_beginning(watchman: Watchman) -> None:
    pod = watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look(2)
    watchman.offset += timedelta(hours=3)
    pod.status, pod.stop_asked = "RUNNING", False
    assert watchman.look(2) == ["look_again", "armed"]
    assert watchman.look(4, every=timedelta(minutes=11)) == ["none"] * 4
    watchman.look(2, every=timedelta(minutes=11))
    watchman.look()
    assert pod.status == "EXITED", "its second life is not guarded"
    assert watchman.told.count(f"{OURS} was stopped") == 2, "the same news of another life was swallowed"


@pytest.mark.parametrize("mode", ["observe", "notify"])
def test_other_modes_stop_nothing_and_say_what_they_would_do(watchman: Watchman, mode: Any) -> None:
    watchman.settings = AutoStopSettings(mode=mode)
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look(5)
    assert watchman.stops == []
    assert watchman.recorded[-1] == "advise"
    assert watchman.told == ([f"{OURS} should be stopped"] if mode == "notify" else [])


def test_off_looks_at_nothing(watchman: Watchman) -> None:
    watchman.settings = AutoStopSettings()
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    assert watchman.look(3) == []
    assert watchman.server.lines == []


def test_the_kill_switch_works_between_the_decision_and_the_call(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look()
    record = watchman.store.auto_stop.record

    def switched_off_meanwhile(*arguments: Any, **more: Any) -> bool:
        done = record(*arguments, **more)
        watchman.store.auto_stop.switch("me", "wait", is_off=True)
        return done

    watchman.store.auto_stop.record = switched_off_meanwhile  # type: ignore[method-assign]
    watchman.look()
    assert watchman.recorded[-1] == "stop", "the intent was not recorded before the call"
    assert watchman.stops == []
    watchman.store.auto_stop.record = record  # type: ignore[method-assign]
    watchman.look(3)
    assert watchman.stops == []
    assert watchman.told[0] == f"{OURS} was to be stopped and may still run"
    watchman.store.auto_stop.switch("me", "go on", is_off=False)
    watchman.look(2)
    assert len(watchman.stops) == 1, "it does not go on after the switch was released"


def test_two_daemons_stop_a_pod_once(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, looks_to_exit=1)
    watchman.watch()
    watchman.run_out()
    for _ in range(3):
        watchman.offset += timedelta(seconds=30)
        start = threading.Barrier(4)

        def daemon(start: threading.Barrier = start) -> None:
            start.wait()
            watchman.guard().look_at_all()

        threads = [threading.Thread(target=daemon) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert watchman.stops == [f"POST /v2/pods/{OURS}/action stop"]
    assert watchman.recorded == ["watched", "confirm", "stop", "asked", "stopped", "none"]
    assert watchman.told == [f"{OURS} was stopped"]


def test_a_daemon_that_dies_between_its_intent_and_the_call_is_followed_by_another(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.run_out()
    watchman.look()

    class Dies(BaseException):
        pass

    def dies(_: str) -> Any:
        raise Dies

    original, watchman.account.stop = watchman.account.stop, dies  # type: ignore[method-assign]
    with pytest.raises(Dies):
        watchman.look()
    assert watchman.recorded[-1] == "stop"
    watchman.account.stop = original  # type: ignore[method-assign]
    assert watchman.look() == ["stopped"]


def test_what_is_wrong_with_one_machine_does_not_hide_the_others(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch("br0k3n")
    watchman.watch()

    def reach(machine: WatchedMachine) -> Any:
        if machine.name != OURS:
            raise ZeroDivisionError("a fault of ours")
        return reach_with(LocalProcess([]), watchman.account)(machine)

    watchman.reach = reach
    watchman.run_out()
    assert sorted(watchman.look(2)) == ["confirm", "fault", "fault", "stopped"]
    assert "br0k3n cannot be watched properly" in watchman.told


def test_books_that_cannot_be_read_are_told_and_leave_the_hours_in_force(watchman: Watchman) -> None:
    def spending(_: WatchedMachine) -> list[Spent]:
        raise RuntimeError("no prices")

    watchman.spending = spending
    watchman.server.add_pod(OURS)
    watchman.watch()
    watchman.look()
    assert watchman.told == [f"{OURS} cannot be watched properly"]
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "stopped"]


def test_without_a_key_for_runpod_its_pods_are_told_to_be_unwatched(watchman: Watchman) -> None:
    watchman.reach = reach_with(LocalProcess([]), "no key for RunPod is configured: set RUNPOD_API_KEY")
    watchman.watch()
    watchman.look(5)
    assert watchman.told == [f"{OURS} cannot be watched properly"]


def test_a_budget_in_dollars_is_counted_by_the_rate_of_the_pod(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, rate=2.0)
    watchman.watch(hours_limit=None, usd_limit=1.0)
    watchman.look(2, every=timedelta(minutes=12.5))
    assert watchman.told == [f"{OURS} has used up most of its limit"]
    assert watchman.look(2, every=timedelta(minutes=2.5)) == ["none", "confirm"] or watchman.stops
    watchman.look(2)
    assert watchman.pod().status == "EXITED"
    (intent,) = [each for each in watchman.store.auto_stop.log() if each.action == "stop"]
    assert intent.rules[-1] == "budget" or "budget" in intent.rules


def test_a_pod_without_a_rate_says_that_its_budget_is_not_watched(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS, rate=0.0)
    watchman.watch(hours_limit=None, usd_limit=1.0)
    assert watchman.look(2) == ["none", "none"]
    assert watchman.told == [f"{OURS} cannot be watched properly"], "a rate of 0 was taken for free"


@pytest.mark.parametrize(("status", "rate", "action"), [("ERROR", 0.44, "refused"), ("ERROR", 0.0, "ended")])
def test_a_pod_in_error_counts_as_running_while_it_costs_money(
    watchman: Watchman, status: str, rate: float, action: str
) -> None:
    watchman.server.add_pod(OURS, status=status, rate=rate)
    watchman.watch()
    watchman.run_out()
    watchman.look(6, every=timedelta(seconds=100))
    if action == "ended":
        assert "ended" in watchman.recorded and watchman.stops == []
    else:
        assert f"{OURS} still runs, and should not" in watchman.told


# Trainings on this machine.


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def watch_process(watchman: Watchman, process: subprocess.Popen[bytes], **terms: Any) -> WatchedMachine:
    found_by = found_process(process.pid)
    name = f"{process.pid}@here"
    return watchman.store.auto_stop.register("process", name, found_by, "me", **{"hours_limit": 1.0, **terms})


def test_a_registered_process_is_really_stopped(watchman: Watchman, process: subprocess.Popen[bytes]) -> None:
    watch_process(watchman, process)
    assert watchman.look() == ["none"]
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "stopped"]
    assert process.wait(10) != 0
    assert watchman.look() == [], "a process that has ended was looked at again"
    assert watch_process(watchman, process).watch.phase == "armed", "its number cannot be used again"


def test_a_process_of_another_machine_is_not_looked_for_here(
    watchman: Watchman, process: subprocess.Popen[bytes]
) -> None:
    found_by = {**found_process(process.pid), "host": "elsewhere"}
    watchman.store.auto_stop.register("process", "1@elsewhere", found_by, "me", hours_limit=1.0)
    watchman.offset += timedelta(hours=2)
    watchman.look(5, every=timedelta(seconds=100))
    assert psutil.Process(process.pid).is_running()
    assert "1@elsewhere still runs, and should not" in watchman.told


def claim(store: Store) -> tuple[Any, str]:
    """An experiment that is about to be trained: its id, and the name of its run."""
    (experiment_id,) = store.experiments.propose([proposal("one")], "me")
    store.experiments.move_to(experiment_id, "QUEUED", "me")
    claimed = store.experiments.claim(most_running=1, most_started=None, by="me")
    assert claimed is not None and claimed.output_name is not None
    return experiment_id, claimed.output_name


@pytest.mark.parametrize("known_by", ["pod_id", "pod_name"])
def test_the_pod_of_a_training_that_we_have_started_is_watched_by_itself(
    watchman: Watchman, tmp_path: Path, known_by: str
) -> None:
    watchman.settings = AutoStopSettings(mode="stop", hours_limit=1.0)
    watchman.server.add_pod(OURS, name="pixel-lora-experiment-1-0a1b2c3d")
    watchman.server.add_pod("0f3r31gn0", name="pixel-lora-experiment-1-ffffffff")
    experiment_id, name = claim(watchman.store)
    found_by = {
        "pod_name": "pixel-lora-experiment-1-0a1b2c3d",
        "last_checkpoint": str(tmp_path / f"{name}.safetensors"),
    }
    watchman.store.experiments.record_training(
        experiment_id, found_by | ({"pod_id": OURS} if known_by == "pod_id" else {}), None
    )
    watchman.look()
    (machine,) = watchman.store.auto_stop.watched()
    assert (machine.kind, machine.run_name, machine.folder) == ("pod", name, tmp_path)
    watchman.run_out()
    assert watchman.look(2) == ["confirm", "stopped"]
    assert watchman.stops == [f"POST /v2/pods/{OURS}/action stop"]


def test_of_two_pods_with_the_name_of_a_training_none_is_stopped(watchman: Watchman, tmp_path: Path) -> None:
    watchman.settings = AutoStopSettings(mode="stop", hours_limit=1.0)
    for pod_id in (OURS, "0f3r31gn0"):
        watchman.server.add_pod(pod_id, name="pixel-lora-experiment-1-0a1b2c3d")
    experiment_id, name = claim(watchman.store)
    found_by = {
        "pod_name": "pixel-lora-experiment-1-0a1b2c3d",
        "last_checkpoint": str(tmp_path / f"{name}.safetensors"),
    }
    watchman.store.experiments.record_training(experiment_id, found_by, None)
    watchman.look()
    watchman.offset += timedelta(hours=3)
    watchman.look(4, every=timedelta(seconds=100))
    assert watchman.stops == []
    assert f"{name} still runs, and should not" in watchman.told


def start_training(watchman: Watchman, tmp_path: Path) -> tuple[LocalProcess, dict[str, Any], str, Path]:
    """A training of the queue, as a campaign starts it."""
    trainer = LocalProcess([sys.executable, "-c", "import time; print('steps: 1', flush=True); time.sleep(600)"])
    experiment_id, name = claim(watchman.store)
    folder = tmp_path / "trainings" / name
    folder.mkdir(parents=True)
    training = trainer.start(tmp_path / "config.toml", name, folder)
    watchman.store.experiments.record_training(experiment_id, training, None)
    return trainer, training, name, folder


@pytest.fixture
def training(watchman: Watchman, tmp_path: Path) -> Iterator[tuple[LocalProcess, dict[str, Any], str, Path]]:
    started = start_training(watchman, tmp_path)
    yield started
    started[0].stop(started[1])


def conclude(store: Store, folder: Path, run: str, epoch: int, **verdict: Any) -> None:
    """An epoch lands, is evaluated, and its run is judged."""
    checkpoint = save_checkpoint(folder, epoch, run=run, session=run, weight=0.1 * epoch)
    store.landed_files.record(find_landings([folder], store.landed_files.settled(), now=datetime.now().timestamp()))  # noqa: DTZ005
    epoch_id = store.checkpoints.register(checkpoint)
    told = {"should_stop": False, "status": "continue", "best_epoch": 1, "reason": "…", **verdict}
    store.conclusions.record_convergence(store.conclusions.run(run).run_id, epoch_id, told)


def test_a_training_that_we_have_started_is_stopped_by_the_verdict_on_its_run(
    watchman: Watchman, training: tuple[LocalProcess, dict[str, Any], str, Path]
) -> None:
    trainer, found_by, name, folder = training
    assert watchman.look() == ["none"]
    conclude(watchman.store, folder, name, 1)
    assert watchman.look(2) == ["none", "none"]
    conclude(watchman.store, folder, name, 2, should_stop=True, status="degrading", reason="It gets worse.")
    assert watchman.look(2) == ["confirm", "stopped"]
    assert not trainer.look(found_by).is_running
    (intent,) = [each for each in watchman.store.auto_stop.log() if each.action == "stop"]
    assert (intent.rules, intent.reason) == (["degrading"], "It gets worse.")


def test_a_verdict_on_an_older_run_of_the_same_name_stops_nothing(watchman: Watchman, tmp_path: Path) -> None:
    conclude(watchman.store, tmp_path / "w", "portraits", 6, should_stop=True, status="degrading", reason="old")
    watchman.server.add_pod(OURS)
    watchman.watch(run_name="portraits", hours_limit=None)
    assert watchman.look(3) == ["none"] * 3
    conclude(watchman.store, tmp_path / "w", "portraits", 7, should_stop=True, status="degrading", reason="new")
    assert watchman.look(2) == ["confirm", "stopped"]


def test_a_plateau_is_no_reason_to_stop(
    watchman: Watchman, training: tuple[LocalProcess, dict[str, Any], str, Path]
) -> None:
    _, _, name, folder = training
    watchman.look()
    conclude(watchman.store, folder, name, 1, should_stop=True, status="plateau", reason="It stays as it is.")
    assert watchman.look(2) == ["none", "none"]


def test_no_checkpoint_is_cut_short(
    watchman: Watchman, training: tuple[LocalProcess, dict[str, Any], str, Path], tmp_path: Path
) -> None:
    trainer, found_by, name, folder = training
    whole = save_checkpoint(tmp_path / "elsewhere", 2, run=name).path.read_bytes()
    watchman.look()
    conclude(watchman.store, folder, name, 1, should_stop=True, status="optimal", reason="It is as good as it gets.")
    growing = folder / f"{name}-000002.safetensors"
    growing.write_bytes(whole[: len(whole) // 2])
    assert watchman.look(3) == ["confirm", "wait", "wait"]
    assert trainer.look(found_by).is_running
    growing.write_bytes(whole)
    assert watchman.look() == ["stopped"]


def test_a_checkpoint_of_nan_stops_its_training(
    watchman: Watchman, training: tuple[LocalProcess, dict[str, Any], str, Path]
) -> None:
    _, _, name, folder = training
    watchman.look()
    refuse(watchman.store, save_checkpoint(folder, 1, run=name, weight=float("nan")).path)
    refuse(watchman.store, save_checkpoint(folder.parent / "other", 1, run="other", weight=float("nan")).path)
    assert watchman.look(2) == ["confirm", "stopped"]
    (intent,) = [each for each in watchman.store.auto_stop.log() if each.action == "stop"]
    assert intent.rules == ["diverged"] and "with NaN or infinity" in intent.reason


def refuse(store: Store, path: Path) -> None:
    with pytest.raises(CheckpointError) as found:
        verify_weights(path)
    news = checkpoint_refused(path, path.name, found.value.fault, found.value.remedy)
    store.quarantine.add(path, path.name, found.value.fault, found.value.remedy, news)


def test_a_diverged_run_of_another_name_stops_no_pod(watchman: Watchman, tmp_path: Path) -> None:
    watchman.server.add_pod(OURS)
    watchman.watch(run_name="portraits")
    refuse(watchman.store, save_checkpoint(tmp_path / "w", 1, run="landscapes", weight=float("nan")).path)
    assert watchman.look(3) == ["none"] * 3


def test_a_loss_that_is_no_number_any_more_stops_its_training(
    watchman: Watchman, training: tuple[LocalProcess, dict[str, Any], str, Path]
) -> None:
    _, _, _, folder = training
    watchman.look()
    shutil.copytree(LOSS_LOG, folder / "logs" / "network_train", copy_function=shutil.copyfile)
    assert watchman.look(2) == ["confirm", "stopped"]
    (intent,) = [each for each in watchman.store.auto_stop.log() if each.action == "stop"]
    assert "its loss is no number since step 8" in intent.reason


def test_by_lot_whatever_fails_no_stranger_is_touched_and_everything_over_its_hours_is_stopped_or_told_of(
    watchman: Watchman,
) -> None:
    lot = random.Random(7)  # noqa: S311
    ours = [f"0urs{number}" for number in range(4)]
    strangers = [f"str4ng3r{number}" for number in range(4)]
    for pod_id in [*ours, *strangers]:
        watchman.server.add_pod(pod_id, name="pixel-lora-portraits", rate=lot.choice([0.4, 40.0]))
    watchman.pod(ours[0]).ignores_stop = True
    watchman.pod(ours[1]).locked = True
    for pod_id in ours:
        watchman.watch(pod_id, hours_limit=0.1)
    for _ in range(24):
        watchman.server.calm()
        for _ in range(lot.randint(0, 3)):
            fault = lot.choice(["401", "403", "409", "429", "500", "garbage", "truncated"])
            break_down(watchman.server, fault, f"{lot.choice(['GET', 'POST'])} .*{lot.choice(ours)}")
        watchman.look(1, every=lot.choice([timedelta(seconds=30), timedelta(seconds=60)]))
    touched = {line.split()[1].split("/")[3] for line in watchman.server.lines}
    assert touched == set(ours), touched
    assert all(watchman.pod(pod_id).status == "RUNNING" for pod_id in strangers)
    for pod_id in ours:
        stopped = watchman.pod(pod_id).status == "EXITED"
        assert stopped or f"{pod_id} still runs, and should not" in watchman.told, f"{pod_id} runs on unnoticed"
    assert [watchman.pod(pod_id).status for pod_id in ours[2:]] == ["EXITED", "EXITED"]


def test_a_reading_says_unknown_where_a_machine_answers_for_another_one(watchman: Watchman) -> None:
    watchman.server.add_pod(OURS)
    other = watchman.server.add_pod("0th3r")
    watchman.server.pods[OURS] = other
    reached = reach_with(LocalProcess([]), watchman.account)(watchman.watch())
    reading: MachineReading = reached.look()
    assert reading.state == "unknown" and "another one" in reading.said


def test_every_row_of_the_documentation_names_a_test_that_exists() -> None:
    tests = Path(__file__).parent
    written = "".join(
        (tests / name).read_text(encoding="utf-8")
        for name in ("test_auto_stopping.py", "train/test_auto_stop_decision.py", "train/test_watchdog.py")
    )
    document = (PROJECT_ROOT / "docs/auto_stop.md").read_text(encoding="utf-8")
    named = re.findall(r"`(test_\w+)`", document)
    assert len(named) > 40
    assert [name for name in named if f"def {name}(" not in written] == []
