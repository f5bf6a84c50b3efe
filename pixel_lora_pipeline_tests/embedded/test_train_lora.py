"""The trainer as a process of its own, as the pipeline starts it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from pixel_lora_pipeline.progress import training_steps
from pixel_lora_pipeline_tests.embedded.conftest import SPRITES

COMMAND = [sys.executable, "-m", "pixel_lora_pipeline.embedded.train_lora", "--config_file"]
STOP_SIGNALS = [signal.SIGTERM] if os.name == "nt" else [signal.SIGTERM, signal.SIGINT]


def write_config(path: Path, base_model: Path, sprites: Path, output: Path, epochs: int) -> Path:
    path.write_text(
        f"""
        [model]
        pretrained_model_name_or_path = "{base_model.as_posix()}"
        [data]
        train_data_dir = "{sprites.as_posix()}"
        caption_extension = ".txt"
        [training]
        output_dir = "{output.as_posix()}"
        output_name = "portrait"
        network_dim = 2
        max_train_epochs = {epochs}
        seed = 1
        """
    )
    return path


def test_a_kohya_file_trains(base_model: Path, sprites: Path, tmp_path: Path) -> None:
    config = write_config(tmp_path / "config.toml", base_model, sprites, tmp_path / "out", epochs=2)
    done = subprocess.run([*COMMAND, str(config)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "portrait-000001.safetensors",
        "portrait.safetensors",
        "portrait.toml",
    ]
    lines = done.stdout.splitlines()
    assert [line.split(" · ")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"], done.stdout
    assert all(line.startswith("steps: ") for line in done.stderr.split("\n") if line), done.stderr
    (tmp_path / "log").write_text(done.stdout + done.stderr)
    assert training_steps(tmp_path / "log") == (2 * SPRITES, 2 * SPRITES)


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_stops_it_with_whole_files_only(
    base_model: Path, sprites: Path, tmp_path: Path, number: signal.Signals
) -> None:
    config = write_config(tmp_path / "config.toml", base_model, sprites, tmp_path / "out", epochs=100_000)
    process = subprocess.Popen([*COMMAND, str(config)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not (tmp_path / "out" / "portrait-000002.safetensors").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    status = process.wait(timeout=60)
    saved = sorted((tmp_path / "out").iterdir())
    if os.name != "nt":  # there a process is ended without being asked
        assert status == 128 + number
        assert {path.suffix for path in saved} == {".safetensors", ".toml"}
    assert not (tmp_path / "out" / "portrait.safetensors").exists(), "the last epoch was never reached"
    for path in saved:
        if path.suffix == ".safetensors":
            load_file(path)


def test_a_faulty_configuration_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('output_dir = "out"\nnetwork_dimm = 4\n')
    done = subprocess.run([*COMMAND, str(config)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "did you mean network_dim?" in done.stderr and "Traceback" not in done.stderr


def test_a_configuration_is_never_overwritten_by_its_runs_record(tmp_path: Path) -> None:
    config = tmp_path / "portrait.toml"
    config.write_text(f'# mine\noutput_dir = "{tmp_path.as_posix()}"\noutput_name = "portrait"\n')
    done = subprocess.run([*COMMAND, str(config)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2 and "move the file" in done.stderr
    assert config.read_text().startswith("# mine")


def test_importing_the_package_loads_no_model_library() -> None:
    script = (
        "import sys, pixel_lora_pipeline.embedded, pixel_lora_pipeline.embedded.demo_dataset;"
        "print([name for name in ('torch', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"
