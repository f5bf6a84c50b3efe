"""`pixel-lora predict`, `hypotheses` and `experiments`, as a person or a script runs them."""

import json

import pytest

from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.test_cli import pixel_lora

pytestmark = pytest.mark.made_up_history


def test_a_training_is_predicted_and_the_prediction_kept(store: Store) -> None:
    shown = pixel_lora("predict", "network_dim=64", "learning_rate=1e-4", DATABASE_URL=store.database.url)
    assert shown.returncode == 0, shown.stderr
    for said in ("quality_score:", "Risk:", "Recommendation:", "Reason:", "8 runs"):
        assert said in shown.stdout, shown.stdout
    (kept,) = store.predictions.all()
    assert (kept.metric, kept.parameters) == ("quality_score", {"network_dim": 64, "learning_rate": 1e-4})
    document = json.loads(
        pixel_lora(
            "predict", "network_dim=32", "keep_tokens=3", "--metric", "background_accuracy", "--json",
            DATABASE_URL=store.database.url,
        ).stdout
    )  # fmt: skip
    assert document["metric"] == "background_accuracy"
    low, high = document["interval"]
    assert low < document["predicted"] < high


def test_without_parameters_it_says_how_earlier_predictions_turned_out(store: Store) -> None:
    assert pixel_lora("predict", "network_dim=64", DATABASE_URL=store.database.url).returncode == 0
    early = pixel_lora("predict", DATABASE_URL=store.database.url)
    assert "not enough yet: 0 of 10" in early.stdout, early.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["network_dim"], "write NAME=VALUE"),
        (["beauty=1"], "beauty is no parameter"),
        (["network_dim=wide"], "network_dim=wide"),
        (["network_dim=64", "network_dim=32"], "there twice"),
    ],
)
def test_what_cannot_be_meant_is_named(arguments: list[str], said: str, store: Store) -> None:
    result = pixel_lora("predict", *arguments, DATABASE_URL=store.database.url)
    assert result.returncode == 2
    assert said in result.stderr


def test_experiments_are_proposed_decided_on_and_kept_in_their_order(store: Store) -> None:
    proposed = pixel_lora("hypotheses", DATABASE_URL=store.database.url)
    assert proposed.returncode == 0, proposed.stderr
    assert proposed.stdout.startswith("# Experiment Queue - Generated")
    waiting = store.experiments.all()
    assert 3 <= len(waiting) <= 5
    again = json.loads(pixel_lora("hypotheses", "--json", DATABASE_URL=store.database.url).stdout)
    open_ones = {experiment.experiment_id for experiment in store.experiments.all()}
    assert {experiment.experiment_id for experiment in waiting} <= open_ones, again

    first, last = str(waiting[0].experiment_id), str(waiting[-1].experiment_id)
    assert pixel_lora("experiments", "approve", first, DATABASE_URL=store.database.url).returncode == 0
    assert pixel_lora("experiments", "edit", last, "seed=7", DATABASE_URL=store.database.url).returncode == 0
    cancelled = pixel_lora("experiments", "cancel", last, "--why", "too dear", DATABASE_URL=store.database.url)
    assert cancelled.returncode == 0, cancelled.stderr
    states = {str(experiment.experiment_id): experiment.state for experiment in store.experiments.all()}
    assert (states[first], states[last]) == ("QUEUED", "SKIPPED")
    refused = pixel_lora("experiments", "approve", last, DATABASE_URL=store.database.url)
    assert refused.returncode == 2
    assert "is SKIPPED and cannot become QUEUED" in refused.stderr
    listed = pixel_lora("experiments", "--json", DATABASE_URL=store.database.url)
    assert json.loads(listed.stdout)[0]["experiment_id"] == int(first)
