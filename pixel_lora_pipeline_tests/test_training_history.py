"""Runs as tables to learn from: a made-up history that was filled in, and measurements that do not compare."""

import pytest

from pixel_lora_pipeline.embedded.history import HISTORY
from pixel_lora_pipeline.learn import assess_parameters
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.training_history import TrainingHistory, read_history


@pytest.fixture
def history(store: Store) -> TrainingHistory:
    return read_history(store)


@pytest.mark.made_up_history
def test_every_run_that_has_ended_is_a_row_with_its_parameters_and_its_best_epoch(history: TrainingHistory) -> None:
    runs = history.runs.set_index("run_name")
    assert list(runs.index) == [run.name for run in HISTORY], "not in the order of their dates"
    for run in HISTORY:
        assert (runs.network_dim[run.name], runs.keep_tokens[run.name]) == (run.network_dim, run.keep_tokens)
        assert (runs.background_accuracy[run.name] > 90) == (run.keep_tokens == 3)
        assert (runs.pixel_art_purity[run.name] > 90) == (run.network_dim == 32)
    assert {"quality_score", "best_epoch", "color_accuracy"} <= set(history.metrics)
    assert "overall_score" not in history.metrics, "nobody noted it"


@pytest.mark.made_up_history
def test_what_nobody_chose_is_no_parameter_to_judge(history: TrainingHistory) -> None:
    assert {"network_dim", "learning_rate", "caption_version", "num_images"} <= set(history.parameters)
    assert not {"session_id", "training_started_at", "measured_linear_rank", "output_name", "tag_frequency"} & set(
        history.parameters
    )


@pytest.mark.made_up_history
def test_the_table_is_what_evidence_is_drawn_from(history: TrainingHistory) -> None:
    evidence = assess_parameters(history.runs, history.parameters, "background_accuracy")
    assert (evidence.parameters[0], evidence.category[0]) == (["keep_tokens"], "CRITICAL")


@pytest.mark.made_up_history
def test_the_failures_of_each_epoch_are_told(history: TrainingHistory) -> None:
    two_toned = history.trajectories.query("issue == 'two_toned_hair' and present")
    assert dict(two_toned.groupby("run_name").epoch.max()) == {
        run.name: 6 if run.learning_rate < 1e-4 else 4 for run in HISTORY
    }


@pytest.mark.made_up_history
def test_measurements_of_another_version_are_left_out_and_counted(store: Store) -> None:
    with store.database.connection() as connection:
        connection.execute(
            """
            UPDATE epoch_results SET quantitative_metrics = quantitative_metrics || '{"metrics_version": "1"}'
            WHERE training_run_id IN (SELECT id FROM training_runs WHERE run_name IN ('history_2', 'history_7'))
            """
        )
    history = read_history(store)
    unmeasured = history.runs[history.runs.pixel_art_purity.isna()]
    assert set(unmeasured.run_name) == {"history_2", "history_7"}
    assert unmeasured.quality_score.notna().all(), "what a person gave compares"
    assert history.left_out == {"1": 2}


@pytest.mark.made_up_history
def test_a_run_that_goes_on_is_not_judged_yet(store: Store) -> None:
    with store.database.connection() as connection:
        connection.execute(
            "UPDATE training_runs SET quality_score = NULL, planned_epochs = 20, convergence_status = 'continue' "
            "WHERE run_name = 'history_1'"
        )
    history = read_history(store)
    assert "history_1" not in set(history.runs.run_name)
    assert "history_1" in set(history.trajectories.run_name), "how it goes teaches how runs go"


def test_an_empty_database_is_an_empty_table(store: Store) -> None:
    history = read_history(store)
    assert len(history.runs) == len(history.trajectories) == 0
    assert history.parameters == history.metrics == []


@pytest.mark.made_up_history
def test_runs_that_differ_in_their_seed_alone_are_repetitions(store: Store) -> None:
    with store.database.connection() as connection:
        connection.execute(
            """
            UPDATE training_runs repeated SET all_parameters = first.all_parameters || '{"seed": 7}'
            FROM training_runs first WHERE first.run_name = 'history_1' AND repeated.run_name = 'history_5'
            """
        )
    history = read_history(store)
    runs = history.runs.set_index("run_name")
    assert runs.configuration["history_5"] == runs.configuration["history_1"] == "history_1"
    assert runs.configuration.nunique() == len(HISTORY) - 1
    evidence = assess_parameters(history.runs, history.parameters, "background_accuracy", replicate_of="configuration")
    assert (evidence.n_configs[0], evidence.n_runs[0]) == (len(HISTORY) - 1, len(HISTORY))
