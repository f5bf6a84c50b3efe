"""Dagster's storage in Postgres, with connections that are kept.

`dagster-postgres` opens and closes one for nearly every query, about 150 while a checkpoint is evaluated. On a small
machine that cost more than half of all that Dagster adds to an evaluation.
"""

from typing import Any, Final

from dagster_postgres import DagsterPostgresStorage
from dagster_postgres.utils import pg_url_from_config
from sqlalchemy import create_engine

# One for the query, one for the query that is made while its rows are read. Threads that find both taken open
# another one and close it again.
_KEPT: Final = 2
_MOST_BESIDES: Final = 20
# Poolers and firewalls drop connections that idle for longer.
_RECYCLE_SECONDS: Final = 300


class PooledPostgresStorage(DagsterPostgresStorage):
    """As `storage: postgres` in dagster.yaml, but what it stores goes over few, lasting connections.

    A connection is tried before it is used: a database that restarts while an image is generated is not noticed.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        engine = create_engine(
            self.postgres_url,
            isolation_level="AUTOCOMMIT",
            pool_size=_KEPT,
            max_overflow=_MOST_BESIDES,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
        )
        # There is no option for it. Where the attribute is renamed one day, connections are not kept, nothing else.
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PooledPostgresStorage":
        """The storage that dagster.yaml describes, in the words of `storage: postgres`."""
        return cls(
            postgres_url=pg_url_from_config(config_value),
            should_autocreate_tables=config_value.get("should_autocreate_tables", True),
            inst_data=inst_data,
        )
