"""What old folders tell of the trainings that left them.

Checkpoints say most; of files that cannot be evaluated the header does, and of runs whose checkpoints are gone the
configurations that are left.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pixel_lora_pipeline.train.checkpoint import Checkpoint, TrainingRecord, read_checkpoint, read_training_record
from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.header_record import NO_HEADER
from pixel_lora_pipeline.train.landing import watched_root
from pixel_lora_pipeline.train.parameter_value import PER_FILE_PARAMETERS, ParameterValue, of_run
from pixel_lora_pipeline.train.parameters import gather_parameters
from pixel_lora_pipeline.train.run_identity import RunIdentity, read_file_name
from pixel_lora_pipeline.train.sidecars import Sidecars, read_configurations
from pixel_lora_pipeline.train.watch import find_checkpoints, is_skipped, training_order
from pixel_lora_pipeline.train.weights import verify_weights

_NO_SIDECARS = Sidecars((), {}, None, None, ())


class BackfillError(ValueError):
    """A place that cannot be read back: which, why, and what to do."""


@dataclass(frozen=True)
class RunFiles:
    """What is left of one training run.

    Attributes
    ----------
    name
        The run's output name.
    run
        Its identity; None if no header tells it.
    checkpoints
        Those that can be evaluated, in the order of training.
    refused
        Files of the run that cannot, each with the reason.
    configs
        Configuration files of the run that were used.
    parameters, missing
        Of the run as its furthest readable file, or else its configuration, tells them; what differs from file to
        file is left out.
    """

    name: str
    run: RunIdentity | None
    checkpoints: tuple[Checkpoint, ...]
    refused: tuple[CheckpointError, ...]
    configs: tuple[Path, ...]
    parameters: dict[str, ParameterValue] = field(repr=False)
    missing: dict[str, str] = field(repr=False)


def read_run_files(paths: Iterable[Path], on_progress: Callable[[int, int], None] | None = None) -> list[RunFiles]:
    """Read folders of old runs recursively, and single checkpoint files.

    Every weight of every checkpoint is looked at, as for an evaluation: of a training that diverged only the
    parameters count. Nothing is written.

    Parameters
    ----------
    paths
        Folders and `.safetensors` files. Links that leave a folder are not followed.
    on_progress
        Called with the number of checkpoint files read, and of all.

    Returns
    -------
    list of RunFiles
        As the runs were started, those of which no header tells at the end, by name.

    Raises
    ------
    BackfillError
        If a path is not there, or a file is no checkpoint.
    """
    roots = [_existing(path) for path in paths]
    folders = [root for root in roots if root.is_dir()]
    files = [root for root in roots if not root.is_dir()]
    files += [sighting.path for sighting in find_checkpoints(folders)]
    files = list(dict.fromkeys(files))
    readings = []
    for at, path in enumerate(files):
        readings.append(_read(path, watched_root(path, folders)))
        if on_progress is not None:
            on_progress(at + 1, len(files))

    runs = [_run_of(group) for group in _by_run(readings)]
    runs.sort(key=lambda run: (_started(run), run.name))
    used = {path for run in runs for path in run.configs}
    return [*runs, *_from_configurations(folders, runs, used)]


@dataclass(frozen=True)
class _Reading:
    """A file: how it was trained, if its header tells it, and why it cannot be evaluated, if it cannot."""

    path: Path
    record: Checkpoint | TrainingRecord | None
    error: CheckpointError | None


def _existing(path: Path) -> Path:
    if not path.exists():
        raise BackfillError(f"{path} is not there. Name folders of old trainings, or checkpoint files.")
    if not path.is_dir() and path.suffix.lower() != ".safetensors":
        raise BackfillError(
            f"{path} is neither a folder nor a .safetensors file. Configurations are read with the folder that they "
            "lie in; scores and notes of your own are given with --observations."
        )
    return path.absolute()


def _read(path: Path, root: Path | None) -> _Reading:
    try:
        checkpoint = read_checkpoint(path, root)
    except CheckpointError as error:
        try:
            return _Reading(path, read_training_record(path, root), error)
        except CheckpointError:
            return _Reading(path, None, error)
    try:
        verify_weights(path, root)
    except CheckpointError as error:
        return _Reading(path, checkpoint, error)
    return _Reading(path, checkpoint, None)


def _by_run(readings: list[_Reading]) -> list[list[_Reading]]:
    """The files of each run. One whose header cannot be read is with those that share its folder and base name."""
    groups: dict[str, list[_Reading]] = {}
    places: dict[tuple[Path, str], str] = {}
    for reading in sorted(readings, key=lambda reading: reading.record is None):
        place = _place(reading.path)
        key = reading.record.run.key if reading.record is not None else places.get(place, "\0".join(map(str, place)))
        groups.setdefault(key, []).append(reading)
        places.setdefault(place, key)
    return list(groups.values())


def _place(path: Path) -> tuple[Path, str]:
    name = read_file_name(path)
    return name.folder, name.base


def _run_of(readings: list[_Reading]) -> RunFiles:
    errors = tuple(reading.error for reading in readings if reading.error is not None)
    records = [reading.record for reading in readings if reading.record is not None]
    sound = [reading.record for reading in readings if isinstance(reading.record, Checkpoint) and reading.error is None]
    if not records:
        folder, name = _place(readings[0].path)
        return _of_configuration(name, read_configurations(folder).get(name, _NO_SIDECARS), errors)
    furthest = max(records, key=_progress)
    return RunFiles(
        name=furthest.run.name,
        run=furthest.run,
        checkpoints=tuple(sorted(sound, key=training_order)),
        refused=errors,
        configs=tuple(dict.fromkeys(path for record in records for path in record.config_paths)),
        parameters=of_run(furthest.parameters),
        missing=_missing_of_run(furthest.missing),
    )


def _progress(record: Checkpoint | TrainingRecord) -> tuple[bool, float, float]:
    """How far the training had come; measured tensors count more than any progress."""
    at = {name: found.value for name, found in record.parameters.items() if name in ("epoch", "steps")}
    epoch, steps = (value if isinstance(value := at.get(name), int) else math.inf for name in ("epoch", "steps"))
    return isinstance(record, Checkpoint), epoch, steps


def _started(run: RunFiles) -> float:
    return math.inf if run.run is None else run.run.started_at or -math.inf


def _from_configurations(folders: Sequence[Path], runs: list[RunFiles], used: set[Path]) -> Iterator[RunFiles]:
    """Runs of which configurations tell that lie in no folder with a checkpoint of that name."""
    known = {(path.parent, run.name) for run in runs for path in _paths(run)}
    for folder in _subfolders(folders):
        for name, sidecars in sorted(read_configurations(folder, used).items()):
            if (folder, name) not in known:
                yield _of_configuration(name, sidecars, ())


def _paths(run: RunFiles) -> Iterator[Path]:
    yield from (checkpoint.path for checkpoint in run.checkpoints)
    yield from (error.path for error in run.refused)


def _of_configuration(name: str, sidecars: Sidecars, refused: tuple[CheckpointError, ...]) -> RunFiles:
    parameters, missing = gather_parameters(NO_HEADER, None, sidecars, None)
    return RunFiles(name, None, (), refused, sidecars.paths, of_run(parameters), _missing_of_run(missing))


def _missing_of_run(missing: dict[str, str]) -> dict[str, str]:
    return {name: why for name, why in missing.items() if name not in PER_FILE_PARAMETERS}


def _subfolders(folders: Sequence[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for root in folders:
        for folder, names, _ in os.walk(root):
            names[:] = sorted(name for name in names if not is_skipped(name))
            found[Path(folder)] = None
    return list(found)
