"""Processes that belong together: started, kept running, and stopped with everything they started themselves."""

import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

GRACE_SECONDS: Final = 10
"""How long a part may take to end by itself before it is killed."""

MOST_RESTARTS: Final = 3
"""How often in a row a part may end within `STEADY_SECONDS` of its start before it is given up."""

STEADY_SECONDS: Final = 60


class StopRequested(Exception):  # noqa: N818 - a wish, not an error
    """Ctrl-C or a termination signal arrived."""


@dataclass
class Part:
    """One process of the pipeline.

    Attributes
    ----------
    command
        Program and arguments, run in `folder` with exactly `environment`.
    log
        File to which its output is appended.
    restarts
        How often in a row it was started again after it had ended soon after its start.
    """

    name: str
    command: list[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _started: float = field(default=0.0, init=False)

    def start(self) -> None:
        """Starts the process in a session of its own, so that Ctrl-C in the terminal reaches only us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._started = time.monotonic()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
            )

    @property
    def exit_status(self) -> int | None:
        """None while it runs, and before it was started."""
        return None if self._process is None else self._process.poll()

    def restart(self) -> bool:
        """Starts a part again that has ended by itself, unless it does not stay up.

        Returns
        -------
        Whether it was started.
        """
        self.kill_orphans()
        self.restarts = 0 if time.monotonic() - self._started > STEADY_SECONDS else self.restarts + 1
        if self.restarts > MOST_RESTARTS:
            return False
        self.start()
        return True

    def kill_orphans(self) -> None:
        """Ends what the process has left behind in its session: Dagster's code server and its run workers."""
        if self._process is None or os.name == "nt":
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def processes(self) -> list[psutil.Process]:
        """The process and all its descendants, as they are now."""
        if self._process is None:
            return []
        try:
            process = psutil.Process(self._process.pid)
            return [process, *process.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def terminate(self) -> None:
        """Asks the process to end."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def wait_until(self, deadline: float) -> None:
        """Waits for the process to end, and kills it when `time.monotonic()` has reached the deadline."""
        if self._process is None:
            return
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def stop_all(parts: Iterable[Part]) -> None:
    """Asks all parts to end at once, waits for them, and kills what is left of them and of their descendants."""
    stopping = list(parts)
    processes = [process for part in stopping for process in part.processes()]
    for part in stopping:
        part.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for part in stopping:
        part.wait_until(deadline)
        part.kill_orphans()
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            process.kill()


@contextmanager
def stop_on_signals() -> Iterator[None]:
    """Ctrl-C and a termination signal raise `StopRequested` once; while stopping, more of them are ignored."""
    requested = False

    def stop(_signum: int, _frame: FrameType | None) -> None:
        nonlocal requested
        if not requested:
            requested = True
            raise StopRequested

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
