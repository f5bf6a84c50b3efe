"""A campaign chooses, starts, stops early, settles what came of it, and knows when it is over."""

import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pixel_lora_pipeline import autopilot
from pixel_lora_pipeline.embedded.loading import EMBEDDED_SPACE
from pixel_lora_pipeline.improve import SearchSpace
from pixel_lora_pipeline.store import Campaign, Experiment, Store
from pixel_lora_pipeline.train.trainers import LocalProcess, TrainerError, TrainingState
from pixel_lora_pipeline.training_history import read_history

SPACE = SearchSpace.read(EMBEDDED_SPACE)
BASE = {
    "learning_rate": 2e-3,
    "unet_lr": 2e-3,
    "network_dim": 16,
    "network_alpha": 16,
    "max_train_epochs": 8,
    "seed": 7,
}

# Saves an epoch, and then goes on until it is stopped, unless it is told to save nothing.
PROGRAM = """
import json, pathlib, sys, time
told = json.loads(pathlib.Path(sys.argv[sys.argv.index("--config_file") + 1]).read_text())
if told.get("fails"):
    sys.exit("loss is NaN")
(pathlib.Path(told["folder"]) / (told["output_name"] + "-000001.safetensors")).write_bytes(b"weights" * 200)
print("epoch 1/8", flush=True)
while True:
    time.sleep(0.02)
"""


