"""The pod's own watchdog, really running in a shell, with commands that write down how they were called."""

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pixel_lora_pipeline.train.auto_stop.watchdog import watchdog_script

HOURS = 2
LIMIT = HOURS * 3600
SECRET = "rpa_CANARY0OF0THE0POD"  # noqa: S105
# What the script needs beside what it stops the pod with. Nothing else of this machine is in its path.
TOOLS = ("cat", "mkdir", "mv", "rm", "sleep")


@dataclass
class Pod:
    """A folder as a pod's volume, commands as a pod has them, and a clock that tests set."""

    home: Path
    init: subprocess.Popen[bytes]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def commands(self) -> Path:
        return self.home / "bin"

    @property
    def said(self) -> str:
        log = self.home / "watchdog.log"
        return log.read_text() if log.is_file() else ""

    @property
    def called(self) -> list[str]:
        calls = self.home / "calls"
        return calls.read_text().splitlines() if calls.is_file() else []

    def stub(self, name: str, *, fails: bool = False, then: str = "") -> None:
        script = f'#!/bin/sh\necho "{name} $*" >>"{self.home}/calls"\n{then}\nexit {int(fails)}\n'
        (self.commands / name).write_text(script)
        (self.commands / name).chmod(0o755)

    def set_clock(self, seconds: int) -> None:
        (self.home / "now.new").write_text(f"{seconds}\n")
        (self.home / "now.new").replace(self.home / "now")

    def boot(self, hours: float = HOURS, **environment: str) -> subprocess.Popen[bytes]:
        """The container starts, and the watchdog with it."""
        script = self.home / "watchdog.sh"
        script.write_text(watchdog_script(hours))
        with (self.home / "watchdog.log").open("ab") as log:
            process = subprocess.Popen(
                ["/bin/sh", str(script)],
                env={
                    "PATH": str(self.commands),
                    "RUNPOD_POD_ID": "p0d",
                    "RUNPOD_API_KEY": SECRET,
                    "PIXEL_LORA_WATCHDOG_FOLDER": str(self.home / "volume"),
                    "PIXEL_LORA_WATCHDOG_TICK": "0.02",
                    # Never without this: its default is the first process of this machine.
                    "PIXEL_LORA_WATCHDOG_INIT": str(self.init.pid),
                    **environment,
                },
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.running.append(process)
        return process

    def power_off(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        process.wait()

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 20
        while not holds():
            assert time.monotonic() < deadline, f"{self.called}\n{self.said}"
            time.sleep(0.01)

    def some_ticks(self) -> None:
        """The watchdog looks at its clock a few times more."""
        seen = self.home / "volume/.pixel_lora_watchdog/seen"
        self.until(seen.is_file)
        for _ in range(3):
            before = seen.stat().st_mtime_ns
            self.until(lambda before=before: seen.stat().st_mtime_ns != before)  # type: ignore[misc]


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[Pod]:
    init = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    pod = Pod(tmp_path, init)
    pod.commands.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        assert found is not None
        (pod.commands / tool).symlink_to(found)
    (pod.commands / "date").write_text(f'#!/bin/sh\ncat "{tmp_path}/now"\n')
    (pod.commands / "date").chmod(0o755)
    pod.set_clock(1_800_000_000)
    yield pod
    for process in (*pod.running, init):
        process.kill()
        process.wait()


def test_at_its_deadline_the_pod_is_stopped_and_not_before(pod: Pod) -> None:
    pod.stub("runpodctl")
    pod.boot()
    pod.until(lambda: "armed: the pod is stopped in 7200 seconds" in pod.said)
    pod.set_clock(1_800_000_000 + LIMIT - 1)
    pod.some_ticks()
    assert pod.called == []
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.called != [])
    assert pod.called[0] == "runpodctl stop pod p0d"


def test_with_the_real_clock_it_works_too(pod: Pod) -> None:
    pod.stub("runpodctl")
    (pod.commands / "date").unlink()
    (pod.commands / "date").symlink_to(str(shutil.which("date")))
    began = time.monotonic()
    pod.boot(hours=2 / 3600)
    pod.until(lambda: pod.called != [])
    assert time.monotonic() - began > 1, "stopped before its time"


def test_where_runpodctl_fails_the_api_is_asked_with_the_key_of_the_pod_which_nobody_sees(pod: Pod) -> None:
    pod.stub("runpodctl", fails=True)
    pod.stub("curl", then=f'cat >"{pod.home}/curl-stdin"')
    pod.boot(PIXEL_LORA_WATCHDOG_API="http://127.0.0.1:9/v2")
    pod.until(lambda: "armed" in pod.said)
    pod.set_clock(1_800_000_000 + LIMIT)
    given = pod.home / "curl-stdin"
    pod.until(lambda: given.is_file() and given.read_text() == f'header = "Authorization: Bearer {SECRET}"\n')
    (curl, *_) = [call for call in pod.called if call.startswith("curl")]
    assert "-X POST" in curl and '-d {"action":"stop"}' in curl
    assert curl.endswith("http://127.0.0.1:9/v2/pods/p0d/action")
    assert SECRET not in "\n".join(pod.called) + pod.said, "the key can be read by every process"
    assert "terminate" not in "".join(pod.called) and "remove" not in "".join(pod.called)


def test_where_nobody_answers_the_training_and_the_container_end(pod: Pod) -> None:
    pod.stub("runpodctl", fails=True)
    pod.stub("curl", fails=True, then="cat >/dev/null")
    pod.stub("pkill")
    pod.stub("poweroff", fails=True)
    pod.boot()
    pod.until(lambda: "armed" in pod.said)
    assert pod.init.poll() is None
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.init.poll() is not None)
    assert "pkill -TERM -f train_network.py" in pod.called
    assert "poweroff " in pod.called


