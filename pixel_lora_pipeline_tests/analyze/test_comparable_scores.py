"""Epochs that were looked at with different prompts compare by what they share."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from pixel_lora_pipeline.analyze.comparable_scores import comparable_scores, shared_prompts


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    metrics: dict[str, Any] | None
    metrics_version: str | None = "1"
    negative_prompt: str = ""
    fault: str | None = None

    @property
    def prompt_id(self) -> str:
        return self.prompt


def image(prompt: str, score: float | None, seed: int = 1, version: str = "1") -> Image:
    return Image(prompt, seed, {"overall_score": score}, version)


def test_the_same_prompts_give_the_plain_mean_over_prompts() -> None:
    epochs = {
        2: [image("a", 40.0), image("a", 60.0, seed=2), image("b", 90.0), image("b", 90.0, seed=2)],
        1: [image("a", 10.0), image("a", 20.0, seed=2), image("b", 30.0), image("b", 50.0, seed=2)],
    }
    scores = comparable_scores(epochs)
    assert scores["epoch"].tolist() == [1, 2]
    assert scores["score"].to_numpy() == pytest.approx([27.5, 70.0])
    assert scores["n_images"].tolist() == [4, 4]
    assert scores["n_prompts"].tolist() == [2, 2]


def test_a_glance_at_an_easy_prompt_is_not_taken_for_a_better_epoch() -> None:
    ease = {"easy": 20.0, "medium": 0.0, "hard": -20.0}
    quality = {1: 50.0, 2: 55.0, 3: 60.0}
    asked = {1: ["easy", "medium", "hard"], 2: ["easy"], 3: ["easy", "medium"]}
    epochs = {
        epoch: [image(prompt, quality[epoch] + ease[prompt]) for prompt in prompts] for epoch, prompts in asked.items()
    }
    assert comparable_scores(epochs)["score"].to_numpy() == pytest.approx([50.0, 55.0, 60.0])


def test_fewer_images_tell_less() -> None:
    rng = np.random.default_rng(0)
    epochs = {
        epoch: [image(f"prompt {n}", 50.0 + 3 * n + rng.normal(0, 4)) for n in range(count)]
        for epoch, count in ((1, 15), (2, 15), (3, 5), (4, 1))
    }
    errors = comparable_scores(epochs)["standard_error"].tolist()
    assert errors[0] < errors[2] < errors[3], errors


def test_the_stated_error_is_the_true_one() -> None:
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(300):
        ease = rng.normal(0, 10, 12)
        epochs = {
            epoch: [image(f"prompt {n}", 50.0 + 2 * epoch + ease[n] + rng.normal(0, 4)) for n in range(count)]
            for epoch, count in ((1, 12), (2, 12), (3, 4))
        }
        scores = comparable_scores(epochs)
        truth = 50.0 + 2 * 3 + ease.mean()
        gaps.append((scores["score"][2] - truth) / scores["standard_error"][2])
    assert np.std(gaps) == pytest.approx(1.0, abs=0.15)


def test_epochs_that_share_nothing_are_not_put_on_one_scale() -> None:
    epochs = {
        1: [image("old", 50.0), image("older", 60.0)],
        2: [image("old", 55.0)],
        3: [image("new", 90.0)],
        4: [image("old", 90.0, version="2")],
    }
    groups = comparable_scores(epochs).set_index("epoch")["group"]
    assert groups[1] == groups[2] == 0
    assert len({groups[1], groups[3], groups[4]}) == 3
    assert shared_prompts(epochs[1], epochs[2]) == {(("old", "", 1), "1")}
    assert shared_prompts(epochs[1], epochs[3]) == set()
    assert shared_prompts(epochs[1], epochs[4]) == set()


def test_what_could_not_be_told_takes_no_part() -> None:
    epochs = {1: [image("a", None), Image("b", 1, None)], 2: [image("a", 50.0), image("b", float("nan"))]}
    scores = comparable_scores(epochs)
    assert scores[["epoch", "n_images"]].to_numpy().tolist() == [[2, 1]]
    assert scores["score"].tolist() == pytest.approx([50.0])
    assert comparable_scores({}).empty
