"""The pipeline as a user starts it, for tests: its processes, its environment, and what must be gone afterwards."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT

UP = [sys.executable, "-m", "pixel_lora_pipeline.cli", "up"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the database's account can reach also when the tests run as root."""
    folder = Path(tempfile.mkdtemp(prefix="pixel-lora-launch-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def environment(home: Path, **settings: str) -> dict[str, str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    inherited = {
        key: value for key, value in os.environ.items() if not key.startswith(("PIXEL_LORA", "DAGSTER", "DATABASE"))
    }
    return {**inherited, "PIXEL_LORA_HOME": str(home), "PIXEL_LORA_PORT": str(port), **settings}


@contextmanager
def running(home: Path, **settings: str) -> Iterator[psutil.Popen]:
    process = psutil.Popen(
        UP,
        cwd=PROJECT_ROOT,
        env=environment(home, **settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(90)


def left_over(home: Path) -> list[str]:
    """Command lines of processes that still work in the home."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        command, variables = process.info["cmdline"] or [], process.info["environ"] or {}
        if process.pid != os.getpid() and (
            any(str(home) in part for part in command) or variables.get("PIXEL_LORA_HOME") == str(home)
        ):
            found.append(" ".join(command))
    return found


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s in vain for {what}"
        time.sleep(0.3)
