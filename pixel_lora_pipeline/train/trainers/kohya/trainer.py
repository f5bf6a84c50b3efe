"""Kohya's trainer on this machine, as a trainer among others."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.train.trainers.kohya.checkout import KohyaCheckout, own_environment
from pixel_lora_pipeline.train.trainers.kohya.configuration import CONFIG_FILE, read_configuration
from pixel_lora_pipeline.train.trainers.kohya.divergence import read_reason
from pixel_lora_pipeline.train.trainers.kohya.output import reason_of_failure
from pixel_lora_pipeline.train.trainers.kohya.progress import LOGGING_DIR, MESSAGES
from pixel_lora_pipeline.train.trainers.kohya.supervisor_lock import is_followed
from pixel_lora_pipeline.train.trainers.local_process import LocalProcess, control_folder
from pixel_lora_pipeline.train.trainers.trainer import TrainingState
from pixel_lora_pipeline.whole_file import write_whole

_SUPERVISOR: Final = "pixel_lora_pipeline.train.trainers.kohya.supervisor"


class KohyaTrainer:
    """Trains LoRAs with a checkout of sd-scripts, each in a process group of its own.

    Parameters
    ----------
    checkout
        Where the scripts are, and what runs them.
    is_sdxl
        Whether a base model is of that kind, which has a script of its own.
    """

    def __init__(self, checkout: KohyaCheckout, is_sdxl: Callable[[str], bool]) -> None:
        self._checkout = checkout
        self._is_sdxl = is_sdxl

    def start(self, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """As `Trainer.start`; `notes` are sentences on what is probably not meant."""
        if (known := LocalProcess.known(folder)) is not None:
            return known
        is_sdxl = self._is_sdxl(str(config.get("pretrained_model_name_or_path", "")))
        command = self._checkout.command(is_sdxl=is_sdxl)
        folder = folder.absolute()
        configuration = read_configuration(config, folder, control_folder(folder) / LOGGING_DIR, is_sdxl=is_sdxl)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in configuration.files().items():
            write_whole(folder / name, content.encode())
        processes = LocalProcess(command, self._checkout.folder, own_environment())
        training = processes.start(folder / CONFIG_FILE, str(configuration.arguments["output_name"]), folder)
        return {**training, "notes": list(configuration.notes)}

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        """As `Trainer.look`."""
        state = LocalProcess([]).look(training)
        if state.is_running or state.is_complete:
            return state
        given_up = read_reason(Path(training["last_checkpoint"]).parent)
        if given_up is not None:
            return replace(state, failure=given_up, has_diverged=True)
        return replace(state, failure=reason_of_failure(Path(training["log"])) or state.failure)

    def stop(self, training: Mapping[str, Any]) -> None:
        """As `Trainer.stop`."""
        LocalProcess([]).stop(training)

    def messages(self, training: Mapping[str, Any]) -> Path:
        """As `ReportingTrainer.messages`."""
        return control_folder(Path(training["last_checkpoint"]).parent) / MESSAGES

    def report(self, training: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """As `ReportingTrainer.report`."""
        folder = Path(training["last_checkpoint"]).parent
        if is_followed(folder):
            return
        with (control_folder(folder) / "supervisor.log").open("ab") as log:
            subprocess.Popen(
                [sys.executable, "-m", _SUPERVISOR, str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=os.name != "nt",
                env={**os.environ, **environment},
            )
