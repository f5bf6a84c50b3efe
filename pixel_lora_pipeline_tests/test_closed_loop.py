"""The loop closed: a campaign trains, evaluates, learns and trains again, with nobody at hand, in the real pipeline."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from pixel_lora_pipeline.config import PROJECT_ROOT
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Store, embedded_postgres
from pixel_lora_pipeline_tests.defs.conftest import small_suite
from pixel_lora_pipeline_tests.whole_pipeline import environment, home, left_over, running, wait_for

__all__ = ["home", "small_suite"]  # fixtures

RUNS = 2
EPOCHS = 1


def kohya_file(folder: Path) -> Path:
    """What all trainings share: four sprites, shown so often that a training takes some seconds."""
    write_demo_dataset(folder / "data" / "24_sprites", count=4, seed=5)
    file = folder / "base.toml"
    file.write_text(
        f"""
        train_data_dir = {json.dumps(str(folder / "data"))}
        caption_extension = ".txt"
        learning_rate = 1e-3
        unet_lr = 1e-3
        network_dim = 4
        network_alpha = 4
        train_batch_size = 2
        max_train_epochs = {EPOCHS}
        seed = 1
        """,
        encoding="utf-8",
    )
    return file


def workers(url: str) -> set[int]:
    """Processes of the Dagster runs that watch a training now."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT event FROM dagster.event_logs JOIN dagster.runs USING (run_id) "
            "WHERE pipeline_name = 'train_next' AND status = 'STARTED'"
        ).fetchall()
    return {int(pid) for (event,) in rows for pid in re.findall(r"in process \(pid: (\d+)\)", event)}


@pytest.mark.timeout(900)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_campaign_goes_on_by_itself_to_its_budget_also_when_who_watches_a_training_is_killed(
    home: Path, small_suite: Path
) -> None:
    watched = home / "watched"
    watched.mkdir()
    settings = {"PIXEL_LORA_WATCHED": f'["{watched}"]', "PIXEL_LORA_SUITE": str(small_suite)}
    with embedded_postgres(home) as url, running(home, **settings, DATABASE_URL=url):
        store = Store(url, home / "images")
        wait_for(lambda: (home / "logs").exists(), 60, "the pipeline")
        command = [sys.executable, "-m", "pixel_lora_pipeline.cli", "autopilot", "--budget-runs", str(RUNS)]
        subprocess.run(
            [*command, "--config", str(kohya_file(home))],
            cwd=PROJECT_ROOT,
            env=environment(home, **settings, DATABASE_URL=url),
            check=True,
            timeout=120,
        )
        wait_for(lambda: store.experiments.all(["RUNNING"]), 240, "a training")
        (first,) = store.experiments.all(["RUNNING"])
        wait_for(lambda: store.experiments.get(first.experiment_id).training, 60, "its process")
        watching = workers(url)
        assert watching, "no process watches the training"
        for pid in watching:
            os.kill(pid, signal.SIGKILL)
        wait_for(lambda: store.campaigns.active() is None, 600, f"{RUNS} trainings")
        campaign = store.campaigns.newest()
        assert campaign is not None
        experiments = store.experiments.of_campaign(campaign.campaign_id)

    assert campaign.reason == f"All {RUNS} trainings of the budget were run."
    assert [experiment.state for experiment in experiments] == ["DONE"] * RUNS, experiments
    for experiment in experiments:
        assert experiment.outcome is not None
        assert 0 < experiment.outcome["overall_score"] <= 100
        assert experiment.training_run_id is not None
    assert experiments[0].parameters != experiments[1].parameters
    took_over = [decision for decision in experiments[0].decisions if "took_over_from" in decision]
    assert len(took_over) == 1, "a training whose watcher was killed was not taken over"
    assert left_over(home) == []
