"""How right the evidence about parameters is, on imagined histories: `python benchmarks/evidence.py [--histories 200]`.

The histories are those of `training_histories.py`, from every family the same number, each judged after 8, 15 and 30
runs, for four component metrics and the quality. A finding is right if one of its parameters truly moves the metric
among the values that it had in these runs; a major cause is one that moves it by more than twice the noise.

Beside it: the roadmap's "Pearson p < 0.05"; permutation tests with Benjamini-Hochberg at 10 %; and, for the quality,
what Optuna's PED-ANOVA and fANOVA put first (fANOVA needs scikit-learn). Intervals are 95 %, by bootstrap over
histories.
Ends with 1 if a figure that is a must is missed.
"""

import argparse
import importlib.util
import math
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import pearsonr
from training_histories import FAMILIES, METRICS, QUALITY, SPACE, History, imagined_history

from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.learn.verdict import (
    CRITICAL_EFFECT,
    HIGH_EFFECT,
    HIGH_PROBABILITY,
    NO_EFFECT,
    NONE_SIDE,
    select,
)

SIZES = (8, 15, 30)
MAJOR = 2.0  # times the noise
TOP = 3
RESAMPLES = 2000
BINS = ((0.3, 0.5), (0.5, 0.7), (0.7, 0.9), (0.9, 1.01))
INTERIM = 40  # histories after which a long run says where it stands
FEWEST_IN_BIN = 50  # below, a frequency is too uncertain to be compared with 0.10
LARGE = (10_000, 100)

DOMAIN, SHUFFLED, RULES = "evidence, beliefs of the world", "evidence, beliefs shuffled", "evidence, our written rules"
FLAT, PEARSON, PERMUTED = "evidence, no beliefs", "Pearson p < 0.05", "permutation, BH 10 %"
PED, FANOVA = "Optuna PED-ANOVA", "Optuna fANOVA"


@dataclass(frozen=True)
class Judged:
    """A table of one history, judged.

    Attributes
    ----------
    rows
        A row a class or parameter: `method`, `selected`, `score` (by which it is ranked), `right`, `major`, `covered`.
    violations
        What was said without the evidence for it.
    missed_aliases
        Planted aliases that were not reported.
    """

    rows: pd.DataFrame
    violations: list[str]
    missed_aliases: int
    n_aliases: int


def judge(history: History, n: int, metric: str, number: int) -> Judged:
    runs = history.until(n).runs
    world = history.world
    moved = {name: world.influence(name, metric, runs) for name in SPACE}
    found: list[dict[str, Any]] = []

    def add(method: str, names: list[str], selected: bool, score: float, covered: float = math.nan) -> None:
        influence = max(moved[name] for name in names)
        found.append(
            {
                "method": method,
                "selected": selected,
                "score": score,
                "right": influence > 1e-9,
                "major": influence * world.scale > MAJOR * world.noise,
                "covered": covered,
            }
        )

    prior = world.prior(metric)
    values = np.random.default_rng([number, METRICS.index(metric)]).permutation(list(prior.values()))
    shuffled = dict(zip(prior, values.tolist(), strict=True))
    tables = {DOMAIN: assess_parameters(runs, history.parameters, metric, prior=prior)}
    if n == 15:
        tables[SHUFFLED] = assess_parameters(runs, history.parameters, metric, prior=shuffled)
        tables[RULES] = assess_parameters(runs, history.parameters, metric)
    for method, table in tables.items():
        for row in varied(table).itertuples():
            add(method, row.parameters, row.selected, row.pip, is_covered(row, history, runs, metric))
            if method == DOMAIN:
                add(PERMUTED, row.parameters, row.q_bh <= 0.10, -row.p_exact)
        if method == DOMAIN:
            by_data = varied(table)
            for names, chosen, pip in zip(
                by_data["parameters"], select(by_data["pip_flat"].to_numpy()), by_data["pip_flat"], strict=True
            ):
                add(FLAT, names, bool(chosen), pip)
    for name in SPACE:
        numbers = pd.factorize(runs[name], sort=True)[0].astype(float)
        numeric = runs[name] if not isinstance(SPACE[name][0], str) else pd.Series(numbers, index=runs.index)
        if numeric.nunique() > 1:
            p = pearsonr(numeric.astype(float), runs[metric]).pvalue
            add(PEARSON, [name], bool(p < 0.05), -p)
    if metric == QUALITY:
        for method, evaluator in importance_evaluators().items():
            for name, importance in importances(runs, metric, evaluator).items():
                add(method, [name], False, importance)
    rows = pd.DataFrame(found)
    violations = [
        text for table in tables.values() for text in said_without_evidence(table, float(np.ptp(runs[metric])))
    ]
    groups = [group for group in world.aliases if all(runs[name].nunique() > 1 for name in group)]
    return Judged(rows, violations, sum(not is_reported(group, tables[DOMAIN]) for group in groups), len(groups))


