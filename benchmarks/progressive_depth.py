"""What progressive depth saves, and whether it chooses the same epoch: `python benchmarks/progressive_depth.py`.

Simulated trainings of three families of curves, scored image by image: the epoch's quality, how hard the prompt is,
how much harder it is for this epoch, and the chance of a seed, each as large as was measured on the demo's epochs
(--noise 2 doubles the last two). The epoch is chosen by `detect_convergence`. "Full, other seeds" repeats the full
looks with new chance: how often two complete evaluations of one training agree.

With --checkpoints FOLDER the same on a real training of the embedded model, all of whose epochs are looked at fully
first (about 12 s an epoch on one core).
"""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from pixel_lora_pipeline.analyze.comparable_scores import comparable_scores
from pixel_lora_pipeline.analyze.convergence import Convergence, detect_convergence
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.train import read_checkpoint
from pixel_lora_pipeline.validate import Generator, load_suite, measure_image
from pixel_lora_pipeline.validate.depth import DEPTHS, Depth, depth_for, epochs_to_deepen, share_saved
from pixel_lora_pipeline.validate.measurement import decode_png

# Standard deviations in points, of `overall_score` over eight epochs, 17 prompts and two seeds of the demo.
PROMPT, PROMPT_AT_EPOCH, SEED = 5.8, 1.9, 3.4

SUITE = load_suite()
ASKED = {
    depth: [(request.prompt_id, request.seed) for request in SUITE.at_depth(depth).requests("embedded")]
    for depth in DEPTHS
}
IMAGES: dict[Depth, int] = {depth: len(ASKED[depth]) for depth in DEPTHS}


@dataclass(frozen=True)
class Image:
    prompt: str
    seed: int
    metrics: dict[str, Any]
    metrics_version: str | None = "1"
    negative_prompt: str = ""
    fault: str | None = None

    @property
    def prompt_id(self) -> str:
        return self.prompt


@dataclass(frozen=True)
class Training:
    """A finished training of which everything is known: the true curve, or None, and each image's score."""

    truth: np.ndarray | None
    scores: Mapping[tuple[int, str, int], float]
    epochs: int

    def look(self, epoch: int, depth: Depth) -> list[Image]:
        return [
            Image(prompt, seed, {"overall_score": self.scores[epoch, prompt, seed]}) for prompt, seed in ASKED[depth]
        ]


@dataclass(frozen=True)
class Outcome:
    chosen: int
    saved: float


def simulate(rng: np.random.Generator, epochs: int, noise: float) -> tuple[Training, Training]:
    """A training, and the same with other chance in every image."""
    truth = quality(rng, epochs)
    ease = {prompt.id: rng.normal(0, PROMPT) for prompt in SUITE.prompts}

    def scored() -> Training:
        scores = {}
        for epoch in range(1, epochs + 1):
            shift = {prompt: rng.normal(0, noise * PROMPT_AT_EPOCH) for prompt in ease}
            for prompt, seed in ASKED["full"]:
                chance = rng.normal(0, noise * SEED)
                scores[epoch, prompt, seed] = float(truth[epoch - 1] + ease[prompt] + shift[prompt] + chance)
        return Training(truth, scores, epochs)

    return scored(), scored()


def quality(rng: np.random.Generator, epochs: int) -> np.ndarray:
    """A true curve: a hill, a saturating rise with or without a decline, or a bump on a plain."""
    x = np.arange(1, epochs + 1) / epochs
    peak, top = rng.normal(0.7, 0.25), rng.uniform(75, 90)
    family = rng.integers(3)
    if family == 0:
        return np.asarray(top - rng.uniform(20, 80) * (x - peak) ** 2)
    if family == 1:
        rise = 25 * np.exp(-x / rng.uniform(0.1, 0.4))
        return np.asarray(top - rise - rng.uniform(0, 20) * np.maximum(0, x - peak))
    return np.asarray(top - 20 * (1 - np.exp(-0.5 * ((x - peak) / rng.uniform(0.2, 0.5)) ** 2)))


def judged(training: Training, depths: Mapping[int, Depth], *, plain: bool = False) -> Convergence:
    looks = {epoch: training.look(epoch, depth) for epoch, depth in depths.items()}
    table = comparable_scores(looks)
    if plain:
        table["score"] = [
            np.mean([image.metrics["overall_score"] for image in looks[epoch]]) for epoch in table["epoch"]
        ]
    return detect_convergence(table, training.epochs)


