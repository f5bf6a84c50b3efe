"""Checkouts of sd-scripts, as far as a trainer sees them: scripts, and a Python with accelerate."""

import shutil
import sys
from pathlib import Path

from pixel_lora_pipeline.train.trainers.kohya import KohyaCheckout, KohyaTrainer
from pixel_lora_pipeline_tests.train.lora_files import KOHYA_SAMPLES

_HERE = Path(__file__).parent
_SAMPLE = KOHYA_SAMPLES / "run_a" / "pixchar_a-000001.safetensors"


def checkout(folder: Path, *, with_accelerate: bool = True) -> Path:
    """A checkout with an environment of its own in `venv`."""
    shutil.copytree(_HERE / "sd_scripts", folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(folder / "train_network.py", folder / "sdxl_train_network.py")
    python = folder / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    path = f"{_HERE.parent.parent.parent}:{_HERE / 'environment'}" if with_accelerate else ""
    isolated = "" if with_accelerate else "-S "  # without the packages of the environment that the tests run in
    python.write_text(
        f'#!/bin/sh\nPYTHONPATH="{path}" KOHYA_SAMPLE="{_SAMPLE}" exec "{sys.executable}" {isolated}"$@"\n',
        encoding="utf-8",
    )
    python.chmod(0o755)
    return folder


def trainer(folder: Path) -> KohyaTrainer:
    """A trainer with such a checkout."""
    arguments = ("--num_cpu_threads_per_process=1",)
    return KohyaTrainer(KohyaCheckout(folder, accelerate_arguments=arguments), lambda _: False)