class Script:
    """A trainer whose trainings are processes of a small script."""

    def __init__(self, folder: Path, **told: Any) -> None:
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        self.processes = LocalProcess([sys.executable, str(folder / "program.py")])
        self.told = told
        self.asked: list[dict[str, Any]] = []

    def start(self, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        if self.told.get("refuses"):
            raise TrainerError("network_dim = 65536: must be less than or equal to 1024")
        self.asked.append(dict(config))
        folder.mkdir(parents=True)
        file = folder / "config.json"
        file.write_text(json.dumps({**config, **self.told, "folder": str(folder)}), encoding="utf-8")
        return self.processes.start(file, config["output_name"], folder)

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        return self.processes.look(training)

    def stop(self, training: Mapping[str, Any]) -> None:
        self.processes.stop(training)


def begin(store: Store, **terms: Any) -> Campaign:
    usual = {"budget_runs": 3, "most_running": 1, "needs_approval": False, "target": None}
    return store.campaigns.begin(BASE, **{**usual, **terms}, by="somebody")


def claim(store: Store, campaign: Campaign) -> Experiment:
    claimed = autopilot.claim_next(store, campaign, read_history(store), SPACE, "a run")
    assert claimed is not None
    return claimed


def wait_until_saved(training: Mapping[str, Any]) -> None:
    """Returns when a training has saved its first epoch."""
    last = Path(training["last_checkpoint"])
    deadline = time.monotonic() + 30
    while not last.with_name(f"{last.stem}-000001.safetensors").exists():
        assert time.monotonic() < deadline, "the training saves nothing"
        time.sleep(0.01)


def judged(store: Store, experiment: Experiment, score: float, *, should_stop: bool = True, **parameters: Any) -> None:
    """What an evaluation and an analysis of the first epoch leave in the database."""
    file = Path((experiment.training or {})["last_checkpoint"]).with_name(
        f"{experiment.output_name}-000001.safetensors"
    )
    verdict = {"best_epoch": 1, "should_stop": should_stop, "reason": "epoch 1 is best", "status": "optimal"}
    with store.database.connection() as connection:
        row = connection.execute(
            "INSERT INTO training_runs (run_name, run_date, all_parameters, convergence, convergence_status, "
            "best_epoch, planned_epochs) VALUES (%s, now(), %s::jsonb, %s::jsonb, 'optimal', 1, 8) RETURNING id",
            (experiment.output_name, json.dumps({**experiment.parameters, **parameters}), json.dumps(verdict)),
        ).fetchone()
        assert row is not None
        connection.execute(
            "INSERT INTO epoch_results (training_run_id, epoch_number, checkpoint_path, quantitative_metrics) "
            "VALUES (%s, 1, %s, %s::jsonb)",
            (row["id"], str(file), json.dumps({"overall_score": score, "metrics_version": "3"})),
        )


def run(store: Store, campaign: Campaign, trainer: Script, folder: Path, score: float) -> Experiment:
    """One experiment from the queue to its outcome."""
    experiment = claim(store, campaign)
    where = folder / str(experiment.output_name)
    training = autopilot.start(store, trainer, campaign.base, experiment, read_history(store), where)
    wait_until_saved(training)
    judged(store, store.experiments.get(experiment.experiment_id), score)
    autopilot.follow(store, trainer, experiment, training, lambda _: None, sleep=lambda _: None)
    (ended,) = autopilot.settle(store)
    return ended


def test_a_training_is_stopped_when_its_epochs_say_so_and_its_outcome_is_written_back(
    store: Store, tmp_path: Path
) -> None:
    campaign, trainer = begin(store), Script(tmp_path)
    experiment = claim(store, campaign)
    where = tmp_path / str(experiment.output_name)
    training = autopilot.start(store, trainer, campaign.base, experiment, read_history(store), where)
    told: list[str] = []
    looks = 0

    def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if "epoch 1/8" in told and looks < 10_000:
            judged(store, store.experiments.get(experiment.experiment_id), 71.5)
            looks = 10_000

    state = autopilot.follow(store, trainer, experiment, training, told.append, sleep)
    assert not state.is_running
    assert told[-1] == "Stopped early: epoch 1 is best"
    assert store.experiments.get(experiment.experiment_id).state == "EVALUATING"
    (ended,) = autopilot.settle(store)
    assert ended.state == "DONE"
    assert ended.outcome == {
        "run_name": experiment.output_name,
        "best_epoch": 1,
        "overall_score": 71.5,
        "epochs": 1,
        "planned_epochs": 8,
    }
    assert autopilot.settle(store) == []


def test_what_follows_a_parameter_is_changed_with_it_and_a_rank_of_none_is_left_out(
    store: Store, tmp_path: Path
) -> None:
    campaign, trainer = begin(store), Script(tmp_path)
    run(store, campaign, trainer, tmp_path, 50.0)
    ended = run(store, campaign, trainer, tmp_path, 60.0)
    asked = trainer.asked[-1]
    assert asked["output_name"] == ended.output_name
    assert asked["unet_lr"] == asked["learning_rate"] == ended.parameters["learning_rate"]
    assert ("conv_dim" in asked) == (ended.parameters["conv_dim"] != 0)
    assert asked["max_train_epochs"] == 8


def test_the_first_training_is_of_what_all_share_unless_a_run_has_had_it(store: Store, tmp_path: Path) -> None:
    campaign, trainer = begin(store), Script(tmp_path)
    ended = run(store, campaign, trainer, tmp_path, 72.9)
    assert ended.title == "Begin with what all trainings share"
    assert {name: trainer.asked[0][name] for name in BASE} == BASE
    assert claim(store, campaign).title != ended.title
    store.campaigns.end(campaign.campaign_id, "for the test")
    for experiment in store.experiments.all(["RUNNING"]):
        store.experiments.record_outcome(experiment.experiment_id, "FAILED", {"failure": "ended"}, "the test")
    assert claim(store, begin(store)).title != ended.title, "a run has had it"


def test_a_training_that_diverged_counts_as_the_worst_also_where_its_first_epochs_are_good(
    store: Store, tmp_path: Path
) -> None:
    campaign, trainer = begin(store), Script(tmp_path)
    run(store, campaign, trainer, tmp_path, 40.0)
    diverged = claim(store, campaign)
    training = autopilot.start(store, trainer, BASE, diverged, read_history(store), tmp_path / "diverged")
    trainer.stop(training)
    judged(store, store.experiments.get(diverged.experiment_id), 90.0)
    outcome = {"failure": "its loss has been no number since step 5", autopilot.DIVERGED: True}
    store.experiments.record_outcome(diverged.experiment_id, "FAILED", outcome, "autopilot")
    known = autopilot.known_runs(read_history(store), store.experiments.of_campaign(campaign.campaign_id))
    scores = dict(zip(known["run_name"], known[autopilot.GOAL], strict=True))
    assert scores[diverged.output_name] == 40.0, scores


def test_experiments_are_never_repeated_and_later_ones_are_predicted(store: Store, tmp_path: Path) -> None:
    campaign, trainer = begin(store, budget_runs=4), Script(tmp_path)
    ended = [run(store, campaign, trainer, tmp_path, score) for score in (50.0, 60.0, 70.0, 65.0)]
    assert len({json.dumps(each.parameters, sort_keys=True) for each in ended}) == 4
    last = ended[-1]
    assert last.prediction is not None and last.outcome is not None
    assert last.outcome["predicted"] == last.prediction["predicted"]
    assert last.outcome["as_predicted"] in (True, False)
    reason = autopilot.reason_to_end(store, campaign, SPACE)
    assert reason == "All 4 trainings of the budget were run."


def test_a_training_that_saves_nothing_has_failed_and_the_search_turns_away_from_it(
    store: Store, tmp_path: Path
) -> None:
    campaign = begin(store, budget_runs=9)
    run(store, campaign, Script(tmp_path), tmp_path, 60.0)
    for _ in range(3):
        experiment = claim(store, campaign)
        where = tmp_path / str(experiment.output_name)
        failing = Script(tmp_path, fails=True)
        training = autopilot.start(store, failing, campaign.base, experiment, read_history(store), where)
        autopilot.follow(store, failing, experiment, training, lambda _: None, sleep=lambda _: None)
        failed = store.experiments.get(experiment.experiment_id)
        assert (failed.state, failed.outcome) == ("FAILED", {"failure": "loss is NaN"})
    runs = autopilot.known_runs(read_history(store), store.experiments.of_campaign(campaign.campaign_id))
    assert runs["overall_score"].tolist() == [60.0] * 4
    reason = autopilot.reason_to_end(store, campaign, SPACE)
    assert reason == "3 trainings in a row have failed, the last because: loss is NaN"


def test_a_configuration_that_the_trainer_refuses_is_a_failed_experiment(store: Store, tmp_path: Path) -> None:
    campaign = begin(store)
    experiment = claim(store, campaign)
    with pytest.raises(TrainerError, match="65536"):
        autopilot.start(
            store, Script(tmp_path, refuses=True), BASE, experiment, read_history(store), tmp_path / "training"
        )
    assert store.experiments.get(experiment.experiment_id).state == "FAILED"


def test_people_come_first_and_where_they_approve_each_nothing_else_is_started(store: Store) -> None:
    campaign = begin(store, needs_approval=True)
    assert autopilot.claim_next(store, campaign, read_history(store), SPACE, "a run") is None
    (theirs,) = store.experiments.propose(
        [
            {
                "title": "more sprites",
                "rationale": "few pictures",
                "source": "a person",
                "priority": "LOW",
                "parameters": {"network_dim": 8},
            }
        ],
        "somebody",
    )
    store.experiments.move_to(theirs, "QUEUED", "somebody")
    assert claim(store, campaign).experiment_id == theirs


def test_a_campaign_is_over_at_its_target_and_not_while_a_training_is_under_way(store: Store, tmp_path: Path) -> None:
    campaign, trainer = begin(store, target=70.0), Script(tmp_path)
    run(store, campaign, trainer, tmp_path, 69.0)
    assert autopilot.reason_to_end(store, campaign, SPACE) is None
    reached = run(store, campaign, trainer, tmp_path, 71.0)
    reason = autopilot.reason_to_end(store, campaign, SPACE)
    assert reason == f"{reached.output_name} came to 71.0, and 70 was the target."
    claim(store, campaign)
    assert autopilot.reason_to_end(store, campaign, SPACE) is None


def test_a_cancelled_training_is_stopped_and_not_started_again(store: Store, tmp_path: Path) -> None:
    campaign, trainer = begin(store), Script(tmp_path)
    experiment = claim(store, campaign)
    history, where = read_history(store), tmp_path / str(experiment.output_name)
    training = autopilot.start(store, trainer, campaign.base, experiment, history, where)
    again = autopilot.start(
        store, trainer, campaign.base, store.experiments.take_over(experiment.experiment_id, "b"), history, where
    )
    assert again == training and len(trainer.asked) == 1
    autopilot.abandon(store, trainer, experiment)
    assert not trainer.look(training).is_running
    assert store.experiments.get(experiment.experiment_id).outcome == {"failure": "it was cancelled"}


def test_where_nothing_promises_much_the_best_is_repeated_until_the_noise_is_known_and_then_it_is_over(
    store: Store, tmp_path: Path
) -> None:
    rates, noise = [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2], np.random.default_rng(0)
    space = SearchSpace.of({"learning_rate": rates, "network_dim": [4, 8, 16, 32]})
    campaign = begin(store, budget_runs=25)
    while (reason := autopilot.reason_to_end(store, campaign, space)) is None:
        experiment = autopilot.claim_next(store, campaign, read_history(store), space, "a run")
        assert experiment is not None
        nearest = int(np.abs(np.log(rates) - np.log(experiment.parameters["learning_rate"])).argmin())
        score = 70 - 6 * abs(nearest - 4) + noise.normal()
        last = str(tmp_path / f"{experiment.output_name}.safetensors")
        store.experiments.record_training(experiment.experiment_id, {"last_checkpoint": last}, None)
        judged(store, store.experiments.get(experiment.experiment_id), score)
        store.experiments.record_outcome(experiment.experiment_id, "DONE", {"overall_score": score}, "autopilot")
    assert reason.startswith("Stop: the most promising configuration is expected to bring"), reason
    ended = store.experiments.of_campaign(campaign.campaign_id)
    repeated = [each for each in ended if each.proposal["source"] == "replicate"]
    assert 1 <= len(repeated) < len(ended) < 25
    assert len({each.parameters["seed"] for each in [ended[0], *repeated]}) == 1 + len(repeated), "not another seed"
