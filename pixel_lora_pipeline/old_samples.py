"""What a run's trainer painted of its sample prompts, as results of the epochs.

Other prompts, seeds and settings than the suite's make them no part of an evaluation: they are stored as a suite of
their own, and their rollup stands for an epoch only as long as nothing else was measured of it.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from pixel_lora_pipeline.epoch_measurement import evaluate_samples, measure_images, palette_of_run
from pixel_lora_pipeline.store import RowId, Store, TestImage, fingerprint_hash
from pixel_lora_pipeline.store.values import canonical_json
from pixel_lora_pipeline.train import ParameterValue
from pixel_lora_pipeline.train.sample_images import (
    SampleImage,
    SamplePrompt,
    SamplePromptsError,
    find_prompts,
    read_prompts,
)
from pixel_lora_pipeline.validate import parse_expectation
from pixel_lora_pipeline.validate.image_file import fault_of, png_bytes
from pixel_lora_pipeline.validate.image_reading import ImageFileError, read_image

SUITE_NAME: Final = "kohya samples"
_VERSION_DIGITS: Final = 12
# The column takes whole numbers only; no trainer paints with a negative seed.
_UNKNOWN_SEED: Final = -1


@dataclass(frozen=True)
class OldSample:
    """A sample image of a run, with its prompt; `suite_version` stands for all prompts that it was painted among."""

    image: SampleImage
    prompt: SamplePrompt
    epoch: int
    suite_version: str

    @property
    def seed(self) -> int | None:
        """As the file's name says, or else its prompt."""
        return self.prompt.seed if self.image.seed is None else self.image.seed


@dataclass
class MeasuredSamples:
    """What was, or would be, measured of a run's sample images.

    Attributes
    ----------
    added
        Epoch to the number of images that the store did not have.
    n_known
        How many it had.
    problems
        Sentences: what was left out.
    """

    run_name: str
    added: dict[int, int] = field(default_factory=dict)
    n_known: int = 0
    problems: list[str] = field(default_factory=list)


def sort_samples(
    images: Sequence[SampleImage], parameters: Mapping[str, ParameterValue], steps_per_epoch: float | None
) -> tuple[list[OldSample], list[str]]:
    """The sample images of one run with their prompts and epochs, and sentences on those that have none.

    Of several of one prompt and epoch the last is taken: the training was begun again.

    Parameters
    ----------
    parameters
        The run's, which may name the file of prompts.
    steps_per_epoch
        For images that only a step is known of; None if it is not known.
    """
    configured = parameters.get("sample_prompts")
    name = configured.value if configured is not None and isinstance(configured.value, str) else None
    left_out, problems = _LeftOut(), list[str]()
    prompts: dict[Path | None, tuple[SamplePrompt, ...]] = {}
    newest: dict[tuple[int, int], OldSample] = {}
    for image in sorted(images, key=lambda image: image.painted_at):
        path = find_prompts(image, name)
        if path not in prompts:
            prompts[path] = _prompts(path, problems)
        epoch = _epoch(image, steps_per_epoch)
        said = prompts[path]
        if path is None:
            left_out.add(image, "no file of sample prompts lies beside them; put it there as prompt.txt")
        elif not said:
            continue
        elif epoch is None:
            left_out.add(image, "they were painted at a step at which no epoch is known to end")
        elif epoch < 1:
            left_out.add(image, "they were painted before the first epoch, and show the base model")
        elif image.position >= len(said):
            left_out.add(image, f"{path} has only {len(said)} prompts: it is not the file they were painted by")
        elif None not in (image.seed, said[image.position].seed) and image.seed != said[image.position].seed:
            left_out.add(image, f"{path} has another seed than their names: it is not the file they were painted by")
        else:
            newest[epoch, image.position] = OldSample(image, said[image.position], epoch, _version(said))
    return [newest[key] for key in sorted(newest)], [*problems, *left_out.sentences()]


