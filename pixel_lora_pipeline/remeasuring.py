"""Old images measured again by a new version of the metrics."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pixel_lora_pipeline.epoch_measurement import evaluate_epoch, evaluate_samples, measure_images, palette_of_run
from pixel_lora_pipeline.kept_expectations import KeptExpectations
from pixel_lora_pipeline.store import ImageStoreError, MeasuredEpoch, Store, StoredImage
from pixel_lora_pipeline.store.epochs import samples_version
from pixel_lora_pipeline.validate import METRICS_VERSION, Suite
from pixel_lora_pipeline.validate.semantic import SemanticScorer


@dataclass
class Remeasured:
    """What was done.

    Attributes
    ----------
    images, epochs
        How many images were measured again, and how many epochs rolled up again.
    skipped
        Epochs that could not be, each with the reason; their numbers are as they were.
    """

    images: int = 0
    epochs: int = 0
    skipped: list[str] = field(default_factory=list)


def remeasure(
    store: Store,
    suite: Suite,
    run_name: str | None = None,
    scorer: SemanticScorer | None = None,
    *,
    again: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Remeasured:
    """Bring the numbers of evaluated epochs to the current version of the metrics.

    An epoch is rolled up over the prompts that it was rolled up over before. What is current already is left alone:
    a second call does nothing, and one that was interrupted goes on where it ended. Nothing is generated.

    Parameters
    ----------
    suite
        What is asked now. Images of its prompts are measured against what it expects, others against what the suite
        expected that asked for them.
    run_name
        The run's name; None for all runs, and the images of the base model alone.
    scorer
        The configured CLIP model, if any: images that it has not scored are measured, too.
    again
        Also what this version measured already.
    on_progress
        Called with the numbers of epochs done and in all.

    Raises
    ------
    UnknownRunError
        If there is no run of that name.
    SemanticModelError
        If the CLIP model cannot be used.
    """
    expectations = KeptExpectations(store, suite)

    def measured(images: list[StoredImage], palette: NDArray[np.uint8] | None = None) -> int:
        return measure_images(store, images, expectations.of, scorer, training_palette=palette, again=again)

    done = Remeasured()
    run_id = None if run_name is None else store.conclusions.run(run_name).run_id
    epochs = store.metrics_versions.measured_epochs(run_id)
    if run_name is None:
        done.images += measured([image for image in store.images.of_epoch(None) if image.metrics is not None])
    for at, epoch in enumerate(epochs):
        try:
            palette = palette_of_run(store, epoch.training_run_id)
            shown = store.images.of_epoch(epoch.epoch_id, purpose="strength")
            samples = store.images.of_epoch(epoch.epoch_id, purpose="sample")
            done.images += measured(shown, palette)
            new_samples = measured(samples, palette)
            changed = measured(store.images.of_epoch(epoch.epoch_id), palette)
            done.images += changed + new_samples
            prompts = samples_version(epoch.metrics)
            if prompts is None and (changed or epoch.metrics.get("metrics_version") != METRICS_VERSION):
                evaluate_epoch(store, epoch.epoch_id, _rolled_up(store.images.of_epoch(epoch.epoch_id), epoch))
                done.epochs += 1
            elif prompts is not None and new_samples:
                evaluate_samples(
                    store, epoch.epoch_id, store.images.of_epoch(epoch.epoch_id, prompts, purpose="sample")
                )
                done.epochs += 1
        except (ImageStoreError, _NothingToRollUpError) as error:
            done.skipped.append(f"{epoch.name}: {error}")
        if on_progress is not None:
            on_progress(at + 1, len(epochs))
    return done


class _NothingToRollUpError(Exception):
    pass


def _rolled_up(images: list[StoredImage], epoch: MeasuredEpoch) -> list[StoredImage]:
    """The images of the prompts that the epoch's rollup is over; of several of one prompt and seed the last."""
    prompts = epoch.metrics.get("prompts", {})
    answers = {(image.prompt_id, image.seed): image for image in images if not prompts or image.prompt_id in prompts}
    if not answers:
        raise _NothingToRollUpError("none of its images is stored; its numbers stay as they are.")
    return list(answers.values())
