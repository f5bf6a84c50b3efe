"""How many runs a search needs: `python benchmarks/search.py [--worlds 30] [--family mixed] [--results FILE]`.

Every world has seven parameters: levels, a logarithmic range, whole numbers and a choice. The families differ in what
these do, so that a method cannot do well by resembling one of them:

- "mixed": each acts in a form of its own (peak, threshold, saturation, names), three strongly and the rest little, and
  two of them act together;
- "imagined": seven of the parameters of `training_histories.py`, with its ten families of effects;
- "drawn": a random smooth function of all seven, of which each acts over a distance of its own;
- "cliffs": slopes, steps and parameters that do nothing, and two corners of the space in which trainings fail.

A run's noise is 3 % of the best quality. Eight runs were made before, as people make them: the best or the last is
copied, and one to three parameters are changed. Worlds in which one of these is good already are left out.

Counted is after how many runs more the incumbent's true quality is within 2 % of the optimum (of its value, not of the
range). Our incumbent is the best by posterior mean; the others are given credit for knowing the best of what they
tried. What ours would need with that credit is the column "tried": beside it, the loss is in choosing among noisy
results, and not in what was tried. "Noise a tenth" shows how much of the rest is noise. "Principle" is a soft one about
the parameter that matters most, with an effect of ten points; the wrong one advises against the better half. Some
campaigns are also led as `judge_campaign` says, repeating a run where it says so, until it ends them.

Worlds are independent: `--jobs` are done at a time, and with `--results` what is done is kept in a file, a line a
campaign, from which the next call goes on. Throw it away after a change of the search.

The sizes of the effects in "mixed" were chosen so that TPE with a history needs about as many runs as in the project's
first measurements (16); random search finds more often here than it did there (4 % within 15).

Ends with 1 if a figure that is a must is missed.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, IntDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from rich.console import Console
from rich.table import Table
from training_histories import FAMILIES, QUALITY, SPACE, imagined_history, ordered_values

from pixel_lora_pipeline.improve import SearchSpace, best_so_far, judge_campaign, propose, survey
from pixel_lora_pipeline.improve.search_space import Choice

HISTORY = 8
CAP = 20
NEAR = 0.02
NOISE = 0.03
ENOUGH = 15
EFFECT = 10.0
INTERIM = 10
LONGEST = 30
# Of a random function: waves that it is the sum of, and its standard deviation over the space in points.
WAVES = 400
SPREAD = 10.0
QUIET = 0.1
MIXED = SearchSpace.of(
    {
        "network_dim": [8, 16, 32, 64, 128],
        "learning_rate": {"low": 1e-5, "high": 1e-3, "log": True},
        "keep_tokens": {"low": 0, "high": 4},
        "caption_dropout_rate": [0.0, 0.05, 0.1, 0.15, 0.2],
        "conv_dim": [0, 4, 8, 16],
        "optimizer_type": ["AdamW8bit", "Prodigy", "Lion"],
        "max_train_epochs": {"low": 4, "high": 20},
    }
)

Configuration = Mapping[str, Any]
End = tuple[int, float]


@dataclass(frozen=True)
class World:
    """What is true.

    Attributes
    ----------
    space, quality
        What may be chosen, and what it is worth.
    best
        The best configuration.
    noise
        Standard deviation of a run, as a share of the best quality.
    """

    space: SearchSpace
    quality: Callable[[Configuration], float]
    best: dict[str, Any]
    noise: float = NOISE

    @cached_property
    def optimum(self) -> float:
        return self.quality(self.best)

    def is_good(self, configuration: Configuration) -> bool:
        return self.quality(configuration) >= (1 - NEAR) * self.optimum

    def observe(self, configuration: Configuration, random: Generator) -> float:
        return self.quality(configuration) + random.normal(0, self.noise * self.optimum)


@dataclass(frozen=True)
class Advice:
    """A soft principle about the parameter that matters most.

    Attributes
    ----------
    parameter, low_is_good
        What, and which half of its scale it recommends.
    """

    world: World
    parameter: str
    low_is_good: bool
    effect: float = EFFECT
    status: str = "soft"

    def holds_for(self, configuration: Configuration) -> bool:
        return is_low(self.world, self.parameter, configuration[self.parameter]) == self.low_is_good


@dataclass(frozen=True)
class Course:
    """How a campaign went; numbers of runs after the history, `CAP` + 1 if it was not reached.

    Attributes
    ----------
    reached
        Until the incumbent was good.
    found
        Until any run was good.
    regrets
        The incumbent's, after each number of runs; as a share of the optimum.
    seconds
        Of the processor.
    """

    reached: int
    found: int
    regrets: list[float]
    seconds: float = 0.0


def mixed_world(seed: int) -> World:
    random = np.random.default_rng([seed, 1])
    sizes = random.permutation([*random.uniform(8, 22, 3), *random.uniform(0, 2, 4)])
    losses = [
        loss(float(size), isinstance(parameter, Choice), len(parameter.values), random)
        for size, parameter in zip(sizes, MIXED.parameters.values(), strict=True)
    ]
    ordered = [at for at, parameter in enumerate(MIXED.parameters.values()) if parameter.is_ordered]
    first, second = random.choice(ordered, 2, replace=False)
    ridge, height, ceiling = random.uniform(0.7, 1.3), random.uniform(5, 15), random.uniform(85, 95)

    def quality(configuration: Configuration) -> float:
        places = [parameter.place(configuration[name]) for name, parameter in MIXED.parameters.items()]
        lost = sum(of(place) for of, place in zip(losses, places, strict=True))
        return float(ceiling - lost - height * (places[first] + places[second] - ridge) ** 2)

    return World(MIXED, quality, best_of(MIXED, quality, random))


def loss(size: float, is_choice: bool, n_values: int, random: Generator) -> Callable[[float], float]:
    """Points lost, by the place."""
    if is_choice:
        worth = random.permutation([0.0, *random.uniform(0.3, 1.0, n_values - 1)])
        return lambda place: float(size * worth[int(place)])
    top, cut, sign = random.uniform(0.1, 0.9), random.uniform(0.25, 0.75), random.choice([-1, 1])
    form = random.choice(["peak", "threshold", "saturation"], p=[0.5, 0.3, 0.2])
    if form == "peak":
        return lambda place: size * ((place - top) / max(top, 1 - top)) ** 2
    if form == "threshold":
        return lambda place: float(size / (1 + np.exp(14 * sign * (place - cut))))
    return lambda place: float(size * np.exp(-4 * (place if sign > 0 else 1 - place)))


def imagined_world(seed: int) -> World:
    truth = imagined_history(list(FAMILIES)[seed % len(FAMILIES)], HISTORY, seed).world
    random = np.random.default_rng([seed, 2])
    acting = [str(name) for name in random.permutation(sorted(truth.acting(QUALITY)))][:6]
    idle = [str(name) for name in random.permutation([name for name in SPACE if name not in acting])]
    space = SearchSpace.of({name: ordered_values(name) for name in (*acting, *idle[: 7 - len(acting)])})
    start = {name: values[0] for name, values in SPACE.items()}

    def quality(configuration: Configuration) -> float:
        return truth.evaluate({**start, **configuration})[QUALITY]

    return World(space, quality, best_of(space, quality, random))


def drawn_world(seed: int) -> World:
    """A draw of a Gaussian process with a Matérn 5/2 covariance, by its spectrum."""
    random = np.random.default_rng([seed, 5])

    def coordinates(configuration: Configuration) -> list[NDArray[np.float64]]:
        places = {name: each.place(configuration[name]) for name, each in MIXED.parameters.items()}
        return [
            np.array([places[name]]) if each.is_ordered else np.sqrt(0.5) * np.eye(len(each.values))[int(places[name])]
            for name, each in MIXED.parameters.items()
        ]

    tails = np.sqrt(random.chisquare(5, WAVES) / 5)
    frequencies = np.concatenate(
        [
            random.normal(size=(len(part), WAVES)) / tails / np.exp(random.uniform(0, np.log(20)))
            for part in coordinates(drawn(MIXED, random))
        ]
    )
    phases, heights = random.uniform(0, 2 * np.pi, WAVES), random.normal(size=WAVES)

    def wave(configuration: Configuration) -> float:
        return float(heights @ np.cos(np.concatenate(coordinates(configuration)) @ frequencies + phases))

    deviation = float(np.std([wave(drawn(MIXED, random)) for _ in range(300)]))
    best = best_of(MIXED, wave, random)
    top = wave(best)
    return World(MIXED, lambda configuration: 90 + SPREAD * (wave(configuration) - top) / deviation, best)


def cliffs_world(seed: int) -> World:
    random = np.random.default_rng([seed, 6])
    slopes = {name: slope(each, random) for name, each in MIXED.parameters.items()}
    ordered = [name for name, each in MIXED.parameters.items() if each.is_ordered]
    corners = [
        (random.choice(ordered, 2, replace=False), random.uniform(0.3, 0.6, 2), random.random(2) < 0.5, depth)
        for depth in random.uniform(12, 30, 2)
    ]

    def quality(configuration: Configuration) -> float:
        places = {name: each.place(configuration[name]) for name, each in MIXED.parameters.items()}
        lost = sum(of(places[name]) for name, of in slopes.items())
        for names, edges, are_turned, depth in corners:
            sides = np.array([places[str(name)] for name in names])
            lost += depth * float((np.where(are_turned, 1 - sides, sides) > edges).all())
        return float(90 - lost)

    return World(MIXED, quality, best_of(MIXED, quality, random))


def slope(parameter: Any, random: Generator) -> Callable[[float], float]:
    """Points lost, by the place."""
    if not parameter.is_ordered:
        worth = random.permutation(np.linspace(0, 1, len(parameter.values))) * random.uniform(0, 6)
        return lambda place: float(worth[int(place)])
    form = random.choice(["line", "step", "ridge", "nothing"], p=[0.3, 0.3, 0.15, 0.25])
    size, top, is_turned = random.uniform(2, 8), random.uniform(0.2, 0.8), random.random() < 0.5
    return {
        "line": lambda place: float(size * (1 - place if is_turned else place)),
        "step": lambda place: float(size * ((place > top) != is_turned)),
        "ridge": lambda place: float(2 * size * abs(place - top)),
        "nothing": lambda _: 0.0,
    }[str(form)]


def best_of(space: SearchSpace, quality: Callable[[Configuration], float], random: Generator) -> dict[str, Any]:
    """The best of where one gets from several places by changing one parameter after the other."""
    tops = []
    for _ in range(8):
        at, height = drawn(space, random), -np.inf
        while True:
            around = [{**at, name: value} for name, each in space.parameters.items() for value in each.values]
            worth = [quality(each) for each in around]
            if max(worth) <= height:
                break
            at, height = around[int(np.argmax(worth))], max(worth)
        tops.append((height, at))
    return max(tops, key=lambda top: top[0])[1]


def drawn(space: SearchSpace, random: Generator) -> dict[str, Any]:
    return space.decode([int(random.integers(len(grid))) for grid in space.grid])


def habitual_history(world: World, random: Generator) -> pd.DataFrame:
    runs = [drawn(world.space, random)]
    seen = [world.observe(runs[0], random)]
    while len(runs) < HISTORY:
        copied = runs[int(np.argmax(seen))] if random.random() < 0.7 else runs[-1]
        changed = random.choice(list(world.space.names), int(random.integers(1, 4)), replace=False)
        other = drawn(world.space, random)
        runs.append({**copied, **{str(name): other[str(name)] for name in changed}})
        seen.append(world.observe(runs[-1], random))
    return pd.DataFrame(runs).assign(quality_score=seen)


WORLDS: dict[str, Callable[[int], World]] = {
    "mixed": mixed_world,
    "imagined": imagined_world,
    "drawn": drawn_world,
    "cliffs": cliffs_world,
}


def world_of(family: str, seed: int) -> tuple[World, pd.DataFrame]:
    world = WORLDS[family](seed)
    return world, habitual_history(world, np.random.default_rng([seed, 3]))


def worlds(family: str, n: int, seed: int) -> Iterator[int]:
    """Seeds of worlds in whose history nothing is good yet."""
    while n:
        world, history = world_of(family, seed)
        if not any(world.is_good(run) for run in history[list(world.space.names)].to_dict("records")):
            yield seed
            n -= 1
        seed += 1


def is_low(world: World, parameter: str, value: Any) -> bool:
    place = world.space.parameters[parameter].place(value)
    return place < (0.5 if world.space.parameters[parameter].is_ordered else 1)


def advice(world: World, is_right: bool) -> Advice:
    def span(name: str) -> float:
        worth = [world.quality({**world.best, name: value}) for value in world.space.parameters[name].values]
        return max(worth) - min(worth)

    decisive = max(world.space.names, key=span)
    return Advice(world, decisive, is_low(world, decisive, world.best[decisive]) == is_right)


def ours(world: World, history: pd.DataFrame, seed: int, principles: tuple[Advice, ...] = ()) -> Course:
    random = np.random.default_rng([seed, 4])
    found, regrets = CAP + 1, []
    for done in range(CAP + 1):
        landscape = survey(world.space, history, principles, seed=done)
        best = best_so_far(landscape)
        assert best is not None
        regrets.append(1 - world.quality(best.parameters) / world.optimum)
        if world.is_good(best.parameters):
            return Course(done, min(found, done), regrets)
        (suggested,) = propose(landscape, seed=done)
        if world.is_good(suggested.parameters):
            found = min(found, done + 1)
        history = with_run(world, history, suggested.parameters, random)
    return Course(CAP + 1, found, regrets)


def led(world: World, history: pd.DataFrame, seed: int) -> End:
    """Runs until the campaign is ended, and the regret then."""
    random = np.random.default_rng([seed, 4])
    done = 0
    while True:
        landscape = survey(world.space, history, seed=done)
        verdict = judge_campaign(landscape, seed=done)
        best = verdict.incumbent
        assert best is not None
        if verdict.should_stop or done == LONGEST:
            return done, 1 - world.quality(best.parameters) / world.optimum
        chosen = best.parameters if verdict.action == "replicate" else propose(landscape, seed=done)[0].parameters
        history = with_run(world, history, chosen, random)
        done += 1


def with_run(world: World, history: pd.DataFrame, configuration: Configuration, random: Generator) -> pd.DataFrame:
    row = {**configuration, "quality_score": world.observe(configuration, random)}
    return pd.concat([history, pd.DataFrame([row])], ignore_index=True)


def optunas(world: World, history: pd.DataFrame, seed: int, sampler: BaseSampler, knows_history: bool) -> Course:
    random = np.random.default_rng([seed, 4])
    distributions: dict[str, BaseDistribution] = {
        name: IntDistribution(0, len(each.values) - 1) if each.is_ordered else CategoricalDistribution(each.values)
        for name, each in world.space.parameters.items()
    }
    study = optuna.create_study(direction="maximize", sampler=sampler)
    for run in history.to_dict("records") if knows_history else []:
        params = {
            name: each.values.index(run[name]) if each.is_ordered else run[name]
            for name, each in world.space.parameters.items()
        }
        study.add_trial(optuna.create_trial(params=params, distributions=distributions, value=run["quality_score"]))
    best = max(map(world.quality, history[list(world.space.names)].to_dict("records"))) if knows_history else 0.0
    regrets = [1 - best / world.optimum]
    for done in range(1, CAP + 1):
        trial = study.ask(distributions)
        configuration = {
            name: each.values[trial.params[name]] if each.is_ordered else trial.params[name]
            for name, each in world.space.parameters.items()
        }
        study.tell(trial, world.observe(configuration, random))
        best = max(best, world.quality(configuration))
        regrets.append(1 - best / world.optimum)
        if world.is_good(configuration):
            return Course(done, done, regrets)
    return Course(CAP + 1, CAP + 1, regrets)


def quietly(world: World, history: pd.DataFrame, seed: int) -> Course:
    """Ours, where a run's noise is a tenth."""
    truth = np.array([world.quality(run) for run in history[list(world.space.names)].to_dict("records")])
    quiet = history.assign(quality_score=truth + QUIET * (history["quality_score"] - truth))
    return ours(replace(world, noise=QUIET * world.noise), quiet, seed)


