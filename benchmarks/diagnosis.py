"""How right diagnoses are, on imagined histories: `python benchmarks/diagnosis.py [--histories 200]`.

The histories are those of `training_histories.py`, from every family the same number, each after 8, 15 and 30 runs. For
each component metric, the latest run that measured less than 70 is diagnosed. The truth is the planted cause that cost
it most: whose best value would have won back most points. Twice: among the values that were tried in these runs, of
which the runs can know, as long as it won back twice the noise; and among all values, of which they cannot.

A diagnosis is right if it comes first and names it. "Unknown" is never right, but where nothing that was tried would
have helped. A near one costs less than the largest by no more than the noise. Beside it: the first written rule that
fits, and the most correlated parameter. The written rules know nothing of these worlds: which of a parameter's values
are bad is drawn anew in each, so that they are right by chance, and are there to mislead in all diagnoses.
Intervals are 95 %, by bootstrap over histories. Ends with 1 if a figure that is a must is missed.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import spearmanr
from training_histories import COMPONENTS, FAMILIES, ISSUE_BELOW, SPACE, History, World, imagined_history

from pixel_lora_pipeline.learn import diagnose
from pixel_lora_pipeline.learn.diagnosis_rules import issues_told_by, rules_about

SIZES = (8, 15, 30)
MUSTS = {8: 0.65, 15: 0.72, 30: 0.85}
SURE = 0.7
SURE_MUST = 0.85
CALIBRATION_MUST = 0.10
MAJOR = 2.0  # times the noise
BINS = ((0.0, 0.3), (0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01))
FEWEST_IN_BIN = 50
RESAMPLES = 2000
BY_OTHER_BELIEFS = 15  # runs after which diagnoses with other beliefs are looked at as well
INTERIM = 10  # histories after which a long run says where it stands

WORLD, RULES = "diagnosis, beliefs of the world", "diagnosis, our written rules"
SHUFFLED, FLAT = "diagnosis, beliefs shuffled", "diagnosis, no beliefs"
FIRST_RULE, CORRELATED = "first rule that fits", "most correlated parameter"
METHODS = (WORLD, RULES, SHUFFLED, FLAT, FIRST_RULE, CORRELATED)


@dataclass(frozen=True)
class Answer:
    """Parameters that are named first, none for unknown; with their confidence, and all that are named in order."""

    first: tuple[str, ...]
    confidence: float
    named: tuple[tuple[str, ...], ...]


def answers(history: History, n: int, metric: str, run: pd.Series, number: int) -> Iterator[tuple[str, Answer]]:
    runs = history.until(n).runs
    believed = history.world.prior(metric)
    random = np.random.default_rng([number, COMPONENTS.index(metric)])
    shuffled = dict(zip(believed, random.permutation(list(believed.values())).tolist(), strict=True))
    beliefs: dict[str, dict[str, float] | None] = {WORLD: believed, RULES: None}
    if n == BY_OTHER_BELIEFS:
        beliefs |= {SHUFFLED: shuffled, FLAT: dict.fromkeys(SPACE, 0.10)}
    for method, prior in beliefs.items():
        evidence = None
        if prior is not None:
            evidence = pd.DataFrame({"parameters": [[name] for name in prior], "prior": list(prior.values())})
        found = diagnose(metric, run, runs, evidence)
        named = tuple(each.parameters for each in found if each.parameter)
        yield method, Answer(found[0].parameters, found[0].confidence, named)
    for method, name in ((FIRST_RULE, first_rule(metric, run)), (CORRELATED, most_correlated(runs, metric))):
        first = () if name is None else (name,)
        yield method, Answer(first, np.nan, (first,) if first else ())


def first_rule(metric: str, run: pd.Series) -> str | None:
    rules = (rule for rule in rules_about(issues_told_by(metric)[0]) if rule.parameter in SPACE)
    return next((rule.parameter for rule in rules if rule.holds(run.to_dict())), None)


def most_correlated(runs: pd.DataFrame, metric: str) -> str | None:
    varied = [name for name in SPACE if runs[name].nunique() > 1]
    ordered = {name: pd.factorize(runs[name], sort=True)[0] for name in varied}
    size = {name: abs(float(spearmanr(ordered[name], runs[metric]).statistic)) for name in varied}
    return max(size, key=lambda name: size[name], default=None)


def lost(world: World, run: pd.Series, metric: str, values: dict[str, list[Any]]) -> dict[str, float]:
    """Points that the best of the given values of each acting parameter would win back."""
    configuration = {name: run[name] for name in SPACE}
    now = world.evaluate(configuration)[metric]
    gains = {
        name: max(world.evaluate({**configuration, name: value})[metric] for value in values[name]) - now
        for name in world.acting(metric)
    }
    return {name: gain * world.scale for name, gain in gains.items() if gain > 1e-9}


def judge(history: History, n: int, number: int) -> Iterator[dict[str, Any]]:
    runs, world = history.until(n).runs, history.world
    tried = {name: list(runs[name].unique()) for name in SPACE}
    for metric in COMPONENTS:
        failed = runs[runs[metric] * world.scale < ISSUE_BELOW]
        if failed.empty:
            continue
        run = failed.iloc[-1]
        of_tried = lost(world, run, metric, tried)
        of_all = lost(world, run, metric, {name: list(values) for name, values in SPACE.items()})
        for method, answer in answers(history, n, metric, run, number):
            yield {
                "history": number,
                "family": history.family,
                "n": n,
                "method": method,
                "is_unknown": not answer.first,
                "confidence": answer.confidence,
                "is_knowable": max(of_tried.values(), default=0.0) > MAJOR * world.noise,
                "helps": bool(of_tried),
                **{f"tried_{name}": value for name, value in scores(answer, of_tried, world.noise).items()},
                **{f"all_{name}": value for name, value in scores(answer, of_all, world.noise).items()},
            }


def scores(answer: Answer, costs: dict[str, float], noise: float) -> dict[str, float]:
    """Whether the first is the largest cost, nearly so, or any; and whether one of the first three is the largest."""
    largest = max(costs.values(), default=0.0)
    if largest == 0:
        return dict.fromkeys(("right", "near", "any", "top"), np.nan)

    def cost(names: tuple[str, ...]) -> float:
        return max((costs.get(name, 0.0) for name in names), default=0.0)

    first = cost(answer.first)
    top = max((cost(names) for names in answer.named[:3]), default=0.0)
    return {
        "right": float(first > largest - 1e-9),
        "near": float(first >= largest - noise and first > 0),
        "any": float(first > 0),
        "top": float(top > largest - 1e-9),
    }


def share(rows: pd.DataFrame, column: str) -> tuple[float, float, float]:
    """Mean with its 95 % interval, by bootstrap over histories."""
    rows = rows[rows[column].notna()]
    if rows.empty:
        return np.nan, np.nan, np.nan
    pairs = rows.groupby("history")[column].agg(["sum", "size"]).to_numpy(dtype=float)
    drawn = np.random.default_rng(0).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[drawn].sum(axis=1)
    low, high = np.quantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return float(rows[column].mean()), float(low), float(high)


def shown(figure: tuple[float, float, float]) -> str:
    return "–" if np.isnan(figure[0]) else f"{figure[0]:.2f} [dim]{figure[1]:.2f}–{figure[2]:.2f}[/dim]"


class Musts:
    """Figures that have to be reached."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, name: str, figure: float, is_reached: bool) -> None:
        if not is_reached:
            self.missed.append(f"{name}: {figure:.3g}")


