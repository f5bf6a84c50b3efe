"""What was learnt across runs: evidence on parameters, principles, and the reports on both."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.store.database import Database
from pixel_lora_pipeline.store.notifications import Message, Notifications
from pixel_lora_pipeline.store.values import clean_text, jsonb

_PRINCIPLES_LOCK: Final = 7_315_041_917  # beside those of migrations, runs and baselines


@dataclass(frozen=True)
class StoredReport:
    """A parameter impact report: when it was made, where its page lies, and its figures."""

    created_at: datetime
    page: Path
    document: dict[str, Any]


class Knowledge:
    """Tables `parameter_evidence`, `general_principles` and `impact_reports`."""

    def __init__(self, database: Database, notifications: Notifications) -> None:
        self._database = database
        self._notifications = notifications

    def record_evidence(self, by_metric: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Replace the evidence on all metrics.

        Parameters
        ----------
        by_metric
            For each metric the rows of `learn.assess_parameters` as mappings, in its order.
        """
        with self._database.connection() as connection:
            connection.execute("LOCK TABLE parameter_evidence IN EXCLUSIVE MODE")  # of two at once the later stays
            connection.execute("DELETE FROM parameter_evidence")
            with connection.cursor() as cursor:
                cursor.executemany(
                    """
                    INSERT INTO parameter_evidence
                        (metric, parameters, rank, category, aliased, pip, effect, n_runs, evidence)
                    VALUES (%s, %s, %s, %s, %s, %s, nullif(%s::double precision, 'NaN'), %s, %s)
                    """,
                    [
                        (
                            clean_text(metric),
                            [clean_text(name) for name in row["parameters"]],
                            rank,
                            row["category"],
                            bool(row["aliased"]),
                            float(row["pip"]),
                            float(row["effect"]),
                            int(row["n_runs"]),
                            jsonb(row),
                        )
                        for metric, rows in by_metric.items()
                        for rank, row in enumerate(rows, 1)
                    ],
                )

    def evidence(self) -> dict[str, list[dict[str, Any]]]:
        """The evidence of the last assessment by metric, the most probable parameters first."""
        with self._database.connection() as connection:
            rows = connection.execute("SELECT metric, evidence FROM parameter_evidence ORDER BY metric, rank")
            found: dict[str, list[dict[str, Any]]] = {}
            for row in rows:
                found.setdefault(row["metric"], []).append(row["evidence"])
        return found

    def record_principles(self, principles: Iterable[Mapping[str, Any]]) -> None:
        """Store principles as they are now, those that are there already under their id.

        Parameters
        ----------
        principles
            JSON-ready; `id`, `statement`, `metric` and `status` get columns of their own as well.
        """
        with self._database.connection() as connection, connection.cursor() as cursor:
            cursor.executemany(
                """
                INSERT INTO general_principles (principle_id, statement, metric, status, principle)
                VALUES (%(id)s, %(statement)s, %(metric)s, %(status)s, %(document)s)
                ON CONFLICT (principle_id) DO UPDATE
                SET statement = excluded.statement, metric = excluded.metric, status = excluded.status,
                    principle = excluded.principle, updated_at = now()
                WHERE general_principles.principle IS DISTINCT FROM excluded.principle
                """,
                [
                    {
                        **{
                            column: clean_text(str(principle[column]))
                            for column in ("id", "statement", "metric", "status")
                        },
                        "document": jsonb(principle),
                    }
                    for principle in principles
                ],
            )

    @contextmanager
    def principles_to_oneself(self) -> Iterator[None]:
        """Let nobody else who asks for this change principles until the end of the block.

        For whoever reads them, decides and records: what people decided in between would be overwritten otherwise.
        """
        with self._database.connection() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (_PRINCIPLES_LOCK,))
            yield

    def principles(self) -> list[dict[str, Any]]:
        """Every principle that was ever stated, in the order of their statement."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT principle FROM general_principles WHERE principle IS NOT NULL ORDER BY first_stated_at, id"
            )
            return [row["principle"] for row in rows]

    def record_report(self, page: Path, document: Mapping[str, Any], news: Sequence[Message] = ()) -> None:
        """Record a parameter impact report that was written, and what people are told of it."""
        with self._database.connection() as connection:
            connection.execute(
                "INSERT INTO impact_reports (page, document) VALUES (%s, %s)", (clean_text(str(page)), jsonb(document))
            )
            for message in news:
                self._notifications.add(connection, message)

    def last_report(self) -> StoredReport | None:
        """The newest parameter impact report; None if there is none yet."""
        with self._database.connection() as connection:
            row = connection.execute(
                "SELECT created_at, page, document FROM impact_reports WHERE document IS NOT NULL "
                "ORDER BY created_at DESC, id DESC LIMIT 1"
            ).fetchone()
        return None if row is None else StoredReport(row["created_at"], Path(row["page"]), row["document"])