OURS, RIGHT, WRONG = "ours", "ours, a right principle", "ours, a wrong principle"
METHODS: dict[str, Callable[[World, pd.DataFrame, int], Course]] = {
    OURS: ours,
    RIGHT: lambda world, history, seed: ours(world, history, seed, (advice(world, True),)),
    WRONG: lambda world, history, seed: ours(world, history, seed, (advice(world, False),)),
    "ours, noise a tenth": quietly,
    "Optuna GPSampler, history": lambda world, history, seed: optunas(
        world,
        history,
        seed,
        GPSampler(seed=seed, n_startup_trials=HISTORY, deterministic_objective=False),
        True,
    ),
    "Optuna TPE, history": lambda world, history, seed: optunas(world, history, seed, TPESampler(seed=seed), True),
    "Optuna TPE, default": lambda world, history, seed: optunas(world, history, seed, TPESampler(seed=seed), False),
    "random": lambda world, history, seed: optunas(world, history, seed, RandomSampler(seed=seed), False),
}


def report(courses: Mapping[str, list[Course]], family: str) -> Table:
    table = Table(title=f"{family}: runs until the incumbent is within {NEAR:.0%}", title_justify="left")
    for column in ("method", "n", "median (p25–p75)", f"≤ {ENOUGH}", f"tried, ≤ {ENOUGH}", "regret after 5, 10", "s"):
        table.add_column(column)
    for method, each in courses.items():
        regrets = [np.mean([course.regrets[min(at, len(course.regrets) - 1)] for course in each]) for at in (5, 10)]
        table.add_row(
            method,
            str(len(each)),
            spread([course.reached for course in each]),
            f"{np.mean([course.reached <= ENOUGH for course in each]):.2f}",
            f"{spread([course.found for course in each])}, {np.mean([course.found <= ENOUGH for course in each]):.2f}",
            ", ".join(f"{regret:.1%}" for regret in regrets),
            f"{sum(course.seconds for course in each):.0f}",
        )
    return table


