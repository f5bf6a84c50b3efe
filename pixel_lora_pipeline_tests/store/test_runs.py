"""Asking runs for what is known of them: by expression, by the documented SQL, and what is missing."""

import json
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.store import Database, Store, UnknownRunError
from pixel_lora_pipeline.store.runs import Runs
from pixel_lora_pipeline.train.run_query import Comparison, Membership, Missing, QueryError, parse_run_query
from pixel_lora_pipeline.train.taxonomy import places_of, run_taxonomy
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_checkpoints import rows

RUNS: dict[str, Any] = {
    "small": {"network_dim": 16, "keep_tokens": 1, "lr_scheduler": "cosine", "flip_aug": False, "noise_offset": None},
    "large": {"network_dim": 64, "keep_tokens": [1, 3], "lr_scheduler": "linear", "flip_aug": True, "seed": 2**53 + 1},
    "older": {"network_dim": "32", "keep_tokens": "3", "flip_aug": "True", "strange": 'it\'s "quoted"'},
    "mixed up": {"network_dim": {"unet": 32}, "keep_tokens": "n/a", "lr_scheduler": ["cosine", "linear"]},
}


@pytest.fixture
def runs(store: Store) -> Runs:
    with store.database.connection() as connection:
        for at, (name, parameters) in enumerate(RUNS.items()):
            connection.execute(
                "INSERT INTO training_runs (run_name, run_date, quality_score, all_parameters) VALUES (%s, %s, %s, %s)",
                (name, f"2025-1{at % 3}-01", [8.5, 4, None, 6][at], json.dumps(parameters)),
            )
        connection.execute("INSERT INTO training_runs (run_name, network_dim, learning_rate) VALUES ('bare', 8, 1e-4)")
    return Runs(store.database)


def found(runs: Runs, text: str) -> set[str]:
    return {str(run.run_name) for run in runs.find(parse_run_query(text, runs.names()))}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network_dim > 32", {"large"}),
        ("network_dim >= 32", {"large", "older"}),
        ("network_dim < 17", {"small", "bare"}),
        ("network_dim = 32", {"older"}),
        ("network_dim != 32", {"small", "large", "mixed up", "bare"}),
        ("keep_tokens = 3", {"large", "older"}),
        ("keep_tokens != 3", {"small", "mixed up"}),
        ("keep_tokens in (1, 2)", {"small", "large"}),
        ("keep_tokens not in (1, 2)", {"older", "mixed up"}),
        ("lr_scheduler = cosine", {"small", "mixed up"}),
        ("lr_scheduler in (linear, polynomial)", {"large", "mixed up"}),
        ("flip_aug = true", {"large", "older"}),
        ("flip_aug = false", {"small"}),
        ("noise_offset = none", {"small"}),
        ("noise_offset is missing", {"large", "older", "mixed up", "bare"}),
        ("keep_tokens is not missing", {"small", "large", "older", "mixed up"}),
        ("learning_rate = 1e-4", {"bare"}),
        (f"seed = {2**53 + 1}", {"large"}),
        (f"seed = {2**53}", set()),
        ("quality_score >= 6", {"small", "mixed up"}),
        ("quality_score is missing", {"older", "bare"}),
        ("run_date >= 2025-11-01 and run_date < 2025-12-01", {"large"}),
        ("run_name = bare or network_dim > 32 and keep_tokens = 1", {"bare", "large"}),
        ("(run_name = bare or network_dim > 32) and keep_tokens = 1", {"large"}),
        ("run_name = 'mixed up'", {"mixed up"}),
    ],
)
def test_runs_are_found_by_what_is_known_of_them(runs: Runs, text: str, expected: set[str]) -> None:
    assert found(runs, text) == expected


def test_without_a_condition_all_runs_come_the_newest_first(runs: Runs) -> None:
    assert [run.run_name for run in runs.find()] == ["older", "large", "mixed up", "small", "bare"]


@pytest.mark.parametrize(
    "value",
    [
        "'; DROP TABLE training_runs; --",
        "' OR '1'='1",
        '" ? (@ == 1) || exists($.*) || "',
        "$a",
        "%s",
        "%(run)s",
        "\\",
        "\\u0000",
        "') || true ? (",
    ],
)
def test_a_value_is_only_ever_compared(runs: Runs, value: str) -> None:
    quote = '"' if "'" in value else "'"
    if quote in value:
        with pytest.raises(QueryError):
            found(runs, f"run_name = '{value}'")
    else:
        assert found(runs, f"run_name = {quote}{value}{quote}") == set()
        assert len(found(runs, f"run_name != {quote}{value}{quote}")) == 5
    assert len(runs.find()) == 5


