"""The trainer of the embedded model, as a trainer among others."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pixel_lora_pipeline.embedded.lora_config import ConfigError, read_config
from pixel_lora_pipeline.train.trainers import LocalProcess, TrainerError, TrainingState, control_folder
from pixel_lora_pipeline.whole_file import write_whole


class EmbeddedTrainer:
    """Trains LoRAs for the embedded model, each in a process of its own."""

    def __init__(self) -> None:
        self._processes = LocalProcess([sys.executable, "-m", "pixel_lora_pipeline.embedded.train_lora"])

    def start(self, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """As `Trainer.start`."""
        try:
            read = read_config({**config, "output_dir": folder})
        except ConfigError as error:
            raise TrainerError(str(error)) from error
        file = control_folder(folder) / "config.toml"
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, read.to_toml().encode())
        return self._processes.start(file, read.output_name, folder)

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        """As `Trainer.look`."""
        return self._processes.look(training)

    def stop(self, training: Mapping[str, Any]) -> None:
        """As `Trainer.stop`."""
        self._processes.stop(training)
