"""A small untrained Stable Diffusion and a few captioned sprites, for trainings that take a second."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.architecture import analytic_autoencoder, assemble
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.embedded.lora_training import EpochReport, StepReport
from pixel_lora_pipeline.embedded.portrait import draw_portrait
from pixel_lora_pipeline.embedded.render import render_soft
from pixel_lora_pipeline.embedded.vocabulary import build_tokenizer

TEXT_WIDTH = 32
SPRITES = 5


def tiny_pipeline() -> StableDiffusionPipeline:
    """All kinds of layers that a LoRA can have, as few of each as possible; random weights, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        tokenizer = build_tokenizer()
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(tokenizer),
                hidden_size=TEXT_WIDTH,
                intermediate_size=2 * TEXT_WIDTH,
                num_hidden_layers=2,
                num_attention_heads=2,
                max_position_embeddings=tokenizer.model_max_length,
                projection_dim=TEXT_WIDTH,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )
        unet = UNet2DConditionModel(
            sample_size=32,
            in_channels=4,
            out_channels=4,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
            block_out_channels=(8, 16),
            layers_per_block=1,
            cross_attention_dim=TEXT_WIDTH,
            attention_head_dim=4,
            norm_num_groups=4,
        )
    rng = np.random.default_rng(0)
    portraits = np.stack([render_soft(draw_portrait(rng), rng) for _ in range(12)])
    return assemble(tokenizer, text_encoder, unet, analytic_autoencoder(portraits))


@pytest.fixture(scope="session")
def base_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base") / "tiny_base"
    tiny_pipeline().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def sprites(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `train_data_dir` with one folder of `SPRITES` pictures, each shown once."""
    parent = tmp_path_factory.mktemp("sprites")
    write_demo_dataset(parent / "1_pixchar", SPRITES, seed=3)
    return parent


@dataclass(frozen=True)
class Run:
    """What a training left and reported."""

    folder: Path
    checkpoints: list[Path]
    steps: list[StepReport]
    epochs: list[EpochReport]

    @property
    def losses(self) -> list[float]:
        return [report.loss for report in self.steps]

    def weights(self, at: int = -1) -> dict[str, Tensor]:
        return load_file(self.checkpoints[at])

    def header(self, at: int = -1) -> dict[str, str]:
        with safe_open(self.checkpoints[at], "pt") as file:
            return dict(file.metadata())


Train = Callable[..., Run]

DEFAULTS: dict[str, object] = {
    "output_name": "portrait",
    "caption_extension": ".txt",
    "network_dim": 2,
    "network_alpha": 2,
    "learning_rate": 1e-2,
    "train_batch_size": 2,
    "max_train_epochs": 1,
    "save_precision": "float",
    "seed": 1,
}


@pytest.fixture(scope="session")
def train(base_model: Path, sprites: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Trains with the given parameters instead of `DEFAULTS`."""

    def run(should_stop: Callable[[], bool] | None = None, **parameters: object) -> Run:
        folder = tmp_path_factory.mktemp("run")
        steps: list[StepReport] = []
        epochs: list[EpochReport] = []
        checkpoints = train_lora(
            DEFAULTS | parameters,
            folder,
            base_model=base_model,
            images=sprites,
            on_step=steps.append,
            on_epoch=epochs.append,
            should_stop=should_stop,
        )
        return Run(folder, checkpoints, steps, epochs)

    return run


@pytest.fixture(scope="session")
def usual_run(train: Train) -> Run:
    """A training with `DEFAULTS`."""
    return train()


def distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference between two sets of weights with the same names."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
