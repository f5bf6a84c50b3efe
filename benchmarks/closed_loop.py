"""Does the loop find good settings, on real trainings? `python benchmarks/closed_loop.py [--repetitions 5]`

Trains LoRAs on the embedded model in a space of seven parameters in which few configurations are good, and counts how
many runs it takes to the first that reaches the target: for the autopilot (which begins with no run at all, as the
others do), for random search and for Optuna's TPE as it comes. The target lies two points above what the demo's own
settings come to under the same conditions: better than what somebody who knows the model would have set.

A training is 8 epochs of 10 steps; each epoch is measured with nine prompts of the built-in suite, one seed. A run
counts for its best epoch. Random search and TPE train all epochs and take the best that was measured; the autopilot
stops a training when `detect_convergence` says so, and takes the epoch that it names. Its regret is what it lost
against the best epoch of the whole training, which is trained on for this comparison only.

Every training is kept in `trainings.jsonl`, and one that is there is not repeated: a benchmark that was cut off goes
on where it stood, and its table can be made again in a minute. Random search's repetitions draw from one stream.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import optuna
import pandas as pd
from rich.console import Console
from rich.table import Table
from scipy.stats import binomtest

from pixel_lora_pipeline.analyze import detect_convergence
from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo import demo_config
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.embedded.loading import EMBEDDED_SPACE, WEIGHTS
from pixel_lora_pipeline.embedded.lora_training import EpochReport
from pixel_lora_pipeline.improve import SearchSpace, suggest, training_parameters, unset_values
from pixel_lora_pipeline.validate import Generator, evaluate_file, load_suite
from pixel_lora_pipeline.validate.lora import LoraError
from pixel_lora_pipeline.validate.suite import Suite

Configuration = Mapping[str, Any]

EPOCHS: Final = 8
SPRITES: Final = 40
SPACE: Final = SearchSpace.read(EMBEDDED_SPACE)
# The demo's settings; its learning rate of 2e-3 lies between two levels.
KNOWN_GOOD: Final = {
    "learning_rate": 2e-3,
    "network_dim": 16,
    "network_alpha": 16,
    "conv_dim": 16,
    "text_encoder_lr": 2e-4,
    "caption_dropout_rate": 0.1,
    "lr_scheduler": "cosine",
}
BETTER: Final = 2.0
"""Points above the known good settings: a clear step, late epochs of that training differ by less."""

MOST_RUNS: Final = 60
"""A campaign that has not reached the target by then is given up."""

METRIC: Final = "overall_score"


@dataclass(frozen=True)
class Training:
    """What a training came to.

    Attributes
    ----------
    scores
        Of each epoch; None where the checkpoint was refused, as one that has diverged is.
    seconds
        Of processor time, for training and measuring each epoch.
    """

    parameters: dict[str, Any]
    scores: list[float | None]
    seconds: list[float]

    def best_of(self, epochs: int) -> float:
        """The best score among the first epochs; 0 if no checkpoint was usable."""
        return max((score for score in self.scores[:epochs] if score is not None), default=0.0)


class Trainings:
    """The trainings that were made, in a file that grows by a line each."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._suite = _small_suite()
        self._generator = Generator(WEIGHTS, device="cpu")
        lines = file.read_text().splitlines() if file.exists() else []
        self._known = {_key(training.parameters): training for training in (Training(**json.loads(x)) for x in lines)}

    def of(self, parameters: Configuration) -> Training:
        """Train with these parameters, unless that was done before."""
        found = self._known.get(_key(parameters))
        if found is None:
            found = self._train(parameters)
            self._known[_key(parameters)] = found
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(found)) + "\n")
                file.flush()
                os.fsync(file.fileno())
        return found

    def _train(self, parameters: Configuration) -> Training:
        scores: list[float | None] = []
        seconds: list[float] = []
        started = time.process_time()

        def measure(report: EpochReport) -> None:
            nonlocal started
            assert report.path is not None  # every epoch is saved
            try:
                scores.append(evaluate_file(report.path, self._generator, self._suite, "embedded").metrics[METRIC])
            except LoraError:
                scores.append(None)
            seconds.append(time.process_time() - started)
            started = time.process_time()

        with tempfile.TemporaryDirectory() as folder:
            data, output = Path(folder, "data"), Path(folder, "checkpoints")
            write_demo_dataset(data / "1_sprites", SPRITES, seed=1)
            train_lora(_kohya(parameters, data, output), output, on_epoch=measure)
        return Training(dict(parameters), scores, seconds)


