"""News from the database, passed on to every page that is open, over one connection for all of them."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from starlette.concurrency import run_in_threadpool
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from pixel_lora_pipeline.store import DatabaseError, Store
from pixel_lora_pipeline.store.lab_events import CHANNEL, News

LOOK_SECONDS: Final = 5.0
"""How often the hub looks without having been woken: poolers in between may swallow notifications."""

_FIRST_WAIT: Final = 0.25
_LONGEST_WAIT: Final = 5.0
_PRUNE_SECONDS: Final = 6 * 3600
# A page that takes none of so many messages has stopped reading; it is told to look at everything when it does.
_MOST_WAITING: Final = 100

Told = dict[str, Any]

logger = logging.getLogger(__name__)


class Hub:
    """Listens to the database and tells the pages; a lost connection is opened again, and what was missed is read.

    Attributes
    ----------
    is_connected
        Whether the database answers.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pages: set[asyncio.Queue[Told]] = set()
        self.is_connected = True

    @contextmanager
    def page(self) -> Iterator[asyncio.Queue[Told]]:
        """What one page is told, as long as it is open."""
        queue: asyncio.Queue[Told] = asyncio.Queue(_MOST_WAITING)
        self._pages.add(queue)
        try:
            yield queue
        finally:
            self._pages.discard(queue)

    async def run(self) -> None:
        """Passes news on until it is cancelled."""
        cursor: str | None = None
        wait = _FIRST_WAIT
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._store.database.url, autocommit=True, connect_timeout=10, application_name="pixel-lora lab"
                )
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}".encode())
                    if cursor is None:
                        cursor = await run_in_threadpool(self._store.lab_events.cursor)
                    self._set_connected(True)
                    wait = _FIRST_WAIT
                    while True:
                        news = await run_in_threadpool(self._store.lab_events.since, cursor)
                        cursor = news.cursor
                        if news.events or not news.is_complete:
                            self._tell(as_told(news))
                        async for _ in connection.notifies(timeout=LOOK_SECONDS, stop_after=1):
                            pass
            except (psycopg.OperationalError, DatabaseError) as fault:
                if self.is_connected:
                    logger.warning("The lab's connection to the database is lost: %s", fault)
                self._set_connected(False)
                await asyncio.sleep(wait)
                wait = min(2 * wait, _LONGEST_WAIT)

    async def prune(self) -> None:
        """Deletes old events from time to time until it is cancelled."""
        while True:
            try:
                await run_in_threadpool(self._store.lab_events.prune)
            except (psycopg.OperationalError, DatabaseError) as fault:
                logger.warning("Old events were not deleted: %s", fault)
            await asyncio.sleep(_PRUNE_SECONDS)

    def _set_connected(self, connected: bool) -> None:
        if connected != self.is_connected:
            self.is_connected = connected
            self._tell({"database": connected})

    def _tell(self, told: Told) -> None:
        for queue in self._pages:
            if queue.full():
                while not queue.empty():
                    queue.get_nowait()
                told = {**told, "events": [], "all": True}
            queue.put_nowait(told)


def as_told(news: News) -> Told:
    """News as pages are told them."""
    return {"cursor": news.cursor, "events": [list(event) for event in news.events], "all": not news.is_complete}


async def live(websocket: WebSocket) -> None:
    """Tells a page what has happened since the cursor that it has seen, and goes on telling it.

    Messages have `cursor`, to connect with the next time, `events`, pairs of kind and subject, and `all`, whether
    everything has to be looked at anew; or `database`, whether it answers.
    """
    hub: Hub = websocket.app.state.hub
    store: Store = websocket.app.state.store
    await websocket.accept()
    # Beside the catching up, so that nothing is missed in between; what is told twice does no harm.
    with hub.page() as queue:
        sender = asyncio.create_task(_send(websocket, queue, store, websocket.query_params.get("seen", "")))
        try:
            while True:
                await websocket.receive_bytes()  # pages have nothing to say: this ends when they close
        except (WebSocketDisconnect, KeyError):
            return
        finally:
            sender.cancel()


async def _send(websocket: WebSocket, queue: asyncio.Queue[Told], store: Store, seen: str) -> None:
    try:
        try:
            await websocket.send_json(as_told(await run_in_threadpool(store.lab_events.since, seen)))
        except ValueError:
            await websocket.send_json({"cursor": await run_in_threadpool(store.lab_events.cursor), "all": True})
        while True:
            await websocket.send_json(await queue.get())
    except (psycopg.OperationalError, DatabaseError):
        await websocket.close(1013)  # try again later (IANA's registry of close codes)
    except (WebSocketDisconnect, RuntimeError):
        return


routes = [WebSocketRoute("/live", live)]
