"""Fetches checkpoints from watched places that are not on this machine."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import dagster as dg

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.train.remote import Fetching, Mirrored, RemoteError, UnderWay

# Dagster gives a tick up after a minute. A copy that takes longer goes on, and a later tick tells of it.
_PATIENCE_SECONDS: Final = 20.0
_FETCHING: Final = Fetching()
_MOST_TOLD: Final = 5


def remote_sensors(settings: Settings) -> list[dg.SensorDefinition]:
    """The sensor, where places elsewhere are watched."""
    if not settings.watched_urls:
        return []
    return [
        dg.sensor(
            name="remote_checkpoints",
            minimum_interval_seconds=15,
            default_status=dg.DefaultSensorStatus.RUNNING,
            description="Copies what is new at the watched places elsewhere; checkpoint_files finds it here.",
        )(remote_checkpoints)
    ]


def remote_checkpoints(settings: dg.ResourceParam[Settings]) -> dg.SkipReason:
    """Starts no runs: its work is done when it returns, or goes on without it."""
    return dg.SkipReason(_summary(_FETCHING.look(settings.watched_urls, _PATIENCE_SECONDS), settings.watched_urls))


def _summary(looks: Mapping[str, Mirrored | RemoteError | UnderWay], places: Mapping[str, Path]) -> str:
    return "\n".join(_told(url, look, places[url]) for url, look in looks.items())


def _told(url: str, look: Mirrored | RemoteError | UnderWay, folder: Path) -> str:
    match look:
        case RemoteError():
            return str(look)
        case UnderWay():
            return f"{url}: copying since {look.seconds:.0f} s, or it does not answer"
        case Mirrored():
            waiting = [f"; not taken: {name} ({why})" for name, why in list(look.waiting.items())[:_MOST_TOLD]]
            return f"{url}: {len(look.fetched)} new, {look.n_here} in {folder}" + "".join(waiting)