def measure_samples(
    store: Store,
    run_name: str,
    run_id: RowId | None,
    epoch_ids: Mapping[int, RowId],
    samples: Sequence[OldSample],
    *,
    dry_run: bool = False,
) -> MeasuredSamples:
    """Store and measure sample images, against what their prompts name; a second time changes nothing.

    Parameters
    ----------
    run_id, epoch_ids
        Rows of the run and of its epochs; those that a dry run did not write are missing.
    """
    done = MeasuredSamples(run_name)
    by_epoch: dict[int, list[OldSample]] = {}
    for sample in samples:
        by_epoch.setdefault(sample.epoch, []).append(sample)
    for epoch, of_epoch in by_epoch.items():
        epoch_id = epoch_ids.get(epoch)
        known = set() if epoch_id is None else store.images.known_fingerprints(epoch_id, purpose="sample")
        new = []
        for sample in of_epoch:
            try:
                image = _test_image(sample)
            except ImageFileError as error:
                done.problems.append(str(error))
                continue
            if fingerprint_hash(image.fingerprint) in known:
                done.n_known += 1
            else:
                new.append(image)
        if new:
            done.added[epoch] = len(new)
        if not dry_run and epoch_id is not None and run_id is not None:
            store.images.add(epoch_id, new)
            _measure(store, run_id, epoch_id, max(of_epoch, key=lambda sample: sample.image.painted_at).suite_version)
    return done


def _measure(store: Store, run_id: RowId, epoch_id: RowId, suite_version: str) -> None:
    painted = store.images.of_epoch(epoch_id, suite_version, purpose="sample")
    palette = palette_of_run(store, run_id)
    measure_images(store, painted, lambda image: parse_expectation(image.prompt), None, training_palette=palette)
    evaluate_samples(store, epoch_id, store.images.of_epoch(epoch_id, suite_version, purpose="sample"))


class _LeftOut:
    """What is not used, counted by folder and reason."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[Path, str]] = Counter()

    def add(self, image: SampleImage, reason: str) -> None:
        self._counts[image.path.parent, reason] += 1

    def sentences(self) -> list[str]:
        return [
            f"{count} sample image{'s' * (count > 1)} in {folder} {'were' if count > 1 else 'was'} left out: {reason}."
            for (folder, reason), count in self._counts.items()
        ]


def _prompts(path: Path | None, problems: list[str]) -> tuple[SamplePrompt, ...]:
    if path is None:
        return ()
    try:
        return tuple(read_prompts(path))
    except SamplePromptsError as error:
        problems.append(f"{error} The sample images that were painted by it were left out.")
        return ()


def _epoch(image: SampleImage, steps_per_epoch: float | None) -> int | None:
    if image.epoch is not None or image.step is None or not steps_per_epoch:
        return image.epoch
    epoch = image.step / steps_per_epoch
    return round(epoch) if math.isclose(epoch, round(epoch), abs_tol=1e-6) else None


def _version(prompts: Sequence[SamplePrompt]) -> str:
    """Hash of all that the prompts ask for."""
    asked = canonical_json([prompt.to_dict() for prompt in prompts])
    return hashlib.sha256(asked.encode()).hexdigest()[:_VERSION_DIGITS]


def _test_image(sample: OldSample) -> TestImage:
    pixels = read_image(sample.image.path)
    png = png_bytes(pixels)
    fault = fault_of((pixels[..., :3] / 255).astype(np.float32))
    seed, prompt = sample.seed, sample.prompt
    return TestImage(
        suite_name=SUITE_NAME,
        suite_version=sample.suite_version,
        prompt_id=f"sample_{sample.image.position:02d}",
        prompt=prompt.prompt,
        negative_prompt=prompt.negative_prompt,
        seed=_UNKNOWN_SEED if seed is None else seed,
        width=pixels.shape[1],
        height=pixels.shape[0],
        fingerprint={
            "painted_by": "trainer",
            "epoch": sample.epoch,
            "position": sample.image.position,
            "painted_at": sample.image.painted_at,
            "suite_version": sample.suite_version,
            **prompt.to_dict(),
            "seed": seed,
            "pixels": hashlib.sha256(png).hexdigest(),
        },
        png=png,
        fault=None if fault is None else str(fault),
        purpose="sample",
    )
