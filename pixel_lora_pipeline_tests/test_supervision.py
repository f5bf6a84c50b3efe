"""Parts of the pipeline end with everything that they have started."""

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from pixel_lora_pipeline import supervision
from pixel_lora_pipeline.supervision import Part, stop_all

STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def part(folder: Path, script: str) -> Part:
    return Part("stubborn", [sys.executable, "-c", script], folder, dict(os.environ), folder / "part.log")


def wait_for_output(log: Path) -> str:
    deadline = time.monotonic() + 20
    while not log.exists() or not log.read_text().strip():
        assert time.monotonic() < deadline, "the process said nothing"
        time.sleep(0.05)
    return log.read_text().strip()


def test_a_part_that_ignores_the_request_is_killed_with_its_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervision, "GRACE_SECONDS", 1)
    stubborn = part(tmp_path, STUBBORN)
    stubborn.start()
    child = psutil.Process(int(wait_for_output(stubborn.log)))
    stop_all([stubborn])
    assert stubborn.exit_status is not None
    _, alive = psutil.wait_procs([child], timeout=5)
    assert alive == [], "the child of the part still runs"


def test_what_a_dead_part_has_left_behind_is_ended(tmp_path: Path) -> None:
    orphaning = part(tmp_path, STUBBORN.replace("\ntime.sleep(600)\n", "\n"))
    orphaning.start()
    child = psutil.Process(int(wait_for_output(orphaning.log)))
    while orphaning.exit_status is None:
        time.sleep(0.05)
    assert child.is_running(), "the test needs an orphan"
    orphaning.kill_orphans()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert alive == [], "the orphan still runs"


def test_stopping_twice_and_stopping_what_never_ran_is_harmless(tmp_path: Path) -> None:
    quick = part(tmp_path, "print('done')")
    stop_all([quick])
    quick.start()
    wait_for_output(quick.log)
    stop_all([quick])
    stop_all([quick])
    assert quick.exit_status is not None


def test_a_part_that_does_not_stay_up_is_given_up(tmp_path: Path) -> None:
    failing = part(tmp_path, "raise SystemExit(3)")
    failing.start()
    starts = 1
    while True:
        while failing.exit_status is None:
            time.sleep(0.02)
        if not failing.restart():
            break
        starts += 1
        assert starts < 10, "it is started again for ever"
    assert (starts, failing.exit_status) == (1 + supervision.MOST_RESTARTS, 3)
