"""Regions come back from storage as they were."""

import json

import numpy as np
import pytest

from pixel_lora_pipeline.validate.region import MOST_RUNS, cells_of, runs_of


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (24, 16), (64, 48)])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_a_region_survives_storage(shape: tuple[int, int], share: float) -> None:
    cells = np.random.default_rng(0).random(shape) < share
    stored = json.loads(json.dumps(runs_of(cells)))
    assert np.array_equal(cells_of(stored, shape), cells)


def test_runs_are_start_and_length_in_reading_order() -> None:
    cells = np.array([[True, False, True], [True, True, False]])
    assert runs_of(cells) == [[0, 1], [2, 3]]


def test_a_region_of_noise_keeps_its_longest_runs() -> None:
    cells = np.random.default_rng(0).random((512, 512)) < 0.5
    runs = runs_of(cells)
    assert len(runs) == MOST_RUNS
    assert min(length for _, length in runs) >= 5
    assert not (cells_of(runs, cells.shape) & ~cells).any()


def test_runs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="native size"):
        cells_of([[10, 5]], (3, 4))
