"""A release is a verified copy, or it is not there."""

import hashlib
import os
from pathlib import Path

import pytest

from pixel_lora_pipeline.store import ReleaseError, ReleaseFolder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    path = tmp_path / "portraits-000006.safetensors"
    path.write_bytes(os.urandom(300_000))
    return path


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_copy_is_the_file_and_has_a_card(checkpoint: Path, tmp_path: Path) -> None:
    releases = ReleaseFolder(tmp_path / "releases")
    release = releases.copy(checkpoint, sha256(checkpoint), "portraits", 6)
    releases.write_card(release, "# portraits\n")
    assert (release.folder / release.checkpoint_file).read_bytes() == checkpoint.read_bytes()
    name = f"portraits-epoch-6-{sha256(checkpoint)[:12]}"
    assert files(tmp_path / "releases") == [f"{name}/README.md", f"{name}/portraits-epoch-6.safetensors"]


def test_a_file_that_is_not_what_was_evaluated_is_not_released(checkpoint: Path, tmp_path: Path) -> None:
    evaluated = sha256(checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1] + b"\x00")
    with pytest.raises(ReleaseError, match="is not the file that was evaluated"):
        ReleaseFolder(tmp_path / "releases").copy(checkpoint, evaluated, "portraits", 6)
    assert files(tmp_path / "releases") == [], "something stayed behind"


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="Put it back there"):
        ReleaseFolder(tmp_path / "releases").copy(tmp_path / "gone.safetensors", "ab" * 32, "portraits", 6)


def test_releasing_again_copies_nothing_unless_the_copy_was_damaged(checkpoint: Path, tmp_path: Path) -> None:
    releases = ReleaseFolder(tmp_path / "releases")
    release = releases.copy(checkpoint, sha256(checkpoint), "portraits", 6)
    target = release.folder / release.checkpoint_file
    before = target.stat().st_mtime_ns
    releases.copy(checkpoint, sha256(checkpoint), "portraits", 6)
    assert target.stat().st_mtime_ns == before
    target.write_bytes(b"damaged")
    releases.copy(checkpoint, sha256(checkpoint), "portraits", 6)
    assert sha256(target) == sha256(checkpoint)


@pytest.mark.parametrize("name", ["../../etc/cron.d/x", "..", "C:\\windows\\x", "con", "a/b", "\u202ex", ""])
def test_no_name_of_a_run_leads_out_of_the_folder(name: str, checkpoint: Path, tmp_path: Path) -> None:
    root = tmp_path / "releases"
    release = ReleaseFolder(root).copy(checkpoint, sha256(checkpoint), name, None)
    assert release.folder.resolve().parent == root.resolve()
