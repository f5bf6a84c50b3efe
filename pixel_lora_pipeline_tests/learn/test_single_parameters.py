"""Permutation p-values, detectable effects and aliases, against sources of their own."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, permutation_test, rankdata

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.alias_classes import alias_classes, near_aliases
from pixel_lora_pipeline.learn.detectability import minimum_detectable_effect, runs_needed
from pixel_lora_pipeline.learn.parameter_column import ParameterColumn, read_parameter
from pixel_lora_pipeline.learn.permutation_evidence import marginal_evidence


def column(values: object, name: str = "p") -> ParameterColumn:
    return read_parameter(pd.Series(values), name)


@pytest.mark.parametrize(("low", "p"), [(1, 2 / 7), (2, 2 / 21), (3, 2 / 35)])
def test_seven_runs_have_a_smallest_p(low: int, p: float) -> None:
    found = marginal_evidence([column([0] * low + [1] * (7 - low))], np.arange(7.0))
    assert found.is_exact
    assert found.p[0] == pytest.approx(p)


def test_the_exact_p_of_two_groups_is_scipys() -> None:
    flag, metric = np.array([0, 1, 0, 1, 1, 0, 1]), np.array([3.0, 5, 1, 9, 4, 2, 8])

    def difference(ranks: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.abs((ranks * (flag - flag.mean())).sum(axis=axis)))

    expected = permutation_test(
        (rankdata(metric),), difference, permutation_type="pairings", n_resamples=np.inf, alternative="greater"
    )
    assert marginal_evidence([column(flag)], metric).p[0] == pytest.approx(expected.pvalue)


def test_a_larger_sample_comes_close_to_the_exact_p() -> None:
    p = marginal_evidence([column([0] * 5 + [1] * 6)], np.arange(11.0)).p[0]
    assert 1 / 5001 <= p <= 0.008, "2 of 462 orders are as extreme"


def test_adjusted_p_values_are_larger_and_q_is_benjamini_and_hochbergs() -> None:
    random = np.random.default_rng(0)
    metric = random.normal(size=20)
    columns = [column(metric > 0), *(column(random.choice([1, 2, 3], 20), f"p{at}") for at in range(9))]
    found = marginal_evidence(columns, metric)
    assert (found.p_minimum >= found.p).all()
    assert found.p_minimum[0] < 0.05
    np.testing.assert_allclose(found.q, false_discovery_control(found.p))


def test_p_values_of_noise_are_uniform() -> None:
    random = np.random.default_rng(1)
    p = [marginal_evidence([column(random.choice([1, 2, 3, 4], 12))], random.normal(size=12)).p[0] for _ in range(150)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.07)
    assert np.mean(p) == pytest.approx(0.5, abs=0.08)


def test_the_detectable_effect_is_detected_in_four_of_five_experiments() -> None:
    from scipy.stats import ttest_ind

    least = minimum_detectable_effect(6, 9, sd=2.0)
    random = np.random.default_rng(2)
    low, high = random.normal(0, 2, (4000, 6)), random.normal(least, 2, (4000, 9))
    assert np.mean(ttest_ind(low, high, axis=1).pvalue < 0.05) == pytest.approx(0.8, abs=0.03)


def test_runs_are_asked_for_until_the_effect_would_be_detected() -> None:
    more = runs_needed(3, 9, sd=2.0, effect=3.0)
    assert more is not None
    low, high = 3, 9
    for _ in range(more):
        low, high = (low + 1, high) if low <= high else (low, high + 1)
    assert minimum_detectable_effect(low, high, 2.0) <= 3.0
    assert runs_needed(2, 2, sd=100.0, effect=0.1) is None
    assert minimum_detectable_effect(0, 9, 2.0) == np.inf


def test_aliases_are_the_same_order_whatever_the_scale() -> None:
    values = np.array([1, 2, 4, 2, 1, 4])
    together = alias_classes(
        [
            column(values, "a"),
            column(np.log(values), "b"),
            column(-(values**2), "reversed"),
            column([{1: "x", 2: "z", 4: "y"}[value] for value in values], "name"),
            column([1, 2, 4, 2, 1, 2], "other"),
            column([1, 2, np.nan, 2, 1, 4], "with a gap"),
            column([10, 20, 10, 30, 20, 30], "other groups"),
        ]
    )
    assert [members.names for members in together] == [
        ("a", "b", "name", "reversed"),
        ("other",),
        ("other groups",),
        ("with a gap",),
    ]


def test_near_aliases_need_not_have_an_order() -> None:
    random = np.random.default_rng(3)
    version = random.integers(0, 3, 40)
    name = np.array(["v1", "v2", "v3"])[version]
    name[0] = "v1" if name[0] != "v1" else "v2"
    classes = alias_classes([column(version, "a"), column(name, "b"), column(random.integers(0, 2, 40), "c")])
    assert near_aliases(classes) == [("b",), ("a",), ()]


def test_learning_rates_are_compared_by_their_order_of_magnitude() -> None:
    np.testing.assert_allclose(column([1e-4, 2e-4, 5e-5], "unet_lr").positions, np.log10([5e-5, 1e-4, 2e-4]))
    np.testing.assert_allclose(column([4, 64, 16], "network_dim").positions, np.log10([4, 16, 64]))
    np.testing.assert_allclose(column([1, 2, 3], "keep_tokens").positions, [1, 2, 3])
    np.testing.assert_allclose(column([0, 100, 3], "lr_warmup_steps").positions, [0, 3, 100])


def test_a_name_that_goes_with_two_orders_makes_all_of_them_one_class() -> None:
    codes = [0, 1, 2, 0, 2, 1, 0, 2]
    runs = pd.DataFrame(
        {
            "gradient_accumulation_steps": [(1, 2, 4)[code] for code in codes],
            "network_dropout": [(0.0, 0.3, 0.1)[code] for code in codes],
            "mixed_precision": [("fp16", "no", "bf16")[code] for code in codes],
            "network_dim": [16, 32, 64, 32, 16, 64, 32, 16],
            "quality": [1.0, 2.0, 3.0, 1.5, 3.5, 2.5, 1.0, 3.0],
        }
    )
    names = [name for name in runs if name != "quality"]
    table = assess_parameters(runs, names, "quality")
    classes = {frozenset(names) for names in table["parameters"]}
    assert frozenset({"gradient_accumulation_steps", "network_dropout", "mixed_precision"}) in classes, classes
    without_name = assess_parameters(runs, [name for name in names if name != "mixed_precision"], "quality")
    assert all(len(names) == 1 for names in without_name["parameters"]), "their orders tell them apart"
