"""`pixel-lora autopilot` begins a campaign, says how it stands, and refuses what would waste every training of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.test_cli import pixel_lora


@pytest.fixture
def base(tmp_path: Path) -> Path:
    write_demo_dataset(tmp_path / "data" / "1_sprites", count=4, seed=5)
    file = tmp_path / "base.toml"
    file.write_text(
        f'train_data_dir = {json.dumps(str(tmp_path / "data"))}\ncaption_extension = ".txt"\nmax_train_epochs = 3\n',
        encoding="utf-8",
    )
    return file


def autopilot(store: Store, *arguments: str) -> Any:
    return pixel_lora("autopilot", *arguments, DATABASE_URL=store.database.url)


def test_a_campaign_is_begun_shown_and_ended(store: Store, base: Path) -> None:
    assert "No campaign was begun yet" in autopilot(store).stdout
    begun = autopilot(store, "--budget-runs", "5", "--target", "80", "--approve-each", "--config", str(base))
    assert begun.returncode == 0, begun.stderr
    assert "Active: 0 of 5 trainings started, until 80 is reached, each approved by people first." in begun.stdout
    campaign = store.campaigns.active()
    assert campaign is not None
    assert campaign.base == {
        "train_data_dir": str(base.parent / "data"),
        "caption_extension": ".txt",
        "max_train_epochs": 3,
    }
    again = autopilot(store, "--budget-runs", "5", "--config", str(base))
    assert again.returncode == 2 and "a campaign is active" in again.stderr
    assert json.loads(autopilot(store, "--json").stdout)["campaign"]["budget_runs"] == 5
    assert "for lunch" in autopilot(store, "stop", "--why", "for lunch").stdout
    assert store.campaigns.active() is None
    assert autopilot(store, "stop").returncode == 2


def test_captions_that_would_spoil_every_training_are_refused_before_any_is_started(store: Store, base: Path) -> None:
    caption = next((base.parent / "data" / "1_sprites").glob("*.txt"))
    caption.unlink()
    refused = autopilot(store, "--budget-runs", "5", "--config", str(base))
    assert refused.returncode == 2
    assert "captions check" in " ".join(refused.stderr.replace("│", " ").split())
    assert store.campaigns.newest() is None
