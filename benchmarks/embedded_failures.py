"""How LoRA trainings on the embedded model succeed and fail: `python benchmarks/embedded_failures.py --out FOLDER`.

Trains the demo, the same at half its steps ("good", the yardstick for the others) and several that are wrong in one
way each, evaluates some of their epochs with the
built-in suite, prints the curves, and writes one contact sheet an epoch and the curves as CSV into the folder.
Trainings and evaluations that are there already are not repeated.
"""

import argparse
import csv
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo import DEMO_IMAGES, DEMO_REPEATS, demo_config
from pixel_lora_pipeline.embedded.demo_dataset import CaptionStyle, write_demo_dataset
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.validate import Generator, evaluate_file, load_suite
from pixel_lora_pipeline.validate.lora import LoraError

COLUMNS = {
    "overall": ("overall_score",),
    "background": ("color_accuracy", "background_accuracy"),
    "hair": ("color_accuracy", "hair_accuracy"),
    "two-toned": ("color_accuracy", "hair_two_toned_share"),
    "accessory": ("color_accuracy", "accessory_accuracy"),
    "purity": ("style_quality", "pixel_art_purity"),
    "edges": ("style_quality", "edge_sharpness"),
    "palette": ("style_quality", "color_palette_size"),
    "grid": ("grid_coherence",),
}


@dataclass(frozen=True)
class Scenario:
    """One training; `changes` are what it does otherwise than the demo, at half its steps an epoch."""

    changes: dict[str, Any] = field(default_factory=dict)
    pictures: int = DEMO_IMAGES
    repeats: int = 1
    captions: CaptionStyle = "complete"
    evaluated: tuple[int, ...] = (1, 2, 4, 6, 8)


SCENARIOS = {
    "demo": Scenario(repeats=DEMO_REPEATS),
    "good": Scenario(),
    "rate_too_high": Scenario({"learning_rate": 1e-2, "unet_lr": 1e-2, "text_encoder_lr": 1e-3}),
    "rate_that_diverges": Scenario({"learning_rate": 3e-2, "unet_lr": 3e-2, "text_encoder_lr": 3e-3}, evaluated=(1, 2)),
    "few_pictures_many_steps": Scenario(
        {"max_train_epochs": 40, "lr_scheduler": "constant"}, pictures=6, repeats=16, evaluated=(1, 2, 4, 8, 16, 28, 40)
    ),
    "captions_without_background": Scenario(captions="no background"),
    "too_few_steps": Scenario({"learning_rate": 4e-4, "unet_lr": 4e-4, "text_encoder_lr": 0.0, "max_train_epochs": 2},
                              evaluated=(1, 2)),
    "rank_64": Scenario({"network_dim": 64, "network_alpha": 64, "network_args": ["conv_dim=64", "conv_alpha=64"]}),
}  # fmt: skip


def checkpoint_of(folder: Path, name: str, epoch: int) -> Path:
    numbered = folder / f"{name}-{epoch:06d}.safetensors"
    return numbered if numbered.exists() else folder / f"{name}.safetensors"


def run(name: str, scenario: Scenario, out: Path, generator: Generator, console: Console) -> list[dict[str, Any]]:
    data, folder = out / name / "data", out / name / "checkpoints"
    write_demo_dataset(data / f"{scenario.repeats}_sprites", scenario.pictures, seed=1, caption_style=scenario.captions)
    config = {**demo_config(name, data, folder), **scenario.changes}
    if not (folder / f"{name}.safetensors").exists():
        with console.status(f"{name}: training"):
            train_lora(config, folder)
    rows: list[dict[str, Any]] = []
    for epoch in (0, *scenario.evaluated):
        stored = out / name / f"epoch_{epoch:02d}.json"
        if not stored.exists():
            checkpoint = checkpoint_of(folder, name, epoch) if epoch else None
            try:
                with console.status(f"{name}: evaluating epoch {epoch}"):
                    evaluation = evaluate_file(checkpoint, generator, load_suite(), "embedded")
            except LoraError as error:
                console.print(f"{name} epoch {epoch} is refused: {error.fault}")
                continue
            stored.with_suffix(".png").write_bytes(evaluation.contact_sheet)
            stored.write_text(json.dumps(evaluation.metrics))
        rows.append({"scenario": name, "epoch": epoch, **_selected(json.loads(stored.read_text()))})
    return rows


def _selected(metrics: dict[str, Any]) -> dict[str, float | None]:
    selected: dict[str, float | None] = {}
    for column, path in COLUMNS.items():
        value: Any = metrics
        for key in path:
            value = value[key]
        selected[column] = value
    return selected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--scenario", choices=SCENARIOS, action="append", help="only this one; may be repeated")
    arguments = parser.parse_args()
    console = Console()
    generator = Generator(WEIGHTS, device="cpu")
    rows = [
        row
        for name in arguments.scenario or SCENARIOS
        for row in run(name, SCENARIOS[name], arguments.out, generator, console)
    ]
    table = Table("scenario", "epoch", *COLUMNS)
    for row in rows:
        shown = ["–" if row[column] is None else f"{row[column]:.2f}".rstrip("0").rstrip(".") for column in COLUMNS]
        table.add_row(row["scenario"], str(row["epoch"]), *shown)
    console.print(table)
    suffix = "_".join(arguments.scenario) if arguments.scenario else "all"
    with (arguments.out / f"curves_{suffix}.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["scenario", "epoch", *COLUMNS])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
