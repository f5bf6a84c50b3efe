"""Real checkpoints of the real small model, for tests of the Dagster project."""

from pathlib import Path

import pytest

from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset

EPOCHS = 3


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a training leaves it: three epochs of a LoRA on the embedded model, with its TOML."""
    folder = tmp_path_factory.mktemp("training")
    write_demo_dataset(folder / "data" / "1_pixchar", count=4, seed=5)
    output = folder / "output"
    train_lora(
        {
            "output_name": "portraits",
            "network_dim": 4,
            "network_alpha": 4,
            "learning_rate": 1e-3,
            "caption_extension": ".txt",
            "train_batch_size": 2,
            "max_train_epochs": EPOCHS,
            "save_every_n_epochs": 1,
            "keep_tokens": 2,
            "shuffle_caption": True,
            "seed": 1,
        },
        output,
        images=folder / "data",
    )
    return output


@pytest.fixture(scope="session")
def small_suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two prompts at four steps: enough to go through every stage."""
    path = tmp_path_factory.mktemp("suite") / "suite.toml"
    path.write_text(
        """
        name = "small"
        seeds = [1]
        [generation.embedded]
        width = 64
        height = 64
        steps = 4
        guidance = 2.0
        [[prompts]]
        id = "pink"
        prompt = "pixchar, pink hair #ff69b4, green background #2e9e44, gold crown, smile"
        [[prompts]]
        id = "blue"
        prompt = "pixchar, blue hair #2f5fd0, red background #d62828, neutral expression"
        """,
        encoding="utf-8",
    )
    return path
