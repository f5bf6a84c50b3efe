"""`pixel-lora auto-stop` registers machines, says how they stand, and holds the kill switch."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from pixel_lora_pipeline.auto_stopping import Guard, reach_with
from pixel_lora_pipeline.config import AutoStopSettings, Settings
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.trainers import LocalProcess
from pixel_lora_pipeline_tests.command_line import pixel_lora
from pixel_lora_pipeline_tests.train.runpod_server import KEY, RunPodServer


def auto_stop(store: Store, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return pixel_lora("auto-stop", *arguments, DATABASE_URL=store.database.url, **settings)


def said(done: subprocess.CompletedProcess[str]) -> str:
    """In one line, however the terminal has folded it."""
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())


def test_a_pod_is_watched_shown_and_left_alone(store: Store, runpod_server: RunPodServer) -> None:
    runpod_server.add_pod("p0d")
    reach: dict[str, Any] = {"RUNPOD_API_KEY": KEY, "PIXEL_LORA_RUNPOD_URL": runpod_server.url}
    assert "No machine is watched" in auto_stop(store, "status").stdout
    done = auto_stop(store, "watch", "p0d", "--run", "portraits", "--hours", "6", **reach)
    assert done.returncode == 0, done.stderr
    assert said(done) == "p0d is watched. Now: RUNNING Nothing is stopped yet: auto_stop.mode is off."
    again = auto_stop(store, "watch", "p0d", **reach)
    assert again.returncode == 2 and "p0d is watched already" in said(again)
    status = json.loads(auto_stop(store, "status", "--json").stdout)
    (machine,) = status["machines"]
    assert (machine["name"], machine["run_name"], machine["watch"]["phase"]) == ("p0d", "portraits", "armed")
    assert machine["watch"]["hours_limit"] == 6
    shown = auto_stop(store, "status").stdout
    assert "Mode off: the guard stops nothing." in shown and "6 h" in shown
    assert "p0d is left alone" in auto_stop(store, "unwatch", "p0d").stdout
    assert auto_stop(store, "unwatch", "p0d").returncode == 2
    assert [each["action"] for each in json.loads(auto_stop(store, "log", "--json").stdout)] == ["unwatched", "watched"]


def test_a_pod_that_does_not_exist_is_not_registered(store: Store, runpod_server: RunPodServer) -> None:
    done = auto_stop(store, "watch", "p0d", RUNPOD_API_KEY=KEY, PIXEL_LORA_RUNPOD_URL=runpod_server.url)
    assert done.returncode == 2 and "p0d is not registered" in said(done)
    assert store.auto_stop.watched() == []


def test_without_a_key_a_pod_is_registered_and_people_are_told_what_is_missing(store: Store) -> None:
    done = auto_stop(store, "watch", "p0d")
    assert done.returncode == 0, done.stderr
    assert "set RUNPOD_API_KEY" in said(done) and "It has no limit" in said(done)


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    process.kill()
    process.wait()


def test_a_process_is_watched_by_its_number(store: Store, process: subprocess.Popen[bytes]) -> None:
    done = auto_stop(store, "watch", "--pid", str(process.pid), "--hours", "1")
    assert done.returncode == 0, done.stderr
    (machine,) = store.auto_stop.watched()
    assert machine.found_by["pid"] == process.pid
    guard = Guard(store, Settings(auto_stop=AutoStopSettings(mode="observe")), reach_with(LocalProcess([]), "no key"))
    assert [outcome.action for outcome in guard.look_at_all()] == ["none"]
    process.kill()
    process.wait()
    gone = auto_stop(store, "watch", "--pid", str(process.pid))
    assert gone.returncode == 2 and "is not registered" in said(gone)


@pytest.mark.parametrize("arguments", [[], ["p0d", "--pid", str(os.getpid())]])
def test_either_a_pod_or_a_process_is_named(store: Store, arguments: list[str]) -> None:
    assert auto_stop(store, "watch", *arguments).returncode == 2


def test_the_kill_switch_is_on_record_and_wins_over_the_mode(store: Store) -> None:
    mode = {"PIXEL_LORA_AUTO_STOP": '{"mode": "stop"}'}
    assert "Mode stop: the guard stops machines." in auto_stop(store, "status", **mode).stdout
    assert "nothing is stopped" in auto_stop(store, "off", "--why", "it is my birthday", **mode).stdout
    shown = auto_stop(store, "status", **mode).stdout
    assert "the guard stops nothing" in shown and "it is my birthday" in shown
    assert "auto_stop.mode is stop" in auto_stop(store, "on", **mode).stdout
    assert "Mode stop: the guard stops machines." in auto_stop(store, "status", **mode).stdout


def test_the_kill_switch_of_the_environment_wins_over_everything(store: Store) -> None:
    settings = {"PIXEL_LORA_AUTO_STOP": '{"mode": "stop"}', "PIXEL_LORA_AUTO_STOP_KILL": "1"}
    shown = auto_stop(store, "status", **settings).stdout
    assert "the guard stops nothing" in shown and "PIXEL_LORA_AUTO_STOP_KILL is set" in shown
    assert json.loads(auto_stop(store, "status", "--json", **settings).stdout)["may_stop"] is False


def test_the_watchdog_is_printed_with_its_hours_and_is_a_script(store: Store) -> None:
    script = auto_stop(store, "watchdog", "--hours", "1.5").stdout
    assert script.startswith("#!/bin/sh\n") and "limit=5400  # seconds" in script
    subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=True)


def test_a_misspelt_mode_is_refused(store: Store) -> None:
    done = auto_stop(store, "status", PIXEL_LORA_AUTO_STOP='{"mode": "kill"}')
    assert done.returncode == 1 and "mode" in done.stderr
