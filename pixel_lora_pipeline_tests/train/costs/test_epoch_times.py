"""How long epochs took, by headers that are written by anybody's clock."""

from datetime import UTC, datetime, timedelta

from pixel_lora_pipeline.train.costs import Save, epoch_times

START = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)


def save(epoch: int, minutes: float | None, step: int | None = None, *, within: bool = False) -> Save:
    return Save(epoch, step, None if minutes is None else START + timedelta(minutes=minutes), is_within_epoch=within)


def minutes(found: object) -> list[tuple[int | None, float, int | None]]:
    return [(each.epoch, (each.ends - each.begins).total_seconds() / 60, each.n_epochs) for each in found.epochs]  # type: ignore[attr-defined]


def test_each_epoch_has_the_time_since_the_one_before_it() -> None:
    found = epoch_times(START, [save(2, 50), save(1, 30), save(3, 70)])
    assert minutes(found) == [(1, 30, 1), (2, 20, 1), (3, 20, 1)]
    assert (found.is_complete, found.notes, found.seconds_per_epoch) == (True, (), 1200)


def test_epochs_without_a_file_share_the_time_of_the_next() -> None:
    found = epoch_times(START, [save(2, 40), save(4, 80)])
    assert minutes(found) == [(2, 40, 2), (4, 40, 2)]
    assert found.seconds_per_epoch == 1200 and "Epochs 3 to 4 have one checkpoint" in found.notes[1]


def test_files_within_an_epoch_are_a_part_of_it_and_of_none_if_it_never_ended() -> None:
    within = save(1, 35, 150, within=True)
    assert minutes(epoch_times(START, [save(1, 20, 100), within, save(2, 40, 200)])) == [(1, 20, 1), (2, 20, 1)]
    broken_off = epoch_times(START, [save(1, 20, 100), within])
    assert minutes(broken_off) == [(1, 20, 1), (None, 15, None)]
    assert broken_off.seconds_per_epoch == 1200


def test_a_clock_that_goes_back_leaves_a_time_unknown_and_says_so() -> None:
    found = epoch_times(START, [save(1, 20), save(2, -20), save(3, 0)])
    assert minutes(found) == [(1, 20, 1), (3, 20, 1)]
    assert not found.is_complete and "went back before epoch 2" in found.notes[0]


def test_a_clock_that_was_not_set_makes_no_training_of_years() -> None:
    found = epoch_times(datetime(1970, 1, 1, 0, 5, tzinfo=UTC), [save(1, 20), save(2, 40)])
    assert minutes(found) == [(2, 20, 1)] and not found.is_complete


def test_a_gap_is_counted_but_tells_nothing_of_how_long_an_epoch_takes() -> None:
    found = epoch_times(START, [save(1, 20), save(2, 40), save(3, 340), save(4, 360)])
    assert sum(each for _, each, _ in minutes(found)) == 360
    assert found.seconds_per_epoch == 1200 and "15 times as long as usual" in found.notes[0]


def test_a_resumed_session_counts_its_own_time_and_not_the_epochs_before_it() -> None:
    found = epoch_times(START, [save(6, 25), save(7, 45)], is_resumed=True)
    assert minutes(found) == [(6, 25, None), (7, 20, 1)]
    assert found.seconds_per_epoch == 1200 and found.is_complete


def test_headers_without_times_tell_nothing_and_are_not_taken_for_no_time() -> None:
    found = epoch_times(None, [save(1, None), save(2, None)])
    assert (found.epochs, found.is_complete, found.seconds_per_epoch) == ((), False, None)
    begun = epoch_times(None, [save(1, 20), save(2, 40)])
    assert minutes(begun) == [(2, 20, 1)] and not begun.is_complete


def test_a_last_file_that_repeats_the_last_epoch_adds_nothing() -> None:
    assert minutes(epoch_times(START, [save(1, 20, 100), save(2, 40, 200), save(2, 41, 200)])) == [
        (1, 20, 1),
        (2, 20, 1),
    ]
