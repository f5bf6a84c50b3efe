"""Captions as they are and as they were: tables `captions`, `caption_versions` and `caption_batches`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import DictRow

from pixel_lora_pipeline.store.database import Database, RowId
from pixel_lora_pipeline.store.values import canonical_json, clean_text, jsonb, plain


@dataclass(frozen=True)
class CaptionRow:
    """A caption as it is now.

    Attributes
    ----------
    content
        Bytes of its file.
    picture_sha256
        Of its picture's file; None if it has none that can be read.
    description
        What the caption states: codes, colours, expression. JSON-ready.
    findings
        What the checks say of it. JSON-ready.
    batch_id
        Of the batch that wrote this content, if one did.
    """

    file_name: str
    content: bytes
    caption: str
    sha256: str
    picture_sha256: str | None
    description: Mapping[str, Any]
    findings: Sequence[Mapping[str, Any]]
    batch_id: str | None = None


@dataclass(frozen=True)
class CaptionBatch:
    """A batch of changes that was applied (done), or put back because it was not finished (undone)."""

    batch_id: str
    dataset: str
    state: str
    undoes: str | None
    n_files: int
    reasons: Mapping[str, int]
    applied_at: datetime


@dataclass(frozen=True)
class CaptionVersion:
    """One content that a caption had."""

    version: int
    content: bytes
    sha256: str
    batch_id: str | None
    seen_at: datetime


@dataclass(frozen=True)
class SyncedCaptions:
    """What a sync has changed, in captions; `described` are those of which only the findings are new."""

    added: int
    changed: int
    removed: int
    described: int
    unchanged: int


class Captions:
    """What datasets say, and said."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def sync(
        self, dataset: str, captions: Sequence[CaptionRow], batches: Sequence[CaptionBatch] = ()
    ) -> SyncedCaptions:
        """Make the database say what the files say; once more changes nothing.

        Every new content becomes a version. A caption whose file is gone keeps its row, and comes back under it.

        Parameters
        ----------
        dataset
            Its path.
        captions
            All of the dataset.
        batches
            Those of the journal that concern the dataset.
        """
        dataset = clean_text(dataset)
        with self._database.connection() as connection:
            # Two at once would number the same version twice.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"captions {dataset}",))
            known = {
                row["file_name"]: row
                for row in connection.execute(
                    "SELECT id, file_name, version, sha256, picture_sha256, description, findings, removed_at "
                    "FROM captions WHERE dataset = %s",
                    (dataset,),
                )
            }
            _record_batches(connection, batches)
            present = {clean_text(row.file_name): row for row in captions}
            new = [row for name, row in present.items() if name not in known]
            back = {name: known[name] for name in present if name in known}
            changed = [present[name] for name, old in back.items() if old["sha256"] != present[name].sha256]
            described = [
                present[name]
                for name, old in back.items()
                if old["sha256"] == present[name].sha256 and _differs(old, present[name])
            ]
            gone = [old["id"] for name, old in known.items() if name not in present and old["removed_at"] is None]
            ids = _add(connection, dataset, new)
            _update(connection, [*((back[clean_text(row.file_name)]["id"], row) for row in (*changed, *described))])
            _add_versions(
                connection,
                [
                    *((row_id, 1, row) for row_id, row in zip(ids, new, strict=True)),
                    *((old["id"], (old["version"] or 0) + 1, row) for row, old in _with_old(changed, back)),
                ],
            )
            connection.execute("UPDATE captions SET removed_at = now() WHERE id = ANY(%s)", (gone,))
        unchanged = len(present) - len(new) - len(changed) - len(described)
        return SyncedCaptions(len(new), len(changed), len(gone), len(described), unchanged)

    def versions(self, dataset: str, file_name: str) -> list[CaptionVersion]:
        """Every content of a caption, the oldest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                """
                SELECT v.version, v.content, v.sha256, v.batch_id, v.seen_at
                FROM caption_versions v JOIN captions c ON c.id = v.caption_id
                WHERE c.dataset = %s AND c.file_name = %s ORDER BY v.version
                """,
                (clean_text(dataset), clean_text(file_name)),
            )
            return [CaptionVersion(**{**row, "content": bytes(row["content"])}) for row in rows]

    def batches(self, dataset: str) -> list[CaptionBatch]:
        """The batches of a dataset, the oldest first."""
        with self._database.connection() as connection:
            rows = connection.execute(
                "SELECT batch_id, dataset, state, undoes, n_files, reasons, applied_at FROM caption_batches "
                "WHERE dataset = %s ORDER BY applied_at, batch_id",
                (clean_text(dataset),),
            )
            return [CaptionBatch(**row) for row in rows]


def _differs(old: DictRow, row: CaptionRow) -> bool:
    return (
        old["removed_at"] is not None
        or old["picture_sha256"] != row.picture_sha256
        or canonical_json(old["description"]) != canonical_json(row.description)
        or canonical_json(old["findings"]) != canonical_json(row.findings)
    )


def _with_old(rows: Sequence[CaptionRow], known: Mapping[str, DictRow]) -> list[tuple[CaptionRow, DictRow]]:
    return [(row, known[clean_text(row.file_name)]) for row in rows]


def _values(row: CaptionRow) -> dict[str, Any]:
    return {
        "file_name": clean_text(row.file_name),
        "caption": clean_text(row.caption),
        "sha256": row.sha256,
        "picture_sha256": row.picture_sha256,
        "description": jsonb(row.description),
        "findings": jsonb(row.findings),
    }


def _add(connection: psycopg.Connection[DictRow], dataset: str, rows: Sequence[CaptionRow]) -> list[RowId]:
    ids: list[RowId] = []
    with connection.cursor() as cursor:
        if rows:
            cursor.executemany(
                """
                INSERT INTO captions
                    (dataset, file_name, caption, version, sha256, picture_sha256, description, findings)
                VALUES (%(dataset)s, %(file_name)s, %(caption)s, 1, %(sha256)s, %(picture_sha256)s, %(description)s,
                        %(findings)s)
                RETURNING id
                """,
                [{"dataset": dataset, **_values(row)} for row in rows],
                returning=True,
            )
            for each in cursor.results():
                ids.extend(found["id"] for found in each.fetchall())
    return ids


def _update(connection: psycopg.Connection[DictRow], rows: Sequence[tuple[RowId, CaptionRow]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            UPDATE captions
            SET caption = %(caption)s, picture_sha256 = %(picture_sha256)s, description = %(description)s,
                findings = %(findings)s, removed_at = NULL,
                version = CASE WHEN sha256 = %(sha256)s THEN version ELSE coalesce(version, 0) + 1 END,
                changed_at = CASE WHEN sha256 = %(sha256)s THEN changed_at ELSE now() END,
                sha256 = %(sha256)s
            WHERE id = %(id)s
            """,
            [{"id": row_id, **_values(row)} for row_id, row in rows],
        )


def _add_versions(connection: psycopg.Connection[DictRow], rows: Sequence[tuple[RowId, int, CaptionRow]]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO caption_versions (caption_id, version, content, sha256, batch_id) VALUES (%s, %s, %s, %s, %s)",
            [(row_id, version, row.content, row.sha256, row.batch_id) for row_id, version, row in rows],
        )


def _record_batches(connection: psycopg.Connection[DictRow], batches: Sequence[CaptionBatch]) -> None:
    with connection.cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO caption_batches (batch_id, dataset, state, undoes, n_files, reasons, applied_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s)
            ON CONFLICT (batch_id) DO NOTHING
            """,
            [
                (
                    each.batch_id,
                    clean_text(each.dataset),
                    each.state,
                    each.undoes,
                    each.n_files,
                    jsonb(plain(each.reasons)),
                    each.applied_at,
                )
                for each in batches
            ],
        )
