"""Reports on a run from what is stored of it, and their files."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import pandas as pd

from pixel_lora_pipeline.analyze.comparable_scores import comparable_scores
from pixel_lora_pipeline.analyze.comparison import Comparison, compare
from pixel_lora_pipeline.analyze.convergence import Convergence, detect_convergence
from pixel_lora_pipeline.analyze.issues import EpochImages, Issue, track_issues
from pixel_lora_pipeline.analyze.recommend import recommend
from pixel_lora_pipeline.analyze.report import (
    Contestant,
    Cost,
    EpochContent,
    EpochScores,
    LikelyCause,
    OtherStrength,
    Report,
    ReportImage,
    RunContent,
    epoch_report,
    page_stem,
    run_report,
)
from pixel_lora_pipeline.analyze.report.content import RunVerdict, WeakSpot
from pixel_lora_pipeline.analyze.weak_areas import find_areas, sentences
from pixel_lora_pipeline.cost_lines import costs_of
from pixel_lora_pipeline.run_evaluations import BASELINE, WITHOUT_LORA, RunEvaluations
from pixel_lora_pipeline.run_grid import grid_of_run
from pixel_lora_pipeline.store import EvaluatedEpoch, RowId, Store, StoredImage
from pixel_lora_pipeline.train.run_identity import slugify
from pixel_lora_pipeline.whole_file import write_whole

# Names of devices, which Windows takes for themselves whatever folder and ending they stand with.
_DEVICES: Final = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))})
_MOST_CAUSES: Final = 3  # of an issue; less probable ones are in the database
_NORMAL_QUANTILE: Final = 1.959963984540054  # of 97.5 %: both sides together leave out 5 %


def issues_by_epoch(evaluations: RunEvaluations) -> dict[RowId, list[dict[str, Any]]]:
    """The issues of a run as they stood at each epoch, by the id of its row, for `Conclusions.record_issues`."""
    seen = [EpochImages(epoch, images) for epoch, images in evaluations.images.items()]
    return {
        row.epoch_id: [issue.to_dict() for issue in track_issues(seen[: at + 1])]
        for at, row in enumerate(evaluations.epochs)
    }


def judge(
    evaluations: RunEvaluations,
    past_runs: Sequence[pd.DataFrame | float] = (),
    *,
    diverged_at: int | None = None,
) -> Convergence:
    """Whether the run should go on, by the scores that compare: as if all epochs had been asked the same.

    Parameters
    ----------
    past_runs, diverged_at
        As for `detect_convergence`.
    """
    scores = comparable_scores(evaluations.images)
    return detect_convergence(
        scores[scores["group"] == 0], evaluations.run.planned_epochs, past_runs, diverged_at=diverged_at
    )


def recommendations(evaluations: RunEvaluations, verdict: RunVerdict | None) -> list[str]:
    """What to do with a run, for `Conclusions.record_recommendations` and the reports."""
    best = None if verdict is None else verdict.best_epoch
    against: Comparison | None = None
    if best is not None and evaluations.baseline:
        against = compare(evaluations.images.get(best, ()), evaluations.baseline)
    return recommend(verdict, complete=evaluations.is_complete, against_baseline=against)


def write_epoch_report(
    store: Store,
    folder: Path,
    evaluations: RunEvaluations,
    *,
    verdict: RunVerdict | None,
    categories: Mapping[str, str] | None = None,
    costs: Sequence[Cost] | None = None,
) -> Path:
    """Write the report of the last epoch of these evaluations, with its JSON beside it, and return the page's path.

    Parameters
    ----------
    folder
        Of all reports; each run has a folder of its own in it.
    verdict
        On the run up to this epoch, see `judge`.
    categories
        What each prompt tests, by its id, for the weak areas.
    costs
        None for what was counted of the run.
    """
    images = evaluations.images[evaluations.last.epoch]
    content = EpochContent(
        run_name=evaluations.run.run_name,
        epoch=evaluations.last.epoch,
        planned_epochs=evaluations.run.planned_epochs,
        created_at=datetime.now(UTC),
        epochs=_scores(evaluations),
        images=_with_files(store, images),
        verdict=verdict,
        baseline=_contestant(store, BASELINE, evaluations.baseline),
        without_lora=_contestant(store, WITHOUT_LORA, evaluations.without_lora),
        issues=_issues(evaluations),
        causes=_causes(store, evaluations),
        weak_areas=_weak_areas(images, categories),
        strengths=_strengths(evaluations, evaluations.last.epoch),
        recommendations=recommendations(evaluations, verdict),
        costs=costs_of(store, evaluations.run, evaluations.last.epoch) if costs is None else costs,
        made=_made(evaluations, evaluations.last),
    )
    path = _write(folder, evaluations.run.run_name, epoch_report(content))
    store.conclusions.record_epoch_report(evaluations.last.epoch_id, path)
    return path


def write_run_report(
    store: Store,
    folder: Path,
    evaluations: RunEvaluations,
    *,
    verdict: RunVerdict | None,
    categories: Mapping[str, str] | None = None,
    costs: Sequence[Cost] | None = None,
) -> Path:
    """Write the report of a run and return the page's path; parameters as for `write_epoch_report`."""
    run_name = evaluations.run.run_name
    best = evaluations.last.epoch if verdict is None or verdict.best_epoch is None else verdict.best_epoch
    best_row = next((row for row in evaluations.epochs if row.epoch == best), evaluations.last)
    best_images = evaluations.images[best_row.epoch]
    own_folder = report_folder(folder, run_name)
    names = {row.epoch: f"epoch_{row.epoch}_report.html" for row in evaluations.epochs}
    content = RunContent(
        run_name=run_name,
        planned_epochs=evaluations.run.planned_epochs,
        created_at=datetime.now(UTC),
        epochs=_scores(evaluations),
        best_epoch=best_row.epoch,
        best_images=_with_files(store, best_images),
        verdict=verdict,
        baseline=_contestant(store, BASELINE, evaluations.baseline),
        issues=_issues(evaluations),
        causes=_causes(store, evaluations),
        weak_areas=_weak_areas(best_images, categories),
        strengths=[found for row in evaluations.epochs for found in _strengths(evaluations, row.epoch)],
        recommendations=recommendations(evaluations, verdict),
        costs=costs_of(store, evaluations.run) if costs is None else costs,
        grid=grid_of_run(store, evaluations),
        epoch_reports={epoch: name for epoch, name in names.items() if (own_folder / name).is_file()},
        made=_made(evaluations, best_row),
    )
    path = _write(folder, run_name, run_report(content))
    store.conclusions.record_run_report(evaluations.run.run_id, path)
    return path


