"""Connections to Postgres that are kept, for programs that answer many short questions."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database

_MOST_KEPT: Final = 4
# Poolers and firewalls drop connections that idle for longer.
_KEPT_SECONDS: Final = 120.0


class KeptConnections(Database):
    """A database whose connections are used again by whoever asks next, in whatever thread.

    One is tried before it is used: a server that was restarted in between is not noticed.
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._idle: list[tuple[psycopg.Connection[DictRow], float]] = []
        self._lock = threading.Lock()

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """One transaction, as `Database.connection` has it."""
        connection = self._taken() or self._opened()
        try:
            yield connection
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        else:
            connection.commit()
        finally:
            self._give_back(connection)

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _taken(self) -> psycopg.Connection[DictRow] | None:
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            try:
                if time.monotonic() - since < _KEPT_SECONDS:
                    connection.execute("")  # the shortest way to the server and back
                    connection.rollback()
                    return connection
            except psycopg.OperationalError:
                pass
            connection.close()

    def _give_back(self, connection: psycopg.Connection[DictRow]) -> None:
        with self._lock:
            if not connection.closed and len(self._idle) < _MOST_KEPT:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()
