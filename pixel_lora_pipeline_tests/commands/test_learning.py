"""`pixel-lora evidence`, `diagnose`, `principles` and `impact-report`, as a person or a script runs them."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pixel_lora_pipeline.learning import learn_evidence, learn_principles
from pixel_lora_pipeline.store import Database, Store
from pixel_lora_pipeline.training_history import read_history
from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.test_learning import TOKENS, of_background, principle, repeat

pytestmark = pytest.mark.made_up_history


def test_evidence_is_printed_and_as_json_for_scripts(store: Store) -> None:
    shown = pixel_lora("evidence", "background_accuracy", DATABASE_URL=store.database.url)
    assert shown.returncode == 0, shown.stderr
    for said in ("keep_tokens", "CRITICAL", "8 runs have ended, of 8 configurations"):
        assert said in shown.stdout, shown.stdout
    document = pixel_lora("evidence", "--json", DATABASE_URL=store.database.url)
    found = json.loads(document.stdout)
    assert found["background_accuracy"][0]["parameters"] == ["keep_tokens"]
    unknown = pixel_lora("evidence", "beauty", DATABASE_URL=store.database.url)
    assert unknown.returncode == 2
    assert "nothing is known of beauty" in unknown.stderr and "background_accuracy" in unknown.stderr


def test_a_run_is_diagnosed_by_its_name(store: Store) -> None:
    shown = pixel_lora("diagnose", "--training-run", "history_7", DATABASE_URL=store.database.url)
    assert shown.returncode == 0, shown.stderr
    for said in (
        "Issue: Wrong background colour",
        "Recommendation: Increase keep_tokens from 1 to 3.",
        "Recommendation: Reduce network_dim from 64 to 32.",
        "3 of 3 runs with keep_tokens = 3 kept background_accuracy",
    ):
        assert said in shown.stdout, shown.stdout
    result = pixel_lora("diagnose", "--training-run", "history_3", "--json", DATABASE_URL=store.database.url)
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["issues"][0]["causes"][0]["parameter"] == "keep_tokens"
    missing = pixel_lora("diagnose", "--training-run", "nothing", DATABASE_URL=store.database.url)
    assert missing.returncode == 1
    assert "no training run 'nothing'" in missing.stderr and "Traceback" not in missing.stderr


def test_principles_are_listed_and_only_confirmed_ones_can_be_approved(store: Store) -> None:
    listed = pixel_lora("principles", DATABASE_URL=store.database.url)
    assert listed.returncode == 0, listed.stderr
    assert TOKENS in listed.stdout and "2 more confirming runs" in listed.stdout, listed.stdout
    (stated,) = [document for document in store.knowledge.principles() if document["statement"] == TOKENS]
    early = pixel_lora("principles", "approve", stated["id"], DATABASE_URL=store.database.url)
    assert early.returncode == 2
    assert "only a soft principle can be approved" in early.stderr

    repeat(store, "later_1", of="history_1", num_images=260, learning_rate=8e-5)
    repeat(store, "later_2", of="history_4", num_images=90, learning_rate=7e-5)
    history = read_history(store)
    evidence = learn_evidence(store, of_background(history))
    assert principle(learn_principles(store, history, evidence), TOKENS).status == "soft"
    approved = pixel_lora("principles", "approve", stated["id"], DATABASE_URL=store.database.url)
    assert approved.returncode == 0, approved.stderr
    assert f"{TOKENS}: hard, approved by" in approved.stdout
    revoked = pixel_lora("principles", "revoke", stated["id"], "--why", "new data", DATABASE_URL=store.database.url)
    assert revoked.returncode == 0, revoked.stderr
    (kept,) = [document for document in store.knowledge.principles() if document["statement"] == TOKENS]
    assert [change["status"] for change in kept["changes"]] == ["proposed", "soft", "hard", "revoked"]
    unknown = pixel_lora("principles", "approve", "nothing", DATABASE_URL=store.database.url)
    assert "there is no principle nothing" in unknown.stderr


def test_the_impact_report_is_written_where_it_says(store: Store, tmp_path: Path) -> None:
    result = pixel_lora("impact-report", DATABASE_URL=store.database.url, PIXEL_LORA_HOME=str(tmp_path))
    assert result.returncode == 0, result.stderr
    page = Path(result.stdout.strip())
    assert page.is_relative_to(tmp_path / "reports" / "parameter_impact")
    assert f"Generated {datetime.now(UTC).date()}" in page.with_suffix(".md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("command", "said"), [("evidence", "No run has ended yet"), ("principles", "stated yet")])
def test_without_any_run_it_is_said_that_nothing_is_known(command: str, said: str, empty_database: Database) -> None:
    result = pixel_lora(command, DATABASE_URL=empty_database.url)
    assert result.returncode == 0, result.stderr
    assert said in result.stdout