def report(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    report_accuracy(rows, console, musts)
    report_sure(rows, console, musts)
    report_calibration(rows, console, musts)
    report_families(rows, console)


def report_accuracy(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    table = Table(title="Root cause of the latest failed run", title_justify="left")
    columns = (
        "n",
        "method",
        "right",
        "or near",
        "a cause",
        "among the first 3",
        "unknown",
        "right, untried values too",
    )
    for column in (*columns, "cases"):
        table.add_column(column)
    for n in SIZES:
        for method in METHODS:
            chosen = rows[(rows["n"] == n) & (rows["method"] == method)]
            if chosen.empty:
                continue
            knowable = chosen[chosen["is_knowable"]]
            right = share(knowable, "tried_right")
            table.add_row(
                str(n),
                method,
                shown(right),
                shown(share(knowable, "tried_near")),
                shown(share(knowable, "tried_any")),
                shown(share(knowable, "tried_top")),
                shown(share(knowable, "is_unknown")),
                shown(share(chosen, "all_right")),
                f"{len(knowable)} of {len(chosen)}",
            )
            if method == WORLD:
                musts.check(f"right at n = {n}", right[0], right[0] >= MUSTS[n])
    console.print(table)


def report_sure(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    table = Table(
        title=f"When it is {SURE:.0%} sure of a parameter, and when nothing tried would help", title_justify="left"
    )
    for column in (
        "n",
        "method",
        "sure",
        "right if sure",
        "a cause if sure",
        "right, untried values too",
        "unknown if nothing helps",
    ):
        table.add_column(column)
    for n in SIZES:
        for method in (WORLD, RULES, SHUFFLED, FLAT):
            chosen = rows[(rows["n"] == n) & (rows["method"] == method)]
            if chosen.empty:
                continue
            is_sure = (chosen["confidence"] >= SURE) & ~chosen["is_unknown"]
            sure = chosen[is_sure]
            right = share(sure.fillna({"tried_right": 0.0}), "tried_right")
            table.add_row(
                str(n),
                method,
                f"{is_sure.mean():.2f}",
                shown(right),
                shown(share(sure.fillna({"tried_any": 0.0}), "tried_any")),
                shown(share(sure, "all_right")),
                shown(share(chosen[~chosen["helps"]], "is_unknown")),
            )
            if method == WORLD:
                musts.check(f"right if {SURE:.0%} sure at n = {n}", right[0], right[0] >= SURE_MUST)
    console.print(table)


def report_calibration(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    table = Table(title="Stated confidence in a parameter, and how often it was right", title_justify="left")
    table.add_column("method")
    for low, high in BINS:
        table.add_column(f"{low}–{min(high, 1.0)}")
    for method, sizes in (
        (WORLD, SIZES),
        *((WORLD, (n,)) for n in SIZES),
        (RULES, SIZES),
        (SHUFFLED, SIZES),
        (FLAT, SIZES),
    ):
        cells = []
        for low, high in BINS:
            chosen = rows[(rows["method"] == method) & rows["n"].isin(sizes) & ~rows["is_unknown"]]
            chosen = chosen[(chosen["confidence"] >= low) & (chosen["confidence"] < high)]
            stated, observed = chosen["confidence"].mean(), chosen["all_right"].fillna(0.0).mean()
            cells.append(f"{stated:.2f} → {observed:.2f} [dim]({len(chosen)})[/dim]")
            if low >= 0.5 and method == WORLD and len(sizes) > 1 and len(chosen) >= FEWEST_IN_BIN:
                wrong = abs(stated - observed)
                musts.check(f"calibration at {low}–{min(high, 1)}", wrong, wrong <= CALIBRATION_MUST)
        table.add_row(f"{method}, n = {', '.join(map(str, sizes))}", *cells)
    console.print(table)


def report_families(rows: pd.DataFrame, console: Console) -> None:
    table = Table(title=f"By family, {WORLD}: right", title_justify="left")
    for column in ("family", *(f"n = {n}" for n in SIZES)):
        table.add_column(column)
    chosen = rows[(rows["method"] == WORLD) & rows["is_knowable"]]
    for family in FAMILIES:
        of_family = chosen[chosen["family"] == family]
        table.add_row(family, *(shown(share(of_family[of_family["n"] == n], "tried_right")) for n in SIZES))
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--histories", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    console, musts = Console(width=200), Musts()
    families = list(FAMILIES)
    rows: list[dict[str, Any]] = []
    for number in track(range(options.histories), console=console, disable=not sys.stdout.isatty()):
        history = imagined_history(families[number % len(families)], max(SIZES), options.seed + number // len(families))
        for n in SIZES:
            rows += judge(history, n, number)
        if (number + 1) % INTERIM == 0 and number + 1 < options.histories:
            console.print(f"[bold]After {number + 1} histories[/bold]")
            report(pd.DataFrame(rows), console, Musts())
    report(pd.DataFrame(rows), console, musts)
    for missed in musts.missed:
        console.print(f"[red]missed[/red] {missed}")
    return int(bool(musts.missed))


if __name__ == "__main__":
    sys.exit(main())
