"""The connection to Postgres."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row

from pixel_lora_pipeline.store.urls import DAGSTER_SCHEMA, dagster_url, normalize_url, without_password

# Our own keys are numbers; a database that was there before may number its rows otherwise.
RowId: TypeAlias = int | UUID

_CONNECT_TIMEOUT_SECONDS = 10


class DatabaseError(ConnectionError):
    """No connection could be opened: says where to, why, and what to look at."""


class Database:
    """A Postgres database that we may read and write, known by its address.

    Connections are opened when they are needed and closed afterwards, so that nothing is held across the
    minutes in which a GPU works, and none is shared between processes or threads.

    Attributes
    ----------
    url
        The address for psycopg 3, password included: never print it, print the object.
    """

    def __init__(self, url: str) -> None:
        self.url = normalize_url(url, "psycopg")

    def __repr__(self) -> str:
        return f"Database({without_password(self.url)!r})"

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[DictRow]]:
        """One transaction on a connection of its own: committed after the block, rolled back on an error.

        Raises
        ------
        DatabaseError
            If no connection can be opened.
        """
        with self._opened() as connection:
            yield connection

    def _opened(self) -> psycopg.Connection[DictRow]:
        timeout = conninfo_to_dict(self.url).get("connect_timeout", _CONNECT_TIMEOUT_SECONDS)
        try:
            return psycopg.connect(
                self.url, connect_timeout=timeout, application_name="pixel-lora", row_factory=dict_row
            )
        except psycopg.OperationalError as fault:
            raise DatabaseError(
                f"no connection to {without_password(self.url)}: {fault}\n"
                "Check that the server runs and that DATABASE_URL names the right host, user and password."
            ) from fault

    def verify_dagster_schema(self) -> None:
        """Make sure that Dagster's tables will land in their own schema and not among the domain's.

        Raises
        ------
        DatabaseError
            If a connection as Dagster opens it does not end up in schema `dagster`: the migrations have not
            run, or a pooler in between drops the `options` of the connection.
        """
        with Database(dagster_url(self.url)).connection() as connection:
            row = connection.execute("SELECT current_schema() AS schema").fetchone()
        if row is None or row["schema"] != DAGSTER_SCHEMA:
            raise DatabaseError(
                f"a connection for Dagster to {without_password(self.url)} does not arrive in schema "
                f"{DAGSTER_SCHEMA}. Run `pixel-lora migrate`; if that was done, a pooler drops the "
                "connection's options: use the direct connection."
            )
