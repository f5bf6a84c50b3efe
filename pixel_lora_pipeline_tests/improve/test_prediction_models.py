"""The models behind a prediction: what is left out is left out, and what is stated can be counted on."""

import numpy as np
import pytest
from numpy.typing import NDArray

from pixel_lora_pipeline.improve.conformal_interval import outlook_of
from pixel_lora_pipeline.improve.model_choice import choose_model
from pixel_lora_pipeline.improve.outcome_models import FEW_CAUSES, MEAN
from pixel_lora_pipeline.improve.process_average import Forecast, Kernels, averaged_forecast, mean_forecast

Floats = NDArray[np.float64]


def kernel(places: Floats) -> Floats:
    return np.exp(-np.abs(places[:, None] - places))


def typical(tried: Floats) -> float:
    n = len(tried)
    return float((np.trace(tried) - tried.sum() / n) / (n - 1))


def test_leaving_one_out_is_the_same_as_never_having_seen_it() -> None:
    random = np.random.default_rng(1)
    places = random.normal(size=9)
    metric = np.sin(places) * 10 + 70 + random.normal(size=9)
    matrix, noise = kernel(places), 0.2
    everything = averaged_forecast([Kernels(matrix[None], np.zeros(1), (noise,))], metric)
    assert everything is not None
    for at in range(9):
        order = [*np.delete(np.arange(9), at), at]
        without = matrix[np.ix_(order, order)]
        # The noise is stated in units of what the kernel varies by among the tried, and one of them is missing now.
        same_noise = noise * typical(matrix) / typical(without[:8, :8])
        refitted = averaged_forecast([Kernels(without[None], np.zeros(1), (same_noise,))], metric[order[:8]])
        assert refitted is not None
        assert everything.left_out_mean[at] == pytest.approx(refitted.mean[0])
        assert everything.left_out_sd[at] == pytest.approx(refitted.sd[0])


def test_the_mean_of_the_others_does_not_know_the_outcome() -> None:
    metric = np.array([1.0, 2.0, 6.0])
    found = mean_forecast(metric, n_proposals=2)
    assert found.left_out_mean.tolist() == [4.0, 3.5, 1.5]
    assert found.mean.tolist() == [3.0, 3.0]


def test_the_kernel_that_explains_the_outcomes_has_the_say() -> None:
    random = np.random.default_rng(2)
    acting, other = random.normal(size=(2, 21))
    metric = 5 * acting[:20]
    together = np.array([kernel(acting), kernel(other)])
    found = averaged_forecast([Kernels(together, np.zeros(2), (0.1,))], metric)
    alone = averaged_forecast([Kernels(together[:1], np.zeros(1), (0.1,))], metric)
    assert found is not None and alone is not None
    assert found.mean[0] == pytest.approx(alone.mean[0], abs=0.05)


def test_configurations_that_no_kernel_tells_apart_are_left_to_the_mean() -> None:
    assert averaged_forecast([Kernels(np.ones((1, 6, 6)), np.zeros(1), (0.1,))], np.arange(5.0)) is None


def forecast(left_out: Floats) -> Forecast:
    return Forecast(left_out, np.ones_like(left_out), np.array([70.0]), np.ones(1))


def test_the_best_of_many_guesses_is_not_believed() -> None:
    """Forty models that guess at random: the best of them looks good by chance."""
    stated, seeming = [], []
    for seed in range(40):
        random = np.random.default_rng(seed)
        metric = random.normal(70, 5, 12)
        found = {MEAN: mean_forecast(metric, 1)}
        found |= {f"guess {at}": forecast(random.normal(70, 3, 12)) for at in range(40)}
        errors = {name: np.abs(each.left_out_mean - metric).sum() for name, each in found.items()}
        seeming.append(1 - min(errors.values()) / errors[MEAN])
        chosen = choose_model(found, metric)
        stated.append(chosen.skill)
        assert (chosen.name == MEAN) == (chosen.skill == 0)
    assert np.mean(seeming) > 0.2, "guesses that do not even look good test nothing"
    assert np.mean(stated) < 0.5 * np.mean(seeming), f"{np.mean(stated):.2f} of {np.mean(seeming):.2f}"
    assert np.mean([skill == 0 for skill in stated]) > 0.4


def test_a_clearly_better_model_is_chosen_and_a_slightly_better_one_is_not() -> None:
    random = np.random.default_rng(5)
    metric = random.normal(70, 8, 15)
    errors = random.normal(0, 2, 15)
    found = {
        MEAN: mean_forecast(metric, 1),
        FEW_CAUSES: forecast(metric + errors),
        "slightly better": forecast(metric + 0.9 * errors),
    }
    assert choose_model(found, metric).name == FEW_CAUSES
    better = choose_model(found | {"clearly better": forecast(metric + 0.3 * errors)}, metric)
    assert better.name == "clearly better"
    assert better.skill > 0.8


def test_errors_that_were_larger_than_stated_widen_the_interval() -> None:
    metric = np.full(20, 70.0) + np.arange(20)
    honest, boastful = (
        outlook_of(forecast(metric + error * (-1.0) ** np.arange(20)), metric, 0, 0.9) for error in (1.0, 4.0)
    )
    assert boastful.half_width > 2 * honest.half_width
    assert boastful.probability_above(72) > honest.probability_above(72)
    assert honest.probability_above(70) == pytest.approx(0.5)
