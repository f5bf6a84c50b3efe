"""`parameters`, `runs`, `diff` and `backfill` as they are typed."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from pixel_lora_pipeline.commands.backfill import backfill
from pixel_lora_pipeline.commands.parameters import diff, parameters, runs
from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.store import Store, UnknownRunError
from pixel_lora_pipeline_tests.store.checkpoint_files import save_checkpoint
from pixel_lora_pipeline_tests.store.test_checkpoints import rows
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES

app = typer.Typer(pretty_exceptions_enable=False)
for command in (parameters, runs, diff, backfill):
    app.command()(command)

Command = Callable[..., Result]


@pytest.fixture
def pixel_lora(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.setenv("DATABASE_URL", store.database.url)
    monkeypatch.setenv("PIXEL_LORA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PIXEL_LORA_WATCHED", json.dumps([str(tmp_path / "watched")]))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments))

    return run


@pytest.fixture
def two_runs(store: Store, tmp_path: Path) -> Store:
    store.checkpoints.register(save_checkpoint(tmp_path, 1))
    store.checkpoints.register(
        save_checkpoint(tmp_path, 1, run="sprites", session="2", rank=64, header={"ss_keep_tokens": "1"})
    )
    return store


def test_the_reference_is_printed_as_it_stands_in_the_documentation(pixel_lora: Command) -> None:
    assert pixel_lora("parameters").output == (PROJECT_ROOT / "docs" / "parameters.md").read_text(encoding="utf-8")


@pytest.mark.usefixtures("two_runs")
def test_runs_are_listed_by_a_question_with_what_was_asked_for(pixel_lora: Command) -> None:
    result = pixel_lora("runs", "--where", "network_dim > 32")
    assert result.exit_code == 0, result.output
    assert "sprites" in result.output and "64" in result.output and "portrait" not in result.output
    found = json.loads(pixel_lora("runs", "--where", "keep_tokens in (1, 3)", "--json").stdout)
    assert {run["run_name"]: run["parameters"]["keep_tokens"] for run in found} == {"portrait": 3, "sprites": 1}
    assert len(json.loads(pixel_lora("runs", "--json").stdout)) == 2


@pytest.mark.usefixtures("two_runs")
def test_a_question_that_is_none_is_explained(pixel_lora: Command) -> None:
    result = pixel_lora("runs", "--where", "network_dim > 32; DROP TABLE training_runs")
    assert result.exit_code == 2
    assert "At character 19" in result.output
    assert "Traceback" not in result.output


@pytest.mark.usefixtures("two_runs")
def test_two_runs_are_compared_with_sources_and_what_follows_from_the_difference(pixel_lora: Command) -> None:
    result = pixel_lora("diff", "portrait", "sprites")
    assert result.exit_code == 0, result.output
    for shown in ("network_dim", "alpha_per_rank", "keep_tokens", "header", "tensors"):
        assert shown in result.output
    assert "learning_rate" not in result.output, "it is the same"
    document = json.loads(pixel_lora("diff", "portrait", "sprites", "--json").stdout)
    ranks = next(item for item in document["differences"] if item["name"] == "network_dim")
    assert (ranks["a"]["value"], ranks["b"]["value"], ranks["a"]["source"]) == (4, 64, "header")


@pytest.mark.usefixtures("two_runs")
def test_an_unknown_run_is_named_with_those_there_are(pixel_lora: Command) -> None:
    result = pixel_lora("diff", "portrait", "nobody")
    assert isinstance(result.exception, UnknownRunError)
    assert "sprites" in str(result.exception)


def test_backfill_says_what_changed_what_is_missing_and_what_waits(pixel_lora: Command, store: Store) -> None:
    tried = pixel_lora("backfill", str(KOHYA_SAMPLES), "--dry-run")
    assert tried.exit_code == 0, tried.output
    assert "3 runs, of which 3 would change (nothing was written)" in tried.output
    assert rows(store.database, "SELECT * FROM training_runs") == []

    done = pixel_lora("backfill", str(KOHYA_SAMPLES))
    assert done.exit_code == 0, done.output
    for said in (
        "pixchar_a: new",
        "checkpoints registered: epochs 1, 2, 3",
        "an argument of lycoris.kohya, which was not used: algo",
        "pixchar_diverge.safetensors holds 580 tensors with NaN",
        "pixchar_lokr: new",
        "to `watched`",
        "3 runs, of which 3 changed",
    ):
        assert said in done.output, said
    assert "3 runs, of which 0 changed" in pixel_lora("backfill", str(KOHYA_SAMPLES)).output


def test_checkpoints_in_a_watched_folder_wait_for_nobody(pixel_lora: Command, tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "watched" / "run", 1)
    document = json.loads(pixel_lora("backfill", str(tmp_path / "watched"), "--json").stdout)
    assert document["unwatched"] == []
    (run,) = document["runs"]
    assert run["unevaluated"] == [str(tmp_path / "watched" / "run" / "portrait-000001.safetensors")]
    assert run["missing"]["save_state"].startswith("Kohya does not record it")


def test_a_wrong_line_of_the_notes_is_named_without_a_traceback(pixel_lora: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.csv").write_text("run,epoch,visual\nportrait,1,11\n")
    result = pixel_lora("backfill", "--observations", str(tmp_path / "notes.csv"))
    assert result.exit_code == 1
    assert "notes.csv, line 2: column visual: 11 is no whole number from 1 to 10" in result.output
    assert "Traceback" not in result.output


def test_what_could_not_be_filled_in_shows_in_the_exit_status(pixel_lora: Command, tmp_path: Path) -> None:
    (tmp_path / "lonely").mkdir()
    (tmp_path / "lonely" / "a.toml").write_text('network_dim = 4\nlearning_rate = 1e-4\noutput_name = "x"\n')
    result = pixel_lora("backfill", str(tmp_path / "lonely"))
    assert result.exit_code == 1
    assert "called x, of which there is neither a checkpoint nor a row nor an observation" in result.output
