"""What goes into a parameter impact report."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal

import pandas as pd

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True, eq=False)
class ImpactContent:
    """All that is known of the parameters when the report is written.

    Attributes
    ----------
    evidence
        Metric to the table that `learn.assess_parameters` returns for it; the metric that matters most first.
    runs
        The table that was judged: a row a run, with columns for its name, its date, its parameters and the metrics.
    created_at
        When the report is written.
    period
        First and last day that it is about; None on demand.
    principles
        What has held up: mappings with "statement", "status" ("revoked" for what does not hold any more) and "reason".
    previous
        The document of the last report; None for the first one.
    better
        Metric to the direction in which it is better; those that are left out are better when higher.
    """

    evidence: Mapping[str, pd.DataFrame]
    runs: pd.DataFrame
    created_at: datetime
    period: tuple[date, date] | None = None
    principles: Sequence[Mapping[str, Any]] = ()
    previous: Mapping[str, Any] | None = None
    better: Mapping[str, Better] = field(default_factory=dict)
