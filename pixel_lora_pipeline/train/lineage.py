"""From which checkpoint a training started: what its own files say, held against the checkpoints that are known.

Kohya writes none of this into its files. A configuration beside them may name the file (`network_weights`) or the
folder of a saved state (`resume`); the rest is inferred from a run that goes on counting where another one ended.
"""

import hashlib
import json
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal

from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.safetensors_file import open_safetensors

Confidence = Literal["certain", "likely", "guessed"]
Evidence = Literal[
    "same content", "same weights", "path at that time", "file name", "saved state", "goes on counting", "person"
]

_BASE: Final = ("sd_model_hash", "new_sd_model_hash", "pretrained_model_name_or_path")
_DATA: Final = ("dataset_dirs", "num_images", "num_repeats")

NEEDED_PARAMETERS: Final = (
    *("resume", "network_weights", "save_every_n_epochs", "training_started_at"),
    *_BASE,
    *_DATA,
)
"""Of all parameters of a run, those that tell of its beginning."""

_STATE: Final = "-state"
_MAX_STATE_BYTES: Final = 10_000
_BLOCK: Final = 1024**2
# A file system's clock and the trainer's may differ.
_CLOCK_SECONDS: Final = 2.0


@dataclass(frozen=True)
class KnownCheckpoint:
    """A checkpoint from which another run may have started.

    Attributes
    ----------
    path
        Where it was seen; another file may be there now.
    saved_at
        By its header; None where that does not say.
    model_hash
        SHA-256 of its weights, as its header claims it.
    output_name, training_key
        Of its run, see `training_key`.
    """

    run_id: Any
    run_name: str
    epoch: int | None
    sha256: str
    model_hash: str | None
    path: str
    saved_at: datetime | None
    output_name: str | None = None
    training_key: str | None = None


@dataclass(frozen=True)
class StartedRun:
    """What a run tells of its beginning.

    Attributes
    ----------
    parameters
        By Kohya's names.
    started_at
        None where nothing tells.
    first_epoch
        The lowest of its checkpoints.
    starting_path
        File or folder that it went on from, as somebody wrote it; None where nobody did.
    """

    run_id: Any
    output_name: str | None
    parameters: Mapping[str, Any]
    started_at: datetime | None
    first_epoch: int | None
    starting_path: str | None


@dataclass(frozen=True)
class StartingFile:
    """What lies at the path from which a run started.

    Attributes
    ----------
    sha256, model_hash
        Of the whole file, and of its weights alone.
    is_of_then
        Whether it was written before the run started. A later one may have taken the place of what was there.
    """

    sha256: str
    model_hash: str
    is_of_then: bool


@dataclass(frozen=True)
class Origin:
    """One checkpoint that a run may have started from, how that is known, and how surely."""

    checkpoint: KnownCheckpoint
    evidence: Evidence
    confidence: Confidence


def starting_path(parameters: Mapping[str, Any], stated: str | None = None) -> str | None:
    """What a run says that it went on from; of a state and weights the state, which replaces them.

    Parameters
    ----------
    stated
        What a person noted, or was asked of the trainer; counts where the configuration says nothing.
    """
    for value in (parameters.get("resume"), parameters.get("network_weights"), stated):
        if isinstance(value, str) and value.strip() not in ("", "None"):
            return value.strip()
    return None


def read_starting_file(path: str, started_at: datetime | None) -> StartingFile | None:
    """Hash the file from which a run started; None where it cannot be read any more, or is no safetensors file.

    A relative path is not read: nobody knows in which folder the training was started.
    """
    file = Path(path)
    if "\0" in path or not file.is_absolute() or file.suffix != ".safetensors":
        return None
    try:
        with open_safetensors(file) as opened:
            weights = hashlib.sha256()
            for start in range(opened.data_start, opened.size, _BLOCK):
                weights.update(opened.read(start, min(_BLOCK, opened.size - start)))
            written = opened.mtime_ns / 1e9
            is_of_then = started_at is not None and written <= started_at.timestamp() + _CLOCK_SECONDS
            return StartingFile(opened.sha256(), weights.hexdigest(), is_of_then)
    except (CheckpointError, OSError):
        return None


