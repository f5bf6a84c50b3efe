"""`pixel-lora auto-stop`: which machines may be stopped, what was decided about them, the kill switch, the watchdog."""

import json
import socket
import sys
from dataclasses import asdict
from getpass import getuser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

if TYPE_CHECKING:
    from pixel_lora_pipeline.store import WatchedMachine

auto_stop_app = typer.Typer(
    no_args_is_help=True, help="Stops machines whose trainings should not go on; never terminates or deletes any."
)
# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300, highlight=False)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@auto_stop_app.command()
def watch(
    pod: Annotated[str | None, typer.Argument(help="Id of a RunPod pod.", metavar="POD_ID")] = None,
    pid: Annotated[int | None, typer.Option(help="Number of a process on this machine, instead of a pod.")] = None,
    run: Annotated[str | None, typer.Option(help="Name of the run on it: its verdict counts.")] = None,
    folder: Annotated[
        Path | None, typer.Option(help="The run's own folder, in which its checkpoints land: no stop cuts one short.")
    ] = None,
    usd: Annotated[float | None, typer.Option(min=0.01, help="US dollars that it may cost each time it runs.")] = None,
    hours: Annotated[float | None, typer.Option(min=0.01, help="Hours that it may run each time it runs.")] = None,
) -> None:
    """Register a pod or a process. Only what is registered is ever stopped."""
    from pixel_lora_pipeline.auto_stopping import asked_account, reach_by_hand
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import AutoStopError
    from pixel_lora_pipeline.train.auto_stop.machines import found_process

    settings = Settings()
    if (pod is None) == (pid is None):
        raise typer.BadParameter("say a pod's id, or a process with --pid.")
    kind: Literal["pod", "process"] = "process" if pod is None else "pod"
    name = pod or f"{pid}@{socket.gethostname()}"
    with asked_account(settings) as account:
        found_by = found_process(pid) if pid is not None else {"pod_id": pod}
        reading = reach_by_hand(kind, found_by, account).look()
    if reading.state == "gone" or (reading.state == "stopped" and kind == "process"):
        raise typer.BadParameter(f"{name} is not registered: {reading.said}.")
    with configured_store(settings) as store:
        try:
            store.auto_stop.register(
                kind,
                name,
                found_by,
                getuser(),
                run_name=run,
                folder=None if folder is None else folder.resolve(),
                usd_limit=usd,
                hours_limit=hours,
            )
        except AutoStopError as error:
            raise typer.BadParameter(str(error)) from error
    console.print(escape(f"{name} is watched. Now: {reading.said}"), soft_wrap=True)
    defaults = settings.auto_stop
    if all(limit is None for limit in (usd, hours, defaults.usd_limit, defaults.hours_limit)):
        console.print("It has no limit: say --hours or --usd, or set auto_stop.hours_limit.")
    if defaults.mode != "stop":
        console.print(f"Nothing is stopped yet: auto_stop.mode is {defaults.mode}.")