def test_a_name_from_a_hostile_header_is_only_ever_a_name(store: Store) -> None:
    name = "x\")||true?(@.y%s'; DROP TABLE training_runs; --"
    with store.database.connection() as connection:
        connection.execute(
            "INSERT INTO training_runs (run_name, all_parameters) VALUES ('a', %s)", (json.dumps({name: 7}),)
        )
    runs = Runs(store.database)
    assert name in runs.names()
    assert len(runs.find(Comparison(name, "=", 7))) == 1
    assert runs.find(Comparison(name, ">", 7)) == []
    assert runs.find(Comparison(name, "!=", 7)) == []
    assert len(runs.find(Membership(name, (7, "x"), negated=False))) == 1
    assert runs.find(Missing(name, negated=False)) == []


def test_a_misspelt_name_is_refused_and_not_searched(runs: Runs) -> None:
    with pytest.raises(QueryError, match="did you mean network_dim"):
        found(runs, "network_dims > 32")
    assert found(runs, "strange is not missing") == {"older"}, "names of a run's own can be asked for"


def test_an_unknown_run_is_answered_with_those_there_are(runs: Runs) -> None:
    with pytest.raises(UnknownRunError, match=r"'smal'.*older, large, mixed up, small, bare"):
        runs.get("smal")
    assert runs.get("small").parameters.values["network_dim"] == 16


def documented_queries() -> list[str]:
    text = (PROJECT_ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")
    blocks = text.split("```sql\n")[1:]
    return [query.strip() for block in blocks for query in block.partition("```")[0].split(";\n") if query.strip()]


@pytest.mark.usefixtures("runs")
def test_the_documented_queries_run_as_they_stand(store: Store) -> None:
    answers = [rows(store.database, query.removesuffix(";")) for query in documented_queries()]
    assert len(answers) == 6
    assert {row["run_name"] for row in answers[0]} == {"large"}
    assert {row["run_name"] for row in answers[1]} == {"small"}
    assert {row["run_name"] for row in answers[2]} == {*RUNS, "bare"}
    assert {row["run_name"] for row in answers[3]} == {"older"}


def test_the_databases_taxonomy_is_that_of_the_code(database: Database) -> None:
    seeded = {
        row["name"]: (row["category"], tuple(row["could_come_from"]))
        for row in rows(database, "SELECT * FROM pixel_lora.parameter_taxonomy")
    }
    expected = {name: (parameter.category, places_of(parameter)) for name, parameter in run_taxonomy().items()}
    assert seeded == expected, "add what changed to pixel_lora.parameter_taxonomy by a new file in sql/"


def test_coverage_says_of_every_parameter_whether_it_is_known_and_else_why_not_and_from_where(
    store: Store, tmp_path: Path
) -> None:
    checkpoint = save_checkpoint(tmp_path, 3)
    store.checkpoints.register(checkpoint)
    coverage = {row["parameter"]: row for row in rows(store.database, "SELECT * FROM v_parameter_coverage")}

    assert coverage.keys() >= run_taxonomy().keys()
    known = {name for name, row in coverage.items() if row["is_known"]}
    assert known == checkpoint.to_json().keys()
    assert coverage["network_dim"] | {"training_run_id": 0} == {
        "run_name": "portrait",
        "training_run_id": 0,
        "parameter": "network_dim",
        "category": "architecture",
        "is_known": True,
        "value": 4,
        "source": "header",
        "why_missing": None,
        "could_come_from": None,
    }
    cycles = coverage["lr_scheduler_num_cycles"]
    assert (cycles["why_missing"], cycles["could_come_from"]) == (
        checkpoint.missing["lr_scheduler_num_cycles"],
        ["configuration", "observations"],
    )
    for row in coverage.values():
        assert row["is_known"] or (row["why_missing"] and row["could_come_from"]), row


@pytest.mark.usefixtures("runs")
def test_coverage_of_a_row_that_is_older_than_the_pipeline_counts_its_columns(store: Store) -> None:
    coverage = rows(
        store.database, "SELECT parameter, source FROM v_parameter_coverage WHERE run_name = 'bare' AND is_known"
    )
    assert {row["parameter"]: row["source"] for row in coverage} == {
        "network_dim": "database",
        "learning_rate": "database",
    }
    unknown = rows(
        store.database,
        "SELECT DISTINCT why_missing FROM v_parameter_coverage WHERE run_name = 'bare' AND parameter = 'keep_tokens'",
    )
    assert "pixel-lora backfill" in unknown[0]["why_missing"]
