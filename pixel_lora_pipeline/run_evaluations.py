"""A run and everything that was measured of it, as the analysis of a run reads it."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Final

from pixel_lora_pipeline.analyze.tested_image import by_question
from pixel_lora_pipeline.store import EvaluatedEpoch, NothingEvaluatedError, RowId, RunRow, Store, StoredImage

WITHOUT_LORA: Final = "no LoRA"
BASELINE: Final = "the baseline"


@dataclass(frozen=True)
class RunEvaluations:
    """A run and everything that was measured of it, up to an epoch.

    Attributes
    ----------
    images
        Of each epoch, one a question: of images that were painted again the last.
    without_lora, baseline
        Images of the base model alone, and of the checkpoint in production where that is another one.
    strengths
        By epoch: its images at other strengths of the LoRA, where there are any, by the strength.
    """

    run: RunRow
    epochs: tuple[EvaluatedEpoch, ...]
    images: Mapping[int, tuple[StoredImage, ...]]
    without_lora: tuple[StoredImage, ...]
    baseline: tuple[StoredImage, ...]
    baseline_name: str | None
    strengths: Mapping[int, Mapping[float, tuple[StoredImage, ...]]]

    @property
    def last(self) -> EvaluatedEpoch:
        """The last epoch."""
        return self.epochs[-1]

    @property
    def is_complete(self) -> bool:
        """Whether the run has reached its planned end."""
        return self.run.planned_epochs is not None and self.last.epoch >= self.run.planned_epochs


def read_run(store: Store, run_name: str | None = None, epoch: int | None = None) -> RunEvaluations:
    """What is known of a run as it stood after an epoch; None for the newest run, and for its last epoch.

    Raises
    ------
    UnknownRunError
        If there is no such run.
    NothingEvaluatedError
        If the epoch, or any of the run, is not evaluated.
    """
    run = store.conclusions.run(run_name)
    evaluated = store.conclusions.epochs(run.run_id)
    known = [row.epoch for row in evaluated]
    if not known:
        raise NothingEvaluatedError(f"no epoch of {run.run_name} is evaluated yet: materialise epoch_evaluation first.")
    if epoch is not None and epoch not in known:
        raise NothingEvaluatedError(f"epoch {epoch} of {run.run_name} is not evaluated. Evaluated are {known}.")
    epochs = tuple(row for row in evaluated if epoch is None or row.epoch <= epoch)
    images = {row.epoch: tuple(by_question(store.images.of_epoch(row.epoch_id)).values()) for row in epochs}
    # Numbers that were noted by hand, or measured by an older tool, have no pictures to show or to compare.
    epochs = tuple(row for row in epochs if images[row.epoch])
    images = {row.epoch: images[row.epoch] for row in epochs}
    if not epochs:
        raise NothingEvaluatedError(
            f"of {run.run_name} only numbers are known, no images. Put its checkpoints into a watched folder, and they "
            "are evaluated."
        )
    bases = {image.fingerprint.get("base") for shown in images.values() for image in shown}
    bare = [image for image in store.images.of_epoch(None) if image.fingerprint.get("base") in bases]
    baseline = store.baselines.current()
    if baseline is not None and baseline.epoch_id == epochs[-1].epoch_id:
        baseline = None
    return RunEvaluations(
        run=run,
        epochs=epochs,
        images=images,
        without_lora=tuple(by_question(bare).values()),
        baseline=() if baseline is None else tuple(by_question(store.images.of_epoch(baseline.epoch_id)).values()),
        baseline_name=None if baseline is None else baseline.name,
        strengths={row.epoch: strengths for row in epochs if (strengths := _strengths(store, row.epoch_id, bases))},
    )


def _strengths(store: Store, epoch_id: RowId, bases: Container[object]) -> dict[float, tuple[StoredImage, ...]]:
    """Images of an epoch at other strengths, of the same base models, by strength."""
    images: dict[float, list[StoredImage]] = {}
    for image in store.images.of_epoch(epoch_id, purpose="strength"):
        if image.strength is not None and image.fingerprint.get("base") in bases:
            images.setdefault(image.strength, []).append(image)
    return {strength: tuple(by_question(images[strength]).values()) for strength in sorted(images)}
