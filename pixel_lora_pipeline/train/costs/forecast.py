"""What a month will have cost at its end, if the days to come are like those before."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

import numpy as np
from scipy.stats import t as student

from pixel_lora_pipeline.train.costs.usage import following, month_begins

_MOST_DAYS: Final = 28  # whole weeks: people train more on some of their days
_FEWEST_FOR_AN_INTERVAL: Final = 7
_LEVEL: Final = 0.8


@dataclass(frozen=True)
class Forecast:
    """The end of a month.

    Attributes
    ----------
    expected
        US dollars at its end.
    low, high
        80 % interval; None where too few days are known.
    how
        How it was computed, in sentences.
    """

    expected: float
    low: float | None
    high: float | None
    how: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return asdict(self)


def forecast(spent: float, days: Mapping[date, float], month: date, now: datetime) -> Forecast | None:
    """Extrapolate a month from the last four weeks; None if it is over, has not begun, or no whole day is known.

    Parameters
    ----------
    spent
        In this month so far.
    days
        What days have cost, also those of the month before; days that are left out have cost nothing.

    Notes
    -----
    The mean of the days before today is what each day to come is expected to cost. The interval is Student's for the
    sum of that many further days: it takes days to be alike and independent. A plan to train more makes both wrong.
    """
    today = now.astimezone(UTC).date()
    begins, ends = month_begins(month), month_begins(following(month))
    if not begins <= now < ends or not any(day < today for day in days):
        return None
    first = max(min(days), today - timedelta(days=_MOST_DAYS))
    costs = np.array([days.get(first + timedelta(days=at), 0.0) for at in range((today - first).days)])
    if len(costs) == 0:
        return None
    # What is left of today counts in full: what it has cost already is in `spent` and not in the mean.
    left = (ends - now) / timedelta(days=1)
    expected = spent + float(costs.mean()) * left
    how = (
        f"${spent:.2f} spent so far, and {left:.1f} days to come at the mean of the {len(costs)} days before today, "
        f"${costs.mean():.2f} a day."
    )
    if len(costs) < _FEWEST_FOR_AN_INTERVAL:
        return Forecast(expected, None, None, f"{how} An interval needs {_FEWEST_FOR_AN_INTERVAL} days.")
    spread = float(costs.std(ddof=1)) * math.sqrt(left + left**2 / len(costs))
    reach = float(student.ppf((1 + _LEVEL) / 2, len(costs) - 1)) * spread
    return Forecast(
        expected,
        max(spent, expected - reach),
        expected + reach,
        f"{how} The 80 % interval takes days to be alike and independent.",
    )
