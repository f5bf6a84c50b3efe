"""Puts an epoch into production: a verified copy with a model card, and the baseline of all comparisons to come."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pixel_lora_pipeline.analyze.comparison import compare
from pixel_lora_pipeline.analyze.issues import EpochImages, track_issues
from pixel_lora_pipeline.analyze.model_card import CardContent, model_card
from pixel_lora_pipeline.run_evaluations import RunEvaluations, read_run
from pixel_lora_pipeline.store import Baseline, Release, ReleaseError, ReleaseFolder, Store

_AS_TRAINED: Final = 1.0


def promote(store: Store, releases: ReleaseFolder, run_name: str | None, epoch: int, by: str) -> Baseline:
    """Copy an epoch's checkpoint into the release folder with a model card, and make it the baseline.

    Parameters
    ----------
    run_name
        None for the newest run.
    by
        Who promotes it.

    Raises
    ------
    UnknownRunError, NothingEvaluatedError
        If there is no such epoch, or it is not evaluated: its figures would be missing from the card.
    ReleaseError
        If its file is gone or is no longer the one that was evaluated.
    """
    evaluations = read_run(store, run_name, epoch)
    row = evaluations.last
    if row.path is None or row.sha256 is None:
        raise ReleaseError(f"epoch {epoch} of {evaluations.run.run_name} was scored by hand: no file of it was seen.")
    release = releases.copy(Path(row.path), row.sha256, evaluations.run.run_name, epoch)
    releases.write_card(release, _card(evaluations, release, by))
    return store.baselines.promote(row.epoch_id, release.folder, release.checkpoint_file, row.sha256, by)


def _card(evaluations: RunEvaluations, release: Release, by: str) -> str:
    row, run = evaluations.last, evaluations.run
    images = evaluations.images[row.epoch]
    issues = track_issues([EpochImages(epoch, shown) for epoch, shown in evaluations.images.items()])
    return model_card(
        CardContent(
            run_name=run.run_name,
            epoch=row.epoch,
            file_name=release.checkpoint_file,
            sha256=row.sha256 or "",
            base_model=run.base_model,
            parameters=run.parameters,
            metrics=row.metrics,
            strength=next((image.strength for image in images if image.strength is not None), _AS_TRAINED),
            suite=", ".join(dict.fromkeys(f"{image.suite_name} {image.suite_version}" for image in images)),
            example_prompt=images[0].prompt if images else None,
            issues=issues,
            comparison=compare(images, evaluations.baseline) if evaluations.baseline else None,
            released_at=datetime.now(UTC),
            released_by=by,
        )
    )
