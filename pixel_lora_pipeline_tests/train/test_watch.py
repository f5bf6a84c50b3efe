"""Listing the watched folders, and the order in which checkpoints were trained."""

import os
from pathlib import Path

from pixel_lora_pipeline.train import find_checkpoints, read_checkpoint, training_order
from pixel_lora_pipeline_tests.train.lora_files import write_kohya


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 10)
    return path


def found(*folders: Path) -> list[Path]:
    return [sighting.path for sighting in find_checkpoints(folders)]


def test_checkpoints_are_found_at_any_depth(tmp_path: Path) -> None:
    paths = [touch(tmp_path / name) for name in ("a.safetensors", "run/b.SAFETENSORS", "run/deep/er/c.safetensors")]
    assert found(tmp_path) == sorted(paths)


def test_states_and_backups_and_other_files_are_skipped(tmp_path: Path) -> None:
    for name in (
        "portrait-000001-state/model.safetensors",
        "portrait-state/deep/model.safetensors",
        "2025-06-15_17-00-00-backup-500-5-0/lora/lora.safetensors",
        "portrait.ckpt",
        "run.toml",
        ".tmpXyz123",
        "portrait.safetensors.part",
    ):
        touch(tmp_path / name)
    touch(tmp_path / "folder.safetensors" / "notes.txt")
    assert found(tmp_path) == []


def test_overlapping_and_missing_folders_list_each_file_once(tmp_path: Path) -> None:
    path = touch(tmp_path / "run" / "a.safetensors")
    assert found(tmp_path, tmp_path / "run", tmp_path / "nowhere") == [path]


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    path = touch(tmp_path / "watched" / "run" / "a.safetensors")
    touch(tmp_path / "private" / "b.safetensors")
    (path.parent / "loop").symlink_to(tmp_path / "watched", target_is_directory=True)
    (path.parent / "outside").symlink_to(tmp_path / "private", target_is_directory=True)
    assert found(tmp_path / "watched") == [path]


def test_a_linked_file_is_listed_and_a_broken_link_is_not(tmp_path: Path) -> None:
    target = touch(tmp_path / "private" / "b.safetensors")
    watched = tmp_path / "watched"
    watched.mkdir()
    (watched / "linked.safetensors").symlink_to(target)
    (watched / "broken.safetensors").symlink_to(tmp_path / "nowhere")
    assert found(watched) == [watched / "linked.safetensors"]


def test_the_key_of_a_sighting_changes_with_the_file_only(tmp_path: Path) -> None:
    path = touch(tmp_path / "a.safetensors")
    (first,) = find_checkpoints([tmp_path])
    (again,) = find_checkpoints([tmp_path])
    assert first.stat_key == again.stat_key
    assert len({first.stat_key, again.stat_key}) == 1
    replacement = touch(tmp_path / "new")
    os.utime(replacement, ns=(first.mtime_ns, first.mtime_ns))
    replacement.replace(path)
    (replaced,) = find_checkpoints([tmp_path])
    assert (replaced.size, replaced.mtime_ns) == (first.size, first.mtime_ns)
    assert replaced.stat_key != first.stat_key, "same size and time, another file"


def test_runs_and_epochs_are_ordered_as_they_were_trained_whatever_the_files_times(tmp_path: Path) -> None:
    trained = [
        ("older", "100.0", "portrait-step00000004.safetensors", "0", "4"),
        ("older", "100.0", "portrait-000001.safetensors", "1", "8"),
        ("older", "100.0", "portrait-step00000012.safetensors", "1", "12"),
        ("older", "100.0", "portrait-000002.safetensors", "2", "16"),
        ("older", "100.0", "portrait.safetensors", "3", "24"),
        ("newer", "200.0", "portrait-000001.safetensors", "1", "8"),
        ("newer", "200.0", "portrait.safetensors", "2", "16"),
    ]
    reads = []
    for age, (folder, started, name, epoch, step) in enumerate(trained):
        path = write_kohya(
            tmp_path / folder / name, None, ss_training_started_at=started, ss_session_id=started[0],
            ss_epoch=epoch, ss_steps=step, ss_num_epochs="3" if folder == "older" else "2",
        )  # fmt: skip
        os.utime(path, (1_000_000 - age,) * 2)
        reads.append(read_checkpoint(path))
    shuffled = sorted(reads, key=lambda read: read.signature)
    assert sorted(shuffled, key=training_order) == reads


def test_a_file_that_vanishes_between_looks_is_simply_gone(tmp_path: Path) -> None:
    first, second = touch(tmp_path / "a.safetensors"), touch(tmp_path / "b.safetensors")
    assert found(tmp_path) == [first, second]
    first.unlink()
    assert found(tmp_path) == [second]