@auto_stop_app.command()
def unwatch(machine: Annotated[str, typer.Argument(help="As `auto-stop status` calls it.")]) -> None:
    """Leave a machine alone from now on."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.store import AutoStopError

    with configured_store(Settings()) as store:
        try:
            store.auto_stop.unwatch(machine, getuser())
        except AutoStopError as error:
            raise typer.BadParameter(str(error)) from error
    console.print(escape(f"{machine} is left alone."))


@auto_stop_app.command()
def status(as_json: Json = False) -> None:
    """Show how far the guard may go, and how every watched machine stands."""
    from pixel_lora_pipeline.auto_stopping import policy_of
    from pixel_lora_pipeline.configured_store import configured_store

    settings = Settings()
    with configured_store(settings) as store:
        switch = store.auto_stop.kill_switch()
        machines, now = store.auto_stop.watched(), store.auto_stop.clock()
    policy = policy_of(settings, is_switched_off=switch is not None and switch.is_off)
    if as_json:
        document = {
            "policy": policy.to_dict(),
            "may_stop": policy.may_stop,
            "kill_switch": None if switch is None else asdict(switch),
            "machines": [asdict(machine) for machine in machines],
        }
        print(json.dumps(document, default=_plain))
        return
    killed = ""
    if switch is not None and switch.is_off:
        why = switch.why or "no reason was given"
        killed = f" Switched off by {switch.switched_by} at {switch.at:%Y-%m-%d %H:%M:%S %Z}: {why}."
    if settings.auto_stop_kill:
        killed += " PIXEL_LORA_AUTO_STOP_KILL is set."
    verb = "stops machines" if policy.may_stop else "stops nothing"
    console.print(escape(f"Mode {policy.mode}: the guard {verb}.{killed}"), soft_wrap=True)
    console.print(
        f"A reading counts for {policy.fresh.total_seconds():g} s, an amount for "
        f"{policy.spending_fresh.total_seconds() / 3600:g} h; alarms come every "
        f"{policy.alarm_after.total_seconds() / 60:g} min.",
        soft_wrap=True,
    )
    if not machines:
        console.print("No machine is watched: pixel-lora auto-stop watch POD_ID --run NAME --hours 6")
        return
    table = Table("machine", "kind", "run", "phase", "since", "limits", "read", "rate")
    for machine in machines:
        known = machine.watch
        age = None if known.looked_at is None else (now - known.last_good_at).total_seconds()
        table.add_row(
            *(
                escape(cell)
                for cell in (
                    machine.name,
                    machine.kind,
                    machine.run_name or "–",
                    known.phase,
                    f"{known.armed_at:%Y-%m-%d %H:%M:%S %Z}",
                    _limits(machine, settings),
                    "never" if age is None else f"{age:.0f} s ago",
                    "–" if known.highest_rate is None else f"{known.highest_rate:.2f} US$/h",
                )
            )
        )
    console.print(table)


@auto_stop_app.command()
def log(
    machine: Annotated[str | None, typer.Argument(help="As `auto-stop status` calls it; all by default.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many decisions, the newest first.")] = 50,
    everything: Annotated[bool, typer.Option("--all", help="Decisions to do nothing as well.")] = False,
    as_json: Json = False,
) -> None:
    """Show what was decided, why, and how old what was read was."""
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        decisions = store.auto_stop.log(machine, limit, idle=everything)
    if as_json:
        print(json.dumps([asdict(decision) for decision in decisions], default=_plain))
        return
    if not decisions:
        console.print("Nothing was decided yet")
        return
    table = Table("at", "machine", "mode", "decision", "because of", "age", "reason", "by")
    for each in decisions:
        table.add_row(
            *(
                escape(cell)
                for cell in (
                    f"{each.at:%Y-%m-%d %H:%M:%S}",
                    each.machine,
                    each.mode or "–",
                    each.action,
                    ", ".join(each.rules) or "–",
                    "–" if each.age_seconds is None else f"{each.age_seconds:.1f} s",
                    each.reason,
                    each.decided_by + ("" if each.version is None else f", {each.version}"),
                )
            )
        )
    console.print(table)


@auto_stop_app.command()
def off(why: Annotated[str, typer.Option(help="For the record.")] = "") -> None:
    """Use the kill switch: from now on nothing is stopped, whatever the configuration says. News still arrive."""
    _switch(why, is_off=True)
    console.print("Switched off: nothing is stopped until `pixel-lora auto-stop on`.")


@auto_stop_app.command()
def on(why: Annotated[str, typer.Option(help="For the record.")] = "") -> None:
    """Release the kill switch: what the configuration allows holds again."""
    _switch(why, is_off=False)
    settings = Settings()
    killed = ", but PIXEL_LORA_AUTO_STOP_KILL is set" if settings.auto_stop_kill else ""
    console.print(f"Switched on: auto_stop.mode is {settings.auto_stop.mode}{killed}.")


@auto_stop_app.command()
def watchdog(
    hours: Annotated[float, typer.Option(min=0.01, help="For how long the pod may run each time it runs.")],
) -> None:
    """Print a shell script for the pod, which stops it from within when its time is over and nobody else is there."""
    from pixel_lora_pipeline.train.auto_stop.watchdog import watchdog_script

    print(watchdog_script(hours), end="")


def _switch(why: str, *, is_off: bool) -> None:
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        store.auto_stop.switch(getuser(), why, is_off=is_off)


def _limits(machine: "WatchedMachine", settings: Settings) -> str:
    from pixel_lora_pipeline.auto_stopping import limited

    known = limited(machine, settings.auto_stop)
    told = [
        *([] if known.usd_limit is None else [f"{known.usd_limit:.2f} US$"]),
        *([] if known.hours_limit is None else [f"{known.hours_limit:g} h"]),
    ]
    return " or ".join(told) or "none"


def _plain(value: Any) -> Any:
    """What JSON does not know."""
    return sorted(value) if isinstance(value, frozenset) else str(value)
