"""Trains a LoRA from a Kohya TOML: `python -m pixel_lora_pipeline.embedded.train_lora --config_file X.toml`.

Ctrl-C or a termination signal ends the training after the current step; what was saved stays, nothing is
half-written, and the exit status is 128 plus the signal's number, as shells have it. A configuration that
cannot be followed is status 2.
"""

import argparse
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from tqdm import tqdm

from pixel_lora_pipeline.embedded.lora_config import ConfigError, load_config
from pixel_lora_pipeline.validate.base_model import BaseModelError

if TYPE_CHECKING:
    from pixel_lora_pipeline.embedded.lora_training import EpochReport, StepReport


class _StopSignals:
    """Remembers the first signal that asks to stop."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._remember)

    def _remember(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or number

    def __call__(self) -> bool:
        return self.received is not None


def main() -> None:
    """Runs the training that the configuration file describes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config_file", type=Path, required=True, help="Kohya's TOML; sections are flattened")
    parser.add_argument("--output_dir", type=Path, help="instead of the configuration's")
    arguments = parser.parse_args()
    stop = _StopSignals()
    try:
        config = load_config(arguments.config_file)
        output_dir = arguments.output_dir or config.output_dir
        if output_dir is None:
            raise ConfigError(["output_dir is not set: say where the checkpoints go"])
        if arguments.config_file.resolve() == (output_dir / f"{config.output_name}.toml").resolve():
            raise ConfigError([f"{arguments.config_file}: the run writes its own record there; move the file"])
        # Only now, so that a faulty configuration is told at once: PyTorch takes seconds to load.
        from pixel_lora_pipeline.embedded.lora_training import train_lora

        # Named and written as Kohya's own, so that whoever follows a training's log can follow this one.
        with tqdm(desc="steps", smoothing=0, mininterval=1, unit="step") as bar:

            def on_step(report: "StepReport") -> None:
                bar.total = report.steps
                bar.set_postfix(avr_loss=report.loss, refresh=False)
                bar.update()

            def on_epoch(report: "EpochReport") -> None:
                saved = f" → {report.path}" if report.path else ""
                line = f"epoch {report.epoch}/{report.epochs} · step {report.step} · loss {report.loss:.4f} · "
                print(f"{line}{report.seconds:.1f} s{saved}", flush=True)

            train_lora(config, output_dir, on_step=on_step, on_epoch=on_epoch, should_stop=stop)
    except (ConfigError, BaseModelError) as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    if stop.received is not None:
        raise SystemExit(128 + stop.received)


if __name__ == "__main__":
    main()