@dataclass(frozen=True)
class Campaign:
    """A search until the target was reached, or given up.

    Attributes
    ----------
    runs
        That it took; `MOST_RUNS` + 1 if the target was not reached.
    epochs, seconds
        That were trained and measured, and the processor time that took.
    possible_epochs
        That the same trainings would have taken to their ends.
    regrets
        For each training, the points that were lost by stopping early and by the choice of the epoch.
    """

    runs: int
    epochs: int
    possible_epochs: int
    seconds: float
    regrets: list[float]


Choose = Callable[[pd.DataFrame], dict[str, Any]]


def _small_suite() -> Suite:
    suite = load_suite()
    prompts = tuple(prompt.model_copy(update={"seeds": prompt.seeds[:1]}) for prompt in suite.prompts[::2])
    return replace(suite, prompts=prompts)


def _key(parameters: Configuration) -> str:
    return json.dumps(dict(parameters), sort_keys=True)


def _kohya(parameters: Configuration, data: Path, output: Path) -> dict[str, Any]:
    """The demo's configuration with these parameters, as a campaign would train it."""
    base = {
        **demo_config("loop", data, output),
        "conv_dim": 16,
        "conv_alpha": 16,
        "max_train_epochs": EPOCHS,
        "seed": 1,
    }
    del base["network_args"]
    return training_parameters(base, parameters, unset_values())


def random_stream(seed: int) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(seed)
    while True:
        yield {
            name: parameter.values[int(random.integers(len(parameter.values)))]
            for name, parameter in SPACE.parameters.items()
        }


def whole(choose: Choose, trainings: Trainings, target: float, tell: Callable[[float], object]) -> Campaign:
    """A campaign that trains everything to its end and believes the best that it measured."""
    rows: list[dict[str, Any]] = []
    seconds = 0.0
    while len(rows) < MOST_RUNS:
        training = trainings.of(choose(pd.DataFrame(rows)))
        value = training.best_of(EPOCHS)
        tell(value)
        rows.append({**training.parameters, METRIC: value})
        seconds += sum(training.seconds)
        if value >= target:
            break
    reached = rows[-1][METRIC] >= target
    epochs = EPOCHS * len(rows)
    return Campaign(len(rows) if reached else MOST_RUNS + 1, epochs, epochs, seconds, [])


def autopilot(trainings: Trainings, target: float, seed: int) -> Campaign:
    """As `pixel-lora autopilot` goes on: the search chooses, and a training is stopped when it has converged."""
    rows: list[dict[str, Any]] = []
    curves: list[pd.DataFrame] = []
    regrets: list[float] = []
    epochs, seconds = 0, 0.0
    while len(rows) < MOST_RUNS:
        history = pd.DataFrame(rows, columns=["run_name", *SPACE.names, METRIC])
        chosen = suggest(SPACE, history, metric=METRIC, seed=seed)[0]
        training = trainings.of(chosen)
        used, best = _stopped(training, curves)
        value = 0.0 if best is None else training.scores[best - 1] or 0.0
        epochs += used
        seconds += sum(training.seconds[:used])
        regrets.append(training.best_of(EPOCHS) - value)
        curves.append(_curve(training, used))
        rows.append({"run_name": f"run_{len(rows) + 1}", **chosen, METRIC: value})
        if value >= target:
            break
    reached = rows[-1][METRIC] >= target
    return Campaign(len(rows) if reached else MOST_RUNS + 1, epochs, EPOCHS * len(rows), seconds, regrets)


def _stopped(training: Training, past: Sequence[pd.DataFrame]) -> tuple[int, int | None]:
    """After how many epochs a training is stopped, and which of them is taken for the best."""
    best = None
    known = [curve for curve in past if curve["score"].notna().any()]
    for epoch in range(1, EPOCHS + 1):
        if training.scores[epoch - 1] is None:
            return epoch, best  # refused: a training that has diverged does not recover
        verdict = detect_convergence(_curve(training, epoch), EPOCHS, known)
        best = verdict.best_epoch
        if verdict.should_stop:
            return epoch, best
    return EPOCHS, best


