"""List prices as providers' catalogues gave them: table `gpu_prices`."""

from collections.abc import Iterable
from datetime import UTC, datetime

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.values import clean_text
from pixel_lora_pipeline.train.costs import Price


class GpuPrices:
    """Prices with the time for which each was valid."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, prices: Iterable[Price], read_at: datetime) -> int:
        """Keep what a catalogue says now, and return how many prices are new or have changed.

        A price that is the same as before has only been seen again; another one ends it.
        """
        changed = 0
        with self._database.connection() as connection:
            # Two readers at once would both end the same price.
            connection.execute("LOCK TABLE gpu_prices IN SHARE ROW EXCLUSIVE MODE")
            for price in prices:
                current = connection.execute(
                    "SELECT id, usd_per_hour FROM gpu_prices "
                    "WHERE provider = %s AND gpu = %s AND cloud = %s AND upper_inf(valid)",
                    (price.provider, clean_text(price.gpu), price.cloud),
                ).fetchone()
                if current is not None and current["usd_per_hour"] == price.usd_per_hour:
                    connection.execute(
                        "UPDATE gpu_prices SET retrieved = greatest(retrieved, %s) WHERE id = %s",
                        (read_at, current["id"]),
                    )
                    continue
                if current is not None:
                    connection.execute(
                        "UPDATE gpu_prices SET valid = tstzrange(lower(valid), greatest(lower(valid), %s)) "
                        "WHERE id = %s",
                        (read_at, current["id"]),
                    )
                connection.execute(
                    """
                    INSERT INTO gpu_prices
                        (provider, gpu, gpu_id, cloud, usd_per_hour, source, source_url, retrieved, valid)
                    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, tstzrange(%s, NULL))
                    """,
                    (
                        price.provider,
                        clean_text(price.gpu),
                        clean_text(price.gpu_id),
                        price.cloud,
                        price.usd_per_hour,
                        price.source,
                        price.source_url,
                        read_at,
                        read_at,
                    ),
                )
                changed += 1
        return changed

    def all(self) -> list[Price]:
        """All that were ever recorded, the last retrieved first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT provider, gpu, coalesce(gpu_id, '') AS gpu_id, cloud, usd_per_hour, source, source_url,
                       retrieved, lower(valid) AS valid_from, upper(valid) AS valid_until
                FROM gpu_prices WHERE valid IS NOT NULL AND NOT isempty(valid) ORDER BY retrieved DESC, id DESC
                """
            )
            return [Price(**{**row, "retrieved": row["retrieved"].astimezone(UTC).date()}) for row in rows]