def origins(run: StartedRun, file: StartingFile | None, known: Iterable[KnownCheckpoint]) -> tuple[Origin, ...]:
    """The checkpoints that a run may have started from, by the best evidence that there is.

    One: that is the answer, with its confidence. Several: the evidence does not tell them apart. A run never comes
    from itself, nor from what was saved after it had started.

    Parameters
    ----------
    file
        What `read_starting_file` found, now or earlier.
    known
        Of all runs.

    Notes
    -----
    "certain" is only what was read: the file that the configuration names has the content of that checkpoint, and is
    older than the run. "likely" is a file of the same weights, or the path at which the checkpoint was seen; "guessed"
    is a name, or a run that goes on counting.
    """
    if not may_descend(run):
        return ()
    earlier = [each for each in known if each.run_id != run.run_id and not _is_too_late(each, run)]
    if run.starting_path is None:
        return tuple(Origin(each, "goes on counting", "guessed") for each in _continued(run, earlier))
    if file is not None:
        same = [each for each in earlier if each.sha256 == file.sha256]
        if same:
            # A file that was copied there later looks the same as one that was there; usually it is.
            found = _at_path(same, run.starting_path) or same
            return _each(found, "same content", "certain" if file.is_of_then else "likely")
        if weights := [each for each in earlier if each.model_hash == file.model_hash]:
            return _each(_at_path(weights, run.starting_path) or weights, "same weights", "likely")
        if file.is_of_then:
            return ()  # it was read, and is none that is known: another file's name proves nothing
    if _name(run.starting_path).endswith(_STATE):
        return _of_state(run.starting_path, earlier)
    if found := _last(_at_path(earlier, run.starting_path)):
        return _each(found, "path at that time", "likely")
    name = _name(run.starting_path)
    return _each([each for each in earlier if _name(each.path) == name], "file name", "guessed")


def may_descend(run: StartedRun) -> bool:
    """Whether anything that a run tells hints at another one; of most runs nothing does."""
    return run.starting_path is not None or _epoch_before(run) is not None


def trace_key(run: StartedRun, file: StartingFile | None, found: Sequence[Origin]) -> str:
    """The same as long as a run's beginning has to be judged the same."""
    told = [[str(each.checkpoint.run_id), each.checkpoint.sha256, each.evidence, each.confidence] for each in found]
    read = None if file is None else [file.sha256, file.model_hash, file.is_of_then]
    return hashlib.sha256(json.dumps([run.starting_path, read, told]).encode()).hexdigest()


def _each(found: Iterable[KnownCheckpoint], evidence: Evidence, confidence: Confidence) -> tuple[Origin, ...]:
    # One content at several places of one run is one checkpoint.
    unique = {(each.run_id, each.sha256): each for each in found}
    return tuple(Origin(each, evidence, confidence) for each in unique.values())


def _is_too_late(checkpoint: KnownCheckpoint, run: StartedRun) -> bool:
    return (
        checkpoint.saved_at is not None
        and run.started_at is not None
        and (checkpoint.saved_at - run.started_at).total_seconds() > _CLOCK_SECONDS
    )


def _at_path(known: Iterable[KnownCheckpoint], path: str) -> list[KnownCheckpoint]:
    wanted = _posix(path)
    return [each for each in known if _posix(each.path) == wanted]


def _last(found: Sequence[KnownCheckpoint]) -> list[KnownCheckpoint]:
    """The one that was saved last, of those that lay at one path; all, if a time is not known."""
    if any(each.saved_at is None for each in found):
        return list(found)
    return sorted(found, key=lambda each: each.saved_at or datetime.min.replace(tzinfo=UTC))[-1:]


