"""`pixel-lora notify …`: whether news arrive, what has not arrived, and sending it again."""

import json
import sys
from dataclasses import asdict
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pixel_lora_pipeline.config import Settings

notify_app = typer.Typer(no_args_is_help=True, help="News of trainings, by mail, Slack or anything that apprise knows.")
# Programs that read the output get whole lines: nothing is folded to a width that no terminal has.
console = Console(width=None if sys.stdout.isatty() else 300)

_NO_CHANNEL: Final = (
    "No channel is configured. Set PIXEL_LORA_NOTIFY='[\"mailto://USER:PASSWORD@HOST?to=YOU@EXAMPLE.COM\"]', or "
    "`notify` in pixel_lora.toml; https://appriseit.com/services says how each service's address is written."
)


@notify_app.command()
def test() -> None:
    """Send a message to every configured channel now, and say whether it arrived."""
    from pixel_lora_pipeline.notify import SendError, configured_channels, send, trial

    channels = configured_channels(Settings().notify)
    if not channels:
        console.print(escape(_NO_CHANNEL))
        raise typer.Exit(1)
    failures = 0
    message = trial()
    for channel in channels:
        try:
            send(channel, message.event, message.subject, message.body)
        except SendError as error:
            failures += 1
            console.print(f"[red]failed[/]  {channel.id}: {escape(str(error))}")
        else:
            console.print(f"[green]sent[/]    {channel.id}")
    raise typer.Exit(1 if failures else 0)


@notify_app.command(name="list")
def list_messages(
    everything: Annotated[bool, typer.Option("--all", help="Those that have arrived as well.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Show messages that wait or were given up (dead), with the reason."""
    from pixel_lora_pipeline.configured_store import configured_store

    with configured_store(Settings()) as store:
        messages = store.notifications.find(("pending", "dead", "sent") if everything else ("pending", "dead"))
        configured = store.notifications.channels
    if as_json:
        print(json.dumps([asdict(message) for message in messages], default=str))
        return
    if not messages:
        console.print("No messages" if everything else "No message waits, none was given up")
        return
    table = Table("id", "state", "channel", "subject", "attempts", "next attempt", "last error")
    for message in messages:
        gone = "" if message.channel in configured else " (no longer configured)"
        table.add_row(
            str(message.id),
            message.state,
            message.channel + gone,
            escape(message.subject),
            str(message.attempts),
            f"{message.next_attempt_at:%Y-%m-%d %H:%M:%S %Z}" if message.state == "pending" else "–",
            escape(message.last_error or "–"),
        )
    console.print(table)


@notify_app.command()
def retry(
    ids: Annotated[
        list[str] | None, typer.Argument(help="Ids that `notify list` shows; all dead ones if none.")
    ] = None,
) -> None:
    """Send messages again that were given up, and what else is due."""
    from pixel_lora_pipeline.configured_store import configured_store
    from pixel_lora_pipeline.notify import configured_channels, deliver

    settings = Settings()
    if not settings.notify:
        console.print(escape(_NO_CHANNEL))
        raise typer.Exit(1)
    with configured_store(settings) as store:
        requeued = store.notifications.requeue(ids or ())
        deliveries = deliver(store.notifications, configured_channels(settings.notify))
    unknown = sorted(set(ids or ()) - {str(row_id) for row_id in requeued})
    if unknown:
        console.print(f"Not among the messages that were given up: {escape(', '.join(unknown))}")
    for delivery in deliveries:
        name = f"{delivery.notification.channel}: {escape(delivery.notification.subject)}"
        if delivery.error is None:
            console.print(f"[green]sent[/]    {name}")
        else:
            console.print(f"[red]failed[/]  {name}: {escape(delivery.error)}")
    if not deliveries:
        console.print("Nothing is due for the configured channels")
    raise typer.Exit(1 if unknown or any(delivery.error is not None for delivery in deliveries) else 0)