def is_covered(row: Any, history: History, runs: pd.DataFrame, metric: str) -> float:
    """1 if the interval contains the true effect, 0 if not; only of effects that were found and have a direction."""
    if not row.selected or row.aliased or row.encoding not in ("linear", "threshold"):
        return math.nan
    [name] = row.parameters

    def from_lowest(value: float) -> float:
        return float(history.world.difference(name, runs[name].min(), value, metric, runs))

    if row.encoding == "linear":
        truth = from_lowest(runs[name].max())
    else:
        is_above = runs[name] > row.threshold
        truth = float(runs[name][is_above].map(from_lowest).mean() - runs[name][~is_above].map(from_lowest).mean())
    return float(row.effect_low <= truth <= row.effect_high)


def varied(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["encoding"].notna()]


def importance_evaluators() -> dict[str, BaseImportanceEvaluator]:
    evaluators: dict[str, BaseImportanceEvaluator] = {PED: PedAnovaImportanceEvaluator()}
    if importlib.util.find_spec("sklearn"):
        evaluators[FANOVA] = FanovaImportanceEvaluator(n_trees=32, seed=0)
    return evaluators


def importances(runs: pd.DataFrame, metric: str, evaluator: BaseImportanceEvaluator) -> dict[str, float]:
    names = [name for name in SPACE if runs[name].nunique() > 1]
    distributions: dict[str, optuna.distributions.BaseDistribution] = {}
    for name in names:
        if isinstance(SPACE[name][0], str | bool):
            distributions[name] = optuna.distributions.CategoricalDistribution(SPACE[name])
        else:
            distributions[name] = optuna.distributions.FloatDistribution(min(SPACE[name]), max(SPACE[name]))
    study = optuna.create_study(direction="maximize")
    for row in runs.to_dict("records"):
        values = {name: row[name] if isinstance(SPACE[name][0], str | bool) else float(row[name]) for name in names}
        study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=float(row[metric])))
    return {name: float(value) for name, value in evaluator.evaluate(study).items()}


def said_without_evidence(table: pd.DataFrame, spread: float) -> Iterator[str]:
    """Checks every strong word again, from the numbers beside it."""
    for row in table.itertuples():
        side, size = min(row.n_low, row.n_high), abs(row.effect)
        allowed = {
            "CRITICAL": row.selected and size >= CRITICAL_EFFECT * spread and row.effect_low * row.effect_high > 0,
            "HIGH": row.pip >= HIGH_PROBABILITY and size >= HIGH_EFFECT * spread,
            "NONE": side >= NONE_SIDE and max(-row.effect_low, row.effect_high) <= NO_EFFECT * spread,
        }
        if not allowed.get(str(row.category), True):
            yield f"{row.category} for {row.parameters}"


def is_reported(group: tuple[str, ...], table: pd.DataFrame) -> bool:
    return bool((table["aliased"] & table["parameters"].map(lambda names: set(group) <= set(names))).any())


@dataclass(frozen=True)
class Counts:
    """Of one history and method, over its metrics."""

    right: int
    selected: int
    majors_found: int
    majors: int
    top_right: int
    top: int