def stopped_one_after_the_other(trainings: Sequence[Training]) -> tuple[float, list[float]]:
    """Which share of the epochs stopping early saves, and what each training loses by it, in points."""
    past: list[pd.DataFrame] = []
    regrets = []
    for training in trainings:
        used, best = _stopped(training, past)
        past.append(_curve(training, used))
        regrets.append(training.best_of(EPOCHS) - (0.0 if best is None else training.scores[best - 1] or 0.0))
    return 1 - sum(len(curve) for curve in past) / (EPOCHS * len(past)), regrets


def _told(regrets: Sequence[float]) -> str:
    return f"mean regret {statistics.mean(regrets):.2f} points, at most {max(regrets):.1f}"


def _curve(training: Training, epochs: int) -> pd.DataFrame:
    return pd.DataFrame({"epoch": range(1, epochs + 1), "score": training.scores[:epochs]}).astype({"score": float})


def tpe(trainings: Trainings, target: float, seed: int) -> Campaign:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    asked: list[optuna.Trial] = []

    def choose(_: pd.DataFrame) -> dict[str, Any]:
        trial = study.ask()
        asked.append(trial)
        return {name: _asked(trial, name, parameter) for name, parameter in SPACE.parameters.items()}

    return whole(choose, trainings, target, lambda value: study.tell(asked[-1], value))


def _asked(trial: optuna.Trial, name: str, parameter: Any) -> Any:
    if not parameter.is_ordered:
        return trial.suggest_categorical(name, parameter.values)
    return parameter.values[trial.suggest_int(name, 0, len(parameter.values) - 1)]


STRATEGIES: Final = ("autopilot", "random", "TPE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs" / "closed_loop")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--only", choices=STRATEGIES, nargs="+", default=STRATEGIES)
    parser.add_argument(
        "--rarity", type=int, default=0, help="only say how many of so many random configurations reach it"
    )
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    arguments.out.mkdir(parents=True, exist_ok=True)
    trainings = Trainings(arguments.out / "trainings.jsonl")
    console = Console()
    known_good = trainings.of(KNOWN_GOOD).best_of(EPOCHS)
    target = known_good + BETTER
    console.print(f"The demo's settings come to {known_good:.1f}; the target is {target:.1f}")
    stream = random_stream(0)
    if arguments.rarity:
        drawn = [trainings.of(next(stream)) for _ in range(arguments.rarity)]
        values = [training.best_of(EPOCHS) for training in drawn]
        reached = sum(value >= target for value in values)
        low, high = binomtest(reached, len(values)).proportion_ci(method="wilson")
        share = f"{reached / len(values):.0%} ({low:.0%} to {high:.0%})"
        console.print(
            f"{len(values)} random configurations: {share} reach it; the best comes to {max(values):.1f}, the median "
            f"to {statistics.median(values):.1f}"
        )
        saved, regrets = stopped_one_after_the_other(drawn)
        console.print(f"Stopped early, {saved:.0%} of their epochs are saved; {_told(regrets)}")
        return
    lead: dict[str, Callable[[int], Campaign]] = {
        "autopilot": lambda repetition: autopilot(trainings, target, repetition),
        "random": lambda _: whole(lambda _: next(stream), trainings, target, lambda _: None),
        "TPE": lambda repetition: tpe(trainings, target, repetition),
    }
    campaigns: dict[str, list[Campaign]] = {name: [] for name in arguments.only}
    for repetition in range(arguments.repetitions):
        for name, found in campaigns.items():
            found.append(lead[name](repetition))
            console.print(f"{name}, repetition {repetition + 1}: {found[-1].runs} runs")
    _report(campaigns, target, console)


def _report(campaigns: Mapping[str, Sequence[Campaign]], target: float, console: Console) -> None:
    table = Table("", "runs, each repetition", "median runs", "median hours", title=f"Until {target:.1f} was reached")
    for name, found in campaigns.items():
        runs = [campaign.runs for campaign in found]
        told = ", ".join(f">{MOST_RUNS}" if run > MOST_RUNS else str(run) for run in runs)
        hours = statistics.median(campaign.seconds for campaign in found) / 3600
        table.add_row(name, told, f"{statistics.median(runs):g}", f"{hours:.2f}")
    console.print(table)
    own = campaigns.get("autopilot", [])
    if not own:
        return
    saved = 1 - sum(campaign.epochs for campaign in own) / sum(campaign.possible_epochs for campaign in own)
    regrets = [regret for campaign in own for regret in campaign.regrets]
    console.print(f"Autopilot: {saved:.0%} of the epochs saved, {_told(regrets)}")


if __name__ == "__main__":
    main()
