"""What this month has cost, for pages that must not wait until it is counted."""

import logging
import math
import threading
import time
from datetime import UTC, date, datetime
from typing import Final

import psycopg

from pixel_lora_pipeline.config import CostSettings
from pixel_lora_pipeline.cost_budgets import spent_in_month
from pixel_lora_pipeline.store import DatabaseError, Store
from pixel_lora_pipeline.train.costs import UNKNOWN, Amount, PriceTableError
from pixel_lora_pipeline.train.costs.usage import month_of

# Live pages ask with every batch of images.
_COUNT_SECONDS: Final = 30.0
# Where little was used the first page shows it at once.
_PATIENCE_SECONDS: Final = 0.1

logger = logging.getLogger(__name__)


class MonthSpending:
    """Counts in a thread of its own, at most twice a minute."""

    def __init__(self, store: Store, settings: CostSettings) -> None:
        self._store = store
        self._settings = settings
        self._lock = threading.Lock()
        self._counting: threading.Thread | None = None
        self._counted_at = -math.inf
        self._counted: tuple[date, Amount] | None = None

    def latest(self) -> Amount | None:
        """What was counted last of this month; None if that is still being done."""
        with self._lock:
            counting = self._counting
            if counting is None and time.monotonic() - self._counted_at > _COUNT_SECONDS:
                counting = self._counting = threading.Thread(target=self._count, daemon=True)
                counting.start()
        if counting is not None:
            counting.join(_PATIENCE_SECONDS)
        counted = self._counted
        return counted[1] if counted is not None and counted[0] == month_of(datetime.now(UTC)) else None

    def _count(self) -> None:
        month = month_of(datetime.now(UTC))
        try:
            self._counted = month, spent_in_month(self._store, self._settings, month)
        except PriceTableError:  # `pixel-lora doctor` says what is wrong with it
            self._counted = month, UNKNOWN
        except (psycopg.OperationalError, DatabaseError) as fault:
            logger.warning("What this month has cost was not counted: %s", fault)
        finally:
            with self._lock:
                self._counted_at = time.monotonic()
                self._counting = None
