"""Processes that belong together: started, kept running, and stopped with everything they started themselves."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

import psutil

GRACE_SECONDS: Final = 15
"""How long a part may take to end by itself before it is killed."""

MOST_RESTARTS: Final = 3


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
        How often it was started again after it had ended by itself.
    """

    name: str
    command: list[str]
    folder: Path
    environment: Mapping[str, str]
    log: Path
    restarts: int = 0
    _process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Starts the process in a session of its own, so that Ctrl-C in the terminal reaches only us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
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

    def stop(self) -> None:
        """Asks the process to end, waits for it, and kills what is left of it and of its descendants."""
        if self._process is None:
            return
        descendants = self._descendants()
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        for process in descendants:
            if process.is_running():
                process.kill()
        self.kill_orphans()

    def kill_orphans(self) -> None:
        """Ends what the process has left behind in its session: Dagster's code server and its run workers."""
        if self._process is None or os.name == "nt":
            return
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _descendants(self) -> list[psutil.Process]:
        assert self._process is not None  # noqa: S101 - the callers have looked
        try:
            return psutil.Process(self._process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []


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