def _of_state(path: str, known: Sequence[KnownCheckpoint]) -> tuple[Origin, ...]:
    """The checkpoint that was saved together with a state: `NAME-000005-state` beside `NAME-000005.safetensors`."""
    beside = _posix(path).removesuffix(_STATE) + ".safetensors"
    if found := _last(_at_path(known, beside)):
        # The state may have been overwritten by another run's since; its own counter tells.
        counted = _state_epoch(Path(path))
        if counted is None or all(each.epoch in (None, counted) for each in found):
            return _each(found, "saved state", "likely")
        return ()
    return _each([each for each in known if _name(each.path) == _name(beside)], "saved state", "guessed")


def _state_epoch(folder: Path) -> int | None:
    """`current_epoch` of a state's train_state.json; None where it cannot be read."""
    if not folder.is_absolute():
        return None
    try:
        file = folder / "train_state.json"
        if not file.is_file() or file.stat().st_size > _MAX_STATE_BYTES:
            return None
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    epoch = content.get("current_epoch") if isinstance(content, dict) else None
    return epoch if isinstance(epoch, int) and not isinstance(epoch, bool) else None


def training_key(parameters: Mapping[str, Any]) -> str | None:
    """The same for runs on the same base model and the same data; None where either is not known."""
    base, data = ([parameters.get(name) for name in names] for names in (_BASE, _DATA))
    if all(value is None for value in base) or all(value is None for value in data):
        return None
    return hashlib.sha256(json.dumps([base, data], sort_keys=True, default=str).encode()).hexdigest()


def _continued(run: StartedRun, known: Sequence[KnownCheckpoint]) -> Iterator[KnownCheckpoint]:
    """The checkpoints after which a run of the same name, base model and data goes on counting."""
    before, key = _epoch_before(run), training_key(run.parameters)
    if before is None or key is None:
        return
    for each in known:
        is_same = each.output_name == run.output_name and each.training_key == key
        if is_same and each.epoch == before and each.saved_at is not None:
            yield each


def _epoch_before(run: StartedRun) -> int | None:
    """The epoch after which a run goes on counting; None for one that began at its beginning."""
    if run.first_epoch is None or run.output_name is None or run.started_at is None:
        return None
    every = run.parameters.get("save_every_n_epochs")
    step = every if isinstance(every, int) and not isinstance(every, bool) and every > 0 else 1
    return run.first_epoch - step if run.first_epoch > step else None


@lru_cache(maxsize=2**16)  # every run is held against every checkpoint
def _posix(path: str) -> str:
    """A path as it would be written on the other system, so that both compare."""
    return posixpath.normpath(path.replace("\\", "/"))


def _name(path: str) -> str:
    return posixpath.basename(_posix(path))


@dataclass(frozen=True)
class Link:
    """A run in its family; `parent_id` is None for one that started from the base model, as far as is known."""

    run_id: Any
    run_name: str
    parent_id: Any
    parent_epoch: int | None


def ancestors(links: Iterable[Link], run_id: Any) -> tuple[Link, ...]:
    """The run's parent, its parent's parent and so on, the nearest first; a circle is followed once and left."""
    by_id = {link.run_id: link for link in links}
    found: dict[Any, Link] = {}
    at = by_id.get(run_id)
    while at is not None and at.parent_id in by_id and at.parent_id not in {run_id, *found}:
        at = by_id[at.parent_id]
        found[at.run_id] = at
    return tuple(found.values())


def descendants(links: Iterable[Link], run_id: Any) -> tuple[tuple[int, Link], ...]:
    """The runs that came from a run, each after its parent, with the number of generations between; each once."""
    children: dict[Any, list[Link]] = {}
    for link in links:
        if link.parent_id is not None:
            children.setdefault(link.parent_id, []).append(link)
    found: dict[Any, tuple[int, Link]] = {}
    waiting = [(1, link) for link in reversed(children.get(run_id, []))]
    while waiting:
        generation, link = waiting.pop()
        if link.run_id == run_id or link.run_id in found:
            continue
        found[link.run_id] = (generation, link)
        waiting += [(generation + 1, each) for each in reversed(children.get(link.run_id, []))]
    return tuple(found.values())