def test_an_answer_is_not_believed_for_ever(pod: Pod) -> None:
    pod.stub("runpodctl")
    pod.stub("curl", then="cat >/dev/null")
    pod.boot()
    pod.until(lambda: "armed" in pod.said)
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.init.poll() is not None)
    assert [call.split()[0] for call in pod.called] == ["runpodctl"] * 4 + ["curl"] * 4


def test_a_restart_of_the_container_does_not_move_the_deadline(pod: Pod) -> None:
    pod.stub("runpodctl")
    first = pod.boot()
    pod.until(lambda: "armed" in pod.said)
    pod.set_clock(1_800_000_000 + 7000)
    pod.some_ticks()
    pod.power_off(first)
    pod.set_clock(1_800_000_000 + 7120)
    pod.boot()
    pod.until(lambda: "goes on: 80 seconds are left" in pod.said)
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.called != [])


def test_a_restart_after_the_deadline_stops_the_pod_at_once(pod: Pod) -> None:
    pod.stub("runpodctl", fails=True)
    first = pod.boot(RUNPOD_API_KEY="")
    pod.until(lambda: "armed" in pod.said)
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.init.poll() is not None)
    pod.power_off(first)
    pod.stub("runpodctl")
    (pod.home / "calls").unlink()
    pod.set_clock(1_800_000_000 + LIMIT + 60)
    pod.boot()
    pod.until(lambda: pod.called == ["runpodctl stop pod p0d"])


@pytest.mark.parametrize("by", ["the watchdog", "somebody else"])
def test_a_pod_that_was_stopped_and_resumed_gets_a_fresh_deadline(pod: Pod, by: str) -> None:
    pod.stub("runpodctl")
    first = pod.boot()
    pod.until(lambda: "armed" in pod.said)
    stopped_at = 1_800_000_000 + (LIMIT if by == "the watchdog" else 600)
    pod.set_clock(stopped_at)
    if by == "the watchdog":
        pod.until(lambda: (pod.home / "volume/.pixel_lora_watchdog/fired").exists())
    else:
        pod.some_ticks()
    pod.power_off(first)
    pod.set_clock(stopped_at + (60 if by == "the watchdog" else 3600))
    (pod.home / "calls").unlink(missing_ok=True)
    pod.boot()
    pod.until(lambda: pod.said.count("armed: the pod is stopped in 7200 seconds") == 2)
    pod.some_ticks()
    assert pod.called == [], "it was stopped again as soon as it was resumed"


def test_a_clock_that_is_set_back_gives_no_more_time(pod: Pod) -> None:
    pod.stub("runpodctl")
    pod.boot()
    pod.until(lambda: "armed" in pod.said)
    pod.set_clock(1_800_000_000 + 7000)
    pod.some_ticks()
    pod.set_clock(1_700_000_000)
    pod.some_ticks()
    pod.set_clock(1_700_000_000 + 200)
    pod.until(lambda: pod.called != [])


def test_without_a_volume_it_watches_all_the_same(pod: Pod) -> None:
    pod.stub("runpodctl")
    (pod.home / "file").touch()
    pod.boot(PIXEL_LORA_WATCHDOG_FOLDER=str(pod.home / "file"), TMPDIR=str(pod.home))
    pod.until(lambda: "armed" in pod.said)
    assert "will not survive a restart" in pod.said
    pod.set_clock(1_800_000_000 + LIMIT)
    pod.until(lambda: pod.called != [])


def test_a_deadline_of_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="less than a second"):
        watchdog_script(0)
