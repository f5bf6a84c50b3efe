"""Eight runs that were never trained, as a folder of old trainings: to try `pixel-lora backfill` on, and for tests.

What they tell is made up to show the patterns that the roadmap reports: a rank of 64 and more paints photographs, one
kept token loses the background's colour, and hair that is two-toned at first is not any more from epoch 5 on. The files
have the headers and configurations of genuine trainings, of which some are lost; the LoRAs in them change nothing.

    python -m pixel_lora_pipeline.embedded.history FOLDER
"""

import argparse
import csv
import io
import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import torch

from pixel_lora_pipeline.embedded.kohya_file import epoch_file_name, final_file_name, save_checkpoint
from pixel_lora_pipeline.embedded.kohya_header import Plan, Session, checkpoint_header, run_header
from pixel_lora_pipeline.embedded.lora_config import LoraConfig
from pixel_lora_pipeline.embedded.lora_dataset import Picture, PictureFolder, TrainingSet
from pixel_lora_pipeline.embedded.lora_optimizer import describe_optimizer
from pixel_lora_pipeline.whole_file import write_whole

EPOCHS: Final = 10
OBSERVATIONS: Final = "observations.csv"
COMMENT: Final = "made up to show a pattern; nothing was trained"

_REPEATS: Final = 10
_SECONDS_PER_STEP: Final = 1.4
_FIRST_START: Final = datetime(2025, 9, 1, 9, 0, tzinfo=UTC)
_MODULE: Final = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
_WIDTHS: Final = (768, 320)  # of that layer in SD 1.5: text features in, channels out
_BASE_MODEL: Final = Path("v1-5-pruned-emaonly")
_SIZE: Final = (512, 512)

_HAIR: Final = ("#ff69b4", "#3366cc", "#6b4423", "#f2d16b")
_BACKGROUNDS: Final = ("#00aa44", "#cc2233", "#ffdd00", "#88ccee")
_DETAILED: Final = "skin #f1c27d, lips #c46a6a, eyes #2b2b2b, shirt #4455aa, outline #1a1a1a, shadow #d9a066, "\
    "highlight #ffe0bd, crown #ffd700, gem #e0115f, collar #eeeeee"  # fmt: skip

# Metrics of one epoch scatter by so many points, as they do between seeds.
_NOISE: Final = 1.2


@dataclass(frozen=True)
class PastRun:
    """A run of the made-up history; the files that are left of it are named by `left`."""

    name: str
    network_dim: int
    keep_tokens: int
    learning_rate: float
    caption_version: Literal["v2", "v3"]
    num_images: int
    gradient_accumulation_steps: int
    caption_dropout_rate: float
    left: Literal["everything", "checkpoints and kohya_ss's export", "checkpoints", "configuration"]

    @property
    def config(self) -> LoraConfig:
        """What it was trained with."""
        return LoraConfig(
            train_data_dir=Path("train"),
            output_dir=Path("output"),
            output_name=self.name,
            training_comment=COMMENT,
            network_dim=self.network_dim,
            network_alpha=self.network_dim / 2,
            network_train_unet_only=True,
            learning_rate=self.learning_rate,
            unet_lr=self.learning_rate,
            lr_scheduler="cosine",
            lr_warmup_steps=100,
            max_train_epochs=EPOCHS,
            train_batch_size=4,
            gradient_accumulation_steps=self.gradient_accumulation_steps,
            seed=42,
            caption_extension=".txt",
            shuffle_caption=True,
            keep_tokens=self.keep_tokens,
            caption_dropout_rate=self.caption_dropout_rate,
            resolution=_SIZE,
            min_snr_gamma=5.0,
        )


# No parameter that matters goes along with another: both ranks were tried with both numbers of kept tokens.
HISTORY: Final = (
    PastRun("history_1", 32, 3, 1e-4, "v3", 203, 1, 0.0, "everything"),
    PastRun("history_2", 32, 3, 5e-5, "v3", 203, 2, 0.0, "everything"),
    PastRun("history_3", 32, 1, 1e-4, "v3", 203, 1, 0.1, "checkpoints and kohya_ss's export"),
    PastRun("history_4", 32, 1, 1e-4, "v2", 150, 2, 0.0, "everything"),
    PastRun("history_5", 32, 1, 1e-4, "v2", 203, 1, 0.0, "checkpoints"),
    PastRun("history_6", 64, 3, 1e-4, "v2", 203, 2, 0.0, "everything"),
    PastRun("history_7", 64, 1, 1e-4, "v3", 150, 1, 0.1, "everything"),
    PastRun("history_8", 128, 1, 1e-4, "v2", 203, 1, 0.0, "configuration"),
)


