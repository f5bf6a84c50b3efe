"""The captions of a dataset: checked, put right in one batch, taken back, and kept in step with the database."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from pixel_lora_pipeline.analyze.dataset_report import DatasetContent, dataset_report
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.store.captions import CaptionBatch, CaptionRow, SyncedCaptions
from pixel_lora_pipeline.train.captions import Batch, Batches, Change, Dataset, read_dataset
from pixel_lora_pipeline.validate.captions import (
    CaptionedPicture,
    Corpus,
    Encoder,
    Finding,
    PictureColors,
    Tier,
    check_captions,
    fix_captions,
    picture_colors,
)
from pixel_lora_pipeline.validate.captions.coverage import Coverage, coverage
from pixel_lora_pipeline.whole_file import write_whole

JOURNAL: Final = "caption_batches"
"""Folder of the batches within the pipeline's home."""


@dataclass(frozen=True)
class CaptionQuality:
    """A dataset with what the checks say of it."""

    dataset: Dataset
    corpus: Corpus
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> list[Finding]:
        """What would spoil a training."""
        return [finding for finding in self.findings if finding.severity == "error"]

    @property
    def warnings(self) -> list[Finding]:
        """What a person should look at."""
        return [finding for finding in self.findings if finding.severity == "warning"]

    @property
    def counts(self) -> Counter[str]:
        """How often each check has found something."""
        return Counter(finding.check_id for finding in self.findings)

    @property
    def coverage(self) -> Coverage:
        """What the dataset can teach."""
        return coverage(self.corpus)


def assess_captions(
    path: Path, parameters: Mapping[str, Any] | None = None, encoders: Mapping[str, Encoder] | None = None
) -> CaptionQuality:
    """Check the captions of a dataset.

    Parameters
    ----------
    path
        A folder of pictures, Kohya's `train_data_dir`, or a `dataset_config`.
    parameters
        Of the training that is to be started, by Kohya's names.
    encoders
        Of the base model, see `text_encoders`; without one, tokens are not counted.

    Raises
    ------
    DatasetError
        If the dataset cannot be read.
    """
    dataset = read_dataset(path, parameters)
    corpus = Corpus(_pictures(dataset), dataset.rules, encoders)
    return CaptionQuality(dataset, corpus, tuple(check_captions(corpus)))


def _pictures(dataset: Dataset) -> list[CaptionedPicture]:
    found = []
    for folder in dataset.folders:
        for name in sorted({*folder.pictures, *folder.captions}):
            file, picture = folder.captions.get(name), folder.pictures.get(name)
            other = folder.other_captions.get(name)
            found.append(
                CaptionedPicture(
                    name=name,
                    text=None if file is None else file.text,
                    is_unreadable=file is not None and file.text is None,
                    has_picture=picture is not None,
                    colors=None if picture is None else _colors(picture),
                    options=folder.options,
                    other_file=None if other is None else other.name,
                )
            )
    return found


def _colors(picture: Path) -> PictureColors | None:
    return picture_colors(picture.read_bytes())


def plan_fixes(quality: CaptionQuality, tier: Tier = "safe") -> dict[str, Change]:
    """The changes that put right what may be, by name of the file; nothing is written yet."""
    files = quality.dataset.captions
    return {
        name: Change(files[name].path.absolute(), files[name].content, fixed.text.encode(), fixed.reasons)
        for name, fixed in fix_captions(quality.corpus, tier).items()
    }


def sync_captions(store: Store, quality: CaptionQuality, batches: Batches) -> SyncedCaptions:
    """Make the database say what the dataset's files say; once more changes nothing."""
    path = str(quality.dataset.path)
    own = [batch for batch in batches.all() if batch.dataset == path]
    writers = _writers(own)
    findings: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for finding in quality.findings:
        for name in finding.files:
            findings[name].append({"check": finding.check_id, "severity": finding.severity, "message": finding.message})
    descriptions = _descriptions(quality.corpus)
    pictures = quality.corpus.by_name
    rows = []
    for name, file in quality.dataset.captions.items():
        colors = pictures[name].colors
        rows.append(
            CaptionRow(
                file_name=name,
                content=file.content,
                caption=(file.text or "").lstrip("\ufeff").partition("\n")[0].strip(),
                sha256=file.sha256,
                picture_sha256=None if colors is None else colors.picture,
                description=descriptions.get(name, {}),
                findings=findings[name],
                batch_id=writers.get((file.path.absolute(), file.content)),
            )
        )
    return store.captions.sync(path, rows, [_row(batch) for batch in own])


def _writers(batches: list[Batch]) -> dict[tuple[Path, bytes], str]:
    """Which batch wrote a content last."""
    return {
        (change.path, change.after): batch.batch_id
        for batch in batches
        if batch.state == "done"
        for change in batch.changes
    }


def _row(batch: Batch) -> CaptionBatch:
    reasons = Counter(reason for change in batch.changes for reason in change.reasons)
    return CaptionBatch(
        batch.batch_id, batch.dataset, batch.state, batch.undoes, len(batch.changes), reasons, batch.created_at
    )


def _descriptions(corpus: Corpus) -> dict[str, dict[str, Any]]:
    colors = {region: corpus.colors_of(region) for region in ("hair", "background", "skin", "lips")}
    return {
        caption.name: {
            "codes": [code.hex for code in caption.codes if code.hex is not None],
            "expressions": sorted({name for _, name in corpus.expressions[caption.name]}),
            **{region: found[caption.name] for region, found in colors.items() if found.get(caption.name)},
        }
        for caption in corpus.written
    }


def write_captions_report(quality: CaptionQuality, path: Path) -> None:
    """Write the report on a dataset, and the same figures as JSON beside it."""
    json_path = path.with_suffix(".json")
    content = DatasetContent(
        dataset=str(quality.dataset.path),
        created_at=datetime.now(UTC),
        n_pictures=len(quality.dataset.pictures),
        n_captions=len(quality.dataset.captions),
        trigger=None if quality.corpus.trigger is None else quality.corpus.trigger.text,
        findings=quality.findings,
        coverage=quality.coverage,
    )
    report = dataset_report(content, json_path.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(json_path, report.json.encode())
    write_whole(path, report.html.encode())


def finding_document(finding: Finding) -> dict[str, Any]:
    """A finding, JSON-ready."""
    return {**asdict(finding), "edits": [asdict(edit) for edit in finding.edits]}
