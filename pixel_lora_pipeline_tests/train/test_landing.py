"""What one look at the watched folders finds."""

import os
import shutil
import time
from pathlib import Path

import pytest

from pixel_lora_pipeline.train import find_landings

GENUINE = Path(__file__).parent.parent / "samples" / "kohya"
RUN_A = sorted((GENUINE / "run_a").glob("*.safetensors"))
ONE = GENUINE / "run_a" / "pixchar_a-000001.safetensors"


@pytest.fixture
def watched(tmp_path: Path) -> Path:
    folder = tmp_path / "watched"
    folder.mkdir()
    return folder


def test_epochs_come_in_the_order_of_training_whatever_their_times(watched: Path) -> None:
    for age, path in enumerate(RUN_A):
        copy = Path(shutil.copy(path, watched))
        os.utime(copy, (1_700_000_000 - age, 1_700_000_000 - age))
    found = find_landings([watched], set(), now=time.time())
    assert [landing.checkpoint.epoch for landing in found.complete] == [1, 2, 3]


def test_a_half_written_file_waits_and_is_refused_only_when_it_stalls(watched: Path) -> None:
    whole = ONE.read_bytes()
    growing = watched / ONE.name
    growing.write_bytes(whole[: len(whole) // 2])
    written = growing.stat().st_mtime
    young = find_landings([watched], set(), now=written + 60)
    assert (young.complete, young.refused, young.waiting) == ((), (), (growing,))
    old = find_landings([watched], set(), now=written + 3600)
    assert [refusal.sighting.path for refusal in old.refused] == [growing]
    growing.write_bytes(whole)
    settled = {refusal.sighting.stat_key for refusal in old.refused}
    again = find_landings([watched], settled, now=time.time())
    assert [landing.checkpoint.epoch for landing in again.complete] == [1], "a file that grew again was forgotten"


def test_settled_files_are_not_opened(watched: Path) -> None:
    copy = Path(shutil.copy(ONE, watched))
    found = find_landings([watched], set(), now=time.time())
    settled = {landing.sighting.stat_key for landing in found.complete}
    copy.chmod(0o000)
    again = find_landings([watched], settled, now=time.time())
    assert (again.complete, again.refused, again.waiting) == ((), (), ())


def test_an_overwritten_file_lands_again_with_another_signature(watched: Path) -> None:
    target = watched / "same_name.safetensors"
    shutil.copy(RUN_A[0], target)
    first = find_landings([watched], set(), now=time.time()).complete[0]
    shutil.copy(RUN_A[1], target)
    second = find_landings([watched], {first.sighting.stat_key}, now=time.time()).complete[0]
    assert first.checkpoint.signature != second.checkpoint.signature


def test_a_pickle_is_refused_at_once_with_what_to_do(watched: Path) -> None:
    (watched / "old.safetensors").write_bytes(b"PK\x03\x04" + b"\x00" * 4096)
    found = find_landings([watched], set(), now=time.time())
    assert len(found.refused) == 1, found
    assert found.refused[0].fault, "no fault is named"
    assert found.refused[0].remedy, "no remedy is named"
