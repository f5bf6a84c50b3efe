"""Which images are painted together, so that a run that was cut short ends with the same bytes."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class ImageRequest:
    """One image to paint.

    Attributes
    ----------
    prompt_id
        Name of the prompt in its suite; does not shape the image.
    seed
        0 … 2⁶³ − 1.
    width, height
        Pixels, multiples of 8.
    steps
        Denoising steps, at least 1.
    guidance
        Classifier-free guidance scale; at 1 and below the negative prompt has no effect.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    prompt_id: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    guidance: float

    def __post_init__(self) -> None:
        rules = {
            "seed must lie in 0 … 2^63 - 1": 0 <= self.seed < 2**63,
            "width and height must be positive multiples of 8": all(
                side > 0 and side % 8 == 0 for side in (self.width, self.height)
            ),
            "steps must be at least 1": self.steps >= 1,
            "guidance must be finite": np.isfinite(self.guidance),
        }
        for rule, kept in rules.items():
            if not kept:
                raise ValueError(f"Prompt '{self.prompt_id}': {rule}; got {self}.")

    @property
    def call_settings(self) -> tuple[int, int, int, float]:
        """What all images of one pipeline call share."""
        return self.width, self.height, self.steps, self.guidance


@dataclass(frozen=True)
class Job:
    """A request with what identifies its image."""

    request: ImageRequest
    fingerprint: dict[str, Any]
    fingerprint_hash: str


@dataclass(frozen=True)
class Batch:
    """Jobs of equal call settings, painted in one call of `rows` images; missing rows are filled up."""

    jobs: tuple[Job, ...]
    rows: int


def plan_batches(jobs: Sequence[Job], known: Collection[str], row_limit: Callable[[ImageRequest], int]) -> list[Batch]:
    """Batches of the jobs that are not known, each with as many rows as its jobs have in the plan for all.

    A job's number of rows depends on the whole list and never on what is missing, because a batch's size is
    what changes the rounding of its images. Nothing is filled up unless something is known already.

    Parameters
    ----------
    known
        Fingerprint hashes of images that exist.
    row_limit
        Most rows for a request of that size.
    """
    by_settings: dict[tuple[int, int, int, float], list[Job]] = {}
    for job in jobs:
        by_settings.setdefault(job.request.call_settings, []).append(job)
    batches: list[Batch] = []
    for group in by_settings.values():
        missing_by_rows: dict[int, list[Job]] = {}
        start = 0
        for rows in even_sizes(len(group), row_limit(group[0].request)):
            planned = group[start : start + rows]
            start += rows
            missing_by_rows.setdefault(rows, []).extend(job for job in planned if job.fingerprint_hash not in known)
        for rows, missing in missing_by_rows.items():
            batches += [Batch(tuple(missing[at : at + rows]), rows) for at in range(0, len(missing), rows)]
    return batches


def split_batch(batch: Batch, limit: int) -> list[Batch]:
    """The same jobs in batches of at most `limit` rows, without filling."""
    parts: list[Batch] = []
    start = 0
    for rows in even_sizes(len(batch.jobs), limit):
        parts.append(Batch(batch.jobs[start : start + rows], rows))
        start += rows
    return parts


def even_sizes(count: int, limit: int) -> list[int]:
    """The fewest sizes up to `limit` that add up to `count`, as equal as possible, larger ones first."""
    number = -(-count // limit)
    size, larger = divmod(count, number)
    return [size + 1] * larger + [size] * (number - larger)
