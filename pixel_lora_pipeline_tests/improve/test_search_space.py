from importlib.resources import files
from pathlib import Path

import numpy as np
import optuna
import pandas as pd
import pytest

from pixel_lora_pipeline import improve
from pixel_lora_pipeline.embedded.loading import EMBEDDED_SPACE
from pixel_lora_pipeline.improve import SearchSpace, suggest
from pixel_lora_pipeline.train.taxonomy import chosen_parameters

RANGES = {
    "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
    "network_dropout": {"low": 0.0, "high": 0.3},
    "max_train_epochs": {"low": 4, "high": 20},
}


def test_the_default_is_the_roadmaps() -> None:
    space = SearchSpace.default()
    assert {name: parameter.values for name, parameter in space.parameters.items()} == {
        "network_dim": (16, 32, 48),
        "learning_rate": (5e-5, 1e-4, 2e-4),
        "keep_tokens": (1, 2, 3, 4),
        "caption_dropout_rate": (0.0, 0.05, 0.1),
        "conv_dim": (0, 4, 8),
    }


@pytest.mark.parametrize(
    "file", [EMBEDDED_SPACE, files(improve) / "architecture_space.toml"], ids=lambda file: file.name
)
def test_the_spaces_that_come_along_hold_parameters_that_are_chosen_before_a_training(file: Path) -> None:
    space = SearchSpace.read(Path(str(file)))
    assert set(space.names) <= set(chosen_parameters())
    suggested = suggest(space, pd.DataFrame(columns=["run_name", "quality_score"]))[0]
    assert space.contains(suggested)


def test_a_file_a_mapping_and_optunas_distributions_say_the_same(tmp_path: Path) -> None:
    file = tmp_path / "space.toml"
    file.write_text(
        "network_dim = [16, 32, 64]\n"
        "optimizer_type = ['AdamW8bit', 'Lion']\n"
        "learning_rate = {low = 1e-5, high = 1e-3, log = true}\n"
        "keep_tokens = {low = 0, high = 4}\n"
        "network_dropout = {low = 0.0, high = 0.3}\n"
    )
    as_mapping = {
        "network_dim": (16, 32, 64),
        "optimizer_type": ["AdamW8bit", "Lion"],
        "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "keep_tokens": {"low": 0, "high": 4},
        "network_dropout": {"low": 0.0, "high": 0.3},
    }
    as_distributions = {
        "network_dim": [16, 32, 64],
        "optimizer_type": optuna.distributions.CategoricalDistribution(["AdamW8bit", "Lion"]),
        "learning_rate": optuna.distributions.FloatDistribution(1e-5, 1e-3, log=True),
        "keep_tokens": optuna.distributions.IntDistribution(0, 4),
        "network_dropout": optuna.distributions.FloatDistribution(0.0, 0.3),
    }
    assert SearchSpace.of(file) == SearchSpace.of(str(file)) == SearchSpace.of(as_mapping)
    assert SearchSpace.of(as_mapping) == SearchSpace.of(as_distributions)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        (3, "in no known form"),
        ({"low": 1}, "in no known form"),
        ([16, 16], "each is there once"),
        ({"levels": [32, 16]}, "levels increase"),
        ({"levels": [True, False]}, "are choices"),
        (["Lion", "lion"], "repeats one"),
        ([1e-5, 1e-3, "log"], "mixes names"),
        ([], "at least 1"),
        ({"low": 5, "high": 4}, "low must be below high"),
        ({"low": 0, "high": 1, "log": True}, "above 0"),
        ({"low": 1, "high": 4, "stepp": 2}, "stepp"),
        ({"low": 0.0, "high": float("inf")}, "finite"),
    ],
)
def test_what_is_no_search_space_is_refused_with_the_place_and_the_reason(parameter: object, said: str) -> None:
    with pytest.raises(ValueError, match="network_dim") as refusal:
        SearchSpace.of({"learning_rate": [1e-4, 2e-4], "network_dim": parameter})
    assert said in str(refusal.value)


def test_an_empty_space_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="describes no search space"):
        SearchSpace.of({})
    file = tmp_path / "space.toml"
    file.write_text("network_dim = [16,")
    with pytest.raises(ValueError, match=r"space\.toml is no TOML"):
        SearchSpace.read(file)


def test_values_are_found_again_however_they_were_written() -> None:
    space = SearchSpace.of({"network_dim": [16, 32], "learning_rate": [5e-5, 1e-4], "color_aug": [True, False]})
    written = {"network_dim": "32", "learning_rate": "0.0001", "color_aug": "True"}
    assert space.canonical(written) == {"network_dim": 32, "learning_rate": 1e-4, "color_aug": True}


def test_every_suggested_value_of_a_range_lies_on_it() -> None:
    space = SearchSpace.of(RANGES)
    for name, parameter in space.parameters.items():
        places = [parameter.place(value) for value in parameter.values]
        assert places == sorted(places), name
        assert (places[0], places[-1]) == (pytest.approx(0), pytest.approx(1)), name
        assert all(parameter.contains(value) for value in parameter.values), name
    epochs = space.parameters["max_train_epochs"].values
    assert epochs == tuple(range(4, 21))
    assert all(isinstance(epoch, int) for epoch in epochs)


def test_orders_of_magnitude_are_equally_far_apart() -> None:
    rate = SearchSpace.of(RANGES).parameters["learning_rate"]
    assert rate.place(1e-4) == pytest.approx(0.5)


def test_levels_are_equally_far_apart_and_go_on_beyond_the_ends() -> None:
    dim = SearchSpace.of({"network_dim": [8, 16, 32]}).parameters["network_dim"]
    assert [dim.place(value) for value in (4, 8, 16, 32, 64)] == pytest.approx([-0.5, 0, 0.5, 1, 1.5])


def test_what_is_not_known_is_no_place_and_what_is_outside_is_its_own() -> None:
    space = SearchSpace.of(
        {"network_dim": [16, 32], "optimizer_type": ["AdamW8bit", "Lion"], "conv_dim": {"levels": [0, 4], "unset": 0}}
    )
    runs = pd.DataFrame(
        {
            "network_dim": [16, None, "many", 64],
            "optimizer_type": ["Lion", None, "Prodigy", "Adafactor"],
            "conv_dim": [4, None, None, "None"],
        }
    )
    places = space.encode(runs)
    np.testing.assert_allclose(places[:, 0], [0, np.nan, np.nan, 2])
    np.testing.assert_allclose(places[:, 1], [1, np.nan, 3, 2])
    np.testing.assert_allclose(places[:, 2], [1, 0, 0, 0])
