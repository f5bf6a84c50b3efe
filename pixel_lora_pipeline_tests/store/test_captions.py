"""The database says what the captions' files say, and keeps what they said before."""

import hashlib
from datetime import UTC, datetime
from typing import Any

from pixel_lora_pipeline.store import CaptionBatch, CaptionRow, Store, SyncedCaptions

DATASET = "/data/4_pixchar"


def row(name: str, text: str, **changes: Any) -> CaptionRow:
    content = text.encode()
    values: dict[str, Any] = {
        "file_name": name,
        "content": content,
        "caption": text.strip(),
        "sha256": hashlib.sha256(content).hexdigest(),
        "picture_sha256": "0" * 64,
        "description": {"codes": ["#ff69b4"], "hair": "#ff69b4"},
        "findings": [],
    }
    return CaptionRow(**{**values, **changes})


def test_syncing_again_changes_nothing(store: Store) -> None:
    rows = [row("0000.txt", "pixchar, pink hair\n"), row("0001.txt", "pixchar, blue hair")]
    assert store.captions.sync(DATASET, rows) == SyncedCaptions(2, 0, 0, 0, 0)
    assert store.captions.sync(DATASET, rows) == SyncedCaptions(0, 0, 0, 0, 2)
    assert len(store.captions.versions(DATASET, "0000.txt")) == 1


def test_every_content_is_kept_to_the_byte_with_the_batch_that_wrote_it(store: Store) -> None:
    store.captions.sync(DATASET, [row("0000.txt", "\ufeffpixchar, pink hiar\r\n")])
    fixed = row("0000.txt", "pixchar, pink hair\r\n", batch_id="20261124-1")
    batch = CaptionBatch("20261124-1", DATASET, "done", None, 1, {"spelling": 1}, datetime(2026, 11, 24, tzinfo=UTC))
    assert store.captions.sync(DATASET, [fixed], [batch]).changed == 1
    store.captions.sync(DATASET, [fixed], [batch])
    versions = store.captions.versions(DATASET, "0000.txt")
    assert [version.content for version in versions] == ["\ufeffpixchar, pink hiar\r\n".encode(), fixed.content]
    assert [version.batch_id for version in versions] == [None, "20261124-1"]
    assert store.captions.batches(DATASET) == [batch]


def test_new_findings_are_no_new_version(store: Store) -> None:
    store.captions.sync(DATASET, [row("0000.txt", "pixchar")])
    judged = row("0000.txt", "pixchar", findings=[{"check": "lips-missing", "severity": "error", "message": "…"}])
    assert store.captions.sync(DATASET, [judged]) == SyncedCaptions(0, 0, 0, 1, 0)
    assert len(store.captions.versions(DATASET, "0000.txt")) == 1


def test_a_caption_that_is_gone_keeps_its_versions_and_comes_back_under_them(store: Store) -> None:
    rows = [row("0000.txt", "one"), row("0001.txt", "two")]
    store.captions.sync(DATASET, rows)
    assert store.captions.sync(DATASET, rows[:1]) == SyncedCaptions(0, 0, 1, 0, 1)
    assert store.captions.sync(DATASET, rows[:1]).removed == 0, "it was gone before"
    assert store.captions.sync(DATASET, [rows[0], row("0001.txt", "three")]).changed == 1
    assert [version.content for version in store.captions.versions(DATASET, "0001.txt")] == [b"two", b"three"]
    with store.database.connection() as connection:
        removed = connection.execute("SELECT count(*) AS n FROM captions WHERE removed_at IS NOT NULL").fetchone()
    assert removed == {"n": 0}


def test_datasets_do_not_mix_and_what_no_database_can_hold_is_replaced(store: Store) -> None:
    store.captions.sync(DATASET, [row("0000.txt", "here")])
    store.captions.sync("/data/other", [row("0000.txt", "th\x00ere", description={"codes": ["\x00"]})])
    assert [version.content for version in store.captions.versions(DATASET, "0000.txt")] == [b"here"]
    assert [version.content for version in store.captions.versions("/data/other", "0000.txt")] == [b"th\x00ere"]


def test_a_table_of_captions_that_was_there_before_is_adopted_whole(store: Store) -> None:
    with store.database.connection() as connection:
        connection.execute("INSERT INTO captions (caption) VALUES ('from another tool')")
    store.captions.sync(DATASET, [row("0000.txt", "pixchar")])
    with store.database.connection() as connection:
        texts = connection.execute("SELECT caption FROM captions ORDER BY id").fetchall()
    assert [each["caption"] for each in texts] == ["from another tool", "pixchar"]
