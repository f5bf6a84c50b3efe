"""Imagined histories of trainings, of which it is known what caused what.

`imagined_history` makes a `World` (which parameters act on which metrics, in which form and by how much) and the runs
of somebody who looks for a good configuration in it. The world goes on answering: `World.evaluate` gives the true
metrics of any configuration, `World.observe` what a run of it would have measured, `World.influence` how much a
parameter matters among given runs, `World.issues` what went wrong in a run and which parameters cost how much.

People do not experiment well, and so do the histories: what did best is copied, several things are changed at once,
some are only ever changed together (`World.aliases`), and settings that do nothing go with the progress. The families
differ in the form of effects, in noise, in the scale of the metrics and in how the next run is chosen; see `FAMILIES`.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

Configuration = Mapping[str, Any]

COMPONENTS = ("style_score", "background_accuracy", "hair_accuracy", "accessory_accuracy")
QUALITY = "quality_score"
METRICS = (*COMPONENTS, QUALITY)
_WEIGHTS = {"style_score": 0.3, "background_accuracy": 0.25, "hair_accuracy": 0.25, "accessory_accuracy": 0.2}

# What each parameter may be set to, in its order if it has one; the first is where everybody starts.
SPACE: dict[str, tuple[Any, ...]] = {
    "network_dim": (64, 16, 32, 128),
    "network_alpha": (32, 8, 16, 64),
    "conv_dim": (0, 4, 8, 16),
    "learning_rate": (1e-4, 2e-5, 5e-5, 2e-4, 4e-4),
    "text_encoder_lr": (5e-5, 0.0, 1e-5, 1e-4),
    "lr_scheduler": ("cosine", "constant", "linear", "cosine_with_restarts"),
    "optimizer_type": ("AdamW8bit", "AdamW", "Prodigy", "Lion"),
    "lr_warmup_steps": (0, 50, 100, 200),
    "train_batch_size": (2, 1, 4, 8),
    "gradient_accumulation_steps": (1, 2, 4),
    "max_train_epochs": (10, 5, 15, 20),
    "num_images": (203, 80, 140, 300),
    "num_repeats": (10, 5, 20),
    "resolution": (512, 384, 768),
    "caption_complexity": (8, 4, 12, 16),
    "caption_version": ("v1", "v2", "v3"),
    "keep_tokens": (1, 0, 2, 3, 4),
    "shuffle_caption": (True, False),
    "caption_dropout_rate": (0.0, 0.05, 0.1, 0.2),
    "caption_tag_dropout_rate": (0.0, 0.1),
    "clip_skip": (1, 2),
    "color_aug": (False, True),
    "flip_aug": (False, True),
    "random_crop": (False, True),
    "noise_offset": (0.0, 0.03, 0.05, 0.1),
    "min_snr_gamma": (0, 1, 5, 10),
    "multires_noise_iterations": (0, 6, 10),
    "network_dropout": (0.0, 0.1, 0.3),
    "scale_weight_norms": (0, 1, 5),
    "max_grad_norm": (1.0, 0.0, 0.5),
    "prior_loss_weight": (1.0, 0.5),
    "resize_interpolation": ("area", "nearest", "lanczos"),
    "bucket_no_upscale": (True, False),
    "min_bucket_reso": (256, 320),
    "mixed_precision": ("fp16", "bf16", "no"),
    "xformers": (True, False),
    "gradient_checkpointing": (False, True),
    "cache_latents": (True, False),
}
# What is commonly said to act on a component: most causes are among it, and most of it causes nothing.
FOLKLORE: dict[str, tuple[str, ...]] = {
    "style_score": (
        *("network_dim", "network_alpha", "learning_rate", "conv_dim", "resize_interpolation", "min_snr_gamma"),
        *("noise_offset", "color_aug", "resolution", "max_train_epochs", "optimizer_type"),
    ),
    "background_accuracy": (
        *("keep_tokens", "caption_complexity", "caption_version", "shuffle_caption", "caption_dropout_rate"),
        *("noise_offset", "text_encoder_lr", "num_images", "network_dim", "lr_scheduler"),
    ),
    "hair_accuracy": (
        *("keep_tokens", "caption_complexity", "caption_version", "color_aug", "text_encoder_lr", "learning_rate"),
        *("max_train_epochs", "num_repeats", "clip_skip", "network_alpha"),
    ),
    "accessory_accuracy": (
        *("conv_dim", "caption_version", "num_images", "caption_tag_dropout_rate", "flip_aug", "random_crop"),
        *("resolution", "max_train_epochs", "network_dim", "clip_skip", "learning_rate"),
    ),
}
PRODUCTS = (
    ("network_alpha", "network_dim", -1),
    ("network_dim", "network_alpha", 1),
    ("learning_rate", "network_alpha", 1),
    ("keep_tokens", "caption_complexity", -1),
)
ISSUE_NAMES = {
    "style_score": "photorealism",
    "background_accuracy": "wrong_background",
    "hair_accuracy": "two_toned_hair",
    "accessory_accuracy": "missing_accessory",
}
ISSUE_BELOW = 70.0
TYPICAL_VARIED = 21
TYPICAL_ALIASES = 3
TYPICAL_BUNDLES = 8


@dataclass(frozen=True)
class Cause:
    """What one or two parameters do to one component.

    Attributes
    ----------
    parameters
        Those that act.
    points
        Configuration → points, 0 at best and negative elsewhere.
    form
        "threshold", "linear", "peak", "level", "saturating" or "product".
    """

    parameters: tuple[str, ...]
    points: Callable[[Configuration], float]
    form: str


@dataclass(frozen=True)
class Issue:
    """What was wrong with a run.

    Attributes
    ----------
    name, metric
        What, and where it shows.
    score
        Its true value, 0-100.
    lost
        For each parameter that costs something, how many points of the metric its best setting would win back; the
        true causes, the greatest first.
    """

    name: str
    metric: str
    score: float
    lost: dict[str, float]


@dataclass(frozen=True)
class World:
    """What is true.

    Attributes
    ----------
    causes
        Of each component.
    ceiling
        The best that each component can be, 0-100.
    aliases
        Parameters that were never changed separately; each group in one tuple.
    folklore
        What somebody believes to act on each metric, before any run; partly wrong.
    noise
        Standard deviation of a component's measurement in points; that of the quality is smaller.
    link
        What a component's sum of points is read as.
    combine
        How the components make the quality.
    disturb
        Random generator, noise → what is added to a component.
    scale
        Metrics are divided by this: 1 for points, 10 for ratings.
    """

    causes: Mapping[str, tuple[Cause, ...]]
    ceiling: Mapping[str, float]
    aliases: tuple[tuple[str, ...], ...]
    folklore: Mapping[str, frozenset[str]]
    noise: float
    link: Callable[[float], float]
    combine: Callable[[Mapping[str, float]], float]
    disturb: Callable[[Generator, float], float]
    scale: float = 1.0

    def evaluate(self, configuration: Configuration) -> dict[str, float]:
        """True metrics of a configuration; values between the usual ones are understood."""
        components = {
            metric: self.link(self.ceiling[metric] + sum(cause.points(configuration) for cause in self.causes[metric]))
            for metric in COMPONENTS
        }
        metrics = {**components, QUALITY: self.combine(components)}
        return {metric: value / self.scale for metric, value in metrics.items()}

    def observe(self, configuration: Configuration, random: Generator, trend: float = 0.0) -> dict[str, float]:
        """What a run would measure; `trend` is added to every component."""
        truth = self.evaluate(configuration)
        noisy = {
            metric: float(np.clip(truth[metric] * self.scale + self.disturb(random, self.noise) + trend, 0, 100))
            for metric in COMPONENTS
        }
        return {metric: value / self.scale for metric, value in {**noisy, QUALITY: self.combine(noisy)}.items()}

    def acting(self, metric: str) -> frozenset[str]:
        """Parameters that act on a metric."""
        metrics = COMPONENTS if metric == QUALITY else (metric,)
        return frozenset(name for each in metrics for cause in self.causes[each] for name in cause.parameters)

    def influence(self, parameter: str, metric: str, runs: pd.DataFrame) -> float:
        """How far the true metric moves when a parameter takes each of the values it had in these runs.

        Mean over the runs, everything else as it was there; in units of the metric.
        """
        values = list(dict.fromkeys(runs[parameter]))
        if len(values) < 2 or parameter not in self.acting(metric):
            return 0.0
        spans = []
        for configuration in configurations_of(runs):
            moved = [self.evaluate({**configuration, parameter: value})[metric] for value in values]
            spans.append(max(moved) - min(moved))
        return float(np.mean(spans))

    def difference(self, parameter: str, low: Any, high: Any, metric: str, runs: pd.DataFrame) -> float:
        """How the true metric changes when a parameter goes from one value to another, mean over these runs."""
        changes = [
            self.evaluate({**configuration, parameter: high})[metric]
            - self.evaluate({**configuration, parameter: low})[metric]
            for configuration in configurations_of(runs)
        ]
        return float(np.mean(changes))

    def issues(self, configuration: Configuration) -> list[Issue]:
        """What is truly wrong with a configuration, the worst first."""
        truth = self.evaluate(configuration)
        found = []
        for metric in COMPONENTS:
            score = truth[metric] * self.scale
            if score < ISSUE_BELOW:
                lost = {name: self._regained(configuration, name, metric) for name in self.acting(metric)}
                lost = {
                    name: points for name, points in sorted(lost.items(), key=lambda it: (-it[1], it[0])) if points > 0
                }
                found.append(Issue(ISSUE_NAMES[metric], metric, score, lost))
        return sorted(found, key=lambda issue: issue.score)

    def _regained(self, configuration: Configuration, parameter: str, metric: str) -> float:
        best = max(self.evaluate({**configuration, parameter: value})[metric] for value in SPACE[parameter])
        return (best - self.evaluate(configuration)[metric]) * self.scale

    def prior(self, metric: str, believed: float = 0.30, other: float = 0.02) -> dict[str, float]:
        """Probabilities by the folklore, for `learn.assess_parameters`."""
        metrics = COMPONENTS if metric == QUALITY else (metric,)
        named = frozenset(name for each in metrics for name in self.folklore[each])
        return {name: believed if name in named else other for name in SPACE}


@dataclass(frozen=True)
class History:
    """Runs, and the world that they were made in.

    Attributes
    ----------
    runs
        A row a run in their order: `run_name`, `run_date`, `parent_run` (whose configuration was copied), every
        parameter of `SPACE`, every metric of `METRICS`.
    world
        The truth.
    family
        How it was made.
    """

    runs: pd.DataFrame
    world: World
    family: str
    parameters: list[str] = field(default_factory=lambda: list(SPACE))

    def until(self, n: int) -> "History":
        """The first n runs."""
        return History(self.runs.iloc[:n], self.world, self.family, self.parameters)


@dataclass(frozen=True)
class Family:
    """A kind of history.

    Attributes
    ----------
    forms
        Forms of effects, each with its weight.
    copies_best
        Probability that the next run starts from the best so far, else from the last.
    changes
        Most things that are changed at once.
    design
        "search" for people's way; "random" for independent settings; "one at a time".
    noise
        From and to, in points.
    disturb, link, combine, scale
        As in `World`.
    trend
        Points that every component gains from the first to the last run of 30, for no reason among the parameters.
    """

    forms: Mapping[str, float]
    copies_best: float = 0.7
    changes: int = 3
    design: str = "search"
    noise: tuple[float, float] = (2.5, 4.0)
    disturb: Callable[[Generator, float], float] = lambda random, noise: float(random.normal(0, noise))
    link: Callable[[float], float] = lambda points: min(max(points, 0.0), 100.0)
    combine: Callable[[Mapping[str, float]], float] = lambda parts: sum(_WEIGHTS[name] * parts[name] for name in parts)
    scale: float = 1.0
    trend: float = 0.0


def heavy_tails(random: Generator, noise: float) -> float:
    """Student noise with 3 degrees of freedom; one run in thirty is spoilt."""
    spoilt = random.uniform(10, 30) if random.random() < 1 / 30 else 0.0
    return float(noise * random.standard_t(3) / math.sqrt(3) - spoilt)


def s_curve(points: float) -> float:
    """Saturates at both ends: what is good or bad already changes little."""
    return 100 / (1 + math.exp(-(points - 55) / 14))


def weakest_link(parts: Mapping[str, float]) -> float:
    """Mostly the worst component."""
    return 0.6 * min(parts.values()) + 0.4 * sum(parts.values()) / len(parts)


FAMILIES: dict[str, Family] = {
    "thresholds": Family({"threshold": 1.0}),
    "straight lines": Family({"linear": 0.7, "saturating": 0.3}),
    "peaks and values": Family({"peak": 0.5, "level": 0.3, "threshold": 0.2}),
    "s-curve": Family({"threshold": 0.4, "linear": 0.3, "peak": 0.3}, link=s_curve),
    "products": Family({"product": 0.4, "threshold": 0.3, "linear": 0.3}),
    "heavy tails": Family({"threshold": 0.5, "linear": 0.3, "peak": 0.2}, disturb=heavy_tails),
    "weakest link": Family({"threshold": 0.5, "linear": 0.3, "peak": 0.2}, combine=weakest_link, scale=10.0),
    "drift": Family({"threshold": 0.5, "linear": 0.3, "peak": 0.2}, trend=8.0),
    "random design": Family({"threshold": 0.4, "linear": 0.3, "peak": 0.3}, design="random"),
    "one at a time": Family({"threshold": 0.4, "linear": 0.3, "peak": 0.3}, design="one at a time"),
}


def imagined_history(family: str, n: int, seed: int) -> History:
    """A history of n runs in a world of its own; the same for the same arguments, and shorter ones are its start."""
    random = np.random.default_rng([seed, list(FAMILIES).index(family)])
    kind = FAMILIES[family]
    varied = [str(name) for name in random.choice(list(SPACE), TYPICAL_VARIED, replace=False)]
    # Whoever reads the folklore varies it.
    said = [name for names in FOLKLORE.values() for name in names[:3]]
    varied = list(dict.fromkeys([*(name for name in said if random.random() < 0.5), *varied]))[:TYPICAL_VARIED]
    aliases = _aliases(varied, random)
    world = _world(kind, varied, aliases, random)
    return History(_runs(world, kind, varied, aliases, n, random), world, family)


def configurations_of(runs: pd.DataFrame) -> list[dict[str, Any]]:
    """Parameters of each run."""
    return [dict(zip(SPACE, values, strict=True)) for values in runs[list(SPACE)].itertuples(index=False, name=None)]


def ordered_values(parameter: str) -> list[Any]:
    """The values of a parameter, increasing if they have an order."""
    values = SPACE[parameter]
    return list(values) if isinstance(values[0], str) else sorted(values)


def _place(parameter: str, value: Any) -> float:
    """Where a value lies among the usual ones, from 0 to 1; between them by interpolation."""
    values = ordered_values(parameter)
    if isinstance(values[0], str):
        return values.index(value) / (len(values) - 1) if value in values else 0.0
    return float(np.interp(float(value), [float(usual) for usual in values], np.linspace(0, 1, len(values))))


def _aliases(varied: Sequence[str], random: Generator) -> tuple[tuple[str, ...], ...]:
    """Disjoint pairs, and sometimes a triple, of parameters that can be changed together step by step."""
    free = [str(name) for name in random.permutation(list(varied))]
    groups: list[tuple[str, ...]] = []
    for _ in range(TYPICAL_ALIASES):
        first = free.pop()
        partners = [name for name in free if len(SPACE[name]) == len(SPACE[first])]
        group = (first, *partners[: 2 if random.random() < 0.2 else 1])
        free = [name for name in free if name not in group]
        if len(group) > 1:
            groups.append(group)
    return tuple(groups)


def _world(kind: Family, varied: Sequence[str], aliases: Iterable[tuple[str, ...]], random: Generator) -> World:
    causes: dict[str, tuple[Cause, ...]] = {}
    folklore: dict[str, frozenset[str]] = {}
    for metric in COMPONENTS:
        sizes = [*random.uniform(8, 28, random.integers(1, 4)), *random.uniform(1, 4, random.integers(0, 3))]
        causes[metric] = tuple(_cause(metric, kind, varied, float(size), random) for size in sizes)
        acting = list(dict.fromkeys(name for cause in causes[metric] for name in cause.parameters))
        named = dict.fromkeys([*FOLKLORE[metric], *(name for name in acting if random.random() < 0.75)])
        folklore[metric] = frozenset(name for name in named if random.random() < (0.9 if name in acting else 0.7))
    return World(
        causes=causes,
        ceiling={metric: float(random.uniform(85, 98)) for metric in COMPONENTS},
        aliases=tuple(aliases),
        folklore=folklore,
        noise=float(random.uniform(*kind.noise)),
        link=kind.link,
        combine=kind.combine,
        disturb=kind.disturb,
        scale=kind.scale,
    )


def _cause(metric: str, kind: Family, varied: Sequence[str], size: float, random: Generator) -> Cause:
    form = str(random.choice(list(kind.forms), p=list(kind.forms.values())))
    if form == "product":
        pairs = [pair for pair in PRODUCTS if pair[0] in varied and pair[1] in varied]
        if pairs:
            return _product(*pairs[random.integers(len(pairs))], size, random)
        form = "threshold"
    likely = [name for name in FOLKLORE[metric] if name in varied]
    pool = likely if likely and random.random() < 0.75 else list(varied)
    name = str(pool[random.integers(len(pool))])
    levels = ordered_values(name)
    if isinstance(levels[0], str):
        worth = dict(zip(levels, random.permutation([0.0, *random.uniform(0.3, 1.0, len(levels) - 1)]), strict=True))
        return Cause((name,), lambda at: -size * float(worth.get(at[name], 1.0)), "level")
    downwards = bool(random.random() < 0.5)
    curve = _curve(form, len(levels), random)
    return Cause(
        (name,), lambda at: -size * curve(1 - _place(name, at[name]) if downwards else _place(name, at[name])), form
    )


def _curve(form: str, n_levels: int, random: Generator) -> Callable[[float], float]:
    """Loss, 0 to 1, by the place 0 to 1."""
    if form == "peak" and n_levels > 2:
        top = random.integers(1, n_levels - 1) / (n_levels - 1)
        return lambda place: min(abs(place - top) / max(top, 1 - top), 1.0)
    if form == "saturating":
        return lambda place: math.exp(-4 * place)
    if form == "linear" or n_levels == 2:
        return lambda place: 1 - place
    if form == "level":
        special = random.integers(n_levels) / (n_levels - 1)
        return lambda place: float(abs(place - special) > 0.5 / (n_levels - 1))
    cut = (random.integers(n_levels - 1) + 0.5) / (n_levels - 1)
    return lambda place: float(place < cut)


def _product(first: str, second: str, sign: int, size: float, random: Generator) -> Cause:
    """A threshold in the product of two parameters, or their ratio, softened over a factor of two."""
    usual = [
        math.log2((float(one) + 1e-6) * (float(two) + 1e-6) ** sign) for one in SPACE[first] for two in SPACE[second]
    ]
    cut, upwards = float(np.quantile(usual, random.uniform(0.3, 0.7))), bool(random.random() < 0.5)

    def points(at: Configuration) -> float:
        value = math.log2((float(at[first]) + 1e-6) * (float(at[second]) + 1e-6) ** sign)
        share = min(max((value - cut) + 0.5, 0.0), 1.0)
        return -size * (share if upwards else 1 - share)

    return Cause((first, second), points, "product")


def _runs(
    world: World, kind: Family, varied: Sequence[str], aliases: Sequence[tuple[str, ...]], n: int, random: Generator
) -> pd.DataFrame:
    start = {name: values[0] for name, values in SPACE.items()}
    tied = {name: group for group in aliases for name in group}
    steps: list[tuple[str, ...]] = list(dict.fromkeys(tied.get(name, (name,)) for name in varied))
    habits = [_habit(steps, random) for _ in range(TYPICAL_BUNDLES)]
    # Alias partners go through their values in the same order.
    backwards = {group: tuple(bool(random.random() < 0.5) for _ in group) for group in aliases}
    for group in aliases:
        _set(start, group, ordered_values(group[0]).index(start[group[0]]), backwards[group])
    rows: list[dict[str, Any]] = []
    tried: list[dict[str, Any]] = []
    for number in range(n):
        parent = _parent(rows, kind, random)
        configuration = dict(start if parent is None else tried[parent])
        for step in _changed(number, kind, steps, habits, random):
            _set(configuration, step, int(random.integers(len(SPACE[step[0]]))), backwards.get(step, (False,)))
        tried.append(configuration)
        trend = kind.trend * number / 30 + (0.0 if kind.trend == 0 else float(random.normal(0, 0.5)))
        rows.append(
            {
                "run_name": f"run_{number:03d}",
                "run_date": pd.Timestamp("2025-06-01") + pd.Timedelta(days=2 * number),
                "parent_run": None if parent is None else f"run_{parent:03d}",
                **configuration,
                **world.observe(configuration, random, trend),
            }
        )
    return pd.DataFrame(rows)


def _habit(steps: Sequence[tuple[str, ...]], random: Generator) -> list[tuple[str, ...]]:
    """Things that somebody likes to change together."""
    chosen = random.choice(len(steps), min(int(random.integers(2, 4)), len(steps)), replace=False)
    return [steps[at] for at in chosen]


def _parent(rows: Sequence[Mapping[str, Any]], kind: Family, random: Generator) -> int | None:
    if not rows or kind.design == "random":
        return None
    if kind.design == "one at a time":
        return 0
    if random.random() < kind.copies_best:
        return max(range(len(rows)), key=lambda at: float(rows[at][QUALITY]))
    return len(rows) - 1


def _changed(
    number: int,
    kind: Family,
    steps: Sequence[tuple[str, ...]],
    habits: Sequence[list[tuple[str, ...]]],
    random: Generator,
) -> list[tuple[str, ...]]:
    if number == 0:
        return []
    if kind.design == "random":
        return list(steps)
    if kind.design == "one at a time":
        return [steps[(number - 1) % len(steps)]]
    if random.random() < 0.6:
        return list(habits[int(random.integers(len(habits)))])
    count = int(random.integers(1, kind.changes + 1))
    return [steps[at] for at in random.choice(len(steps), min(count, len(steps)), replace=False)]


def _set(configuration: dict[str, Any], step: tuple[str, ...], at: int, backwards: tuple[bool, ...]) -> None:
    for name, is_backwards in zip(step, backwards, strict=True):
        values = ordered_values(name)
        configuration[name] = values[-1 - at] if is_backwards else values[at]
