"""From a complete file to a run, and one look at 10,000 files: `python benchmarks/landing.py`.

The first figure starts the real daemon on a watched folder and moves checkpoints into it one by one, at random
moments that leave it time to finish the run before (its suite has one image), so that the way is measured and not
the queue; the time counts from the rename to the start time of the run in Dagster's database. The second evaluates
the sensor once on a folder with 10,000 files that are settled and one that is new.
"""

import argparse
import json
import os
import random
import shutil
import statistics
import struct
import sys
import tempfile
import time
from pathlib import Path

import dagster as dg
import psycopg
from rich.console import Console
from rich.table import Table

from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.configured_store import configured_store
from pixel_lora_pipeline.defs.train.sensors import checkpoint_files
from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset
from pixel_lora_pipeline.launch import child_environment, pipeline_parts
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.supervision import stop_all
from pixel_lora_pipeline.train import find_landings

MEDIAN_MUST, WORST_MUST, TICK_MUST = 10.0, 20.0, 1.0


def one_checkpoint(folder: Path) -> Path:
    write_demo_dataset(folder / "data" / "1_pixchar", count=2, seed=5)
    config = {"output_name": "landing", "network_dim": 2, "caption_extension": ".txt", "max_train_epochs": 1, "seed": 1}
    return train_lora(config, folder / "trained", images=folder / "data")[0]


def renamed(original: bytes, epoch: int, session: int) -> bytes:
    """The checkpoint as another epoch of another session."""
    length = struct.unpack("<Q", original[:8])[0]
    header = json.loads(original[8 : 8 + length])
    header["__metadata__"] |= {"ss_epoch": str(epoch), "ss_session_id": str(session)}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    return struct.pack("<Q", len(encoded)) + encoded + original[8 + length :]


SUITE = """
name = "one_image"
seeds = [1]
[generation.embedded]
width = 64
height = 64
steps = 1
guidance = 1.0
[[prompts]]
id = "one"
prompt = "pink hair, green background"
depth = "quick"
"""


def launch_seconds(settings: Settings, store: Store, original: bytes, count: int) -> list[float]:
    rng = random.Random(1)  # noqa: S311
    watched = settings.watched_folders[0]
    suite = settings.home / "suite.toml"
    suite.write_text(SUITE, encoding="utf-8")
    environment = child_environment(settings, store.database.url, settings.watched)
    environment["PIXEL_LORA_SUITE"] = str(suite)
    daemon = pipeline_parts(settings, environment)[1]
    daemon.start()
    landed: dict[str, float] = {}
    try:
        time.sleep(20)
        for index in range(count):
            target = watched / f"landing-{index:06d}.safetensors"
            hidden = target.with_suffix(".part")
            hidden.write_bytes(renamed(original, index + 1, session=1))
            hidden.rename(target)
            landed[target.name] = time.time()
            time.sleep(rng.uniform(15, 24))
        time.sleep(30)
    finally:
        stop_all([daemon])
    with psycopg.connect(store.database.url) as connection:
        rows = connection.execute(
            """
            SELECT tags.value, runs.start_time FROM dagster.runs runs JOIN dagster.run_tags tags USING (run_id)
            WHERE tags.key = 'pixel_lora/file' AND runs.start_time IS NOT NULL
            """
        ).fetchall()
    started = {name: float(moment) for name, moment in rows}
    return [started[name] - moment for name, moment in landed.items() if name in started]


def tick_seconds(settings: Settings, store: Store, original: bytes, files: int) -> float:
    watched = settings.watched_folders[0]
    for index in range(files):
        (watched / f"seen-{index:06d}.safetensors").write_bytes(
            renamed(original, index % 50 + 1, session=index // 50 + 2)
        )
    found = find_landings(settings.watched_folders, store.landed_files.settled(), now=time.time())
    store.landed_files.record(found)
    with psycopg.connect(store.database.url) as connection:
        run = connection.execute(
            "INSERT INTO training_runs (run_name, run_identity) VALUES ('seen', 'seen') RETURNING id"
        ).fetchone()
        assert run is not None
        connection.cursor().executemany(
            "INSERT INTO epoch_results (training_run_id, epoch_number, checkpoint_signature) VALUES (%s, %s, %s)",
            [(run[0], at, landing.checkpoint.signature) for at, landing in enumerate(found.complete)],
        )
    (watched / "new.safetensors").write_bytes(renamed(original, 1, session=10**6))
    times = []
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(5):
            context = dg.build_sensor_context(instance=instance, resources={"settings": settings, "store": store})
            began = time.perf_counter()
            result = checkpoint_files(context)
            times.append(time.perf_counter() - began)
            assert isinstance(result, dg.SensorResult)
            assert len(result.run_requests or []) == 1, "exactly the new file is asked for"
    return statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--files", type=int, default=10_000)
    arguments = parser.parse_args()
    console = Console()
    home = Path(tempfile.mkdtemp(prefix="pixel-lora-landing-"))
    home.chmod(0o755)
    settings = Settings(home=home, watched=[home / "watched"])
    for folder in (home / "watched", home / "dagster"):
        folder.mkdir()
    try:
        with console.status("Training a checkpoint"):
            original = one_checkpoint(home).read_bytes()
        with configured_store(settings) as store:
            os.environ["DATABASE_URL"] = store.database.url
            with console.status(f"Landing {arguments.epochs} epochs"):
                seconds = launch_seconds(settings, store, original, arguments.epochs)
            with console.status(f"Looking at {arguments.files} files"):
                tick = tick_seconds(settings, store, original, arguments.files)
    finally:
        shutil.rmtree(home, ignore_errors=True)
    table = Table("figure", "measured", "must")
    table.add_row("complete file → run started, median s", f"{statistics.median(seconds):.1f}", f"≤ {MEDIAN_MUST:.0f}")
    table.add_row("complete file → run started, worst s", f"{max(seconds):.1f}", f"≤ {WORST_MUST:.0f}")
    table.add_row("files that got a run", f"{len(seconds)} of {arguments.epochs}", "all")
    table.add_row(f"tick with {arguments.files} seen files and one new, s", f"{tick:.2f}", f"< {TICK_MUST:.0f}")
    console.print(table)
    good = statistics.median(seconds) <= MEDIAN_MUST and max(seconds) <= WORST_MUST and tick < TICK_MUST
    sys.exit(0 if good and len(seconds) == arguments.epochs else 1)


if __name__ == "__main__":
    main()
