"""Starts the whole pipeline on this machine and stops every part of it again."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from rich.console import Console

from pixel_lora_pipeline.config import PROJECT_ROOT, Settings
from pixel_lora_pipeline.configured_store import configured_store
from pixel_lora_pipeline.progress import EpochProgress, follow_epochs, summary_table
from pixel_lora_pipeline.store import Store, dagster_url

GRACE_SECONDS: Final = 15
"""How long a part may take to end by itself before it is killed."""

_UNFINISHED: Final = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


class StopRequested(Exception):  # noqa: N818 - a wish, not an error
    """Ctrl-C or a termination signal arrived."""


@dataclass
class Part:
    """One process of the pipeline, with everything that it starts itself, as a group that ends together."""

    name: str
    command: list[str]
    environment: Mapping[str, str]
    log: Path
    restarts: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def start(self) -> None:
        """Starts the process in a session of its own, so that Ctrl-C in the terminal reaches only us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=PROJECT_ROOT,
                env=dict(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
            )

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return None if self.process is None else self.process.poll()

    def stop(self) -> None:
        """Asks the process to end, then kills what is left of its group."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.kill_group()
        self.process.wait()

    def kill_group(self) -> None:
        """Ends whatever the process started and left behind: Dagster's code server and its run workers."""
        if self.process is not None and os.name != "nt":
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                return


def child_environment(settings: Settings, database_url: str, watched: list[Path]) -> dict[str, str]:
    """The environment in which Dagster's processes find the database, our folders and the watched folders."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DAGSTER_PG_URL": dagster_url(database_url),
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "PIXEL_LORA_HOME": str(settings.home),
        "PIXEL_LORA_DAGSTER_FILES": str(settings.home / "dagster"),
        "PIXEL_LORA_WATCHED": "[" + ",".join(f'"{folder.as_posix()}"' for folder in watched) + "]",
        "PYTHONUNBUFFERED": "1",
    }


def up(settings: Settings, console: Console, *, once: bool = False) -> int:
    """Runs the pipeline until Ctrl-C, or with `once` until the demo's last epoch is evaluated.

    Returns
    -------
    Exit status: 0 when stopped by the user or finished, 1 when a part could not be kept running.
    """
    from pixel_lora_pipeline.embedded.demo import DEMO_EPOCHS, DEMO_RUN, demo_command, demo_is_trained

    demo = not settings.watched
    watched = settings.watched or [settings.home / "demo" / "checkpoints"]
    for folder in watched:
        folder.mkdir(parents=True, exist_ok=True)
    (settings.home / "dagster").mkdir(parents=True, exist_ok=True)
    if once and not demo:
        console.print(
            "--once waits for the demo's last epoch, but watched folders are configured: "
            "run without --once, or without PIXEL_LORA_WATCHED."
        )
        return 2

    with ExitStack() as stack:
        stack.enter_context(_stop_on_signals())
        try:
            console.print(f"Everything is kept in [bold]{settings.home}[/]")
            with console.status("Starting the database"):
                store = stack.enter_context(configured_store(settings))
            environment = child_environment(settings, store.database.url, watched)
            _fail_runs_of_an_earlier_life(environment)
            logs = settings.home / "logs"
            address = f"http://127.0.0.1:{settings.port}"
            webserver = Part(
                "webserver",
                [
                    sys.executable,
                    "-m",
                    "dagster_webserver",
                    "-w",
                    "workspace.yaml",
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(settings.port),
                ],
                environment,
                logs / "webserver.log",
            )
            daemon = Part(
                "daemon",
                [sys.executable, "-m", "dagster._daemon", "run", "-w", "workspace.yaml"],
                environment,
                logs / "daemon.log",
            )
            parts = [webserver, daemon]
            if demo and not demo_is_trained(settings.home):
                parts.append(Part("demo training", demo_command(settings.home), environment, logs / "demo.log"))
            for part in parts:
                stack.callback(part.stop)
                part.start()
            console.print(f"Dagster's UI: [link={address}]{address}[/link]   (logs: {logs})")
            if demo:
                console.print(f"Demo: a small LoRA is trained for {DEMO_EPOCHS} epochs into {watched[0]}")
            else:
                console.print("Watching " + ", ".join(str(folder) for folder in watched))
            wanted = DEMO_EPOCHS if once else None
            status = _supervise(store, parts, environment, console, DEMO_RUN if demo else None, wanted)
            if once and status == 0:
                console.print(summary_table(store.epochs.table(DEMO_RUN)))
            return status
        except StopRequested:
            console.print("Stopping")
            return 130 if once else 0


def _supervise(
    store: Store,
    parts: list[Part],
    environment: Mapping[str, str],
    console: Console,
    run_name: str | None,
    wanted: int | None,
) -> int:
    """Prints what happens, restarts what dies, and returns when `wanted` epochs of the run are evaluated."""
    progress = EpochProgress()
    while True:
        for part in list(parts):
            status = part.exit_status
            if status is None:
                continue
            if part.name == "demo training" and status == 0:
                parts.remove(part)
                console.print("The demo training is done")
                continue
            part.restarts += 1
            if part.restarts > 3:
                console.print(
                    f"[red]The {part.name} ended with status {status} and does not stay up.[/] Its log: {part.log}"
                )
                return 1
            console.print(f"[yellow]The {part.name} ended with status {status}: starting it again[/]")
            part.kill_group()
            if part.name == "daemon":
                _fail_runs_of_an_earlier_life(environment)
            part.start()
        for line in follow_epochs(store, progress, run_name):
            console.print(line)
        if wanted is not None and len(progress.evaluated) >= wanted:
            return 0
        time.sleep(0.5)


def _fail_runs_of_an_earlier_life(environment: Mapping[str, str]) -> None:
    """Reports runs as failed whose worker died with the daemon that had started it.

    Nobody else would notice: Dagster's default launcher cannot ask a worker whether it lives. Failed runs are
    retried by the daemon, and a retry generates only what is missing.
    """
    os.environ.update({key: environment[key] for key in _INSTANCE_VARIABLES})
    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(statuses=_UNFINISHED)):
            instance.report_run_failed(run, "The process of this run ended before the run did.")


_INSTANCE_VARIABLES: Final = ("DAGSTER_HOME", "DAGSTER_PG_URL", "PIXEL_LORA_DAGSTER_FILES")


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """Ctrl-C and a termination signal raise `StopRequested` once; while stopping, more of them are ignored."""
    requested = threading.Event()

    def stop(_signum: int, _frame: FrameType | None) -> None:
        if not requested.is_set():
            requested.set()
            raise StopRequested

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
