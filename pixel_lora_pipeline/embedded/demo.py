"""The embedded demo: a small LoRA training that anyone can watch, with no GPU, no download and no account."""

import sys
from pathlib import Path
from typing import Final

DEMO_RUN: Final = "pixel_portraits"
DEMO_EPOCHS: Final = 8
DEMO_IMAGES: Final = 96

# Found on the embedded model (docs/embedded_model.md): strong enough to show the change from soft to pixel art
# within eight epochs, weak enough that the captions keep being obeyed.
_CONFIG: Final = """\
output_name = "{name}"
output_dir = "{output}"
train_data_dir = "{data}"
resolution = "64,64"
caption_extension = ".txt"
shuffle_caption = true
keep_tokens = 2
caption_dropout_rate = 0.1
train_batch_size = 4
max_train_epochs = {epochs}
save_every_n_epochs = 1
network_module = "networks.lora"
network_dim = 16
network_alpha = 16
network_args = ["conv_dim=16", "conv_alpha=16"]
learning_rate = 2e-3
unet_lr = 2e-3
text_encoder_lr = 2e-4
optimizer_type = "AdamW"
lr_scheduler = "cosine"
max_grad_norm = 1.0
seed = 7
save_precision = "fp16"
training_comment = "embedded demo"
"""


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

    data = home / "demo" / "dataset"
    write_demo_dataset(data / f"1_{DEMO_RUN}", count=DEMO_IMAGES, seed=1)
    output = checkpoints_folder(home)
    output.mkdir(parents=True, exist_ok=True)
    config = home / "demo" / f"{DEMO_RUN}.toml"
    config.write_text(
        _CONFIG.format(name=DEMO_RUN, output=output.as_posix(), data=data.as_posix(), epochs=DEMO_EPOCHS),
        encoding="utf-8",
    )
    return config


def demo_command(home: Path) -> list[str]:
    """The command that trains the demo, started as a process of its own as any trainer would be."""
    config = prepare_demo(home)
    return [sys.executable, "-m", "pixel_lora_pipeline.embedded.train_lora", "--config_file", str(config)]
