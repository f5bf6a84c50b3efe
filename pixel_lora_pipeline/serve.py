"""Serves the lab and Dagster's UI on one address: `python -m pixel_lora_pipeline.serve`."""

import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from pixel_lora_pipeline.config import PROJECT_ROOT, Settings
from pixel_lora_pipeline.configured_store import configured_database
from pixel_lora_pipeline.defs.lab.webserver import DagsterMovedError, dagster_app
from pixel_lora_pipeline.lab import create_app
from pixel_lora_pipeline.notify import channel_ids
from pixel_lora_pipeline.store import Store, migrate

# Open pages hold their websockets for as long as they are let.
_GRACE_SECONDS: Final = 3
_WORKSPACE: Final = PROJECT_ROOT / "workspace.yaml"

logger = logging.getLogger("pixel_lora_pipeline.serve")


def serve(settings: Settings) -> None:
    """Runs until it is told to end."""
    # After its own shutdown uvicorn raises the signal once more, which would end the process before what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with ExitStack() as stack:
        url = stack.enter_context(configured_database(settings))
        migrate(url)
        store = Store(url, settings.home / "images", channel_ids(settings.notify), keep_connections=True)
        ui: ASGIApp | None = None
        address = "/"
        try:
            ui = stack.enter_context(dagster_app(_WORKSPACE))
        except DagsterMovedError as moved:
            address = f"http://127.0.0.1:{settings.port + 1}/"
            logger.warning(
                "%s Dagster's UI runs beside the lab, on %s. It is not guarded there, so it only shows and starts "
                "nothing: install the pinned version of Dagster (requirements.txt).",
                moved,
                address,
            )
            stack.enter_context(_own_webserver(settings.port + 1))
        app = create_app(store, settings, dagster_ui=ui, dagster_address=address)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_level="warning",
            server_header=False,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )


@contextmanager
def _own_webserver(port: int) -> Iterator[None]:
    """Dagster's webserver as a process of its own, in which nothing can be started: it takes orders from any page."""
    command = ["-m", "dagster_webserver", "-w", str(_WORKSPACE), "-h", "127.0.0.1", "-p", str(port), "--read-only"]
    process = subprocess.Popen([sys.executable, *command], cwd=PROJECT_ROOT)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    serve(Settings())