def count(rows: pd.DataFrame) -> Counts:
    chosen = rows[rows["selected"]]
    majors = rows[rows["major"]]
    top = rows.sort_values("score", ascending=False, kind="stable").groupby("metric").head(TOP)
    top = top[top["metric"].isin(majors["metric"])]
    # Where there are fewer causes than places, the rest cannot be right.
    possible = rows[rows["right"]].groupby("metric").size().clip(upper=TOP)
    return Counts(
        right=int(chosen["right"].sum()),
        selected=len(chosen),
        majors_found=int(majors["selected"].sum()),
        majors=len(majors),
        top_right=int(top["right"].sum()),
        top=int(possible[possible.index.isin(majors["metric"])].sum()),
    )


def share(of: list[Counts], part: str, whole: str) -> tuple[float, float, float]:
    """A ratio of sums over histories, with its 95 % interval."""
    pairs = np.array([(getattr(one, part), getattr(one, whole)) for one in of], dtype=float)
    drawn = np.random.default_rng(0).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    with np.errstate(invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        ratio = float(np.divide(*pairs.sum(axis=0)))
        sums = pairs[drawn].sum(axis=1)
        low, high = np.nanquantile(sums[:, 0] / sums[:, 1], [0.025, 0.975])
    return ratio, float(low), float(high)


def shown(figure: tuple[float, float, float]) -> str:
    return "–" if np.isnan(figure[0]) else f"{figure[0]:.2f} [dim]{figure[1]:.2f}–{figure[2]:.2f}[/dim]"


class Musts:
    """Figures that have to be reached."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, name: str, figure: float, is_reached: Callable[[float], bool]) -> None:
        if not is_reached(figure):
            self.missed.append(f"{name}: {figure:.3g}")


def large_table() -> tuple[float, float, float, bool]:
    """Seconds of wall and processor, GB of memory at most, and whether the result says that it is approximate."""
    random = np.random.default_rng(0)
    n, width = LARGE
    runs = pd.DataFrame(
        {f"p{at}": random.choice([1, 2, 4, 8, 16], n) if at % 3 else random.normal(size=n) for at in range(width - 10)}
    )
    for at in range(10):
        runs[f"name{at}"] = random.choice(["A", "B", "C", "D"], n)
    runs["quality"] = 70 - 5 * (runs["p4"] > 4) + 2 * runs["p0"] - 3 * (runs["name1"] == "B") + random.normal(0, 3, n)
    began, used = time.perf_counter(), time.process_time()
    found = assess_parameters(runs, [name for name in runs if name != "quality"], "quality", prior={})
    wall, processor = time.perf_counter() - began, time.process_time() - used
    return wall, processor, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, bool(found["approximate"].all())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--histories", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    console, musts = Console(width=160), Musts()

    wall, processor, memory, says_so = large_table()
    console.print(
        f"{LARGE[0]} runs × {LARGE[1]} parameters: {wall:.1f} s ({processor:.1f} s of one processor), {memory:.2f} GB"
    )
    musts.check("seconds of one processor for a large table", processor, lambda value: value <= 30)
    musts.check("GB for a large table", memory, lambda value: value <= 2)
    musts.check("a large table's result says that it is approximate", float(says_so), lambda value: value == 1)

    families = list(FAMILIES)
    parts: list[pd.DataFrame] = []
    violations: list[str] = []
    missed_aliases = n_aliases = 0
    for number in track(range(options.histories), console=console, disable=not sys.stdout.isatty()):
        family = families[number % len(families)]
        history = imagined_history(family, max(SIZES), options.seed + number // len(families))
        for n in SIZES:
            for metric in METRICS:
                judged = judge(history, n, metric, number)
                parts.append(judged.rows.assign(history=number, family=family, n=n, metric=metric))
                violations += judged.violations
                missed_aliases += judged.missed_aliases
                n_aliases += judged.n_aliases
        if not sys.stdout.isatty():
            print(f"{number + 1} of {options.histories} histories", file=sys.stderr, flush=True)
        if (number + 1) % INTERIM == 0 and number + 1 < options.histories:
            console.print(f"[bold]After {number + 1} histories[/bold]")
            report(pd.concat(parts, ignore_index=True), console, Musts())
    report(pd.concat(parts, ignore_index=True), console, musts)
    console.print(f"exact aliases that were not reported: {missed_aliases} of {n_aliases}")
    console.print(f"strong words without their evidence: {len(violations)} {violations[:3] or ''}")
    musts.check("missed aliases", missed_aliases, lambda value: value == 0)
    musts.check("strong words without evidence", len(violations), lambda value: value == 0)
    for missed in musts.missed:
        console.print(f"[red]missed[/red] {missed}")
    return int(bool(musts.missed))


def report(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    report_findings(rows, console, musts)
    report_families(rows, console)
    report_calibration(rows, console, musts)
    covered = rows["covered"].dropna()
    console.print(f"95 % intervals of found effects that contain the true one: {covered.mean():.2f} of {len(covered)}")


def report_findings(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    table = Table(title="Findings", title_justify="left")
    for column in ("n", "method", "precision", "recall of major causes", f"causes among its first {TOP}", "findings"):
        table.add_column(column)
    for n in SIZES:
        for method in (DOMAIN, FLAT, SHUFFLED, RULES, PEARSON, PERMUTED, PED, FANOVA):
            chosen = rows[(rows["n"] == n) & (rows["method"] == method)]
            if chosen.empty:
                continue
            counts = [count(of) for _, of in chosen.groupby("history")]
            precision, recall = share(counts, "right", "selected"), share(counts, "majors_found", "majors")
            is_ranking = method in (PED, FANOVA)
            table.add_row(
                str(n),
                method,
                "–" if is_ranking else shown(precision),
                "–" if is_ranking else shown(recall),
                shown(share(counts, "top_right", "top")),
                "–" if is_ranking else str(sum(one.selected for one in counts)),
            )
            if n == 15 and method == DOMAIN:
                musts.check("precision at n = 15", precision[0], lambda value: value >= 0.90)
                musts.check("recall at n = 15", recall[0], lambda value: value >= 0.45)
            if n == 15 and method == SHUFFLED:
                musts.check("precision at n = 15, beliefs shuffled", precision[0], lambda value: value >= 0.88)
    console.print(table)


def report_families(rows: pd.DataFrame, console: Console) -> None:
    table = Table(title="By family, n = 15", title_justify="left")
    for column in ("family", "precision", "recall", "precision, shuffled", "recall, shuffled"):
        table.add_column(column)
    for family in FAMILIES:
        cells = []
        for method in (DOMAIN, SHUFFLED):
            chosen = rows[(rows["n"] == 15) & (rows["method"] == method) & (rows["family"] == family)]
            counts = [count(of) for _, of in chosen.groupby("history")]
            if counts:
                cells += [shown(share(counts, "right", "selected")), shown(share(counts, "majors_found", "majors"))]
        table.add_row(family, *cells)
    console.print(table)


def report_calibration(rows: pd.DataFrame, console: Console, musts: Musts) -> None:
    table = Table(title="Stated probability, and how often it was right", title_justify="left")
    table.add_column("method")
    for low, high in BINS:
        table.add_column(f"{low}–{min(high, 1.0)}")
    for method, sizes in ((DOMAIN, SIZES), (DOMAIN, (15,)), (SHUFFLED, (15,)), (RULES, (15,))):
        cells = []
        for low, high in BINS:
            chosen = rows[(rows["method"] == method) & rows["n"].isin(sizes)]
            chosen = chosen[(chosen["score"] >= low) & (chosen["score"] < high)]
            stated, observed = chosen["score"].mean(), chosen["right"].mean()
            cells.append(f"{stated:.2f} → {observed:.2f} [dim]({len(chosen)})[/dim]")
            if low >= 0.5 and method == DOMAIN and len(sizes) > 1 and len(chosen) >= FEWEST_IN_BIN:
                musts.check(f"calibration at {low}–{min(high, 1)}", abs(stated - observed), lambda value: value <= 0.10)
        table.add_row(f"{method}, n = {', '.join(map(str, sizes))}", *cells)
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
