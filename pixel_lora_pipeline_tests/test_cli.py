"""The commands as a person or a script runs them."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.store import Database, Store
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline_tests.command_line import clean_environment, pixel_lora
from pixel_lora_pipeline_tests.defs.conftest import small_suite, trained

__all__ = ["pixel_lora", "small_suite", "trained"]  # fixtures, and what other tests run commands with

SAMPLES = Path(__file__).parent / "samples" / "kohya"


def in_a_process(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command as a person or a script runs it."""
    return subprocess.run(
        [sys.executable, "-m", "pixel_lora_pipeline.cli", *arguments],
        cwd=PROJECT_ROOT,
        env=clean_environment(settings),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_inspect_shows_every_parameter_with_its_source() -> None:
    path = SAMPLES / "run_a" / "pixchar_a-000001.safetensors"
    result = pixel_lora("inspect", str(path), "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["parameters"]["network_dim"] == {"value": 4, "source": "header"}
    assert document["epoch"] == 1
    assert document["missing"], "nothing is said to be missing"
    assert "network_dim" in pixel_lora("inspect", str(path)).stdout


def test_a_refused_file_is_explained_without_a_traceback(tmp_path: Path) -> None:
    refused = tmp_path / "dora.safetensors"
    save_file({"lora_unet_x.dora_scale": np.ones(1000, np.float32)}, refused)
    result = in_a_process("inspect", str(refused))
    assert result.returncode == 1
    assert "DoRA" in result.stderr
    assert "Traceback" not in result.stderr


def test_scores_by_eye_are_stored_for_the_newest_run(store: Store) -> None:
    store.checkpoints.register(read_checkpoint(SAMPLES / "run_a" / "pixchar_a-000002.safetensors"))
    result = pixel_lora("log-epoch", "2", "8", "7", "9", "much improved", DATABASE_URL=store.database.url)
    assert result.returncode == 0, result.stderr
    row = store.epochs.table(None)[0]
    scores = (row.visual_quality_score, row.style_match_score, row.prompt_adherence_score, row.notes)
    assert scores == (8, 7, 9, "much improved")


def test_a_score_that_is_no_score_says_what_is_allowed(store: Store) -> None:
    store.checkpoints.register(read_checkpoint(SAMPLES / "run_a" / "pixchar_a-000002.safetensors"))
    result = pixel_lora("log-epoch", "2", "11", "7", "9", DATABASE_URL=store.database.url)
    assert result.returncode != 0
    assert "'visual'" in result.stderr
    assert "less than or equal to 10" in result.stderr
    assert "Traceback" not in result.stderr


def test_migrate_check_says_what_is_pending_and_changes_nothing(empty_database: Database) -> None:
    pending = in_a_process("migrate", "--check", DATABASE_URL=empty_database.url)
    assert pending.returncode == 1
    assert "0001_schemas.sql" in pending.stdout
    assert pixel_lora("migrate", DATABASE_URL=empty_database.url).returncode == 0
    assert pixel_lora("migrate", "--check", DATABASE_URL=empty_database.url).returncode == 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"PIXEL_LORA_WATCHED": '["/no/such/folder"]'}, "/no/such/folder does not exist"),
        ({"DATABASE_URL": "postgresql://me:secret@localhost:6543/x"}, "6543"),
        ({"PIXEL_LORA_BASE_MODEL": "/no/such/model"}, "/no/such/model does not exist"),
        ({"PIXEL_LORA_SUITE": "/no/such/suite.toml"}, "/no/such/suite.toml"),
        ({"PIXEL_LORA_CLIP_MODEL": "/no/such/clip"}, "CLIP model /no/such/clip"),
    ],
)
def test_doctor_names_the_fault_and_keeps_secrets(settings: dict[str, str], said: str, tmp_path: Path) -> None:
    result = pixel_lora("doctor", PIXEL_LORA_HOME=str(tmp_path), **settings)
    assert result.returncode == 1, result.stdout
    assert said in result.stdout
    assert "secret" not in result.stdout + result.stderr


def test_a_misspelt_setting_is_named(tmp_path: Path) -> None:
    result = pixel_lora("doctor", PIXEL_LORA_HOME=str(tmp_path), PIXEL_LORA_DEVICE="gpu")
    assert result.returncode != 0
    assert "device" in result.stderr
    assert "Traceback" not in result.stderr


def test_one_checkpoint_is_tested_without_a_database(trained: Path, small_suite: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    checkpoint = trained / "portraits-000001.safetensors"
    result = pixel_lora("test-epoch", str(checkpoint), "--out", str(sheet), "--json", PIXEL_LORA_SUITE=str(small_suite))
    assert result.returncode == 0, result.stderr
    metrics = json.loads(result.stdout)
    assert metrics["n_images"] == 2
    assert sheet.stat().st_size > 1000
