"""The made-up history tells what the roadmap tells of its own."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.embedded.history import HISTORY, PastRun, trajectory, write_history
from pixel_lora_pipeline.train import read_run_files
from pixel_lora_pipeline.train.observations import read_observations

numbered = pytest.mark.parametrize(("number", "run"), list(enumerate(HISTORY)), ids=[run.name for run in HISTORY])


def test_ranks_and_kept_tokens_were_varied_apart_from_each_other() -> None:
    combinations = {(run.network_dim > 32, run.keep_tokens) for run in HISTORY}
    assert combinations == {(False, 1), (False, 3), (True, 1), (True, 3)}
    assert sorted(run.network_dim for run in HISTORY) == [32] * 5 + [64, 64, 128]


@numbered
def test_a_rank_above_32_paints_photographs_and_others_do_not(number: int, run: PastRun) -> None:
    purity = [metrics["style_quality"]["pixel_art_purity"] for metrics in trajectory(run, number)]
    assert max(purity) < 50 if run.network_dim > 32 else max(purity) > 85, purity


@numbered
def test_one_kept_token_loses_the_background_and_three_reach_95_percent(number: int, run: PastRun) -> None:
    background = [metrics["color_accuracy"]["background_accuracy"] for metrics in trajectory(run, number)]
    assert max(background) < 60 if run.keep_tokens == 1 else max(background) >= 95, background


@numbered
def test_two_toned_hair_is_there_at_first_and_resolves_at_epoch_5_or_at_half_the_rate_at_7(
    number: int, run: PastRun
) -> None:
    two_toned = [metrics["color_accuracy"]["hair_two_toned"] for metrics in trajectory(run, number)]
    resolved = 5 if run.learning_rate == 1e-4 else 7
    assert two_toned == [epoch < resolved for epoch in range(1, 11)]


def test_what_is_written_is_read_back_as_it_was_meant_and_the_same_every_time(tmp_path: Path) -> None:
    notes = write_history(tmp_path / "a")
    runs = {run.name: run for run in read_run_files([tmp_path / "a"])}
    assert runs.keys() == {run.name for run in HISTORY}
    for run in HISTORY:
        read = runs[run.name]
        for name in (
            "network_dim",
            "keep_tokens",
            "learning_rate",
            "gradient_accumulation_steps",
            "caption_dropout_rate",
        ):
            assert read.parameters[name].value == getattr(run, name), (run.name, name)
        assert len(read.checkpoints) == (0 if run.left == "configuration" else 10)
        assert bool(read.configs) == (run.left != "checkpoints")
        assert read.refused == ()
    noted = {observation.run: observation for observation in read_observations(notes)}
    assert noted["history_1"].epochs[6].metrics == trajectory(HISTORY[0], 0)[6]

    again = write_history(tmp_path / "b")
    assert again.read_bytes() == notes.read_bytes()
    for run in read_run_files([tmp_path / "b"]):
        assert (run.parameters, run.run) == (runs[run.name].parameters, runs[run.name].run)
