"""What evaluating a checkpoint through Dagster costs beyond its images: `python benchmarks/evaluate_overhead.py`.

The same images of the same checkpoint, alternately by a bare loop of diffusers calls and by the project's job in
this process (real Postgres for the project and for Dagster, executor as configured). Both load the base model and the
LoRA. The ratio of the medians must stay at or below 1.10; the start of a process is measured apart.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import numpy as np
from bare_diffusers import bare_loop
from PIL import Image
from rich.console import Console
from rich.table import Table

from pixel_lora_pipeline.config import PROJECT_ROOT, Settings
from pixel_lora_pipeline.configured_store import configured_store
from pixel_lora_pipeline.definitions import defs
from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.launch import child_environment
from pixel_lora_pipeline.train import find_landings
from pixel_lora_pipeline.validate import load_suite
from pixel_lora_pipeline.validate.batches import even_sizes

MUST = 1.10


def train_checkpoints(folder: Path, count: int) -> list[Path]:
    """As many epochs as there are repetitions: a checkpoint that was evaluated has its images already."""
    write_demo_dataset(folder / "data" / "1_pixchar", count=4, seed=5)
    config = {
        "output_name": "overhead",
        "network_dim": 16,
        "network_alpha": 16,
        "network_args": ["conv_dim=16", "conv_alpha=16"],
        "learning_rate": 1e-3,
        "caption_extension": ".txt",
        "train_batch_size": 4,
        "max_train_epochs": count,
        "save_every_n_epochs": 1,
        "seed": 1,
    }
    return train_lora(config, folder / "watched", images=folder / "data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    arguments = parser.parse_args()
    console = Console()
    home = Path(tempfile.mkdtemp(prefix="pixel-lora-overhead-"))
    home.chmod(0o755)
    suite = load_suite()
    requests = suite.requests("embedded")
    settings = Settings(home=home, watched=[home / "watched"])
    bare_seconds: list[float] = []
    our_seconds: list[float] = []
    try:
        with console.status("Training checkpoints"):
            checkpoints = train_checkpoints(home, arguments.repetitions)
        with configured_store(settings) as store, console.status("Evaluating"):
            os.environ.update(child_environment(settings, store.database.url, settings.watched))
            os.environ["PIXEL_LORA_DEPTH"] = '{"plan": ["full"]}'  # as many images as the bare loop makes
            (home / "dagster").mkdir()
            landings = find_landings(settings.watched_folders, set(), now=time.time())
            store.landed_files.record(landings)
            keys = {landing.sighting.path: landing.checkpoint.partition_key for landing in landings.complete}
            job = defs().resolve_job_def("evaluate_checkpoint")
            with dg.DagsterInstance.get() as instance:
                instance.add_dynamic_partitions("checkpoints", list(keys.values()))
                for path in checkpoints:
                    began = time.perf_counter()
                    bare = bare_loop(
                        WEIGHTS,
                        path,
                        [request.prompt for request in requests],
                        [request.seed for request in requests],
                        width=requests[0].width,
                        height=requests[0].height,
                        steps=requests[0].steps,
                        guidance=requests[0].guidance,
                        batch_sizes=even_sizes(len(requests), 8),
                    )
                    bare_seconds.append(time.perf_counter() - began)
                    began = time.perf_counter()
                    result = job.execute_in_process(instance=instance, partition_key=keys[path])
                    our_seconds.append(time.perf_counter() - began)
                    assert result.success
                    epoch = store.checkpoints.get(keys[path]).epoch_id
                    ours = {(image.prompt_id, image.seed): image for image in store.images.of_epoch(epoch)}
                    for request, pixels in zip(requests, bare.images, strict=True):
                        painted = ours[request.prompt_id, request.seed].image_sha256
                        with Image.open(store.image_files.path(painted)) as image:
                            assert (np.asarray(image) == pixels).all(), f"{request.prompt_id}: other pixels"
    finally:
        shutil.rmtree(home, ignore_errors=True)

    starts = []
    script = "import pixel_lora_pipeline.definitions, torch, diffusers, transformers, peft"
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", script], cwd=PROJECT_ROOT, check=True, capture_output=True)
        starts.append(time.perf_counter() - began)
    table = Table("what", "median s", "min–max s", title=f"{len(requests)} images, {arguments.repetitions} checkpoints")
    for name, seconds in (
        ("bare diffusers loop", bare_seconds),
        ("through Dagster", our_seconds),
        ("process start", starts),
    ):
        table.add_row(name, f"{statistics.median(seconds):.2f}", f"{min(seconds):.2f}–{max(seconds):.2f}")
    ratio = statistics.median(our_seconds[1:]) / statistics.median(bare_seconds[1:])
    table.add_row("ratio, without the first (imports)", f"{ratio:.3f}", f"must be ≤ {MUST}")
    console.print(table)
    sys.exit(0 if ratio <= MUST else 1)


if __name__ == "__main__":
    main()
