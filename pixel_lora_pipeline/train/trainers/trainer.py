"""What every trainer can do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable


class TrainerError(RuntimeError):
    """A training cannot be started, found or stopped: says why, and what to do."""


@dataclass(frozen=True)
class TrainingState:
    """How a training stands.

    Attributes
    ----------
    is_running
        Whether it goes on.
    is_complete
        Whether it has saved its last checkpoint.
    failure
        Why it ended before that, in the trainer's own words; None while it runs, and if it is complete.
    progress
        As the trainer tells it last: a line for people. Empty if it has said nothing yet.
    has_diverged
        Whether it was given up because its loss is no number any more: what it saved before is not what it was to be.
    """

    is_running: bool
    is_complete: bool
    failure: str | None
    progress: str
    has_diverged: bool = False


class Trainer(Protocol):
    """Starts trainings, and finds them again by what it said when it started them."""

    def start(self, config: Mapping[str, Any], folder: Path) -> dict[str, Any]:
        """Start a training, unless it was started in this folder before.

        Parameters
        ----------
        config
            In Kohya's names; `output_name` is among them.
        folder
            The training's own: its checkpoints land there.

        Returns
        -------
        dict
            By what the training is found again, by any process: JSON-ready.

        Raises
        ------
        TrainerError
            If the configuration cannot be followed, or nobody knows whether the training was started.
        """

    def look(self, training: Mapping[str, Any]) -> TrainingState:
        """How a training stands."""

    def stop(self, training: Mapping[str, Any]) -> None:
        """Stop a training, and return when it has stopped. One that has ended is left as it is.

        Raises
        ------
        TrainerError
            If it does not stop.
        """


@runtime_checkable
class ReportingTrainer(Trainer, Protocol):
    """A trainer that has a training's progress reported while it runs, as messages of Dagster Pipes."""

    def messages(self, training: Mapping[str, Any]) -> Path:
        """The file that the messages are added to: it is kept, so that whoever takes over reads on."""

    def report(self, training: Mapping[str, Any], environment: Mapping[str, str]) -> None:
        """See to it that somebody reports: a process of its own, which is started unless there is one. It may die,
        and costs little to ask for again.

        Parameters
        ----------
        environment
            Variables by which Dagster Pipes tells that process where the messages go.
        """
