"""Starts the whole pipeline on this machine and stops every part of it again."""

import json
import os
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from pixel_lora_pipeline.config import PROJECT_ROOT, Settings
from pixel_lora_pipeline.configured_store import configured_store
from pixel_lora_pipeline.defs.execution import HOST_TAG
from pixel_lora_pipeline.embedded.demo import DEMO_EPOCHS, checkpoints_folder, demo_command, demo_is_trained
from pixel_lora_pipeline.progress import EpochProgress, summary_table, training_steps
from pixel_lora_pipeline.store import Store, dagster_url
from pixel_lora_pipeline.supervision import Part, StopRequested, stop_all, stop_on_signals
from pixel_lora_pipeline.validate import base_kind, load_suite

_POLL_SECONDS: Final = 0.5
_DEMO_TRAINING: Final = "demo training"
# Sensors look every few seconds and retries start at once: what has not begun by then will not.
_IDLE_SECONDS: Final = 120
_UNFINISHED: Final = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]


def up(settings: Settings, console: Console, *, once: bool = False) -> int:
    """Runs the pipeline until Ctrl-C, or with `once` until the demo's last epoch is evaluated.

    Returns
    -------
    Exit status: 0 when it was stopped or has finished, 1 when a part does not stay up, 2 when it cannot start.
    """
    demo = not settings.watched
    if once and not demo:
        console.print("--once waits for the demo's last epoch, but watched folders are configured: leave one out.")
        return 2
    if _in_use(settings.port):
        console.print(
            f"Port {settings.port} is in use: the pipeline runs already, or another program has it. "
            "Set PIXEL_LORA_PORT to another one."
        )
        return 2
    places: list[Path | str] = [checkpoints_folder(settings.home)] if demo else settings.watched
    watched = [place.absolute() if isinstance(place, Path) else place for place in (*places, settings.trainings)]
    for folder in (*(place for place in watched if isinstance(place, Path)), settings.home / "dagster"):
        folder.mkdir(parents=True, exist_ok=True)

    with ExitStack() as stack:
        stack.enter_context(stop_on_signals())
        try:
            console.print(f"Everything is kept in {settings.home}")
            with console.status("Starting the database"):
                store = stack.enter_context(configured_store(settings))
            environment = child_environment(settings, store.database.url, watched)
            give_up_dead_runs = partial(
                _fail_runs_without_process, environment, shared=settings.database_url is not None
            )
            give_up_dead_runs()
            progress = EpochProgress(store, load_suite(settings.suite), base_kind(settings.base_model))
            parts = pipeline_parts(settings, environment)
            trained = demo and demo_is_trained(settings.home)
            if demo and not trained:
                with console.status("Drawing the demo's training pictures"):
                    parts.append(_part(settings, environment, _DEMO_TRAINING, demo_command(settings.home)))
            stack.callback(stop_all, parts)
            for part in parts:
                part.start()
            address = f"http://127.0.0.1:{settings.port}"
            console.print(f"The lab: {address}/lab   Dagster's UI: {address}   Logs: {settings.home / 'logs'}")
            if trained:
                console.print(f"Demo: trained already; its {DEMO_EPOCHS} epochs lie in {watched[0]}")
            elif demo:
                console.print(f"Demo: a small LoRA is trained for {DEMO_EPOCHS} epochs into {watched[0]}")
            else:
                console.print("Watching " + ", ".join(map(str, watched)))
            return _supervise(store, progress, parts, console, give_up_dead_runs, demo=demo, once=once)
        except StopRequested:
            console.print("Stopping")
            return 0


def child_environment(settings: Settings, database_url: str, watched: Sequence[Path | str]) -> dict[str, str]:
    """The environment in which Dagster's processes find the database, our folders and the watched places."""
    return {
        **os.environ,
        "DATABASE_URL": database_url,
        "DAGSTER_PG_URL": dagster_url(database_url),
        "DAGSTER_HOME": str(PROJECT_ROOT),
        "PIXEL_LORA_HOME": str(settings.home),
        "PIXEL_LORA_DAGSTER_FILES": str(settings.home / "dagster"),
        "PIXEL_LORA_WATCHED": json.dumps([str(place) for place in watched]),
        "PYTHONUNBUFFERED": "1",
        **({} if settings.watched else {"OMP_NUM_THREADS": _threads_beside_a_training()}),
    }


