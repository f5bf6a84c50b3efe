import math
import pickle
import shutil
from pathlib import Path

import pytest

from pixel_lora_pipeline.train.event_file import EventFileError, read_scalars
from pixel_lora_pipeline.train.loss_log import find_divergence, find_loss_log, read_losses

# Written by PyTorch's SummaryWriter with the tags that Kohya's trainer uses: 12 steps, the loss NaN at step 3 alone and
# from step 8 on, and the averages NaN from step 3 on.
LOGS = Path(__file__).parent / "samples"
LOG = LOGS / "20251110093000" / "network_train" / "events.out.tfevents.1795515224.trainer.1.0"
OPENED_AT = 1795515224


def test_every_scalar_that_was_logged_is_read_with_its_step_and_value() -> None:
    scalars = list(read_scalars(LOG))
    rates = [scalar for scalar in scalars if scalar.tag == "lr/unet"]
    assert [rate.step for rate in rates] == list(range(1, 13))
    assert all(rate.value == pytest.approx(1e-4) for rate in rates)
    assert all(OPENED_AT <= scalar.wall_time < OPENED_AT + 60 for scalar in scalars)
    assert {scalar.tag for scalar in scalars} == {"loss/current", "loss/average", "loss/epoch_average", "lr/unet"}


def test_the_loss_of_each_step_is_read_nan_included() -> None:
    losses = read_losses(LOG)
    assert list(losses) == list(range(1, 13))
    assert losses[7] == pytest.approx(0.106)
    assert [step for step, loss in losses.items() if math.isnan(loss)] == [3, 8, 9, 10, 11, 12]


def test_a_training_has_diverged_where_its_loss_is_no_number_until_the_end() -> None:
    divergence = find_divergence(read_losses(LOG).items())
    assert divergence is not None
    assert (divergence.step, divergence.last_step) == (8, 12)


@pytest.mark.parametrize("tail", [[], [math.nan], [math.nan, math.inf], [math.nan] * 5 + [0.1]])
def test_a_batch_that_overflowed_is_no_divergence(tail: list[float]) -> None:
    assert find_divergence(enumerate([0.2, 0.1, 0.1, *tail], start=1)) is None


def test_a_training_whose_loss_became_infinite_has_diverged() -> None:
    divergence = find_divergence(enumerate([0.2, math.inf, math.nan, -math.inf], start=1))
    assert divergence is not None
    assert divergence.step == 2


@pytest.mark.parametrize(("steps_per_epoch", "epoch"), [(4, 2), (8, 1), (7, 2), (7.5, 2), (3, 3)])
def test_the_first_lost_epoch_is_the_one_that_was_saved_after_the_divergence(
    steps_per_epoch: float, epoch: int
) -> None:
    divergence = find_divergence(read_losses(LOG).items())
    assert divergence is not None
    assert divergence.first_lost_epoch(steps_per_epoch) == epoch


def test_an_impossible_length_of_an_epoch_is_refused() -> None:
    divergence = find_divergence(read_losses(LOG).items())
    assert divergence is not None
    with pytest.raises(ValueError, match=r"ss_steps / ss_epoch"):
        divergence.first_lost_epoch(0)


def test_a_log_that_is_still_being_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    whole = LOG.read_bytes()
    log = tmp_path / LOG.name
    steps = []
    for length in range(0, len(whole) + 1, 7):
        log.write_bytes(whole[:length])
        steps.append(len(read_losses(log)))
    assert steps == sorted(steps)
    assert (steps[0], max(steps)) == (0, 12)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"this is no event file, but some text", "wrong checksum of a length"),
        (LOG.read_bytes()[:300] + b"\xff" + LOG.read_bytes()[301:], "wrong checksum"),
    ],
)
def test_a_damaged_log_is_refused_with_its_name_and_what_to_do(tmp_path: Path, content: bytes, fault: str) -> None:
    log = tmp_path / LOG.name
    log.write_bytes(content)
    with pytest.raises(EventFileError, match=fault) as caught:
        read_losses(log)
    assert LOG.name in str(caught.value)
    assert "copy it again" in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # noqa: S301 - our own


def test_the_log_of_a_training_is_found_by_its_time(tmp_path: Path) -> None:
    shutil.copytree(LOGS, tmp_path / "logs")
    assert find_loss_log(tmp_path / "logs", OPENED_AT - 90.5, OPENED_AT + 600) == next(
        (tmp_path / "logs").rglob("events*")
    )
    assert find_loss_log(tmp_path / "logs", OPENED_AT + 0.7, OPENED_AT + 600) is not None, "the name has whole seconds"
    assert find_loss_log(tmp_path / "logs", OPENED_AT + 100, OPENED_AT + 600) is None, "a later training"
    assert find_loss_log(tmp_path / "logs", OPENED_AT - 900, OPENED_AT - 300) is None, "an earlier training"
    assert find_loss_log(tmp_path / "none", OPENED_AT - 90, OPENED_AT + 600) is None


def test_no_log_is_guessed_when_two_trainings_ran_at_once(tmp_path: Path) -> None:
    shutil.copytree(LOGS, tmp_path / "logs")
    other = tmp_path / "logs" / "20251110093010" / "network_train" / f"events.out.tfevents.{OPENED_AT + 10}.trainer.2.0"
    other.parent.mkdir(parents=True)
    shutil.copy(LOG, other)
    assert find_loss_log(tmp_path / "logs", OPENED_AT - 5, OPENED_AT + 600) is None
