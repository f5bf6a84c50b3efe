"""What is configured, what is missing, and how to fix it."""

import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from pixel_lora_pipeline.config import Settings

LOW_DISK_GIB: Final = 5.0
"""Below this, a run of SD 1.5 checkpoints (about 150 MB each) and its images may not fit."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. A note is worth knowing, a fault keeps something from working."""

    subject: str
    state: Literal["ok", "note", "fault"]
    message: str


def examine(settings: Settings) -> list[Finding]:
    """Everything that can be checked without starting the pipeline."""
    return [
        *_versions(),
        *_database(settings),
        *_folders(settings),
        *_base_model(settings),
        *_suite(settings),
        *_clip_model(settings),
        *_device(settings),
        *_port(settings),
        *_notifications(settings),
    ]


def _versions() -> Iterator[Finding]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("dagster", "torch", "diffusers", "transformers"))
    yield Finding("versions", "ok", packages)


def _database(settings: Settings) -> Iterator[Finding]:
    from pixel_lora_pipeline.store import (
        DatabaseError,
        DatabaseUrlError,
        MigrationError,
        check,
        without_password,
    )

    if settings.database_url is None:
        yield Finding("database", "ok", f"none configured: the embedded PostgreSQL is used, kept for {settings.home}")
        return
    url = settings.database_url.get_secret_value()
    try:
        state = check(url)
        shown = without_password(url)
    except (DatabaseUrlError, DatabaseError, MigrationError) as error:
        yield Finding("database", "fault", str(error))
        return
    if state.pending:
        names = ", ".join(state.pending)
        yield Finding("database", "note", f"{shown} answers; not applied yet: {names}. Run `pixel-lora migrate`.")
    else:
        yield Finding("database", "ok", f"{shown} answers and is up to date")


def _folders(settings: Settings) -> Iterator[Finding]:
    if not settings.watched:
        yield Finding(
            "watched folders",
            "note",
            "none configured: the demo trains its own LoRA. Set PIXEL_LORA_WATCHED='[\"/path/to/output\"]' or "
            "`watched` in pixel_lora.toml to the output_dir of your trainings.",
        )
    for folder in settings.watched:
        if not folder.is_dir():
            yield Finding("watched folders", "fault", f"{folder} does not exist: create it or correct the setting.")
        elif not os.access(folder, os.R_OK | os.X_OK):
            yield Finding("watched folders", "fault", f"{folder} may not be read by this user: check its permissions.")
        else:
            yield Finding("watched folders", "ok", str(folder))
    existing = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(existing).free / 2**30
    state: Literal["ok", "fault"] = "ok" if free >= LOW_DISK_GIB else "fault"
    advice = "" if state == "ok" else ": free some, or set PIXEL_LORA_HOME to a larger disk"
    yield Finding("disk", state, f"{free:.0f} GiB free for {settings.home}{advice}")
    if not os.access(existing, os.W_OK):
        yield Finding("home", "fault", f"{existing} may not be written: set PIXEL_LORA_HOME to a folder of yours.")


def _base_model(settings: Settings) -> Iterator[Finding]:
    model = settings.base_model
    if model is None:
        yield Finding("base model", "ok", "none configured: the embedded model (64×64 portraits) is used")
        return
    path = Path(model)
    if path.is_dir() and not (path / "model_index.json").exists():
        yield Finding("base model", "fault", f"{path} is no diffusers folder: it holds no model_index.json.")
    elif path.is_dir() or path.is_file():
        yield Finding("base model", "ok", str(path))
    elif path.is_absolute() or path.suffix == ".safetensors":
        yield Finding("base model", "fault", f"{path} does not exist: correct PIXEL_LORA_BASE_MODEL.")
    elif settings.allow_downloads:
        yield Finding("base model", "ok", f"{model} from the hub, downloaded when it is not cached")
    else:
        yield Finding(
            "base model",
            "note",
            f"{model} is taken from the hub's local cache; nothing is downloaded unless "
            "PIXEL_LORA_ALLOW_DOWNLOADS=true.",
        )


def _suite(settings: Settings) -> Iterator[Finding]:
    from pixel_lora_pipeline.validate import SuiteError, base_kind, load_suite

    try:
        suite = load_suite(settings.suite)
        images = suite.requests(base_kind(settings.base_model))
    except SuiteError as error:
        yield Finding("prompt suite", "fault", str(error))
        return
    yield Finding(
        "prompt suite", "ok", f"{suite.name}: {len(suite.prompts)} prompts, {len(images)} images at full depth"
    )


def _clip_model(settings: Settings) -> Iterator[Finding]:
    import numpy as np

    from pixel_lora_pipeline.validate.semantic import SemanticModelError, SemanticScorer

    if settings.clip_model is None:
        yield Finding("CLIP model", "ok", "none configured: that score is left out (PIXEL_LORA_CLIP_MODEL)")
        return
    try:
        SemanticScorer(settings.clip_model).measure(np.zeros((64, 64, 3), np.uint8), "a portrait")
    except SemanticModelError as error:
        yield Finding("CLIP model", "fault", str(error))
        return
    yield Finding("CLIP model", "ok", str(settings.clip_model))


def _device(settings: Settings) -> Iterator[Finding]:
    import torch

    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if settings.device == "cuda" and not cuda:
        yield Finding("device", "fault", "cuda is configured, but this torch sees no NVIDIA GPU.")
    elif settings.device == "mps" and not mps:
        yield Finding("device", "fault", "mps is configured, but this torch sees no Apple GPU.")
    elif settings.device == "auto" and not cuda and not mps:
        state: Literal["ok", "note"] = "ok" if settings.base_model is None else "note"
        yield Finding("device", state, "no GPU: images are generated on the CPU (slow with SD 1.5)")
    else:
        yield Finding("device", "ok", torch.cuda.get_device_name() if cuda else settings.device)


def _port(settings: Settings) -> Iterator[Finding]:
    with socket.socket() as probe:
        taken = probe.connect_ex(("127.0.0.1", settings.port)) == 0
    if taken:
        yield Finding(
            "port",
            "note",
            f"{settings.port} is in use: the pipeline runs already, or another program has it (PIXEL_LORA_PORT).",
        )
    else:
        yield Finding("port", "ok", f"{settings.port} is free")


def _notifications(settings: Settings) -> Iterator[Finding]:
    from pixel_lora_pipeline.notify import SendError, configured_channels, service_name

    channels = configured_channels(settings.notify)
    if not channels:
        yield Finding("notifications", "ok", "no channel configured: nothing is sent (PIXEL_LORA_NOTIFY)")
    for channel in channels:
        try:
            yield Finding("notifications", "ok", f"{channel.id} ({service_name(channel)})")
        except SendError as error:
            yield Finding("notifications", "fault", str(error))
    dead = _given_up_messages(settings)
    if dead:
        yield Finding("notifications", "note", f"{dead} given up after several attempts: see `pixel-lora notify list`")


def _given_up_messages(settings: Settings) -> int:
    """How many there are in a database that is up to date; the embedded one is not started for this."""
    from pixel_lora_pipeline.store import (
        Database,
        DatabaseError,
        DatabaseUrlError,
        MigrationError,
        Notifications,
        check,
    )

    if settings.database_url is None:
        return 0
    url = settings.database_url.get_secret_value()
    try:
        if check(url).pending:
            return 0
        return Notifications(Database(url)).count("dead")
    except (DatabaseUrlError, DatabaseError, MigrationError):
        return 0  # said under "database"