def _threads_beside_a_training() -> str:
    """Half of the cores: the demo trains and generates at once, and threads that wait for busy cores cost dearly."""
    return str(max(1, (os.cpu_count() or 2) // 2))


def pipeline_parts(settings: Settings, environment: Mapping[str, str]) -> list[Part]:
    """The webserver (the lab, with Dagster's UI beside it) and Dagster's daemon, not started yet."""
    webserver = ["-m", "pixel_lora_pipeline.serve"]
    daemon = ["-m", "dagster._daemon", "run", "-w", "workspace.yaml"]
    return [
        _part(settings, {**environment, **_as_variables(settings)}, "webserver", [sys.executable, *webserver]),
        _part(settings, environment, "daemon", [sys.executable, *daemon]),
    ]


def _as_variables(settings: Settings) -> dict[str, str]:
    """What the webserver is told, wherever this process read it: the two may look for the TOML file elsewhere."""
    secrets = {"LOGIN_PASSWORD": settings.login_password, "LOGIN_TOKEN": settings.login_token}
    return {
        "PIXEL_LORA_HOST": settings.host,
        "PIXEL_LORA_PORT": str(settings.port),
        "PIXEL_LORA_ALLOWED_HOSTS": json.dumps(settings.allowed_hosts),
        "PIXEL_LORA_LOGIN_USER": settings.login_user,
        **{f"PIXEL_LORA_{name}": secret.get_secret_value() for name, secret in secrets.items() if secret is not None},
    }


def _part(settings: Settings, environment: Mapping[str, str], name: str, command: list[str]) -> Part:
    return Part(name, command, PROJECT_ROOT, environment, settings.home / "logs" / f"{name.replace(' ', '_')}.log")


def _supervise(
    store: Store,
    progress: EpochProgress,
    parts: list[Part],
    console: Console,
    give_up_dead_runs: Callable[[], None],
    *,
    demo: bool,
    once: bool,
) -> int:
    """Prints what happens and restarts what dies, until the demo is done (with `once`) or a part stays down."""
    bars = Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
    with bars, DagsterInstance.get() as instance:
        generation = bars.add_task("", total=None, visible=False)
        training = bars.add_task("Demo training, steps", total=None, visible=False)
        evaluation = bars.add_task("Demo epochs evaluated" if demo else "Checkpoints evaluated", total=None)
        busy_at = time.monotonic()
        while True:
            for part in list(parts):
                if part.exit_status is None:
                    if part.name == _DEMO_TRAINING and (steps := training_steps(part.log)):
                        bars.update(training, completed=steps[0], total=steps[1], visible=True)
                elif part.name == _DEMO_TRAINING and part.exit_status == 0:
                    parts.remove(part)
                    bars.update(training, visible=False)
                    bars.print("The demo training is done")
                elif not _restarted(part, give_up_dead_runs, bars):
                    return 1
            for line in progress.news():
                bars.print(line, soft_wrap=True)
            if (painting := progress.painting()) is None:
                bars.update(generation, visible=False)
            else:
                name, painted, asked = painting
                bars.update(
                    generation, description=f"Images of {escape(name)}", completed=painted, total=asked, visible=True
                )
            done, total = store.landed_files.evaluated()
            bars.update(evaluation, completed=done, total=total, visible=done < total)
            if once:
                is_done = _demo_is_evaluated(store) and not _work_waits(store)
                if _runs_are_unfinished(instance) or any(part.name == _DEMO_TRAINING for part in parts):
                    busy_at = time.monotonic()
                elif is_done or time.monotonic() - busy_at > _IDLE_SECONDS:
                    _print_results(store, bars)
                    if not is_done:
                        bars.print("[red]Not all was evaluated[/], and nothing is tried any more: see Dagster's UI")
                    return 0 if is_done else 1
            time.sleep(_POLL_SECONDS)


def _restarted(part: Part, give_up_dead_runs: Callable[[], None], bars: Progress) -> bool:
    """Starts a part again that ended by itself, and says so."""
    ended = f"The {part.name} ended with status {part.exit_status}"
    part.kill_orphans()
    if part.name == "daemon":
        give_up_dead_runs()
    if not part.restart():
        bars.print(f"[red]{ended} and does not stay up.[/] See {part.log}", soft_wrap=True)
        return False
    bars.print(f"[yellow]{ended}: it was started again[/]")
    return True


def _fail_runs_without_process(environment: Mapping[str, str], *, shared: bool) -> None:
    """Reports runs as failed whose worker died with the daemon that had started it.

    Nobody else would notice: Dagster's default launcher cannot ask a worker whether it lives. Failed runs are
    retried by the daemon, and a retry generates only what is missing. In a shared database the runs of other
    machines are left alone.
    """
    instance_variables = ("DAGSTER_HOME", "DAGSTER_PG_URL", "PIXEL_LORA_DAGSTER_FILES")
    os.environ.update({name: environment[name] for name in instance_variables})
    with DagsterInstance.get() as instance:
        for run in instance.get_runs(RunsFilter(statuses=_UNFINISHED)):
            if not shared or run.tags.get(HOST_TAG) == socket.gethostname():
                instance.report_run_failed(run, "The process of this run ended before the run did.")


def _demo_is_evaluated(store: Store) -> bool:
    evaluated = sum(row.evaluation_status == "evaluated" for row in store.epochs.table(None))
    return evaluated >= DEMO_EPOCHS


def _work_waits(store: Store) -> bool:
    return bool(store.analyses.due() or store.depths.waiting())


def _print_results(store: Store, bars: Progress) -> None:
    bars.print(summary_table(store.epochs.table(None)))
    for report in store.conclusions.run_reports():
        bars.print(f"Report: {report}", soft_wrap=True)


def _runs_are_unfinished(instance: DagsterInstance) -> bool:
    """Whether any run is on its way: an epoch is evaluated a moment before its run has ended."""
    return instance.get_runs_count(RunsFilter(statuses=[DagsterRunStatus.QUEUED, *_UNFINISHED])) > 0


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
