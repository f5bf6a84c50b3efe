"""What is configured, what is missing, and how to fix it."""

import os
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final, Literal

from pixel_lora_pipeline.config import Settings

LOW_DISK_GIB: Final = 5.0
"""Below this, a run of SD 1.5 checkpoints (about 150 MB each) and its images may not fit."""

_ANSWER_SECONDS: Final = 20.0


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
        *_trainer(settings),
        *_runpod(settings),
        *_suite(settings),
        *_clip_model(settings),
        *_device(settings),
        *_port(settings),
        *_costs(settings),
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
    for url in settings.watched_urls:
        yield _place(url, "watched folders")
    for folder in (place for place in settings.watched if isinstance(place, Path)):
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


def _trainer(settings: Settings) -> Iterator[Finding]:
    from pixel_lora_pipeline.configured_trainer import is_sdxl, kohya_checkout

    if settings.trainer == "embedded":
        yield Finding("trainer", "ok", "none configured: campaigns train the embedded model")
    elif settings.trainer == "kohya":
        checkout = kohya_checkout(settings)
        fault = checkout.fault(is_sdxl=settings.base_model is not None and is_sdxl(settings.base_model))
        if fault is not None:
            yield Finding("trainer", "fault", fault)
        else:
            yield Finding("trainer", "ok", f"Kohya's in {checkout.folder}, run by {checkout.interpreter}")
        if settings.base_model is None:
            yield Finding("trainer", "note", "base_model is not set: campaigns need the model that Kohya trains.")


def _runpod(settings: Settings) -> Iterator[Finding]:
    """RunPod is asked only if there is a key for it."""
    from pixel_lora_pipeline.configured_trainer import runpod_trainer
    from pixel_lora_pipeline.train.runpod import RunPod, RunPodError
    from pixel_lora_pipeline.train.trainers import TrainerError

    asked = settings.runpod
    if settings.trainer == "runpod":
        try:
            runpod_trainer(settings)
        except TrainerError as error:
            yield Finding("trainer", "fault", str(error))
        else:
            yield Finding("trainer", "ok", f"pods of RunPod: {asked.gpu_types[0]}, {asked.cloud}")
    if settings.runpod_api_key is None:
        yield Finding("RunPod", "ok", "no key configured: it is never asked anything (RUNPOD_API_KEY)")
        return
    try:
        account = RunPod(settings.runpod_api_key, settings.runpod_url, timeout=_ANSWER_SECONDS)
        running = [pod for pod in account.pods() if not pod.is_stopped]
        cost = sum(pod.cost for pod in running)
        yield Finding("RunPod", "ok", f"the key is valid; {len(running)} pods are not stopped, {cost} US$ an hour")
        if asked.template_id is not None:
            template = account.template(asked.template_id)
            state: Literal["ok", "fault"] = "fault" if template.serverless else "ok"
            kind = "is for serverless workers, not for pods" if template.serverless else f"runs {template.image}"
            yield Finding("RunPod", state, f"template {template.id} ({template.name}) {kind}")
    except RunPodError as error:
        yield Finding("RunPod", "fault", str(error))
    if asked.checkpoints_url is not None:
        yield _place(asked.checkpoints_url, "RunPod")


def _place(url: str, subject: str) -> Finding:
    """Whether a place elsewhere answers; one that says nothing for long does not."""
    from pixel_lora_pipeline.train.remote import RemoteError, Storage

    finding = Finding(subject, "fault", f"{url} does not answer: check the address and the network.")

    def ask() -> None:
        nonlocal finding
        try:
            if Storage(url).holds_anything():
                finding = Finding(subject, "ok", f"{url} answers")
            else:
                finding = Finding(subject, "note", f"{url} holds nothing: check its name if it should.")
        except RemoteError as error:
            finding = Finding(subject, "fault", str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_ANSWER_SECONDS)
    return finding


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


def _costs(settings: Settings) -> Iterator[Finding]:
    from pixel_lora_pipeline.train.costs import PriceTableError, read_prices

    if settings.costs.prices is not None:
        try:
            read_prices(settings.costs.prices)
        except PriceTableError as error:
            yield Finding("costs", "fault", str(error))
            return
    machine, training = settings.costs.machine, settings.costs.training
    unknown = [
        what
        for what, place in (("of this machine", machine), ("of trainings that others start", training))
        if place.usd_per_hour is None and (place.provider is None or place.gpu is None)
    ]
    if unknown:
        yield Finding(
            "costs",
            "note",
            f"time is counted, and the price {' and '.join(unknown)} is not known: see [costs] in docs/costs.md",
        )
    else:
        yield Finding("costs", "ok", "this machine and trainings have a price")


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