def report_folder(folder: Path, run_name: str) -> Path:
    """Where the reports of a run lie; a name that cannot be a folder's everywhere is replaced by a similar one."""
    slug = slugify(run_name)
    if slug != run_name or slug.lower() in _DEVICES:
        slug = f"{slug}-{hashlib.sha256(run_name.encode('utf-8', 'replace')).hexdigest()[:8]}"
    return folder / slug


def _write(folder: Path, run_name: str, report: Report) -> Path:
    target = report_folder(folder, run_name)
    target.mkdir(parents=True, exist_ok=True)
    stem = page_stem(report.document)
    # The page last: whoever finds it finds its figures as well.
    write_whole(target / f"{stem}.json", report.json.encode())
    write_whole(target / f"{stem}.html", report.html.encode())
    return target / f"{stem}.html"


def _scores(evaluations: RunEvaluations) -> list[EpochScores]:
    table = comparable_scores(evaluations.images)
    comparable = {row.epoch: row for row in table[table["group"] == 0].itertuples()} if len(table) else {}
    scores = []
    for row in evaluations.epochs:
        fitted = comparable.get(row.epoch)
        if fitted is None:
            scores.append(EpochScores(row.epoch, row.metrics))
            continue
        reach = _NORMAL_QUANTILE * fitted.standard_error
        interval = (max(0.0, fitted.score - reach), min(100.0, fitted.score + reach)) if reach == reach else None
        scores.append(EpochScores(row.epoch, row.metrics, float(fitted.score), interval))
    return scores


