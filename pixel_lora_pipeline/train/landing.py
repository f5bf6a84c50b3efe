"""Which checkpoints have landed since the last look, and which files cannot be evaluated."""

import hashlib
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.train.checkpoint import Checkpoint, read_checkpoint
from pixel_lora_pipeline.train.errors import CheckpointError
from pixel_lora_pipeline.train.watch import FileSighting, find_checkpoints, training_order

STALLED_SECONDS: Final = 900.0
"""An incomplete file that was not written for so long is refused as truncated. Copies over a slow network pause
for a minute or two; a trainer never pauses while it saves. A file that grows again is looked at again."""


@dataclass(frozen=True)
class Landing:
    """A complete checkpoint file that was not settled yet."""

    sighting: FileSighting
    checkpoint: Checkpoint


@dataclass(frozen=True)
class Refusal:
    """A file that will not be evaluated; `signature` stands for its path and state, as its content is unreadable."""

    sighting: FileSighting
    signature: str
    fault: str
    remedy: str


@dataclass(frozen=True)
class Landings:
    """What one look at the watched folders found.

    Attributes
    ----------
    complete
        In the order of training: run by run, then by epoch and step.
    refused
        Files that no later look would judge otherwise.
    waiting
        Files that are still being written, or that could not be read just now.
    """

    complete: tuple[Landing, ...]
    refused: tuple[Refusal, ...]
    waiting: tuple[Path, ...]


def find_landings(
    folders: Iterable[Path],
    settled: Collection[tuple[str, int, int, int]],
    *,
    now: float,
    required_width: int | None = None,
) -> Landings:
    """Look at the watched folders and read the headers of files that are not settled.

    Parameters
    ----------
    folders
        Listed recursively, see `find_checkpoints`.
    settled
        `stat_key` of every sighting that needs no further look.
    now
        Unix time in seconds, for telling a stalled file from one that grows.
    required_width
        Width of the base model's text features, if it is known; see `read_checkpoint`.
    """
    complete: list[Landing] = []
    refused: list[Refusal] = []
    waiting: list[Path] = []
    roots = [folder.absolute() for folder in folders]
    for sighting in find_checkpoints(roots):
        if sighting.stat_key in settled:
            continue
        try:
            checkpoint = read_checkpoint(
                sighting.path, watched_root(sighting.path, roots), required_width=required_width
            )
        except CheckpointError as error:
            stalled = now - sighting.mtime_ns / 1e9 > STALLED_SECONDS
            if error.retry and not stalled:
                waiting.append(sighting.path)
            else:
                refused.append(Refusal(sighting, _stat_signature(sighting), error.fault, error.remedy))
        else:
            complete.append(Landing(sighting, checkpoint))
    complete.sort(key=lambda landing: training_order(landing.checkpoint))
    return Landings(tuple(complete), tuple(refused), tuple(waiting))


def watched_root(path: Path, folders: Iterable[Path]) -> Path | None:
    """The innermost watched folder that a file lies in; None if it lies in none of them."""
    roots = [root for folder in folders if path.is_relative_to(root := folder.absolute())]
    return max(roots, key=lambda root: len(root.parts), default=None)


def _stat_signature(sighting: FileSighting) -> str:
    return hashlib.sha256(repr(sighting.stat_key).encode("utf-8", "surrogateescape")).hexdigest()
