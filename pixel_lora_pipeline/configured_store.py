"""The database and the store that the settings name; the embedded server where they name none."""

from collections.abc import Iterator
from contextlib import contextmanager

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.notify import channel_ids
from pixel_lora_pipeline.store import Store, embedded_postgres, migrate


@contextmanager
def configured_database(settings: Settings) -> Iterator[str]:
    """Address of the database, as it is; the embedded server runs at least as long as the context lasts."""
    if settings.database_url is not None:
        yield settings.database_url.get_secret_value()
    else:
        with embedded_postgres(settings.home) as url:
            yield url


@contextmanager
def configured_store(settings: Settings) -> Iterator[Store]:
    """The store, its database brought to the newest state."""
    with configured_database(settings) as url:
        migrate(url)
        store = Store(url, settings.home / "images", channel_ids(settings.notify))
        store.database.verify_dagster_schema()
        yield store
