"""Whether a dataset's captions are fit for a training, before one is paid for."""

import hashlib
from pathlib import Path
from typing import Any

import dagster as dg
from pydantic import Field

from pixel_lora_pipeline.caption_quality import (
    JOURNAL,
    CaptionQuality,
    assess_captions,
    sync_captions,
    write_captions_report,
)
from pixel_lora_pipeline.config import Settings
from pixel_lora_pipeline.defs.execution import OWNERS, retry_transient_faults
from pixel_lora_pipeline.embedded.loading import WEIGHTS
from pixel_lora_pipeline.store import Store
from pixel_lora_pipeline.train.captions import Batches, DatasetError
from pixel_lora_pipeline.validate.captions.encoders import text_encoders

# A key is the path of a dataset: a folder of pictures, Kohya's train_data_dir, or a dataset_config.
datasets = dg.DynamicPartitionsDefinition(name="datasets")

_CHECK = "captions_are_fit_for_training"
_SHOWN = 50


class TrainingParameters(dg.Config):
    """Those of the training that is to be started."""

    parameters: dict[str, Any] = Field(default_factory=dict, description="By Kohya's names, as keep_tokens.")


@dg.asset(
    partitions_def=datasets,
    group_name="train",
    kinds={"html", "postgres"},
    owners=OWNERS,
    retry_policy=retry_transient_faults,
    check_specs=[
        dg.AssetCheckSpec(
            _CHECK,
            asset="caption_quality",
            blocking=True,
            description="No error in the captions of the dataset; what would train on it waits for that.",
        )
    ],
)
def caption_quality(
    context: dg.AssetExecutionContext,
    config: TrainingParameters,
    settings: dg.ResourceParam[Settings],
    store: dg.ResourceParam[Store],
) -> dg.MaterializeResult:  # type: ignore[type-arg]
    """The captions of a dataset, checked, kept in the database by version, with a report on what they can teach."""
    batches = Batches(settings.home / JOURNAL)
    batches.recover()
    try:
        quality = assess_captions(
            Path(context.partition_key), config.parameters, text_encoders(settings.base_model or WEIGHTS)
        )
    except DatasetError as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    sync_captions(store, quality, batches)
    # Datasets in different folders may have the same name.
    distinct = hashlib.sha256(str(quality.dataset.path).encode()).hexdigest()[:8]
    page = settings.home / "reports" / "captions" / f"{quality.dataset.path.name}_{distinct}.html"
    write_captions_report(quality, page)
    return dg.MaterializeResult(metadata=_metadata(quality, page), check_results=[_check_result(quality)])


def _check_result(quality: CaptionQuality) -> dg.AssetCheckResult:
    errors = quality.errors
    files = {name for finding in errors for name in finding.files}
    return dg.AssetCheckResult(
        check_name=_CHECK,
        passed=not errors,
        description=(
            f"{len(errors)} errors in {len(files)} captions; the first: {errors[0].message} "
            "`pixel-lora captions fix` shows what can be put right."
            if errors
            else "No error in the captions"
        ),
        metadata={"errors": len(errors), "files": len(files)},
    )


def _metadata(quality: CaptionQuality, page: Path) -> dict[str, dg.MetadataValue[Any]]:
    rows = [
        dg.TableRecord(
            {
                "check": finding.check_id,
                "severity": finding.severity,
                "file": ", ".join(finding.files[:3]),
                "message": finding.message,
            }
        )
        for finding in sorted(quality.findings, key=lambda each: each.severity)[:_SHOWN]
    ]
    return {
        "captions": dg.MetadataValue.float(float(len(quality.dataset.captions))),
        "errors": dg.MetadataValue.float(float(len(quality.errors))),
        "warnings": dg.MetadataValue.float(float(len(quality.warnings))),
        "hair_not_taught": dg.MetadataValue.text(", ".join(quality.coverage.hair_not_taught) or "none"),
        "report": dg.MetadataValue.path(str(page)),
        **({"findings": dg.MetadataValue.table(rows)} if rows else {}),
    }
