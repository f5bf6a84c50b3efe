"""What may be spent, as people have said: table `budgets`."""

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import clean_text

_ROWS: Final = "SELECT month, campaign_id, experiment_id, amount_usd, set_by, set_at FROM budgets"


@dataclass(frozen=True)
class Budget:
    """What may be spent in a month, or for a campaign or an experiment; who said so, and when."""

    month: date | None
    campaign_id: RowId | None
    experiment_id: RowId | None
    amount_usd: Decimal
    set_by: str
    set_at: datetime


class Budgets:
    """The newest of each counts; those before it stay on record."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(
        self,
        amount_usd: Decimal,
        by: str,
        *,
        month: date | None = None,
        campaign_id: RowId | None = None,
        experiment_id: RowId | None = None,
    ) -> None:
        """Say what may be spent: for one of the three.

        Raises
        ------
        ValueError
            If it is for none or several of them, or below 0.
        """
        if sum(each is not None for each in (month, campaign_id, experiment_id)) != 1:
            raise ValueError("a budget is for a month, a campaign or an experiment: name one.")
        if amount_usd < 0:
            raise ValueError(f"a budget of {amount_usd} US$ is below 0.")
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO budgets (month, campaign_id, experiment_id, amount_usd, set_by) "
                "VALUES (%s, %s, %s, %s, %s)",
                (
                    None if month is None else month.replace(day=1),
                    campaign_id,
                    experiment_id,
                    amount_usd,
                    clean_text(by),
                ),
            )

    def of_month(self, month: date) -> Budget | None:
        """What may be spent in a month; None if nobody has said."""
        return self._newest("month = %s", month.replace(day=1))

    def of_campaign(self, campaign_id: RowId) -> Budget | None:
        """What may be spent for a campaign; None if nobody has said."""
        return self._newest("campaign_id::text = %s", str(campaign_id))

    def of_experiment(self, experiment_id: RowId) -> Budget | None:
        """What may be spent for an experiment; None if nobody has said."""
        return self._newest("experiment_id::text = %s", str(experiment_id))

    def _newest(self, condition: str, value: date | str) -> Budget | None:
        with self._database.connection() as connection:
            row = connection.execute(
                f"{_ROWS} WHERE {condition} AND amount_usd IS NOT NULL ORDER BY set_at DESC, id DESC LIMIT 1".encode(),
                (value,),
            ).fetchone()
        return None if row is None else Budget(**row)