def spread(runs: list[int]) -> str:
    """Median and quartiles."""
    low, median, high = np.percentile(runs, [25, 50, 75])
    return f"{shown(median)} ({shown(low)}–{shown(high)})"


def shown(runs: float) -> str:
    return f">{CAP}" if runs > CAP else f"{runs:g}"


def campaign(family: str, seed: int, method: str) -> Course:
    """One method in one world."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    world, history = world_of(family, seed)
    began = time.process_time()
    course = METHODS[method](world, history, seed)
    return replace(course, seconds=time.process_time() - began)


def campaign_led(family: str, seed: int) -> End:
    return led(*world_of(family, seed), seed)


def known_courses(results: Path | None) -> dict[tuple[str, int, str], Course]:
    if results is None or not results.exists():
        return {}
    lines = [json.loads(line) for line in results.read_text(encoding="utf-8").splitlines()]
    return {(line["family"], line["seed"], line["method"]): Course(**line["course"]) for line in lines}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--family", choices=WORLDS, default="mixed")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--first-seed", type=int, default=1000)
    parser.add_argument("--led", type=int, default=0, help="campaigns that are led until their end")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--results", type=Path, help="what is done, a line a campaign; a call goes on from it")
    arguments = parser.parse_args()
    console = Console(width=120)
    family, seeds = arguments.family, list(worlds(arguments.family, arguments.worlds, arguments.first_seed))
    done = known_courses(arguments.results)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        # World after world, so that what is done when it is cut off is a comparison of fewer worlds.
        asked = {
            pool.submit(campaign, *key): key
            for seed in seeds
            for method in arguments.methods
            if (key := (family, seed, method)) not in done
        }
        ends = [pool.submit(campaign_led, family, seed) for seed in seeds[: arguments.led]]
        for answer in as_completed(asked):
            key = asked[answer]
            done[key] = answer.result()
            if arguments.results is not None:
                line = {"family": key[0], "seed": key[1], "method": key[2], "course": asdict(done[key])}
                with arguments.results.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
        courses = {method: [done[family, seed, method] for seed in seeds] for method in arguments.methods}
        console.print(report(courses, family))
        if ends:
            runs, regrets = zip(*(end.result() for end in ends), strict=True)
            console.print(
                f"Led until their end: median {np.median(runs):g} runs of at most {LONGEST}, mean regret "
                f"{np.mean(regrets):.1%} ({len(ends)} worlds)."
            )
    musts = judged({method: np.array([course.reached for course in each]) for method, each in courses.items()})
    for must, is_met in musts.items():
        console.print(f"{'met' if is_met else 'MISSED'}: {must}")
    return 0 if all(musts.values()) else 1


def judged(reached: Mapping[str, NDArray[np.int64]]) -> dict[str, bool]:
    """What must be, of the methods that were run."""
    musts = {}
    if OURS in reached:
        median, share = np.median(reached[OURS]), np.mean(reached[OURS] <= ENOUGH)
        musts[f"a median of at most 8 runs: {median:g}"] = bool(median <= 8)
        musts[f"at least 85 % within {ENOUGH} runs: {share:.0%}"] = bool(share >= 0.85)
        if WRONG in reached:
            cost = np.median(reached[WRONG]) - median
            musts[f"a wrong principle costs at most 3 runs of the median: {cost:g}"] = bool(cost <= 3)
    return musts


if __name__ == "__main__":
    sys.exit(main())
