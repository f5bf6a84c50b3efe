"""A checkout of sd-scripts with its own Python environment: what of it is missing, and how a training is started."""

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.trainers.trainer import TrainerError

_ENVIRONMENTS: Final = ("venv", ".venv")
_PYTHON: Final = "Scripts/python.exe" if os.name == "nt" else "bin/python"
_SCRIPTS: Final = {False: "train_network.py", True: "sdxl_train_network.py"}
_HAS_ACCELERATE: Final = "import importlib.util, sys; sys.exit(importlib.util.find_spec('accelerate') is None)"
_LONGEST_ANSWER_SECONDS: Final = 60


@dataclass(frozen=True)
class KohyaCheckout:
    """Where Kohya's scripts lie.

    Attributes
    ----------
    folder
        Of the checkout; None if nobody has said so.
    python
        Of its environment; by default that of the folder `venv` or `.venv` in the checkout.
    accelerate_arguments
        Of `accelerate launch`, in front of the script.
    script
        In the checkout; by default the one for the base model.
    """

    folder: Path | None
    python: Path | None = None
    accelerate_arguments: Sequence[str] = ()
    script: str | None = None

    @property
    def interpreter(self) -> Path | None:
        """The Python that is used; None if there is none."""
        if self.python is not None:
            return self.python
        candidates = [] if self.folder is None else [self.folder / each / _PYTHON for each in _ENVIRONMENTS]
        return next((path for path in candidates if path.is_file()), None)

    def script_for(self, *, is_sdxl: bool) -> str:
        """The script that trains LoRAs for a base model."""
        return self.script or _SCRIPTS[is_sdxl]

    def fault(self, *, is_sdxl: bool = False) -> str | None:
        """What keeps trainings from being started, with what to do; None if nothing does.

        Asks the environment whether it has accelerate, which takes some tens of milliseconds.
        """
        if self.folder is None:
            return (
                "trainer is 'kohya', and nothing says where sd-scripts is: set folder in the table [kohya] of "
                "pixel_lora.toml to your checkout."
            )
        if not self.folder.is_dir():
            return f"[kohya] folder = {str(self.folder)!r}: there is no such folder; name your checkout of sd-scripts."
        script = self.folder / self.script_for(is_sdxl=is_sdxl)
        if not script.is_file():
            return (
                f"{script} is not there: [kohya] folder has to be a checkout of sd-scripts, and script one of its own."
            )
        if self.interpreter is None:
            places = " or ".join(str(self.folder / each / _PYTHON) for each in _ENVIRONMENTS)
            return f"There is no {places}: set python in the table [kohya] to the Python that sd-scripts runs in."
        return _fault_of(self.interpreter)

    def command(self, *, is_sdxl: bool) -> list[str]:
        """Program and arguments of a training, up to its configuration.

        Raises
        ------
        TrainerError
            If something is missing.
        """
        fault = self.fault(is_sdxl=is_sdxl)
        if fault is not None:
            raise TrainerError(fault)
        assert self.folder is not None and self.interpreter is not None  # noqa: S101 - there was no fault
        return [
            str(self.interpreter.absolute()),
            # What `accelerate launch` runs, whether or not the environment is on the path.
            *("-m", "accelerate.commands.launch"),
            *self.accelerate_arguments,
            str(self.folder.absolute() / self.script_for(is_sdxl=is_sdxl)),
        ]


def _fault_of(python: Path) -> str | None:
    try:
        asked = subprocess.run(
            [str(python), "-c", _HAS_ACCELERATE],
            check=False,
            capture_output=True,
            timeout=_LONGEST_ANSWER_SECONDS,
            env=own_environment(),
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return (
            f"{python} cannot be run ({error}): set python in the table [kohya] to the Python that sd-scripts runs in."
        )
    if asked.returncode:
        return (
            f"{python} has no accelerate: install sd-scripts' requirements there, or set python in the table [kohya]."
        )
    return None


def own_environment() -> dict[str, str]:
    """Variables for a program that runs in another Python, and has no business with our passwords."""
    ours = ("PIXEL_LORA", "DAGSTER", "DATABASE_URL", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    # Lines appear in the log when they are said, and letters of all languages may be.
    return {**kept, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
