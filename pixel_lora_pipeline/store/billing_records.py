"""What providers have billed: table `billing_records`."""

from collections.abc import Iterable
from datetime import datetime

from psycopg.types.range import TimestamptzRange

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.values import clean_text
from pixel_lora_pipeline.train.costs import Bill


class BillingRecords:
    """Bills, one row a machine and time; no time of a machine is billed twice."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def reconcile(self, bills: Iterable[Bill], read_at: datetime) -> int:
        """Take over bills, and return how many are new or have changed.

        However often the same bill is read it counts once, with what it said last. The bill of a time that is not over
        is left for later: it would count as the whole. One that overlaps an earlier bill of other bounds (a day over
        its hours) replaces what it covers whole, and is left out where it does not: either way nothing counts twice.
        """
        changed = 0
        with self._database.connection() as connection:
            connection.execute("LOCK TABLE billing_records IN SHARE ROW EXCLUSIVE MODE")
            for bill in bills:
                if bill.ends > read_at or bill.begins >= bill.ends:
                    continue
                place = {
                    "machine": clean_text(bill.machine),
                    "period": TimestamptzRange(bill.begins, bill.ends, "[)"),
                }
                crossing = connection.execute(
                    "SELECT 1 FROM billing_records WHERE machine = %(machine)s AND period && %(period)s "
                    "AND NOT period <@ %(period)s",
                    place,
                ).fetchone()
                if crossing is not None:
                    continue
                same = connection.execute(
                    "SELECT compute_usd, storage_usd FROM billing_records "
                    "WHERE machine = %(machine)s AND period = %(period)s",
                    place,
                ).fetchone()
                if same == {"compute_usd": bill.compute_usd, "storage_usd": bill.storage_usd}:
                    continue
                connection.execute(
                    "DELETE FROM billing_records WHERE machine = %(machine)s AND period <@ %(period)s", place
                )
                connection.execute(
                    "INSERT INTO billing_records (provider, machine, period, compute_usd, storage_usd, read_at) "
                    "VALUES (%(provider)s, %(machine)s, %(period)s, %(compute)s, %(storage)s, %(read_at)s)",
                    {
                        **place,
                        "provider": bill.provider,
                        "compute": bill.compute_usd,
                        "storage": bill.storage_usd,
                        "read_at": read_at,
                    },
                )
                changed += 1
        return changed

    def within(self, begins: datetime, ends: datetime) -> list[Bill]:
        """The bills of a time, those that reach across its bounds included."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT provider, machine, lower(period) AS begins, upper(period) AS ends, compute_usd, storage_usd
                FROM billing_records WHERE period && %s ORDER BY lower(period), machine
                """,
                (TimestamptzRange(begins, ends, "[)"),),
            )
            return [Bill(**row) for row in rows]
