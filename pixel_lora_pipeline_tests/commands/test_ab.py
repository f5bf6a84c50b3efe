"""`pixel-lora ab`, as a person or a script runs it."""

import json
from pathlib import Path

import pytest

from pixel_lora_pipeline.blind_tests import join_test
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.blind_epochs import two_epochs
from pixel_lora_pipeline_tests.test_cli import pixel_lora


@pytest.fixture
def store(store: Store, tmp_path: Path) -> Store:
    """With two evaluated epochs of a run."""
    two_epochs(store, tmp_path / "checkpoints")
    return store


def test_a_test_is_made_listed_and_its_result_told(store: Store) -> None:
    made = pixel_lora("ab", "create", "portrait:1", "portrait:2", DATABASE_URL=store.database.url)
    assert made.returncode == 0, made.stderr
    (test,) = store.ab_tests.all()
    assert made.stdout.strip().endswith(f"http://127.0.0.1:3000/lab/ab/{test.test_id}/vote")
    secret = join_test(store, test.test_id, "Ann", "ann")
    while (pair := store.ab_tests.show(test.test_id, secret)).showing is not None:
        showing = pair.showing
        second = "left" if showing.left == 1 else "right"
        store.ab_tests.vote(test.test_id, secret, pair.token, "tie" if showing.kind == "same" else second)  # type: ignore[arg-type]
    shown = pixel_lora("ab", "result", str(test.test_id), DATABASE_URL=store.database.url)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("Use Model B (9")
    for said in ("Model B is portrait, epoch 2", "0 : 16", "Ann", "2 of 2", "Overall"):
        assert said in shown.stdout, shown.stdout
    (document,) = json.loads(pixel_lora("ab", "list", "--json", DATABASE_URL=store.database.url).stdout)
    assert (document["name"], document["winner"]) == ("portrait, epoch 1 / portrait, epoch 2", 1)
    (overall, *_) = document["metrics"]
    assert (overall["key"], overall["n"], overall["agreed"]) == ("overall_score", 16, 16)