def _with_files(store: Store, images: Iterable[StoredImage]) -> list[ReportImage]:
    return [
        ReportImage(
            prompt_id=image.prompt_id,
            prompt=image.prompt,
            negative_prompt=image.negative_prompt,
            seed=image.seed,
            png=store.image_files.read(image.image_sha256),
            sha256=image.image_sha256,
            fault=image.fault,
            metrics=image.metrics,
            metrics_version=image.metrics_version,
        )
        for image in images
    ]


def _contestant(store: Store, label: str, images: Sequence[StoredImage]) -> Contestant | None:
    return Contestant(label, _with_files(store, images)) if images else None


def _issues(evaluations: RunEvaluations) -> list[Issue]:
    return track_issues([EpochImages(epoch, images) for epoch, images in evaluations.images.items()])


def _causes(store: Store, evaluations: RunEvaluations) -> list[LikelyCause]:
    """Why the last epoch has its issues, as it was diagnosed; nothing where it was not, or where an issue is gone."""
    return [
        LikelyCause(
            issue["label"], cause["cause"], cause["confidence"], cause["recommendation"], cause["evidence"]["sentence"]
        )
        for issue in store.conclusions.diagnosed_issues(evaluations.last.epoch_id)
        for cause in issue.get("causes", ())[:_MOST_CAUSES]
    ]


def _weak_areas(images: Sequence[StoredImage], categories: Mapping[str, str] | None) -> list[WeakSpot]:
    return [WeakSpot(sentence) for sentence in sentences(find_areas(images, categories))]


def _strengths(evaluations: RunEvaluations, epoch: int) -> list[OtherStrength]:
    images = evaluations.images[epoch]
    own = next((image.strength for image in images if image.strength is not None), None)
    return [
        OtherStrength(epoch, strength, own, compare(painted, images))
        for strength, painted in evaluations.strengths.get(epoch, {}).items()
        if own is not None
    ]


def _made(evaluations: RunEvaluations, row: EvaluatedEpoch) -> dict[str, str]:
    """How the images of an epoch were made and measured."""
    images = evaluations.images[row.epoch]
    shaped = [image.fingerprint for image in images]
    made = {
        "Suite": _listed(f"{image.suite_name}, version {image.suite_version}" for image in images),
        "Prompts and seeds": f"{len({image.prompt for image in images})} prompts; seeds "
        + _listed(str(seed) for seed in sorted({image.seed for image in images})),
        "Image size": _listed(f"{image.width} × {image.height}" for image in images),
        "Steps, guidance": _listed(f"{shape.get('steps')} steps, guidance {shape.get('guidance')}" for shape in shaped),
        "LoRA strength": _listed(str(lora.get("strength")) for shape in shaped if (lora := shape.get("lora"))),
        "Base model": _listed(f"sha256 {shape.get('base')}" for shape in shaped),
        "Checkpoint": f"{row.path}\nsha256 {row.sha256}",
        "Scheduler": _listed(name for shape in shaped if (name := (shape.get("scheduler") or {}).get("class"))),
        "Computed on": _listed(f"{shape.get('device')}, {shape.get('precision')}" for shape in shaped),
        "Libraries": _listed(
            ", ".join(f"{name} {number}" for name, number in sorted((shape.get("versions") or {}).items()))
            for shape in shaped
        ),
        "Metrics": _listed(f"version {image.metrics_version}" for image in images),
        "Pipeline": version("pixel-lora-pipeline"),
        "Baseline": evaluations.baseline_name or "none promoted",
    }
    return {label: text for label, text in made.items() if text}


def _listed(texts: Iterable[str]) -> str:
    """Different texts once each, in lines where they are long."""
    distinct = list(dict.fromkeys(texts))
    return ("\n" if any(len(text) > 20 for text in distinct) else ", ").join(distinct)
