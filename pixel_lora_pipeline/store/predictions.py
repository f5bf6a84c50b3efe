"""Predictions of trainings, kept to be compared with what came of them: table `trial_predictions`."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.values import clean_text, jsonb


@dataclass(frozen=True)
class StoredPrediction:
    """A prediction of a metric for some parameters, as it was made."""

    metric: str
    parameters: dict[str, Any]
    prediction: dict[str, Any]
    predicted_at: datetime


class Predictions:
    """What was predicted, and when."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, metric: str, parameters: Mapping[str, Any], prediction: Mapping[str, Any]) -> None:
        """Keep a prediction."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO trial_predictions (metric, parameters, prediction) VALUES (%s, %s, %s)",
                (clean_text(metric), jsonb(parameters), jsonb(prediction)),
            )

    def all(self) -> list[StoredPrediction]:
        """Every prediction, the first first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT metric, parameters, prediction, predicted_at FROM trial_predictions "
                "WHERE prediction IS NOT NULL ORDER BY predicted_at, id"
            )
            return [StoredPrediction(**row) for row in rows]
