"""How right predictions of runs are, on imagined histories: `python benchmarks/prediction.py [--histories 100]`.

The histories are those of `training_histories.py`, from every family the same number. After 8, 15 and 30 runs, the next
four are predicted (what somebody does next who copies the best and changes a few things, so no draws of the same
lot), and two configurations at random among the values of what is varied in this history.

Beside what is chosen: the mean of the runs; each of the models by itself; and the truth without the noise, which
nobody can be better than. A run is in the top tenth if it is as good as the best tenth of 40
runs of the same history. Intervals of figures are 95 %, by bootstrap over histories. Ends with 1 if a figure that is a
must is missed.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table
from training_histories import FAMILIES, METRICS, QUALITY, SPACE, History, configurations_of, imagined_history

from pixel_lora_pipeline.improve import predict_trial_outcome
from pixel_lora_pipeline.improve.conformal_interval import outlook_of
from pixel_lora_pipeline.improve.likeness import causes_of
from pixel_lora_pipeline.improve.outcome_models import FEW_CAUSES, MEAN, forecasts
from pixel_lora_pipeline.improve.partial_results import PARTS, forecast_by_parts
from pixel_lora_pipeline.improve.trials import read_trials

Floats = NDArray[np.float64]

SIZES: Final = (8, 15, 30)
AHEAD: Final = 4
AT_RANDOM: Final = 2
REFERENCE: Final = 40  # runs of a history, by which a top tenth is told
TOP: Final = 0.9
LEVEL: Final = 0.9
RESAMPLES: Final = 2000
CHOSEN, TRUTH = "chosen", "truth without noise"
NEXT, RANDOM = "next runs", "random configurations"


def judged(history: History, n: int, number: int, metric: str) -> list[dict[str, Any]]:
    """A row a model and proposal."""
    past, top = history.until(n).runs, float(history.runs[metric].quantile(TOP))
    random = np.random.default_rng([number, n])
    following = history.runs.iloc[n : n + AHEAD]
    proposals = [
        *((NEXT, each, row) for each, row in zip(configurations_of(following), following[metric], strict=True)),
        *((RANDOM, each, None) for each in random_configurations(history, random)),
    ]
    rows: list[dict[str, Any]] = []
    by_models = by_each_model([proposal for _, proposal, _ in proposals], past, metric)
    for at, (kind, proposal, outcome) in enumerate(proposals):
        observed = history.world.observe(proposal, random)[metric] if outcome is None else float(outcome)
        found = predict_trial_outcome(proposal, past, metric, LEVEL)
        common = {"kind": kind, "n": n, "observed": observed, "is_top": observed >= top, "scale": history.world.scale}
        rows.append(
            {
                **common,
                "model": CHOSEN,
                "predicted": found.predicted,
                "low": found.interval[0],
                "high": found.interval[1],
                "skipped": found.recommendation == "SKIP",
                "name": found.model,
                "skill": found.skill,
                "beyond": bool(found.beyond),
                "failure": found.failure_probability,
                "failed": observed < found.failure_line,
            }
        )
        rows += [{**common, **each} for each in by_models[at]]
        truth = history.world.evaluate(proposal)[metric]
        rows.append({**common, "model": TRUTH, "predicted": truth, "low": np.nan, "high": np.nan})
    return rows


def random_configurations(history: History, random: np.random.Generator) -> list[dict[str, Any]]:
    varied = [name for name in SPACE if history.runs[name].nunique() > 1]
    start = configurations_of(history.runs.iloc[:1])[0]
    return [
        {**start, **{name: SPACE[name][int(random.integers(len(SPACE[name])))] for name in varied}}
        for _ in range(AT_RANDOM)
    ]


def by_each_model(proposals: list[dict[str, Any]], past: pd.DataFrame, metric: str) -> list[list[dict[str, Any]]]:
    """For each proposal, a row a model; all proposals at once."""
    trials = read_trials(proposals[0], past, metric)
    causes = causes_of(trials, trials.beside(proposals))
    found = forecasts(causes, trials.metric)
    by_parts = forecast_by_parts(causes, trials.metric, trials.parts) if FEW_CAUSES in found else None
    found |= {PARTS: by_parts} if by_parts is not None else {}
    rows: list[list[dict[str, Any]]] = []
    for at in range(len(proposals)):
        outlooks = {name: outlook_of(forecast, trials.metric, at, LEVEL) for name, forecast in found.items()}
        rows.append(
            [
                {"model": name, "predicted": each.mean, "low": each.interval[0], "high": each.interval[1]}
                for name, each in outlooks.items()
            ]
        )
    return rows


def resampled(rows: pd.DataFrame, figure: Callable[[pd.DataFrame], tuple[float, float]]) -> tuple[float, float, float]:
    """A ratio of sums over histories, with its 95 % interval; NaN without rows."""
    if rows.empty:
        return np.nan, np.nan, np.nan
    pairs = np.array([figure(of) for _, of in rows.groupby("history")], dtype=float)
    drawn = np.random.default_rng(0).integers(len(pairs), size=(RESAMPLES, len(pairs)))
    sums = pairs[drawn].sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio, ratios = np.divide(*pairs.sum(axis=0)), sums[:, 0] / sums[:, 1]
    low, high = np.nanquantile(ratios, [0.025, 0.975]) if np.isfinite(ratios).any() else (np.nan, np.nan)
    return float(ratio), float(low), float(high)


def error_ratio(rows: pd.DataFrame) -> tuple[float, float]:
    return float((rows["error"] * rows["scale"]).sum()), float((rows["error_of_mean"] * rows["scale"]).sum())


def share_of(column: str) -> Callable[[pd.DataFrame], tuple[float, float]]:
    return lambda rows: (float(rows[column].sum()), float(len(rows)))


def shown(figure: tuple[float, float, float]) -> str:
    return "–" if np.isnan(figure[0]) else f"{figure[0]:.2f} [dim]{figure[1]:.2f}–{figure[2]:.2f}[/dim]"


def with_errors(rows: pd.DataFrame) -> pd.DataFrame:
    rows = rows.copy()
    rows["error"] = (rows["predicted"] - rows["observed"]).abs()
    key = ["history", "metric", "n", "kind", "observed"]
    of_mean = rows[rows["model"] == MEAN].drop_duplicates(key).set_index(key)["error"]
    rows["error_of_mean"] = of_mean.reindex(pd.MultiIndex.from_frame(rows[key])).to_numpy()
    rows["within_15"] = rows["error"] <= 0.15 * rows["observed"].abs()
    rows["within_5"] = rows["error"] <= 0.05 * rows["observed"].abs()
    rows["covered"] = (rows["low"] <= rows["observed"]) & (rows["observed"] <= rows["high"])
    rows["width"] = (rows["high"] - rows["low"]) * rows["scale"]
    return rows


class Musts:
    """Figures that have to be reached."""

    def __init__(self) -> None:
        self.missed: list[str] = []

    def check(self, name: str, figure: float, is_reached: bool) -> None:
        if not is_reached:
            self.missed.append(f"{name}: {figure:.3g}")


def report_models(rows: pd.DataFrame, kind: str, console: Console) -> None:
    table = Table(title=f"Predictions of {kind}", title_justify="left")
    for column in ("n", "model", "MAE below the mean's", "within 15 %", "within 5 %", "90 % interval covers", "width"):
        table.add_column(column)
    for n in (*SIZES, "15 and 30"):
        for model in dict.fromkeys(rows["model"]):
            of = rows[(rows["kind"] == kind) & (rows["model"] == model)]
            of = of[of["n"] == n] if n in SIZES else of[of["n"] >= 15]
            ratio, low, high = resampled(of, error_ratio)
            table.add_row(
                str(n),
                str(model),
                shown((1 - ratio, 1 - high, 1 - low)),
                *(shown(resampled(of, share_of(column))) for column in ("within_15", "within_5")),
                "–" if model == TRUTH else shown(resampled(of, share_of("covered"))),
                "–" if model == TRUTH else f"{of['width'].median():.1f}",
            )
    console.print(table)


def report_verdicts(rows: pd.DataFrame, console: Console) -> None:
    table = Table(title="RUN or SKIP", title_justify="left")
    for column in ("n", "of", "skipped", "in the top tenth: of SKIP", "of RUN", "failed, of risk stated as"):
        table.add_column(column)
    chosen = rows[rows["model"] == CHOSEN].astype({"skipped": bool, "failed": bool})
    for n in SIZES:
        for kind in (NEXT, RANDOM):
            of = chosen[(chosen["n"] == n) & (chosen["kind"] == kind)]
            risks = []
            for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 1.01)):
                inside = of[(of["failure"] >= low) & (of["failure"] < high)]
                risks.append(f"{inside['failure'].mean():.2f} → {inside['failed'].mean():.2f} ({len(inside)})")
            table.add_row(
                str(n),
                kind,
                shown(resampled(of, share_of("skipped"))),
                shown(resampled(of[of["skipped"]], share_of("is_top"))),
                shown(resampled(of[~of["skipped"]], share_of("is_top"))),
                ", ".join(risks),
            )
    console.print(table)


def report_families(rows: pd.DataFrame, console: Console) -> None:
    table = Table(title="Chosen, next runs, by family, n = 15 and 30", title_justify="left")
    for column in ("family", "MAE below the mean's", "best possible", "90 % interval covers"):
        table.add_column(column)
    of = rows[(rows["kind"] == NEXT) & (rows["n"] >= 15)]
    for family in FAMILIES:
        cells = []
        for model in (CHOSEN, TRUTH):
            ratio, low, high = resampled(of[(of["family"] == family) & (of["model"] == model)], error_ratio)
            cells.append(shown((1 - ratio, 1 - high, 1 - low)))
        chosen = of[(of["family"] == family) & (of["model"] == CHOSEN)]
        table.add_row(family, *cells, shown(resampled(chosen, share_of("covered"))))
    console.print(table)


def report_choice(rows: pd.DataFrame, console: Console) -> None:
    chosen = rows[(rows["model"] == CHOSEN) & (rows["kind"] == NEXT)]
    table = Table(title="Which model was chosen, and its stated skill", title_justify="left")
    names = sorted(set(chosen["name"]))
    for column in ("n", *names, "stated skill, mean", "coverage beyond what was tried", "within"):
        table.add_column(column)
    for n in SIZES:
        of = chosen[chosen["n"] == n]
        beyond = of["beyond"].astype(bool)
        table.add_row(
            str(n),
            *(f"{(of['name'] == name).mean():.0%}" for name in names),
            f"{of['skill'].mean():.2f}",
            f"{of[beyond]['covered'].mean():.2f} ({beyond.sum()})",
            f"{of[~beyond]['covered'].mean():.2f} ({(~beyond).sum()})",
        )
    console.print(table)


def check(rows: pd.DataFrame, musts: Musts) -> None:
    chosen = rows[(rows["model"] == CHOSEN) & (rows["kind"] == NEXT)]
    many = chosen[chosen["n"] >= 15]
    gain = 1 - resampled(many, error_ratio)[0]
    musts.check("n ≥ 15: MAE below the mean's", gain, gain >= 0.35)
    musts.check("n ≥ 15: within 15 %", many["within_15"].mean(), many["within_15"].mean() >= 0.85)
    for n in SIZES:
        covered = float(chosen[chosen["n"] == n]["covered"].mean())
        musts.check(f"n = {n}: coverage", covered, 0.87 <= covered <= 0.95)
    skipped = rows[(rows["model"] == CHOSEN) & (rows["n"] >= 15)]
    skipped = skipped[skipped["skipped"].astype(bool)]
    top = float(skipped["is_top"].mean()) if len(skipped) else 0.0
    musts.check("n ≥ 15: SKIPs in the top tenth", top, top <= 0.05)
    musts.check("n ≥ 15: SKIPs at all", len(skipped), len(skipped) > 0)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--histories", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--metrics", nargs="+", default=[QUALITY], choices=METRICS)
    options = parser.parse_args()
    console, musts = Console(width=160), Musts()
    families = list(FAMILIES)
    parts: list[pd.DataFrame] = []
    for number in track(range(options.histories), console=console, disable=not sys.stdout.isatty()):
        family = families[number % len(families)]
        history = imagined_history(family, REFERENCE, options.seed + number // len(families))
        for metric in options.metrics:
            for n in SIZES:
                rows = pd.DataFrame(judged(history, n, number, metric))
                parts.append(rows.assign(history=number, family=family, metric=metric))
    rows = with_errors(pd.concat(parts, ignore_index=True))
    for kind in (NEXT, RANDOM):
        report_models(rows, kind, console)
    report_verdicts(rows, console)
    report_families(rows, console)
    report_choice(rows, console)
    check(rows, musts)
    for missed in musts.missed:
        console.print(f"[red]missed[/red] {missed}")
    return int(bool(musts.missed))


if __name__ == "__main__":
    sys.exit(main())
