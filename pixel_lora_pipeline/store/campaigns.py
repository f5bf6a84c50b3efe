"""Campaigns: how many trainings may be started, on what terms, and why one is over."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

import psycopg

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text, jsonb

_ROWS: Final = """
    SELECT id AS campaign_id, state, budget_runs, most_running, needs_approval, target, base, started_by, reason,
           created_at, ended_at
    FROM campaigns
"""


class CampaignError(ValueError):
    """What was asked of a campaign cannot be done: says why, and what can."""


@dataclass(frozen=True)
class Campaign:
    """Trainings that are started by themselves.

    Attributes
    ----------
    budget_runs
        How many trainings may be started in all.
    most_running
        How many at once.
    needs_approval
        Whether only what people have queued is started.
    target
        Overall score at which the campaign is over; None to go on to the budget.
    base
        What all its trainings share, in Kohya's names, data and base model included.
    reason
        Why it is over; None while it is not.
    """

    campaign_id: RowId
    state: Literal["ACTIVE", "ENDED"]
    budget_runs: int
    most_running: int
    needs_approval: bool
    target: float | None
    base: dict[str, Any]
    started_by: str
    reason: str | None
    created_at: datetime
    ended_at: datetime | None


class Campaigns:
    """Table `campaigns`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def begin(
        self,
        base: Mapping[str, Any],
        *,
        budget_runs: int,
        most_running: int,
        needs_approval: bool,
        target: float | None,
        by: str,
    ) -> Campaign:
        """Begin a campaign.

        Raises
        ------
        CampaignError
            If one is active.
        """
        try:
            with self._database.connection() as connection:
                row = connection.execute(
                    """
                    INSERT INTO campaigns
                        (state, budget_runs, most_running, needs_approval, target, base, started_by)
                    VALUES ('ACTIVE', %s, %s, %s, %s, %s, %s) RETURNING id
                    """,
                    (budget_runs, most_running, needs_approval, target, jsonb(base), clean_text(by)),
                ).fetchone()
        except psycopg.errors.UniqueViolation as error:
            raise CampaignError("a campaign is active: end it first, with `pixel-lora autopilot stop`.") from error
        assert row is not None  # noqa: S101 - what was inserted is returned
        return self.get(row["id"])

    def active(self) -> Campaign | None:
        """The one that is active, if there is one."""
        with self._database.connection() as connection:
            row = connection.execute(f"{_ROWS} WHERE state = 'ACTIVE'").fetchone()
            return None if row is None else Campaign(**row)

    def get(self, campaign_id: RowId | str | None) -> Campaign:
        """One of them; its id may be text.

        Raises
        ------
        CampaignError
            If there is none of this id.
        """
        with self._database.connection() as connection:
            row = connection.execute(f"{_ROWS} WHERE id::text = %s", (str(campaign_id),)).fetchone()
        if row is None:
            raise CampaignError(f"there is no campaign {campaign_id}.")
        return Campaign(**row)

    def newest(self) -> Campaign | None:
        """The last that was begun."""
        with self._database.connection() as connection:
            row = connection.execute(f"{_ROWS} WHERE state IS NOT NULL ORDER BY id DESC LIMIT 1").fetchone()
            return None if row is None else Campaign(**row)

    def end(self, campaign_id: RowId, reason: str) -> None:
        """End a campaign: nothing more is started for it. What runs goes on; a second end changes nothing."""
        with self._database.connection() as connection:
            connection.execute(
                "UPDATE campaigns SET state = 'ENDED', reason = %s, ended_at = now() "
                "WHERE id = %s AND state = 'ACTIVE'",
                (clean_text(reason), campaign_id),
            )
