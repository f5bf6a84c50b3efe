"""The embedded demo: a small LoRA training that anyone can watch, with no GPU, no download and no account."""

import sys
from pathlib import Path
from typing import Any, Final

DEMO_RUN: Final = "pixel_portraits"
DEMO_EPOCHS: Final = 8
DEMO_IMAGES: Final = 96
DEMO_REPEATS: Final = 2


def demo_config(name: str, data: Path, output: Path) -> dict[str, Any]:
    """The demo's training in Kohya's names: strong enough to turn soft portraits into pixel art in eight epochs.

    Weak enough, too, that captions keep being obeyed; docs/embedded_model.md shows what happens on either side.
    """
    return {
        "output_name": name,
        "output_dir": output.as_posix(),
        "train_data_dir": data.as_posix(),
        "resolution": "64,64",
        "caption_extension": ".txt",
        "shuffle_caption": True,
        "keep_tokens": 2,
        "caption_dropout_rate": 0.1,
        "cache_latents": True,
        "train_batch_size": 4,
        "max_train_epochs": DEMO_EPOCHS,
        "save_every_n_epochs": 1,
        "network_module": "networks.lora",
        "network_dim": 16,
        "network_alpha": 16,
        "network_args": ["conv_dim=16", "conv_alpha=16"],
        "learning_rate": 2e-3,
        "unet_lr": 2e-3,
        "text_encoder_lr": 2e-4,
        "optimizer_type": "AdamW",
        "lr_scheduler": "cosine",
        "max_grad_norm": 1.0,
        "seed": 7,
        "save_precision": "fp16",
        "training_comment": "embedded demo",
    }


def checkpoints_folder(home: Path) -> Path:
    """Where the demo's epochs land, which is the folder that is watched when nothing else is configured."""
    return home / "demo" / "checkpoints"


def demo_is_trained(home: Path) -> bool:
    """Whether the last epoch's file, which Kohya names without a number, is there."""
    return (checkpoints_folder(home) / f"{DEMO_RUN}.safetensors").exists()


def prepare_demo(home: Path) -> Path:
    """Writes the demo's pictures, captions and Kohya configuration; the same each time.

    Returns
    -------
    Path of the configuration (TOML).
    """
    from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
    from pixel_lora_pipeline.embedded.lora_config import read_config
    from pixel_lora_pipeline.whole_file import write_whole

    data = home / "demo" / "dataset"
    write_demo_dataset(data / f"{DEMO_REPEATS}_{DEMO_RUN}", count=DEMO_IMAGES, seed=1)
    output = checkpoints_folder(home)
    output.mkdir(parents=True, exist_ok=True)
    config = read_config(demo_config(DEMO_RUN, data, output))
    path = home / "demo" / f"{DEMO_RUN}.toml"
    write_whole(path, config.to_toml().encode())
    return path


def demo_command(home: Path) -> list[str]:
    """The command that trains the demo, started as a process of its own as any trainer would be."""
    config = prepare_demo(home)
    return [sys.executable, "-m", "pixel_lora_pipeline.embedded.train_lora", "--config_file", str(config)]
