"""A batch of changes is made wholly or not at all, whatever dies when, and is taken back to the byte."""

import os
import signal
import sys
from pathlib import Path

import pytest

from pixel_lora_pipeline.train.captions import BatchError, Batches, Change, unified_diff

# Bytes that a careless reader and writer would change: a byte order mark, other line ends, no end of line at all.
BEFORE = {
    "0000.txt": b"pixchar, pink hiar\n",
    "0001.txt": b"\xef\xbb\xbfpixchar, blue hiar\r\nsecond line\r\n",
    "0002.txt": "pixchar, café, grey hiar".encode(),
}
AFTER = {name: content.replace(b"hiar", b"hair") for name, content in BEFORE.items()}


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "4_pixchar"
    folder.mkdir()
    for name, content in BEFORE.items():
        (folder / name).write_bytes(content)
    (folder / "0001.txt").chmod(0o640)
    return folder


@pytest.fixture
def batches(tmp_path: Path) -> Batches:
    return Batches(tmp_path / "journal")


def contents(dataset: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(dataset.iterdir())}


def changes(dataset: Path) -> list[Change]:
    return [Change(dataset / name, BEFORE[name], AFTER[name], ("spelling",)) for name in BEFORE]


def test_a_batch_is_applied_and_taken_back_to_the_byte_and_to_the_mode(dataset: Path, batches: Batches) -> None:
    batch = batches.apply(dataset, changes(dataset))
    assert contents(dataset) == AFTER
    undone = batches.roll_back(batch.batch_id)
    assert contents(dataset) == BEFORE
    assert (dataset / "0001.txt").stat().st_mode & 0o777 == 0o640
    with pytest.raises(BatchError, match=f"was taken back by {undone.batch_id}"):
        batches.roll_back(batch.batch_id)
    batches.roll_back(undone.batch_id)
    assert contents(dataset) == AFTER, "taking back was not taken back"


def test_nothing_is_changed_if_one_file_is_not_as_it_was(dataset: Path, batches: Batches) -> None:
    (dataset / "0002.txt").write_bytes(b"somebody was here")
    with pytest.raises(BatchError, match=r"0002\.txt was changed since.*Nothing was changed"):
        batches.apply(dataset, changes(dataset))
    assert contents(dataset) == {**BEFORE, "0002.txt": b"somebody was here"}


def test_a_batch_is_not_taken_back_over_what_somebody_wrote_since(dataset: Path, batches: Batches) -> None:
    batch = batches.apply(dataset, changes(dataset))
    (dataset / "0000.txt").write_bytes(b"somebody was here")
    with pytest.raises(BatchError, match=r"0000\.txt was changed since"):
        batches.roll_back(batch.batch_id)
    assert contents(dataset) == {**AFTER, "0000.txt": b"somebody was here"}


def test_nothing_is_written_through_a_link(dataset: Path, batches: Batches, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.txt"
    elsewhere.write_bytes(BEFORE["0000.txt"])
    (dataset / "0000.txt").unlink()
    (dataset / "0000.txt").symlink_to(elsewhere)
    with pytest.raises(BatchError, match="is a link"):
        batches.apply(dataset, changes(dataset))
    assert elsewhere.read_bytes() == BEFORE["0000.txt"]


def run_until_killed(dataset: Path, journal: Path, what: str, step: int) -> bool:
    """Applies a batch, or takes it back, in a process of its own that kills itself with signal 9 at the n-th step.

    Steps are what reaches the disk: each file that is opened, renamed, removed, or given its mode. Returns whether the
    process died; if not, it had fewer steps than that.
    """
    process = os.fork()
    if process == 0:
        try:
            _die_at(dataset, Batches(journal), what, step)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(process, 0)
    died = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
    assert died or os.WEXITSTATUS(status) == 0, f"the process ended with {status}"
    return died


def _die_at(dataset: Path, batches: Batches, what: str, step: int) -> None:
    planned = changes(dataset)
    done = [batch.batch_id for batch in batches.all() if batch.state == "done"]
    steps = 0

    def count(event: str, _: object) -> None:
        nonlocal steps
        if event in ("open", "os.rename", "os.remove", "os.chmod"):
            steps += 1
            if steps == step:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
    if what == "apply":
        batches.apply(dataset, planned)
    else:
        batches.roll_back(done[-1])


@pytest.mark.skipif(sys.platform == "win32", reason="signal 9 is POSIX's")
@pytest.mark.parametrize("what", ["apply", "roll back"])
def test_a_process_killed_at_any_step_leaves_all_or_nothing_and_loses_no_byte(what: str, tmp_path: Path) -> None:
    def killed_at(step: int) -> bool:
        dataset, journal = tmp_path / str(step) / "4_pixchar", tmp_path / str(step) / "journal"
        dataset.mkdir(parents=True)
        for name, content in BEFORE.items():
            (dataset / name).write_bytes(content)
        first, second = (BEFORE, AFTER) if what == "apply" else (AFTER, BEFORE)
        if what == "roll back":
            Batches(journal).apply(dataset, changes(dataset))
        died = run_until_killed(dataset, journal, what, step)
        Batches(journal).recover()
        left = contents(dataset)
        assert left in (first, second), f"killed at step {step}: {left}"
        assert died or left == second
        assert Batches(journal).recover() == [], "recovering again finds something"
        applied = [batch for batch in Batches(journal).all() if batch.state == "done"]
        if applied:
            batch = applied[-1]
            Batches(journal).roll_back(batch.batch_id)
            now = contents(dataset)
            assert now == (first if left == second else BEFORE), f"killed at step {step}: rolled back to {now}"
        return died

    step = 1
    while killed_at(step):
        step += 1
    assert step > 12, f"the process had only {step} steps: they are not seen"


def test_what_somebody_wrote_after_the_crash_is_left_alone(dataset: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    step = 1
    while contents(dataset)["0000.txt"] == BEFORE["0000.txt"]:  # until the first file is replaced before it dies
        step += 1
        assert run_until_killed(dataset, journal, "apply", step)
        if contents(dataset)["0000.txt"] == BEFORE["0000.txt"]:
            Batches(journal).recover()
    (dataset / "0000.txt").write_bytes(b"written by hand")
    (recovered,) = Batches(journal).recover()
    assert recovered.left_alone == (dataset / "0000.txt",)
    assert contents(dataset) == {**BEFORE, "0000.txt": b"written by hand"}


def test_a_diff_shows_what_changes(dataset: Path) -> None:
    shown = unified_diff(changes(dataset)[0], "0000.txt")
    assert "-pixchar, pink hiar\n+pixchar, pink hair" in shown
    assert os.fspath(dataset) not in shown
