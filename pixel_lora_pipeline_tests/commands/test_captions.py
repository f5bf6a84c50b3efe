"""`pixel-lora captions`, as a person or a script runs it, on a genuine dataset."""

import json
from pathlib import Path

import pytest

from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.command_line import pixel_lora


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Twenty portraits, of whose captions three have a fault."""
    folder = write_demo_dataset(tmp_path / "data" / "4_pixchar", count=20, seed=1)
    change(folder / "0003.txt", "pixchar", "pixhcar")
    change(folder / "0004.txt", "background", "backgruond")
    change(folder / "0005.txt", ", ", " , ")
    return folder


def change(path: Path, old: str, new: str) -> None:
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.txt"))}


def test_captions_are_checked_fixed_taken_back_and_synced(dataset: Path, store: Store, tmp_path: Path) -> None:
    settings = {"PIXEL_LORA_HOME": str(tmp_path / "home"), "DATABASE_URL": store.database.url}
    before = contents(dataset)
    page = tmp_path / "report.html"
    checked = pixel_lora("captions", "check", str(dataset), "--json", "--report", str(page), **settings)
    assert checked.returncode == 1, checked.stderr
    found = {(each["check_id"], *each["files"]) for each in json.loads(checked.stdout) if len(each["files"]) == 1}
    assert found == {("trigger-misspelt", "0003.txt"), ("spelling", "0004.txt"), ("spacing", "0005.txt")}
    assert "Not fit for a training yet" in page.read_text(encoding="utf-8")

    shown = pixel_lora("captions", "fix", str(dataset), "--suggested", **settings)
    assert "-pixhcar" in shown.stdout and "+pixchar" in shown.stdout
    assert contents(dataset) == before, "a preview has written"

    assert "20 captions added" in pixel_lora("captions", "sync", str(dataset), **settings).stdout
    fixed = pixel_lora("captions", "fix", str(dataset), "--suggested", "--apply", **settings)
    assert fixed.returncode == 0, fixed.stderr
    assert pixel_lora("captions", "check", str(dataset), **settings).returncode == 0
    synced = pixel_lora("captions", "sync", str(dataset), **settings)
    assert "0 captions added, 3 changed" in synced.stdout
    assert "0 captions added, 0 changed" in pixel_lora("captions", "sync", str(dataset), **settings).stdout
    batch = fixed.stdout.split()[-1]
    assert store.captions.versions(str(dataset), "0003.txt")[-1].batch_id == batch

    taken_back = pixel_lora("captions", "rollback", batch, **settings)
    assert taken_back.returncode == 0, taken_back.stderr
    assert contents(dataset) == before
    again = pixel_lora("captions", "rollback", batch, **settings)
    assert again.returncode == 1 and "was taken back" in again.stderr


def test_the_parameters_of_the_training_are_looked_at(dataset: Path, tmp_path: Path) -> None:
    home = {"PIXEL_LORA_HOME": str(tmp_path / "home")}
    options = ("-p", "shuffle_caption=true", "-p", "keep_tokens=0")
    checked = pixel_lora("captions", "check", str(dataset), "--json", *options, **home)
    kept = {each["check_id"]: each["message"] for each in json.loads(checked.stdout)}
    assert "1 would keep it" in kept["keep-tokens-trigger"]
    assert "4 would keep it" in kept["keep-tokens-background"]
    wrong = pixel_lora("captions", "check", str(dataset), "-p", "keep_tokens=many", **home)
    assert wrong.returncode == 2 and "keep_tokens = 'many'" in wrong.stderr


def test_a_folder_without_pictures_is_refused_with_what_to_do(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused = pixel_lora("captions", "check", str(empty), PIXEL_LORA_HOME=str(tmp_path / "home"))
    assert refused.returncode == 2
    assert "holds no pictures" in refused.stderr
