"""How good proposed experiments are, on imagined histories of trainings in which the truth is known.

For each world: the best configuration that was observed is changed in one parameter to every value that there is, and
the truth says which of these single steps is the best. Reported: how often the best of the proposed experiments is
within 2 % of that or better, beside five random single changes; how often there is an experiment that separates
aliases where aliases matter; and how often a configuration is proposed that already did badly.

    python benchmarks/hypotheses.py --worlds 4
"""

import argparse
import warnings
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from training_histories import FAMILIES, METRICS, QUALITY, SPACE, History, configurations_of, imagined_history

from pixel_lora_pipeline.improve.hypotheses import propose_experiments
from pixel_lora_pipeline.improve.hypothesis import Hypothesis
from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.verdict import MODERATE_PROBABILITY

WITHIN = 0.02


def measure(history: History, seed: int, given_space: bool) -> dict[str, float]:
    """Figures of one world; NaN where a question does not arise."""
    runs, world = history.runs, history.world
    evidence = {
        metric: assess_parameters(runs, history.parameters, metric, prior=world.prior(metric)) for metric in METRICS
    }
    space = {name: list(values) for name, values in SPACE.items()} if given_space else None
    proposed = propose_experiments(runs, evidence, space=space)
    tried = configurations_of(runs)
    base = tried[int(runs[QUALITY].argmax())]
    steps = [{**base, name: value} for name, values in SPACE.items() for value in values]
    best_step = max(world.evaluate(step)[QUALITY] for step in steps)
    found = [_truth(hypothesis.parameters, history) for hypothesis in proposed]
    random = np.random.default_rng(seed)
    changes = [step for step in steps if step != base]
    drawn = [changes[at] for at in random.choice(len(changes), len(proposed), replace=False)]
    # An experiment that changes several things at once is compared with as many random changes, too.
    bundles = [_random_bundle(base, len(hypothesis.changes), random) for hypothesis in proposed]
    middle = (runs[QUALITY].max() + runs[QUALITY].min()) / 2
    failed = [run for run, value in zip(tried, runs[QUALITY], strict=True) if value < middle]
    matter = any(
        row["aliased"] and row["pip"] >= MODERATE_PROBABILITY
        for table in evidence.values()
        for row in table.to_dict("records")
    )
    is_separating = any(hypothesis.source == "alias" for hypothesis in proposed)
    better = world.evaluate(base)[QUALITY]
    return {
        "count": float(len(proposed)),
        "within": float(max(found) >= (1 - WITHIN) * best_step),
        "within, runnable": float(
            max(value for value, each in zip(found, proposed, strict=True) if each.state == "PROPOSED")
            >= (1 - WITHIN) * best_step
        ),
        "ratio": max(found) / best_step,
        "better than the best run": float(max(found) > better),
        "random within": float(max(world.evaluate(each)[QUALITY] for each in drawn) >= (1 - WITHIN) * best_step),
        "random ratio": max(world.evaluate(each)[QUALITY] for each in drawn) / best_step,
        "random bundles within": float(
            max(world.evaluate(each)[QUALITY] for each in bundles) >= (1 - WITHIN) * best_step
        ),
        "separating": float(is_separating) if matter else np.nan,
        "repeats a failure": float(
            any(_known(hypothesis.parameters) in map(_known, failed) for hypothesis in proposed)
        ),
        "changes": float(np.mean([len(hypothesis.changes) for hypothesis in proposed])),
        **{f"by {source}": value for source, value in _by_source(proposed, found, best_step).items()},
    }


def _truth(parameters: Mapping[str, Any], history: History) -> float:
    return history.world.evaluate(parameters)[QUALITY]


def _known(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(parameters[name]) for name in SPACE)


def _random_bundle(base: Mapping[str, Any], count: int, random: np.random.Generator) -> dict[str, Any]:
    names = random.choice(list(SPACE), min(count, len(SPACE)), replace=False)
    return {**base, **{str(name): SPACE[name][int(random.integers(len(SPACE[name])))] for name in names}}


def _by_source(proposed: list[Hypothesis], found: list[float], best_step: float) -> dict[str, float]:
    """Whether an experiment of each source is within 2 % of the best step."""
    hits: dict[str, float] = {}
    for hypothesis, value in zip(proposed, found, strict=True):
        hits[hypothesis.source] = max(hits.get(hypothesis.source, 0.0), float(value >= (1 - WITHIN) * best_step))
    return hits


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=4, help="of each family")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 15])
    parser.add_argument("--no-space", action="store_true", help="do not say what may be set")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(width=150)
    for n in arguments.runs:
        figures: dict[str, list[float]] = defaultdict(list)
        for seed in range(arguments.first, arguments.first + arguments.worlds):
            for family in FAMILIES:
                measured = measure(imagined_history(family, n, seed), seed, not arguments.no_space)
                for name, value in measured.items():
                    figures[name].append(value)
        table = Table("figure", "mean", "worlds", title=f"{n} runs, {len(FAMILIES)} families")
        for name, values in figures.items():
            known = np.array(values)[~np.isnan(values)]
            table.add_row(name, f"{known.mean():.3f}" if len(known) else "-", str(len(known)))
        console.print(table)


if __name__ == "__main__":
    main()