def full_always(training: Training) -> Outcome:
    return outcome(training, dict.fromkeys(range(1, training.epochs + 1), "full"))


def planned(training: Training) -> Outcome:
    return outcome(training, plan(training.epochs))


def planned_by_plain_means(training: Training) -> Outcome:
    return outcome(training, plan(training.epochs), plain=True)


def planned_and_finer(training: Training) -> Outcome:
    """As the pipeline does it: after each epoch, finer looks until none is asked for."""
    depths: dict[int, Depth] = {}
    for epoch in range(1, training.epochs + 1):
        depths[epoch] = depth_for(epoch, training.epochs)
        while True:
            known = judged(training, depths)
            assert known.best_epoch_interval is not None
            finer = epochs_to_deepen(depths, known.best_epoch_interval, known.probability_of_gain)
            if not finer:
                break
            depths |= finer
    return outcome(training, depths)


def plan(epochs: int) -> dict[int, Depth]:
    return {epoch: depth_for(epoch, epochs) for epoch in range(1, epochs + 1)}


def outcome(training: Training, depths: Mapping[int, Depth], *, plain: bool = False) -> Outcome:
    chosen = judged(training, depths, plain=plain).best_epoch
    assert chosen is not None
    return Outcome(chosen, share_saved(list(depths.values()), IMAGES))


STRATEGIES: dict[str, Callable[[Training], Outcome]] = {
    "full always": full_always,
    "the plan, plain means": planned_by_plain_means,
    "the plan": planned,
    "the plan, finer where undecided": planned_and_finer,
}


def simulated(epochs: int, trainings: int, noise: float) -> Table:
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for number in track(range(trainings), f"{epochs} epochs"):
        training, repeated = simulate(np.random.default_rng(number), epochs, noise)
        assert training.truth is not None
        outcomes = {name: strategy(training) for name, strategy in STRATEGIES.items()}
        outcomes["full, other seeds"] = full_always(repeated)
        reference = outcomes["full always"].chosen
        for name, result in outcomes.items():
            regret = float(training.truth.max() - training.truth[result.chosen - 1])
            distance = abs(result.chosen - reference)
            rows.setdefault(name, []).append((result.saved, regret, distance == 0, distance))
    title = f"{trainings} simulated trainings of {epochs} epochs, {IMAGES} images, noise × {noise:g}"
    table = Table("depths", "GPU time saved", "regret, points", "same epoch", "epochs apart", title=title)
    for name, results in rows.items():
        saved, regret, same, distance = np.mean(np.array(results, float), axis=0)
        table.add_row(name, f"{saved:.0%}", f"{regret:.2f}", f"{same:.0%}", f"{distance:.2f}")
    return table


def real(folder: Path) -> Table:
    generator, expectations = (
        Generator(WEIGHTS, device="cpu"),
        {prompt.id: prompt.expectation for prompt in SUITE.prompts},
    )
    found = [read_checkpoint(path) for path in sorted(folder.glob("*.safetensors"))]
    checkpoints = {checkpoint.epoch: checkpoint.path for checkpoint in found if checkpoint.epoch}
    scores: dict[tuple[int, str, int], float] = {}
    for epoch, path in track(sorted(checkpoints.items()), "Looking at every epoch fully"):
        for image in generator.generate(path, SUITE.requests("embedded")):
            request = image.request
            measured = measure_image(decode_png(image.png), expectations[request.prompt_id])
            assert measured.overall_score is not None
            scores[epoch, request.prompt_id, request.seed] = measured.overall_score
    training = Training(None, scores, max(checkpoints))
    everything = judged(training, dict.fromkeys(checkpoints, "full")).curve
    quality_at = {point.epoch: point.fitted for point in everything}
    table = Table(
        "depths", "GPU time saved", "chosen epoch", "fitted score of it, by all images", title=str(folder.name)
    )
    for name, strategy in STRATEGIES.items():
        result = strategy(training)
        table.add_row(name, f"{result.saved:.0%}", str(result.chosen), f"{quality_at[result.chosen]:.2f}")
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainings", type=int, default=100)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10])
    parser.add_argument("--noise", type=float, nargs="+", default=[1.0])
    parser.add_argument("--checkpoints", type=Path, help="folder of a finished training of the embedded model")
    arguments = parser.parse_args()
    console = Console()
    if arguments.checkpoints:
        console.print(real(arguments.checkpoints))
        return
    for epochs in arguments.epochs:
        for noise in arguments.noise:
            console.print(simulated(epochs, arguments.trainings, noise))


if __name__ == "__main__":
    main()
