"""A folder with finished trainings, evaluated from nothing: `python benchmarks/backlog.py [--runs 10 --epochs 10]`.

Trains them (small LoRAs of the embedded model, in a minute or two), points `pixel-lora up` at their folder, kills all
of it with SIGKILL once a fifth of the epochs is evaluated, starts it again, and waits for the end. Every epoch must be
evaluated exactly once and no image be there twice; runs must come newest first, and the progress be printed.
"""

import argparse
import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import psycopg
from rich.console import Console
from rich.progress import track
from rich.table import Table
from scipy.stats import kendalltau

from pixel_lora_pipeline.config import PROJECT_ROOT, Settings
from pixel_lora_pipeline.configured_store import configured_store
from pixel_lora_pipeline.embedded import train_lora
from pixel_lora_pipeline.embedded.demo_dataset import write_demo_dataset


def train_runs(folder: Path, runs: int, epochs: int) -> None:
    write_demo_dataset(folder / "data" / "1_pixchar", count=4, seed=5)
    for number in track(range(1, runs + 1), "Training"):
        config = {
            "output_name": f"run_{number:02d}",
            "network_dim": 4,
            "network_alpha": 4,
            "learning_rate": 1e-3,
            "caption_extension": ".txt",
            "train_batch_size": 4,
            "max_train_epochs": epochs,
            "save_every_n_epochs": 1,
            "seed": number,
        }
        train_lora(config, folder / "watched" / f"run_{number:02d}", images=folder / "data")
        time.sleep(1)  # trainings that start in the same second have no order


def start(folder: Path, log: Path) -> psutil.Popen:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    environment = {
        **os.environ,
        "PIXEL_LORA_HOME": str(folder / "home"),
        "PIXEL_LORA_WATCHED": f'["{folder / "watched"}"]',
        "PIXEL_LORA_PORT": str(port),
    }
    with log.open("a") as output:
        return psutil.Popen(
            [sys.executable, "-m", "pixel_lora_pipeline.cli", "up"],
            cwd=PROJECT_ROOT,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )


def evaluated(log: Path) -> list[str]:
    """Epochs in the order in which their evaluation was printed."""
    lines = log.read_text(encoding="utf-8").splitlines()
    return [line.split(": evaluated")[0] for line in lines if ": evaluated" in line]


def wait_for_epochs(pipeline: psutil.Popen, log: Path, count: int, limit: float) -> float:
    began = time.monotonic()
    while len(set(evaluated(log))) < count:
        if pipeline.poll() is not None or time.monotonic() - began > limit:
            raise SystemExit(f"{len(set(evaluated(log)))} of {count} epochs after {limit:.0f} s; see {log}")
        time.sleep(1)
    return time.monotonic() - began


def kill_everything(pipeline: psutil.Popen) -> None:
    for process in [pipeline, *pipeline.children(recursive=True)]:
        process.send_signal(signal.SIGKILL)
    pipeline.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--limit", type=float, default=7200, help="seconds after which it is given up")
    arguments = parser.parse_args()
    total = arguments.runs * arguments.epochs
    folder = Path(tempfile.mkdtemp(prefix="pixel-lora-backlog-"))
    folder.chmod(0o755)  # the database's account has to reach it also when this runs as root
    log = folder / "up.log"
    train_runs(folder, arguments.runs, arguments.epochs)

    pipeline = start(folder, log)
    before = wait_for_epochs(pipeline, log, total // 5, arguments.limit)
    kill_everything(pipeline)
    pipeline = start(folder, log)
    after = wait_for_epochs(pipeline, log, total, arguments.limit)
    time.sleep(60)  # finer looks, analyses, and another look of the sensor
    pipeline.send_signal(signal.SIGINT)
    pipeline.wait(120)

    with configured_store(Settings(home=folder / "home", watched=[folder / "watched"])) as store:
        with psycopg.connect(store.database.url) as connection:
            rows = connection.execute(
                """
                SELECT tags.value FROM dagster.runs runs JOIN dagster.run_tags tags USING (run_id)
                WHERE tags.key = 'dagster/partition' AND runs.pipeline_name = 'evaluate_checkpoint'
                  AND runs.status = 'SUCCESS'
                """
            ).fetchall()
            looks = Counter(partition for (partition,) in rows)
            doubled = connection.execute(
                "SELECT count(*) FROM (SELECT FROM prompt_test_results GROUP BY epoch_result_id, fingerprint_hash "
                "HAVING count(*) > 1) repeated"
            ).fetchone()
            judged = connection.execute(
                "SELECT count(*) FROM training_runs WHERE convergence_status IS NOT NULL"
            ).fetchone()
        complete, landed = store.landed_files.evaluated()
    order = [int(name.split()[0].removeprefix("run_")) for name in evaluated(log)]
    newest_first = kendalltau(range(len(order)), [-number for number in order]).statistic
    switches = sum(a != b for a, b in itertools.pairwise(order))

    table = Table("figure", "value", title=f"{arguments.runs} trainings of {arguments.epochs} epochs, killed once")
    table.add_row("evaluated / landed", f"{complete} / {landed}")
    table.add_row("partitions evaluated to the end", str(len(looks)))
    table.add_row("images that are there twice", str(doubled[0] if doubled else "?"))
    table.add_row("trainings that are judged", str(judged[0] if judged else "?"))
    table.add_row("order by age, Kendall's tau (1: newest first)", f"{newest_first:.2f}")
    table.add_row("changes between trainings", f"{switches} (at least {arguments.runs - 1})")
    table.add_row("seconds until the kill, and after the restart", f"{before:.0f}, {after:.0f}")
    Console().print(table)
    Console().print(f"Output: {log}")
    return 0 if complete == landed == len(looks) == total and doubled == (0,) else 1


if __name__ == "__main__":
    sys.exit(main())
