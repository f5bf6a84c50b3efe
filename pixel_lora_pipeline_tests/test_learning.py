"""From the runs in the database to what is learnt of them, on a made-up history with known patterns."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pixel_lora_pipeline.learn import Principle, approve
from pixel_lora_pipeline.learning import diagnose_run, learn_evidence, learn_principles, write_impact_report
from pixel_lora_pipeline.store import NothingEvaluatedError, Store, UnknownRunError
from pixel_lora_pipeline.training_history import TrainingHistory, read_history

TOKENS = "keep_tokens ≥ 3 raises background_accuracy"


@pytest.fixture
def history(store: Store) -> TrainingHistory:
    return read_history(store)


def repeat(store: Store, run_name: str, of: str, **changes: object) -> None:
    """A later run that came out as another did, with some parameters otherwise."""
    with store.database.connection() as connection:
        connection.execute(
            """
            INSERT INTO training_runs (run_name, run_date, status, quality_score, best_epoch, all_parameters)
            SELECT %(name)s, (SELECT max(run_date) FROM training_runs) + interval '1 week', status, quality_score,
                   best_epoch, all_parameters || %(changes)s::jsonb
            FROM training_runs WHERE run_name = %(of)s
            """,
            {"name": run_name, "of": of, "changes": json.dumps(changes)},
        )
        connection.execute(
            """
            INSERT INTO epoch_results (training_run_id, epoch_number, quantitative_metrics)
            SELECT (SELECT id FROM training_runs WHERE run_name = %(name)s), epoch_number, quantitative_metrics
            FROM epoch_results
            WHERE training_run_id = (SELECT id FROM training_runs WHERE run_name = %(of)s)
            """,
            {"name": run_name, "of": of},
        )


def of_background(history: TrainingHistory) -> TrainingHistory:
    """The history with the one metric that `TOKENS` is about: all nine take seconds."""
    return replace(history, metrics=["background_accuracy"])


def principle(principles: list[Principle], statement: str) -> Principle:
    return next(found for found in principles if found.statement == statement)


@pytest.mark.made_up_history
def test_evidence_is_stored_for_every_metric_and_a_second_time_the_same(store: Store, history: TrainingHistory) -> None:
    evidence = learn_evidence(store, history)
    stored = store.knowledge.evidence()
    assert stored.keys() == evidence.keys() == set(history.metrics)
    first = stored["background_accuracy"][0]
    assert (first["parameters"], first["category"]) == (["keep_tokens"], "CRITICAL")
    learn_evidence(store, history)
    assert store.knowledge.evidence() == stored


@pytest.mark.made_up_history
def test_a_principle_is_proposed_confirmed_by_later_runs_and_approved(store: Store, history: TrainingHistory) -> None:
    stated = principle(learn_principles(store, history, learn_evidence(store, of_background(history))), TOKENS)
    assert (stated.status, stated.confirming_runs) == ("proposed", ())
    repeat(store, "later_1", of="history_1", num_images=260, learning_rate=8e-5)
    repeat(store, "later_2", of="history_4", num_images=90, learning_rate=7e-5)
    later = read_history(store)
    evidence = learn_evidence(store, of_background(later))
    confirmed = principle(learn_principles(store, later, evidence), TOKENS)
    assert confirmed.confirming_runs == ("later_1", "later_2"), confirmed
    assert confirmed.status == "soft", confirmed.lacks()
    hard = approve(confirmed, "someone", datetime.now(UTC))
    store.knowledge.record_principles([hard.to_dict()])
    again = principle(learn_principles(store, later, evidence), TOKENS)
    assert (again.status, again.approved_by) == ("hard", "someone")
    assert [change.status for change in again.changes] == ["proposed", "soft", "hard"]


@pytest.mark.parametrize(
    ("run", "issue", "parameter", "recommendation"),
    [
        ("history_3", "wrong_background", "keep_tokens", "Increase keep_tokens from 1 to 3."),
        ("history_7", "photorealism", "network_dim", "Reduce network_dim from 64 to 32."),
    ],
)
@pytest.mark.made_up_history
def test_a_failed_run_is_explained_with_the_past_runs_that_say_so(
    store: Store, history: TrainingHistory, run: str, issue: str, parameter: str, recommendation: str
) -> None:
    diagnosed = diagnose_run(store, history, run)
    found = dict(zip((shown["issue"] for shown in diagnosed.issues), diagnosed.causes, strict=True))
    cause = found[issue][0]
    assert (cause.parameter, cause.recommendation[: len(recommendation)]) == (parameter, recommendation)
    assert cause.confidence > 0.8
    assert any(recommendation in step for step in diagnosed.next_steps)
    with store.database.connection() as connection:
        stored = connection.execute(
            "SELECT root_cause_diagnosis, recommended_next_steps FROM training_runs WHERE run_name = %s", (run,)
        ).fetchone()
        epoch = connection.execute(
            "SELECT diagnosed_issues FROM epoch_results JOIN training_runs run ON run.id = training_run_id "
            "WHERE run_name = %s AND epoch_number = %s",
            (run, diagnosed.epoch),
        ).fetchone()
    assert stored is not None and epoch is not None
    assert stored["recommended_next_steps"] == diagnosed.next_steps
    assert stored["root_cause_diagnosis"] == epoch["diagnosed_issues"]
    assert issue in {shown["issue"] for shown in stored["root_cause_diagnosis"]}
    assert diagnose_run(store, read_history(store), run) == diagnosed, "what was stored is not what was measured"


@pytest.mark.made_up_history
def test_what_past_runs_lost_later_is_normal_early(store: Store) -> None:
    repeat(store, "early", of="history_1", seed=7)
    with store.database.connection() as connection:
        connection.execute(
            "DELETE FROM epoch_results WHERE epoch_number > 2 "
            "AND training_run_id = (SELECT id FROM training_runs WHERE run_name = 'early')"
        )
        connection.execute("UPDATE training_runs SET quality_score = NULL WHERE run_name = 'early'")
    diagnosed = diagnose_run(store, read_history(store), "early")
    found = dict(zip((shown["issue"] for shown in diagnosed.issues), diagnosed.causes, strict=True))
    first = found["two_toned_hair"][0]
    assert first.kind == "progress", first
    assert first.confidence > 0.5


@pytest.mark.made_up_history
def test_a_run_without_measurements_or_of_no_name_says_so(store: Store, history: TrainingHistory) -> None:
    with store.database.connection() as connection:
        connection.execute("INSERT INTO training_runs (run_name) VALUES ('empty')")
    with pytest.raises(NothingEvaluatedError, match="no epoch of empty is measured"):
        diagnose_run(store, history, "empty")
    with pytest.raises(UnknownRunError, match="no training run 'nothing'"):
        diagnose_run(store, history, "nothing")


@pytest.mark.made_up_history
def test_a_report_is_written_in_three_forms_and_the_next_says_what_changed(
    store: Store, history: TrainingHistory, tmp_path: Path
) -> None:
    evidence = learn_evidence(store, history)
    page = write_impact_report(store, tmp_path, history, evidence)
    assert "network_dim" in page.read_text(encoding="utf-8")
    assert page.with_suffix(".md").read_text(encoding="utf-8").startswith("# Parameter Impact Report")
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["changes"] is not None
    last = datetime.now(UTC).date()
    quiet = write_impact_report(store, tmp_path, history, evidence, (last - timedelta(6), last))
    assert "first report" not in quiet.with_suffix(".md").read_text(encoding="utf-8")


def test_with_nothing_to_learn_from_the_report_says_so(store: Store, tmp_path: Path) -> None:
    history = read_history(store)
    evidence = learn_evidence(store, history)
    assert evidence == {}
    assert learn_principles(store, history, evidence) == []
    page = write_impact_report(store, tmp_path, history, evidence)
    assert json.loads(page.with_suffix(".json").read_text(encoding="utf-8"))["n_runs"] == 0
