"""`pixel-lora autopilot` begins a campaign, says how it stands, and refuses what would waste every training of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline_tests.test_cli import pixel_lora
from pixel_lora_pipeline_tests.train.kohya.checkouts import checkout


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


@pytest.fixture
def kohya(tmp_path: Path) -> dict[str, str]:
    """Settings of a pipeline that trains with a checkout of sd-scripts."""
    return {
        "PIXEL_LORA_TRAINER": "kohya",
        "PIXEL_LORA_KOHYA": json.dumps({"folder": str(checkout(tmp_path / "sd-scripts"))}),
        "PIXEL_LORA_BASE_MODEL": str(WEIGHTS),
    }


def with_kohya(store: Store, settings: dict[str, str], *arguments: str) -> Any:
    return pixel_lora("autopilot", "--budget-runs", "5", *arguments, DATABASE_URL=store.database.url, **settings)


@pytest.fixture
def kohya_base(base: Path) -> Path:
    base.write_text(base.read_text() + 'resolution = "64,64"\nnetwork_args = ["conv_dim=4"]\n', encoding="utf-8")
    return base


def test_a_campaign_of_kohyas_trainings_shares_what_its_configuration_says(
    store: Store, kohya: dict[str, str], kohya_base: Path
) -> None:
    begun = with_kohya(store, kohya, "--config", str(kohya_base))
    assert begun.returncode == 0, begun.stderr
    campaign = store.campaigns.active()
    assert campaign is not None
    assert campaign.base == {
        "pretrained_model_name_or_path": str(WEIGHTS),
        "train_data_dir": str(kohya_base.parent / "data"),
        "caption_extension": ".txt",
        "max_train_epochs": 3,
        "resolution": [64, 64],
        "conv_dim": 4,
    }


@pytest.mark.parametrize(
    ("settings", "added", "said"),
    [
        ({"PIXEL_LORA_KOHYA": '{"folder": "/nowhere"}'}, "", "'/nowhere': there is no such folder; name your checkout"),
        ({"PIXEL_LORA_KOHYA": "{}"}, "", "set folder in the table [kohya]"),
        ({}, "network_dims = 4", "network_dims = 4: Kohya has no such option; did you mean network_dim?"),
        ({}, 'pretrained_model_name_or_path = "/no/base.safetensors"', "'/no/base.safetensors': there is no such file"),
        ({"PIXEL_LORA_BASE_MODEL": ""}, "", "base_model is not set"),
        ({"PIXEL_LORA_TRAINER": "embedded"}, "", "the embedded trainer trains the embedded model only"),
    ],
)
def test_what_kohya_could_not_train_is_refused_before_a_campaign_begins(
    settings: dict[str, str], added: str, said: str, store: Store, kohya: dict[str, str], kohya_base: Path
) -> None:
    kohya_base.write_text(f"{kohya_base.read_text()}{added}\n", encoding="utf-8")
    configured = {name: value for name, value in {**kohya, **settings}.items() if value}
    refused = with_kohya(store, configured, "--config", str(kohya_base))
    assert refused.returncode == 2
    assert said in " ".join(refused.stderr.replace("│", " ").split())
    assert store.campaigns.newest() is None


def test_without_a_configuration_nothing_is_trained_by_kohya(store: Store, kohya: dict[str, str]) -> None:
    refused = with_kohya(store, kohya)
    assert refused.returncode == 2 and "--config has to say" in refused.stderr


def test_tokens_of_captions_are_counted_as_the_base_model_does(
    store: Store, kohya: dict[str, str], kohya_base: Path
) -> None:
    caption = next((kohya_base.parent / "data" / "1_sprites").glob("*.txt"))
    caption.write_text(caption.read_text().strip() + ", pixel art" * 80, encoding="utf-8")
    refused = with_kohya(store, kohya, "--config", str(kohya_base))
    assert refused.returncode == 2
    assert "75" in refused.stderr and "tokens" in refused.stderr, refused.stderr


def test_doctor_explains_a_trainer_that_cannot_train(kohya: dict[str, str], tmp_path: Path) -> None:
    found = pixel_lora("doctor", PIXEL_LORA_HOME=str(tmp_path / "home"), **kohya)
    assert "trainer: Kohya's in" in found.stdout, found.stdout
    for wrong, said in (
        ('{"folder": "/nowhere"}', "trainer: [kohya] folder = '/nowhere': there is no such folder"),
        ("{}", "trainer: trainer is 'kohya', and nothing says where sd-scripts is"),
    ):
        found = pixel_lora("doctor", PIXEL_LORA_HOME=str(tmp_path / "home"), **{**kohya, "PIXEL_LORA_KOHYA": wrong})
        assert found.returncode == 1 and said in found.stdout, found.stdout
    misspelt = pixel_lora("doctor", PIXEL_LORA_HOME=str(tmp_path), **{**kohya, "PIXEL_LORA_KOHYA": '{"path": "x"}'})
    assert misspelt.returncode != 0
    assert "kohya.path" in misspelt.stderr and "Traceback" not in misspelt.stderr, misspelt.stderr
