"""From which checkpoint a run started, as far as its own files and what is known of others tell."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.train.lineage import (
    KnownCheckpoint,
    Link,
    StartedRun,
    ancestors,
    descendants,
    origins,
    read_starting_file,
    starting_path,
    training_key,
)

STARTED = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARAMETERS = {"pretrained_model_name_or_path": "base.safetensors", "num_images": 20}


def known(epoch: int = 7, hours: float = -1, **changes: Any) -> KnownCheckpoint:
    found = KnownCheckpoint(
        run_id=1,
        run_name="first",
        epoch=epoch,
        sha256=f"{epoch:064x}",
        model_hash=None,
        path=f"/out/first-{epoch:06d}.safetensors",
        saved_at=STARTED + timedelta(hours=hours),
        output_name="first",
        training_key=training_key(PARAMETERS),
    )
    return replace(found, **changes)


def started(path: str | None = None, **changes: Any) -> StartedRun:
    return replace(StartedRun(2, "second", PARAMETERS, STARTED, 1, path), **changes)


def told(run: StartedRun, *checkpoints: KnownCheckpoint) -> list[tuple[Any, int | None, str, str]]:
    found = origins(run, None, checkpoints)
    return [(each.checkpoint.run_id, each.checkpoint.epoch, each.evidence, each.confidence) for each in found]


def test_a_state_replaces_weights_and_none_is_no_path() -> None:
    assert starting_path({"network_weights": "a.safetensors", "resume": "b-state"}) == "b-state"
    assert starting_path({"network_weights": "None", "resume": ""}) is None
    assert starting_path({"network_weights": ["x"]}, "noted") == "noted"


def test_the_checkpoint_that_was_at_the_path_when_the_run_started_is_taken() -> None:
    path = "/out/first-000007.safetensors"
    before, overwritten, after = known(hours=-9, sha256="a"), known(hours=-2, run_id=3), known(hours=3, run_id=4)
    assert told(started(path), before, overwritten, after) == [(3, 7, "path at that time", "likely")]
    assert told(started(path.replace("/", "\\")), before) == [(1, 7, "path at that time", "likely")]


def test_a_name_alone_is_a_guess_and_two_of_the_name_are_both_said() -> None:
    run = started("elsewhere/first-000007.safetensors")
    assert told(run, known()) == [(1, 7, "file name", "guessed")]
    assert len(told(run, known(), known(run_id=3, path="/other/first-000007.safetensors"))) == 2


def test_nothing_comes_from_itself_or_from_what_was_saved_later() -> None:
    run = started("/out/first-000007.safetensors")
    assert told(run, known(run_id=2), known(hours=1)) == []


def test_a_state_tells_its_checkpoint_and_its_counter_can_refuse_it(tmp_path: Path) -> None:
    state = tmp_path / "first-000007-state"
    state.mkdir()
    checkpoint = known(path=str(tmp_path / "first-000007.safetensors"))
    run = started(str(state))
    assert told(run, checkpoint) == [(1, 7, "saved state", "likely")]
    (state / "train_state.json").write_text(json.dumps({"current_epoch": 7, "current_step": 70}))
    assert told(run, checkpoint) == [(1, 7, "saved state", "likely")]
    (state / "train_state.json").write_text(json.dumps({"current_epoch": 3, "current_step": 30}))
    assert told(run, checkpoint) == []
    (state / "train_state.json").write_text("[" * 5000)
    assert told(run, checkpoint) == [(1, 7, "saved state", "likely")]


def test_a_run_that_goes_on_counting_is_guessed_and_only_with_the_same_base_and_data() -> None:
    run = started(output_name="first", first_epoch=8)
    assert told(run, known(), known(epoch=6)) == [(1, 7, "goes on counting", "guessed")]
    assert told(run, known(training_key="other")) == []
    assert told(replace(run, first_epoch=1), known()) == []
    every_second = {**PARAMETERS, "save_every_n_epochs": 2}
    assert told(replace(run, first_epoch=2, parameters=every_second), known(epoch=1)) == [], "it began anew"
    assert told(replace(run, started_at=None), known()) == []


@pytest.mark.parametrize("path", ["a.safetensors", "/no/such.safetensors", "/etc/passwd", "/dev/zero", "/a\0b", "/"])
def test_what_cannot_be_read_is_not_read(path: str) -> None:
    assert read_starting_file(path, STARTED) is None


def test_circles_are_left() -> None:
    links = [Link(1, "a", 3, 1), Link(2, "b", 1, 1), Link(3, "c", 2, 1), Link(4, "d", 4, 1), Link(5, "e", 99, 1)]
    assert [link.run_id for link in ancestors(links, 1)] == [3, 2]
    assert [link.run_id for _, link in descendants(links, 1)] == [2, 3]
    assert (ancestors(links, 4), descendants(links, 4), ancestors(links, 5)) == ((), (), ())
