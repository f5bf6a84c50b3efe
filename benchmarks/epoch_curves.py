"""True scores of the epochs of imagined trainings, and what an evaluation would see of them.

The families differ in how they rise, peak and decline, and most are not among the shapes that
`pixel_lora_pipeline.analyze.curve_ensemble` weighs. The peaks lie at epoch 5, 10 and 16 of 16 planned at the 10th,
50th and 90th percentile, and in proportion for other lengths, except where a family says otherwise.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.random import Generator
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Training:
    """True scores of the planned epochs, on 0-100, and what was measured of them."""

    truth: Floats
    measured: pd.DataFrame

    @property
    def planned(self) -> int:
        return len(self.truth)

    def until(self, epoch: int) -> pd.DataFrame:
        return self.measured[self.measured["epoch"] <= epoch]


def peak_of(random: Generator, planned: int) -> float:
    return float(planned * 10 / 16 * math.exp(random.normal(0, 0.5)))


def gamma_like(random: Generator, planned: int) -> Floats:
    epoch, peak, order = epochs(planned), peak_of(random, planned), random.uniform(0.3, 1.5)
    return 45 + random.uniform(15, 40) * (epoch / peak) ** order * np.exp(order * (1 - epoch / peak))


def logistic_then_linear(random: Generator, planned: int) -> Floats:
    epoch, peak = epochs(planned), peak_of(random, planned)
    middle, width = peak * random.uniform(0.2, 0.5), peak * random.uniform(0.1, 0.25)
    loss = random.uniform(0.3, 2.0) * 16 / planned
    return 40 + random.uniform(15, 40) / (1 + np.exp(-(epoch - middle) / width)) - loss * np.maximum(epoch - peak, 0)


def double_exponential(random: Generator, planned: int) -> Floats:
    rise, ratio = random.uniform(0.2, 0.6), random.uniform(3, 20)
    own_peak = rise * math.log(ratio) * ratio / (ratio - 1)
    x = epochs(planned) * own_peak / peak_of(random, planned)

    def curve(at: Floats | float) -> Floats:
        return np.asarray(np.exp(-np.asarray(at) / (rise * ratio)) - np.exp(-np.asarray(at) / rise))

    return 40 + random.uniform(15, 40) * curve(x) / curve(own_peak)


def power_law(random: Generator, planned: int) -> Floats:
    """Up to a round or sharp peak and down again, each by its own power."""
    epoch, peak = epochs(planned), peak_of(random, planned)
    before, after = np.clip((peak - epoch) / peak, 0, 1), np.clip((epoch - peak) / peak, 0, None)
    rise, decline, depth = random.uniform(1.2, 4), random.uniform(1, 2), random.uniform(0.05, 0.8)
    return 40 + random.uniform(15, 40) * (1 - before**rise - depth * after**decline)


def plateau_then_collapse(random: Generator, planned: int) -> Floats:
    """A flat top that ends at once, as when a training diverges slowly."""
    epoch, collapse = epochs(planned), peak_of(random, planned)
    rise = 1 - np.exp(-epoch / (collapse * random.uniform(0.1, 0.35)))
    fallen = 1 / (1 + np.exp(-(epoch - collapse - 1) / 0.4))
    return 45 + random.uniform(15, 35) * rise - random.uniform(8, 40) * fallen - 0.05 * epoch


def piecewise_linear(random: Generator, planned: int) -> Floats:
    """Fast, then slow, then downwards."""
    peak = max(peak_of(random, planned), 1.5)
    bend = 1 + (peak - 1) * random.uniform(0.2, 0.6)
    top, height = random.uniform(70, 92), random.uniform(15, 40)
    slow = height * random.uniform(0.05, 0.3)
    end = top - random.uniform(0.3, 1.5) * 16 / planned * max(planned - peak, 0.5)
    corners = [1, bend, peak, max(planned, peak + 0.5)]
    return np.interp(epochs(planned), corners, [top - height, top - slow, top, end])


def steps(random: Generator, planned: int) -> Floats:
    """Nothing for some epochs, then a jump, as concepts are learned one by one and lost one by one."""
    peak = peak_of(random, planned)
    score = np.full(planned, 45.0)
    for _ in range(random.integers(3, 7)):
        score[epochs(planned) >= random.uniform(1, max(peak, 1.5))] += random.uniform(2, 10)
    for _ in range(random.integers(1, 5)):
        score[epochs(planned) > random.uniform(peak, max(1.6 * planned, peak + 1))] -= random.uniform(1, 6)
    return score


def saturating(random: Generator, planned: int) -> Floats:
    """Never declines; by a power law or an exponential, the gains get small at some time."""
    epoch = epochs(planned)
    if random.random() < 0.5:
        rise = 1 - np.exp(-epoch / (planned * random.uniform(0.06, 0.4)))
    else:
        rise = 1 - epoch ** -random.uniform(0.5, 1.5)
    return 45 + random.uniform(15, 40) * rise


def early_overfit(random: Generator, planned: int) -> Floats:
    """Best among the first epochs, then steadily worse: a learning rate that is too high."""
    epoch, peak = epochs(planned), random.uniform(0.5, 0.25 * planned)
    rise = np.where(epoch < peak, ((peak - epoch) / peak) ** 2, 0)
    loss = random.uniform(10, 45) * (1 - np.exp(-np.maximum(epoch - peak, 0) / (planned * random.uniform(0.2, 0.8))))
    return random.uniform(65, 90) - random.uniform(5, 25) * rise - loss


def wandering(random: Generator, planned: int) -> Floats:
    """A rise and decline on which each epoch has its own, real, ups and downs."""
    smooth = gamma_like(random, planned)
    drift = np.zeros(planned)
    for epoch in range(1, planned):
        drift[epoch] = 0.6 * drift[epoch - 1] + random.normal(0, 0.8)
    return smooth + drift


# Smooth, with one peak that lies where the peaks of real trainings lie: what the figures of the goal are about.
PEAKED: dict[str, Callable[[Generator, int], Floats]] = {
    "gamma-like": gamma_like,
    "logistic, then linear": logistic_then_linear,
    "double exponential": double_exponential,
    "power law": power_law,
}
# Abrupt, endless, early or uneven: where any forecast is harder, or useless.
OTHERS: dict[str, Callable[[Generator, int], Floats]] = {
    "piecewise linear": piecewise_linear,
    "plateau, then collapse": plateau_then_collapse,
    "steps": steps,
    "saturating": saturating,
    "early overfit": early_overfit,
    "wandering": wandering,
}
FAMILIES = PEAKED | OTHERS


def epochs(planned: int) -> Floats:
    return np.arange(1, planned + 1, dtype=float)


def imagined(family: str, count: int, planned: int, noise: float, seed: int) -> Iterator[Training]:
    """Trainings of a family, every epoch evaluated with the same depth."""
    random = np.random.default_rng([seed, list(FAMILIES).index(family), planned])
    for _ in range(count):
        truth = FAMILIES[family](random, planned)
        yield Training(truth, table(np.arange(1, planned + 1), truth + random.normal(0, noise, planned)))


def uneven(family: str, count: int, planned: int, noise: float, seed: int) -> Iterator[Training]:
    """Trainings whose epochs were evaluated with 4, 8 or 16 images (`noise` is that of 16), a fifth of them never."""
    random = np.random.default_rng([seed, list(FAMILIES).index(family), planned])
    for _ in range(count):
        truth = FAMILIES[family](random, planned)
        images = random.choice([4, 8, 16], planned)
        scores = truth + random.normal(0, noise, planned) * np.sqrt(16 / images)
        seen = np.flatnonzero(random.random(planned) > 0.2)
        yield Training(truth, table(seen + 1, scores[seen], images[seen]))


def trained(count: int, planned: int, noise: float, seed: int) -> Iterator[Training]:
    """Trainings that really took place: small networks on little data with wrong labels among it.

    The truth is the accuracy on 4,000 examples that were not trained on, in percent. Learning rate, size of the network
    and share of wrong labels vary, so that some peak early, some late, and some only level off.
    """
    random = np.random.default_rng(seed)
    for _ in range(count):
        accuracy = accuracy_by_epoch(random, planned)
        yield Training(accuracy, table(np.arange(1, planned + 1), accuracy + random.normal(0, noise, planned)))


def accuracy_by_epoch(random: Generator, planned: int) -> Floats:
    torch.manual_seed(int(random.integers(2**31)))
    features, classes, examples = 20, 4, int(random.choice([150, 300, 600]))
    teacher = torch.nn.Sequential(torch.nn.Linear(features, 16), torch.nn.Tanh(), torch.nn.Linear(16, classes))
    x, x_new = torch.randn(examples, features), torch.randn(4000, features)
    with torch.no_grad():
        y, y_new = (teacher(data).argmax(1) for data in (x, x_new))
    wrong = torch.rand(examples) < random.uniform(0.1, 0.4)
    y = torch.where(wrong, torch.randint(classes, (examples,)), y)
    width = int(random.choice([32, 128, 512]))
    network = torch.nn.Sequential(torch.nn.Linear(features, width), torch.nn.ReLU(), torch.nn.Linear(width, classes))
    optimizer = torch.optim.AdamW(network.parameters(), lr=10 ** random.uniform(-3.3, -1.7))
    accuracy = []
    for _ in range(planned):
        for batch in torch.randperm(examples).split(16):  # type: ignore[no-untyped-call]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        with torch.no_grad():
            accuracy.append(100 * float((network(x_new).argmax(1) == y_new).float().mean()))
    return np.array(accuracy)


def table(epoch: NDArray[np.int64], score: Floats, images: NDArray[np.int64] | None = None) -> pd.DataFrame:
    columns = {"epoch": epoch, "score": score}
    return pd.DataFrame(columns if images is None else columns | {"n_images": images})
