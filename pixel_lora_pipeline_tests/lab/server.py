"""The lab as a real server on a port of its own, in a thread."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.lab import create_app
from pixel_lora_pipeline.store import Store


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def served(store: Store, home: Path, port: int | None = None, **configured: object) -> Iterator[str]:
    """Address of a lab that shows a store, without a slash at its end."""
    settings = Settings(home=home, port=port or free_port(), **configured)  # type: ignore[arg-type]
    app = create_app(store, settings)
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=settings.port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
            assert thread.is_alive(), "the lab's server did not start"
        yield f"http://127.0.0.1:{settings.port}"
    finally:
        server.should_exit = True
        thread.join(10)