def write_history(folder: Path) -> Path:
    """Write what is left of the eight runs, a folder each, and what was noted of them; every time the same.

    Parameters
    ----------
    folder
        Made if it is not there; files of these names in it are replaced.

    Returns
    -------
    Path
        The file of observations: scores and measurements of every epoch, verdicts, versions of captions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    for number, run in enumerate(HISTORY):
        started = _FIRST_START + timedelta(weeks=number)
        _write_files(folder / run.name, run, number, started)
        rows += _observed(run, number, started)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    path = folder / OBSERVATIONS
    write_whole(path, text.getvalue().encode())
    return path


def trajectory(run: PastRun, number: int) -> list[dict[str, Any]]:
    """The measurements of every epoch of a run, as `epoch_results.quantitative_metrics` has them.

    Progress is exponential and faster at a higher rate. Rank decides how much of the style is learnt, kept tokens how
    much of the background; from the eighth epoch on everything gets a little worse.
    """
    noise = np.random.default_rng(number)
    return [_measurements(run, epoch, noise) for epoch in range(1, EPOCHS + 1)]


def _measurements(run: PastRun, epoch: int, noise: np.random.Generator) -> dict[str, Any]:
    pace = math.sqrt(run.learning_rate / 1e-4)
    learnt = 1 - math.exp(-epoch * pace / 1.6)
    overtrained = 1.5 * max(0, epoch - 7)

    def score(start: float, end: float) -> float:
        value = start + (end - start) * learnt - overtrained + noise.normal(0, _NOISE)
        return round(float(np.clip(value, 0, 100)), 1)

    # Half of the images are two-toned at epoch 4.5, at half the rate two epochs later.
    two_toned = 1 / (1 + math.exp((epoch - 4.5 / pace) / 0.6))
    color: dict[str, Any] = {
        "background_accuracy": score(30, 100 if run.keep_tokens >= 3 else 56),
        "hair_accuracy": score(45, 93),
        "hair_two_toned": two_toned > 0.5,
        "hair_two_toned_share": round(two_toned, 3),
        "accessory_accuracy": score(20, 84),
    }
    color["overall"] = round(
        (color["background_accuracy"] + color["hair_accuracy"] + color["accessory_accuracy"]) / 3, 1
    )
    purity = score(28, {32: 94, 64: 38, 128: 31}[run.network_dim])
    sharpness = score(50, 92 if run.network_dim <= 32 else 52)
    style = {
        "edge_sharpness": sharpness,
        "pixel_art_purity": purity,
        "photorealism_score": round(100 - purity, 1),
        "color_palette_size": round((30 if run.network_dim <= 32 else 900) + 400 * (1 - learnt)),
        "overall": round((sharpness + purity) / 2, 1),
    }
    return {"color_accuracy": color, "style_quality": style}


def _quality(metrics: dict[str, Any]) -> float:
    """0 to 10, as a person judges: the style weighs more than the colours, and the worst fault most."""
    color, style = metrics["color_accuracy"], metrics["style_quality"]
    worst = min(color["background_accuracy"], color["accessory_accuracy"], style["pixel_art_purity"])
    return round(float(0.35 * color["overall"] + 0.65 * style["overall"] + worst) / 20, 1)


def _observed(run: PastRun, number: int, started: datetime) -> Iterator[dict[str, Any]]:
    metrics = trajectory(run, number)
    qualities = [_quality(measured) for measured in metrics]
    best = qualities.index(max(qualities))
    of_run = {
        "quality_score": qualities[best],
        "best_epoch": best + 1,
        "overall_verdict": _verdict(run, metrics[best]),
        "status": "completed",
        "run_date": started.date().isoformat(),
        "caption_version": run.caption_version,
    }
    for epoch, (measured, quality) in enumerate(zip(metrics, qualities, strict=True), 1):
        color, style = measured["color_accuracy"], measured["style_quality"]
        yield {
            "run": run.name,
            "epoch": epoch,
            "visual": _score(quality * 10),
            "style": _score(style["pixel_art_purity"]),
            "prompt": _score(color["overall"]),
            "notes": "; ".join(_faults(measured)),
            **of_run,
            **{f"{group}.{name}": value for group, values in measured.items() for name, value in values.items()},
        }
        of_run = {}  # said once


def _score(percent: float) -> int:
    return min(10, max(1, round(percent / 10)))


def _faults(measured: dict[str, Any]) -> Iterator[str]:
    color, style = measured["color_accuracy"], measured["style_quality"]
    if style["pixel_art_purity"] < 50:
        yield "photorealistic"
    if color["background_accuracy"] < 70:
        yield "wrong background"
    if color["hair_two_toned"]:
        yield "two-toned hair"


def _verdict(run: PastRun, best: dict[str, Any]) -> str:
    faults = list(_faults(best))
    return "failed: " + " and ".join(faults) if faults else f"good at rank {run.network_dim}"


def _write_files(folder: Path, run: PastRun, number: int, started: datetime) -> None:
    folder.mkdir(exist_ok=True)
    config = run.config
    if run.left in ("everything", "configuration"):
        _write_dated(folder / f"{run.name}.toml", config.to_toml().encode(), started)
    if run.left == "checkpoints and kohya_ss's export":
        name = f"{run.name}_{started:%Y%m%d-%H%M%S}.json"
        _write_dated(folder / name, json.dumps(_gui_export(config), indent=2).encode(), started)
    if run.left == "configuration":
        return
    training_set = _training_set(run, number)
    plan = Plan.of(config, len(training_set.epoch))
    header = run_header(
        config,
        Session(1_000_000_000 + number, started.timestamp()),
        plan,
        training_set,
        _BASE_MODEL,
        _SIZE,
        predicts_velocity=False,
        optimizer=describe_optimizer(config),
    )
    generator = torch.Generator().manual_seed(number)
    for epoch in range(1, EPOCHS + 1):
        step = epoch * plan.steps_per_epoch
        saved = started + timedelta(seconds=step * _SECONDS_PER_STEP)
        path = folder / (final_file_name(run.name) if epoch == EPOCHS else epoch_file_name(run.name, epoch))
        tensors = {
            f"{_MODULE}.lora_down.weight": torch.randn(config.network_dim, _WIDTHS[0], generator=generator).half(),
            f"{_MODULE}.lora_up.weight": torch.zeros(_WIDTHS[1], config.network_dim).half(),
            f"{_MODULE}.alpha": torch.tensor(config.network_alpha).half(),
        }
        metadata = checkpoint_header(header, epoch=epoch, step=step, saved_at=saved.timestamp())
        save_checkpoint(path, tensors, metadata)
        os.utime(path, (saved.timestamp(), saved.timestamp()))


def _write_dated(path: Path, content: bytes, written: datetime) -> None:
    write_whole(path, content)
    os.utime(path, (written.timestamp(), written.timestamp()))


def _training_set(run: PastRun, number: int) -> TrainingSet:
    random = np.random.default_rng(number)
    pixels = np.zeros((1, 1, 3), np.uint8)  # only counted, never shown
    pictures = []
    for index in range(run.num_images):
        hair, background = random.choice(_HAIR), random.choice(_BACKGROUNDS)
        plain = f"pixel art, portrait, hair {hair}, background {background}"
        caption = plain if run.caption_version == "v2" else f"{plain}, {_DETAILED}"
        pictures.append(Picture(Path(f"{index:04d}.png"), caption, pixels))
    return TrainingSet((PictureFolder(f"{_REPEATS}_portraits", _REPEATS, tuple(pictures)),))


def _gui_export(config: LoraConfig) -> dict[str, Any]:
    """What the kohya_ss interface saves: its own names, many numbers as text, 0 for what is off."""
    return {
        "LoRA_type": "Standard",
        "pretrained_model_name_or_path": f"{_BASE_MODEL}.safetensors",
        "train_data_dir": str(config.train_data_dir),
        "output_dir": str(config.output_dir),
        "output_name": config.output_name,
        "training_comment": config.training_comment,
        "network_dim": config.network_dim,
        "network_alpha": config.network_alpha,
        "conv_dim": 1,
        "conv_alpha": 1,
        "learning_rate": config.learning_rate,
        "unet_lr": config.unet_lr,
        "text_encoder_lr": 0,
        "lr_scheduler": config.lr_scheduler,
        "lr_warmup": 0,
        "optimizer": config.optimizer_type,
        "epoch": config.max_train_epochs,
        "max_train_steps": 0,
        "train_batch_size": config.train_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "seed": str(config.seed),
        "caption_extension": config.caption_extension,
        "shuffle_caption": config.shuffle_caption,
        "keep_tokens": str(config.keep_tokens),
        "caption_dropout_rate": config.caption_dropout_rate,
        "max_resolution": "{},{}".format(*_SIZE),
        "min_snr_gamma": config.min_snr_gamma,
        "noise_offset": 0,
        "xformers": "xformers",
        "save_every_n_epochs": config.save_every_n_epochs,
        "save_precision": config.save_precision,
        "lr_scheduler_num_cycles": "1",
        "max_data_loader_n_workers": 0,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    target = parser.parse_args().folder
    print(f"pixel-lora backfill {target} --observations {write_history(target)}")
